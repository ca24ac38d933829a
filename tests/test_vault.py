"""Records are sealed under a key each, and open nowhere but where they belong."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voiceid.errors import Unreadable
from voiceid.store.keys import FileKeyStore
from voiceid.store.vault import Place, Sealed, Vault

HERE = Place("household", "person", "recording", "record")


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    keys = FileKeyStore(tmp_path / "keys", installation="ours", create=True)
    yield Vault(keys)
    keys.close()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300))
def test_what_is_sealed_opens_again(vault: Vault, content: bytes) -> None:
    sealed = vault.seal(HERE, content)
    assert vault.open(HERE, sealed.key_id, sealed.sealed) == content
    assert len(sealed.sealed) == len(content) + 28
    vault.keys.destroy([sealed.key_id])


ELSEWHERE = [
    replace(HERE, household="another"), replace(HERE, person="another"), replace(HERE, person=""),
    replace(HERE, kind="take"), replace(HERE, record="another"),
    Place("house", "holdperson", "recording", "record"),
]  # fmt: skip


@pytest.mark.parametrize("place", ELSEWHERE, ids=str)
def test_it_opens_nowhere_else(vault: Vault, place: Place) -> None:
    sealed = vault.seal(HERE, b"a voice")
    with pytest.raises(Unreadable):
        vault.open(place, sealed.key_id, sealed.sealed)


@pytest.mark.parametrize("cut", [0, 5, 11, 12, 20, 34])
def test_a_cut_record_is_unreadable(vault: Vault, cut: int) -> None:
    sealed = vault.seal(HERE, b"a voice")
    with pytest.raises(Unreadable):
        vault.open(HERE, sealed.key_id, sealed.sealed[:cut])


@pytest.mark.parametrize("at", [0, 12, 20, -1])
def test_a_changed_record_is_unreadable(vault: Vault, at: int) -> None:
    sealed = vault.seal(HERE, b"a voice")
    changed = bytearray(sealed.sealed)
    changed[at] ^= 1
    with pytest.raises(Unreadable):
        vault.open(HERE, sealed.key_id, bytes(changed))


@pytest.mark.parametrize("key_id", ["", "nonsense", "0" * 40, "f" * 40])
def test_a_key_that_is_none_makes_it_unreadable(vault: Vault, key_id: str) -> None:
    sealed = vault.seal(HERE, b"a voice")
    with pytest.raises(Unreadable):
        vault.open(HERE, key_id, sealed.sealed)


def test_one_record_can_be_shredded_alone(vault: Vault) -> None:
    first, second = vault.seal_all([(HERE, b"one"), (HERE, b"two")])
    assert first.key_id != second.key_id
    vault.keys.destroy([first.key_id])
    with pytest.raises(Unreadable):
        vault.open(HERE, first.key_id, first.sealed)
    assert vault.open(HERE, second.key_id, second.sealed) == b"two"


def test_the_same_content_never_looks_the_same(vault: Vault) -> None:
    first = vault.seal(HERE, b"a voice")
    again = vault.reseal(HERE, first.key_id, b"a voice")
    assert again.key_id == first.key_id
    assert again.sealed != first.sealed
    assert again.sealed[:12] != first.sealed[:12]


def test_a_commitment_means_nothing_once_its_key_is_gone(vault: Vault) -> None:
    sealed: Sealed = vault.seal(HERE, b"x")
    said = vault.derive(sealed.key_id, b"given by: self")
    assert vault.derive(sealed.key_id, b"given by: self") == said
    assert vault.derive(sealed.key_id, b"given by: guardian") != said
    vault.keys.destroy([sealed.key_id])
    with pytest.raises(Unreadable):
        vault.derive(sealed.key_id, b"given by: self")

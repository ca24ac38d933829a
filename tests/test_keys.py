"""The key store: each key in a slot of its own, overwritten when destroyed, never mistaken for another."""

import os
import stat
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from voiceid.errors import KeysMisplaced, KeysUnavailable
from voiceid.service.wiring import open_store
from voiceid.settings import Settings
from voiceid.store.keys import SLOT_BYTES, FileKeyStore, KeyDestroyed, inside

OURS = "this installation"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def keys(directory: Path) -> Iterator[FileKeyStore]:
    store = FileKeyStore(directory, installation=OURS, create=True)
    yield store
    store.close()


def _slot(directory: Path, key_id: str) -> bytes:
    at = int(key_id[:8], 16) * SLOT_BYTES
    return (directory / "slots.bin").read_bytes()[at : at + SLOT_BYTES]


def test_a_key_is_found_again_by_any_process(keys: FileKeyStore, directory: Path) -> None:
    ((key_id, key),) = keys.create()
    other = FileKeyStore(directory, installation=OURS, create=False)
    assert other.get(key_id) == key
    assert len(key) == 32
    assert key not in (directory / "slots.bin").read_bytes()  # only ever wrapped
    other.close()


def test_a_destroyed_slot_is_zero(keys: FileKeyStore, directory: Path) -> None:
    (gone, _), (left, key) = keys.create(2)
    assert any(_slot(directory, gone))
    assert keys.destroy([gone]) == [gone]
    assert _slot(directory, gone) == bytes(SLOT_BYTES)
    assert keys.get(left) == key
    assert list(keys.alive()) == [left]
    with pytest.raises(KeyDestroyed):
        keys.get(gone)


def test_a_reused_slot_is_never_mistaken(keys: FileKeyStore) -> None:
    """The old id does not open the new key, and destroying it again does not touch it."""
    ((old, _),) = keys.create()
    keys.destroy([old])
    ((new, key),) = keys.create()
    assert new[:8] == old[:8]
    with pytest.raises(KeyDestroyed):
        keys.get(old)
    assert keys.destroy([old]) == [old]
    assert keys.get(new) == key


def test_every_key_is_different(keys: FileKeyStore) -> None:
    made = keys.create(300)  # more than the file grows by at once
    assert len({key for _, key in made}) == len({key_id for key_id, _ in made}) == 300
    assert set(keys.alive()) == {key_id for key_id, _ in made}


def test_another_installations_keys_are_refused(keys: FileKeyStore, directory: Path) -> None:
    with pytest.raises(KeysUnavailable, match="another installation"):
        FileKeyStore(directory, installation="another", create=False)
    with pytest.raises(KeysUnavailable, match="another installation"):
        FileKeyStore(directory, installation="another", create=True)


def test_a_missing_key_store_is_not_made_anew(directory: Path) -> None:
    """For data that has one: with new keys everything would be unreadable, and tombstones forgotten."""
    with pytest.raises(KeysUnavailable):
        FileKeyStore(directory, installation=OURS, create=False)
    assert not directory.exists()


def test_data_and_keys_belong_together(tmp_path: Path) -> None:
    first = Settings(data_dir=tmp_path / "a/data", keys_dir=tmp_path / "a/keys")
    second = Settings(data_dir=tmp_path / "b/data", keys_dir=tmp_path / "b/keys")
    for settings in (first, second):
        open_store(settings).database.close()
    for mixed in (
        replace(first, keys_dir=second.keys_dir),
        replace(first, keys_dir=tmp_path / "none"),
        replace(first, data_dir=tmp_path / "new"),
    ):
        with pytest.raises(KeysUnavailable):
            open_store(mixed)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("where", ["data", "data/keys", "data/../data/keys", "link/keys"])
def test_keys_inside_the_data_are_refused(tmp_path: Path, where: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    settings = Settings(data_dir=tmp_path / "data", keys_dir=tmp_path / where)
    with pytest.raises(KeysMisplaced):
        open_store(settings)
    assert not inside(tmp_path / "keys", tmp_path / "data")


def test_only_the_owner_reads_keys(keys: FileKeyStore, directory: Path) -> None:
    keys.create()
    keys.bury({"purge": "x"})
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}


def test_keys_that_cannot_be_written_are_not_left_behind(
    keys: FileKeyStore, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.create()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", full)
        with pytest.raises(KeysUnavailable):
            keys.create(3)
    assert len(list(keys.alive())) == 1
    assert len(keys.create(3)) == 3


def test_overwriting_that_cannot_be_confirmed_is_no_destruction(
    keys: FileKeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(_: int) -> None:
        raise OSError(5, "Input/output error")

    ((key_id, _),) = keys.create()
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", lost)
        with pytest.raises(KeysUnavailable):
            keys.destroy([key_id])
    assert keys.destroy([key_id]) == [key_id]


@pytest.mark.parametrize("at", [20, 60, 80])
def test_a_torn_slot_opens_nothing_and_stands_in_nobodys_way(keys: FileKeyStore, directory: Path, at: int) -> None:
    """A crash in the middle of a write: that record is lost, not the whole store."""
    (torn, _), (whole, key) = keys.create(2)
    with (directory / "slots.bin").open("r+b") as file:
        file.seek(int(torn[:8], 16) * SLOT_BYTES + at)
        file.write(b"\xff\xff")
    with pytest.raises(KeyDestroyed):
        keys.get(torn)
    assert keys.get(whole) == key
    assert list(keys.alive()) == [whole]
    assert len(keys.create(400)) == 400
    keys.rotate()
    assert keys.get(whole) == key


def test_another_master_key_opens_nothing(keys: FileKeyStore, directory: Path) -> None:
    ((key_id, _),) = keys.create()
    (directory / "master.key").write_bytes(bytes(32))
    other = FileKeyStore(directory, installation=OURS, create=False)
    with pytest.raises(KeysUnavailable):
        other.get(key_id)
    with pytest.raises(KeysUnavailable):
        other.signing_key()
    other.close()


def test_processes_that_share_a_store_never_share_a_slot(directory: Path) -> None:
    stores = [FileKeyStore(directory, installation=OURS, create=True) for _ in range(4)]
    made: list[str] = []

    def work(store: FileKeyStore) -> None:
        for turn in range(20):
            ids = [key_id for key_id, _ in store.create(2)]
            made.append(ids[0])
            store.destroy(ids[1:] if turn % 2 else [])
            made.extend([] if turn % 2 else ids[1:])

    threads = [threading.Thread(target=work, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({key_id[:8] for key_id in made}) == len(made)
    assert set(stores[0].alive()) == set(made)
    for store in stores:
        store.close()


@pytest.mark.parametrize("torn", ['{"purge": "b', "", "x" * 5000])
def test_a_torn_tombstone_swallows_no_other(keys: FileKeyStore, directory: Path, torn: str) -> None:
    stones: list[dict[str, Any]] = [{"purge": "a"}, {"purge": "c"}]
    keys.bury(stones[0])
    with (directory / "tombstones.jsonl").open("a") as file:
        file.write(torn)
    keys.bury(stones[1])
    assert keys.tombstones() == stones

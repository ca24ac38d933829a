"""A new encoder: everybody is carried over from the recordings they agreed to keep, or must enroll again."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from home import BARS, FixedEncoder, Home, everything_is_speech
from sqlalchemy import select, update

from enrollment.reembed import CarriedOver, reembed
from voiceid.store import chain, tables
from voiceid.types import ModelId, Pcm, Speech, Unusable

NEXT = ModelId("fixed@2")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Ada and Ben are enrolled with the encoder of yesterday; the household is about to use another one."""
    with Home(tmp_path_factory.mktemp("home")) as home:
        yield home.enrolls("ada", "ben")


@pytest.fixture
def home(prepared: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setattr("home.BARS", replace(BARS, model_id=NEXT))
    with prepared.twin(tmp_path) as home:
        home.encoder = FixedEncoder(NEXT)
        yield home.restarts()


def _carry(home: Home, check: Any = everything_is_speech) -> CarriedOver:
    purge = home.services.forgetting._purge  # type: ignore[attr-defined]  # the part that the command line is handed
    rule = home.settings.consent_rule
    return reembed(home.services.store, purge, home.encoder, check, rule)


def test_unlike_encoders_never_meet(home: Home) -> None:
    """Not even before anybody was carried over: old voiceprints name nobody."""
    assert [home.names(name) for name in ("ada", "ben")] == [None, None]


def test_everybody_is_carried_over(home: Home) -> None:
    old = {row.voiceprint_id: row.key_id for row in home.rows(tables.voiceprint)}
    done = _carry(home)
    assert (done.encoder, done.already, done.must_enroll_again) == (NEXT, 0, [])
    assert set(done.carried) == {home["ada"].id, home["ben"].id}
    assert [home.names(name) for name in ("ada", "ben", "eve")] == ["ada", "ben", None]
    new = home.rows(tables.voiceprint)
    assert len(new) == 2
    assert not {row.voiceprint_id for row in new} & set(old)
    assert not set(old.values()) & home.keys()


def test_a_second_time_there_is_nothing_to_do(home: Home) -> None:
    _carry(home)
    before = home.bytes_on_disk()
    assert _carry(home) == CarriedOver(NEXT, 2, [], [])
    assert home.bytes_on_disk() == before


def test_it_makes_nobody_younger(home: Home) -> None:
    """The time since the enrollment and the time since the last use go on."""
    old = {row.person_id: (row.created_at, row.last_used_on) for row in home.rows(tables.voiceprint)}
    home.clock.forward(days=100)
    _carry(home)
    assert {row.person_id: (row.created_at, row.last_used_on) for row in home.rows(tables.voiceprint)} == old


def test_it_stands_in_the_ledger_and_in_the_activity(home: Home) -> None:
    _carry(home)
    told = home.ok("GET", f"{home['ada'].path}/activity", home["ada"].headers)["items"]
    assert "voiceprint re-embedded" in {one["action"] for one in told}
    assert "re-embedded" in {row.event for row in home.rows(tables.ledger)}
    with home.services.store.database.reader() as tx:
        chain.verify(tx, tables.ledger, home.id)


def test_without_enough_recordings_one_enrolls_again(home: Home) -> None:
    """The old voiceprint stays, for an encoder that may come back, and names nobody."""
    listed = home.ok("GET", f"{home['ada'].path}/recordings", home["ada"].headers)["items"]
    home.ok("DELETE", f"{home['ada'].path}/recordings/{listed[0]['id']}", home["ada"].headers)
    done = _carry(home)
    assert (done.carried, done.must_enroll_again) == ([home["ben"].id], [home["ada"].id])
    assert (home.names("ada"), home.names("ben")) == (None, "ben")
    assert home.count(tables.voiceprint, "ada") == 1
    assert home.ok("GET", f"{home['ada'].path}", home["ada"].headers)["voiceprint"]["encoder"] == "fixed@1"


def test_a_damaged_recording_is_left_out(home: Home) -> None:
    with home.services.store.database.writer() as tx:
        mine = tables.recording.c.person_id == home["ada"].id
        tx.execute(update(tables.recording).where(mine).values(sealed=b"damaged"))
    assert _carry(home).must_enroll_again == [home["ada"].id]


class Meanwhile:
    """`SpeechCheck`: something happens while the recordings are listened to again."""

    def __init__(self, home: Home, method: str, path: str) -> None:
        self._home, self._method, self._path = home, method, path
        self.done = False

    def __call__(self, pcm: Pcm, /) -> Speech | Unusable:
        if not self.done:
            self.done = True
            path = f"{self._home['ada'].path}/{self._path}"
            assert self._home.call(self._method, path, self._home["ada"].headers).status_code == 200
        return everything_is_speech(pcm)


@pytest.mark.parametrize("what", ["consents", "consents/voice_id", "voiceprint", "recordings/{recording}"])
def test_whatever_is_taken_back_meanwhile_stays_away(home: Home, what: str) -> None:
    """A withdrawal, the voiceprint, one recording that it would be made from: none may come back by this."""
    listed = home.ok("GET", f"{home['ada'].path}/recordings", home["ada"].headers)["items"]
    meanwhile = Meanwhile(home, "DELETE", what.format(recording=listed[-1]["id"]))
    done = _carry(home, meanwhile)
    assert meanwhile.done
    assert home["ada"].id not in done.carried
    assert home.names("ada") is None
    table = tables.voiceprint
    with home.services.store.database.reader() as tx:
        made = select(table.c.encoder).where(table.c.person_id == home["ada"].id, table.c.encoder == NEXT)
        assert tx.execute(made).all() == []


def test_whose_consent_has_expired_is_not_carried_over(home: Home) -> None:
    """The clock that would erase the voiceprint has not come by yet."""
    home.grants("ada", "voice_id", expires_at=(home.clock() + timedelta(hours=1)).isoformat())
    home.clock.forward(hours=2)
    assert home["ada"].id not in _carry(home).carried
    assert home.names("ada") is None


def test_unbundled_nobody_has_recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Home(tmp_path, consent_rule="unbundled") as home:
        home.joins("ada").grants("ada", "voice_id").enrolls_here("ada")
        home.encoder = FixedEncoder(NEXT)
        monkeypatch.setattr("home.BARS", replace(BARS, model_id=NEXT))
        assert _carry(home.restarts()).must_enroll_again == [home["ada"].id]
        home.enrolls_here("ada")
        assert home.names("ada") == "ada"

"""Time erases: what has run out goes, whoever was asleep meanwhile, and each receipt says how late it is."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from home import GATE, START, Home, as_served, clip, voice
from sqlalchemy import update

from voiceid import policy
from voiceid.errors import InvalidSettings, KeysUnavailable
from voiceid.service import wiring
from voiceid.service.application import create_app
from voiceid.settings import Settings
from voiceid.store import tables


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Ada keeps recordings for a week and text for a month; Ben until he deletes them; Mia is Ada's child."""
    with Home(tmp_path_factory.mktemp("home")) as home:
        home.joins("ada").joins("ben")
        home.grants("ada", "voice_id").grants("ada", "save_recordings", retention="days:7")
        home.grants("ada", "transcripts", retention="days:30")
        home.grants("ben", "voice_id", "transcripts").grants("ben", "save_recordings", retention="until_deleted")
        home.enrolls_here("ada").enrolls_here("ben")
        home.joins("mia", kind="child", guardians=("ada",)).grants("mia", *GATE, by="ada")
        home.completes("mia", home.reads("mia", by="ada"), by="ada")
        yield home


@pytest.fixture
def home(prepared: Home, tmp_path: Path) -> Iterator[Home]:
    with prepared.twin(tmp_path) as home:
        yield home


def _asks(home: Home, name: str) -> None:
    form = {"audio": ("a.wav", clip(voice(name)), "audio/wav")}
    assert home.ok("POST", "recognize", home.owner, files=form, data={"transcript": "hello"})["stored"]


def _kept(home: Home, name: str) -> dict[str, int]:
    kept = (tables.recording, tables.transcript, tables.interaction, tables.voiceprint)
    return {table.name: home.count(table, name) for table in kept}


def test_before_its_time_nothing_goes(home: Home) -> None:
    _asks(home, "ada")
    home.clock.forward(days=6, hours=23)
    before = home.bytes_on_disk()
    assert home.services.retention.run() == []
    assert home.bytes_on_disk() == before


def test_each_thing_goes_at_its_own_time(home: Home) -> None:
    _asks(home, "ada")
    _asks(home, "ben")
    keys = {row.key_id for row in home.rows(tables.recording) if row.person_id == home["ada"].id}
    home.clock.forward(days=7, minutes=1)
    (receipt,) = home.services.retention.run()
    assert (receipt.why, receipt.state) == ("recordings ran out", "complete")
    assert _kept(home, "ada") == {"recording": 0, "transcript": 1, "interaction": 1, "voiceprint": 1}
    assert not keys & home.keys()
    home.clock.forward(days=23)
    assert {one.why for one in home.services.retention.run()} == {"transcripts ran out", "interactions ran out"}
    assert _kept(home, "ada") == {"recording": 0, "transcript": 0, "interaction": 0, "voiceprint": 1}
    assert _kept(home, "ben") == {"recording": 5, "transcript": 1, "interaction": 1, "voiceprint": 1}
    assert home.services.retention.run() == []


def test_an_interaction_no_longer_points_to_a_recording_that_is_gone(home: Home) -> None:
    _asks(home, "ada")
    home.clock.forward(days=8)
    home.services.retention.run()
    (left,) = home.ok("GET", f"{home['ada'].path}/interactions", home["ada"].headers)["items"]
    assert (left["recording"], left["transcript"]) == (None, "hello")


def test_being_down_for_a_month_changes_the_lateness_alone(home: Home) -> None:
    home.clock.forward(days=37)
    receipts = home.restarts().services.retention.run()
    (late,) = [one for one in receipts if one.why == "recordings ran out" and one.person == home["ada"].id]
    assert late.due_at is not None
    assert late.completed_at is not None
    assert timedelta(days=29) < late.completed_at - late.due_at < timedelta(days=31)
    shown = home.ok("GET", f"/v1/receipts/{late.id}")
    signed = home.ok("POST", "/v1/receipts/verify", json={"jws": shown["jws"]})["receipt"]
    assert signed["due_at"][:19] == shown["due_at"][:19]


@pytest.mark.parametrize(("days", "gone"), [(364, []), (366, ["ben", "ada"])])
def test_an_unused_voiceprint_goes(home: Home, days: int, gone: list[str]) -> None:
    home.clock.forward(days=days)
    home.services.retention.run()
    assert home.count(tables.voiceprint, "ben") == ("ben" not in gone)
    assert (home.names("ben") is None) == ("ben" in gone)


def test_use_sets_the_idle_clock_back_but_not_the_oldest_age(home: Home) -> None:
    for _ in range(5):
        home.clock.forward(days=200)
        _asks(home, "ben")
        home.services.retention.run()
        assert home.count(tables.voiceprint, "ben") == 1
    home.clock.forward(days=96)  # 1,096 days after enrollment
    home.services.retention.run()
    assert home.count(tables.voiceprint, "ben") == 0


def test_a_childs_unused_voiceprint_goes_after_ninety_days(home: Home) -> None:
    home.clock.forward(days=91)
    home.services.retention.run()
    assert (home.count(tables.voiceprint, "mia"), home.count(tables.voiceprint, "ben")) == (0, 1)


def test_the_bounds_can_be_lowered(tmp_path: Path) -> None:
    with Home(tmp_path, idle_voiceprint_days=10, voiceprint_days=20) as home:
        home.enrolls("ada")
        home.clock.forward(days=11)
        home.services.retention.run()
        assert home.count(tables.voiceprint) == 0


def test_an_operator_shortens_what_people_chose_and_never_prolongs_it(tmp_path: Path) -> None:
    with Home(tmp_path, recording_days=10) as home:
        home.joins("ada").grants("ada", GATE[0], retention="until_deleted").grants("ada", GATE[1])
        home.grants("ada", "transcripts", retention="until_deleted").enrolls_here("ada")
        said = home.ok("GET", f"{home['ada'].path}/consents", home["ada"].headers)["purposes"][0]["history"][-1]
        assert (said["purpose"], said["retention"]) == (str(GATE[0]), "days:10")
        home.grants("ada", GATE[0], retention="days:3").enrolls_here("ada")
        (row, *_) = home.ok("GET", "/v1/policy")["retention"]
        assert (row["default"], row["at_most"]) == ("days:10", "days:10")
        home.clock.forward(days=4)
        home.services.retention.run()
        assert home.count(tables.recording) == 0


def test_a_bound_that_is_lowered_holds_for_what_is_kept_already(home: Home) -> None:
    _asks(home, "ben")  # he keeps his until he deletes them
    home.settings = replace(home.settings, recording_days=20, transcript_days=30)
    home.restarts().clock.forward(days=21)
    (receipt,) = [one for one in home.services.retention.run() if one.person == home["ben"].id]
    assert receipt.why == "recordings ran out"
    assert receipt.due_at is not None
    assert receipt.due_at.date() == (START + timedelta(days=20)).date()
    home.clock.forward(days=10)
    home.services.retention.run()
    assert _kept(home, "ben") == {"recording": 0, "transcript": 0, "interaction": 0, "voiceprint": 1}


@pytest.mark.parametrize("setting", [{"idle_voiceprint_days": 366}, {"voiceprint_days": 1096},
                                     {"idle_voiceprint_days": 0}, {"voiceprint_days": 0}], ids=str)  # fmt: skip
def test_the_bounds_cannot_be_raised_or_switched_off(setting: dict[str, int]) -> None:
    with pytest.raises(InvalidSettings, match=next(iter(setting)).upper()):
        Settings(**setting)


@pytest.mark.parametrize(("choice", "days"), [("18_months", 548), ("3_months", 92), ("days:1", 1), ("none", 0)])
def test_a_choice_is_so_many_days(choice: str, days: int) -> None:
    start = START
    assert policy.expiry(choice, start) == start + timedelta(days=days)
    assert policy.expiry(choice, start, child=True) == start + timedelta(days=min(days, 90))
    assert policy.expiry("until_deleted", start) is None


def test_a_damaged_row_keeps_nothing_else_from_its_time(home: Home) -> None:
    with home.services.store.database.writer() as tx:
        tx.execute(update(tables.person).where(tables.person.c.person_id == home["mia"].id).values(sealed=b""))
    home.clock.forward(days=8)
    assert "recordings ran out" in {one.why for one in home.services.retention.run()}
    assert home.count(tables.recording, "ada") == 0


def test_what_is_pending_is_not_begun_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Any) -> list[str]:
        raise KeysUnavailable

    home.clock.forward(days=8)
    with monkeypatch.context() as stuck:
        stuck.setattr(home.services.store.keys, "destroy", refuse)
        assert [one.state for one in home.services.retention.run()] == ["pending"]
        assert home.services.retention.run() == []
    assert home.services.forgetting.resume() == 1
    assert home.count(tables.recording, "ada") == 0


def test_a_yes_given_anew_in_this_moment_does_not_lapse(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock has found the old yes over; before it comes to write that, there is a new one."""
    soon = (home.clock() + timedelta(days=1)).isoformat()
    home.grants("ada", "voice_id", expires_at=soon)
    home.clock.forward(days=2)
    calendar = home.services.retention._calendar
    found = calendar.consents()
    home.grants("ada", "voice_id")
    monkeypatch.setattr(calendar, "consents", lambda: found)
    assert home.services.retention.run() == []
    assert home.names("ada") == "ada"


def test_the_service_keeps_time_by_itself_and_goes_on_after_a_failure(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that stopped at the first unforeseen failure would keep everything for ever, and nobody would know."""
    failures, done, sleep = [ZeroDivisionError, KeyError], [], asyncio.sleep
    slept: list[float] = []
    run = home.services.retention.run

    def fails_at_first() -> Any:
        if failures:
            raise failures.pop()
        done.append(run())
        return done[-1]

    async def soon(seconds: float) -> None:
        slept.append(seconds)
        await sleep(0.01)

    monkeypatch.setattr(home.services.retention, "run", fails_at_first)
    monkeypatch.setattr(wiring.asyncio, "sleep", soon)
    home.clock.forward(days=8)
    with TestClient(as_served(create_app(home.services))) as client:
        for _ in range(500):
            if done:
                break
            client.get("/healthz")
    home._open()
    assert failures == []
    assert home.count(tables.recording, "ada") == 0
    assert 600 in slept

"""The order of a purge survives a crash at any point; while it is unfinished, nobody finds what it will erase."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from home import Home, decision

from voiceid import failpoint
from voiceid.errors import KeysUnavailable
from voiceid.store import tables


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Ada and Ben are enrolled and have said yes to everything; of each a request was kept, with sound and text."""
    with Home(tmp_path_factory.mktemp("home")) as home:
        home.enrolls("ada", "ben")
        for name in ("ada", "ben"):
            home.grants(name, "transcripts", "adapt", "share:lights", "share:music")
            assert home.asks(name)["stored"]
        yield home


@pytest.fixture
def home(prepared: Home, tmp_path: Path) -> Iterator[Home]:
    with prepared.twin(tmp_path) as home:
        yield home


Act = Callable[[Home], tuple[str, str]]


def _delete(path: str) -> Act:
    return lambda home: ("DELETE", path.format(ada=home["ada"].path, **home.kept("ada")))


ACTS: dict[str, Act] = {
    "withdraw": _delete("{ada}/consents"),
    "withdraw the text": _delete("{ada}/consents/transcripts"),
    "delete the voiceprint": _delete("{ada}/voiceprint"),
    "delete a recording": _delete("{ada}/recordings/{recording}"),
    "delete an interaction": _delete("{ada}/interactions/{id}"),
    "delete a time range": _delete("{ada}/interactions?since={at}"),
    "delete the person": _delete("{ada}"),
    "delete the household": lambda home: ("DELETE", home.path),
}
LEFT = {
    "withdraw": (None, False, False),
    "withdraw the text": ("ada", True, False),
    "delete the voiceprint": (None, True, True),
    "delete a recording": ("ada", False, True),
    "delete an interaction": ("ada", False, False),
    "delete a time range": ("ada", False, False),
}
"""Whether Ada is still named, her recording heard, her text read: from the first step on, finished or not."""
POINTS = [name for name in failpoint.NAMES if name.startswith("purge.") and name != "purge.planned"]
"""Those after the first step's commit; before it, nothing has happened."""


class Crash(BaseException):
    """The process ends here."""


@pytest.fixture
def crashes(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Have the process end at a failpoint; yields where it did."""

    def at(point: str) -> list[str]:
        reached: list[str] = []

        def reach(name: str) -> None:
            if name == point:
                reached.append(name)
                raise Crash

        monkeypatch.setattr("enrollment.purge.reach", reach)
        return reached

    return at


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("act", ACTS)
def test_a_crash_at_any_step_reveals_nothing_and_is_made_good(
    home: Home, monkeypatch: pytest.MonkeyPatch, crashes: Callable[[str], list[str]], act: str, point: str
) -> None:
    method, path = ACTS[act](home)
    kept = home.kept("ada")
    reached = crashes(point)
    home.call(method, path, home.owner if "household" in act else home["ada"].headers)
    assert reached == [point]
    _reveals_nothing(home, act, kept)
    monkeypatch.undo()
    home.restarts()
    _reveals_nothing(home, act, kept)
    purge = max(home.rows(tables.purge), key=lambda row: row.requested_at)
    receipt = home.ok("GET", f"/v1/receipts/{home.id}{purge.purge_id}")
    assert receipt["state"] == "complete"
    assert [one for one in receipt["stores"] if one["left"]] == []
    assert not set(receipt["keys_destroyed"]) & home.keys()
    home.ok("POST", "/v1/receipts/verify", json={"jws": receipt["jws"]})


@pytest.mark.parametrize("act", ACTS)
def test_a_crash_before_the_first_commit_changes_nothing(
    home: Home, monkeypatch: pytest.MonkeyPatch, crashes: Callable[[str], list[str]], act: str
) -> None:
    """Whoever asked has had no answer: everything is as before, and can be asked for again."""
    method, path = ACTS[act](home)
    by = home.owner if "household" in act else home["ada"].headers
    kept, keys, purges = home.kept("ada"), home.keys(), home.count(tables.purge)
    reached = crashes("purge.planned")
    home.call(method, path, by)
    assert reached == ["purge.planned"]
    monkeypatch.undo()
    home.restarts()
    assert (home.names("ada"), home.names("ben"), home.kept("ada")) == ("ada", "ben", kept)
    assert keys <= home.keys()
    assert home.count(tables.purge) == purges
    assert home.ok(method, path, by)["state"] == "complete"


def _reveals_nothing(home: Home, act: str, kept: Any) -> None:
    """What was to be erased answers no more, finished or not; nobody is taken for anybody else."""
    ada = home["ada"]
    if act == "delete the household":
        assert home.call("POST", "recognize", home.owner, **home.sound("ada")).status_code in {401, 404}
        return
    assert home.names("ben") == "ben"
    people = {one["id"] for one in home.ok("GET", "people", home.owner)["items"]}
    if act == "delete the person":
        assert ada.id not in people
        assert home.names("ada") is None
        assert home.call("GET", ada.path, home.owner).status_code == 404
        return
    sound = home.call("GET", f"{ada.path}/recordings/{kept['recording']}", ada.headers)
    listed = home.ok("GET", f"{ada.path}/interactions", ada.headers)["items"]
    texts = {one["id"]: one["transcript"] for one in listed}
    assert (home.names("ada"), sound.is_success, bool(texts.get(kept["id"]))) == LEFT[act]


def test_keys_go_after_the_withdrawal_and_before_the_rows(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    keys, seen = home.services.store.keys, []
    destroy = keys.destroy

    def watched(key_ids: Any) -> list[str]:
        consents = home.ok("GET", f"{home['ada'].path}/consents", home["ada"].headers)["purposes"]
        seen.append({
            "granted": [one["purpose"] for one in consents if one["granted"]],
            "rows": home.count(tables.voiceprint, "ada"),
            "tombstones": len(keys.tombstones()),
        })  # fmt: skip
        return destroy(key_ids)

    tombstones = len(keys.tombstones())
    monkeypatch.setattr(keys, "destroy", watched)
    home.withdraws("ada")
    assert seen == [{"granted": [], "rows": 1, "tombstones": tombstones + 1}]
    assert home.count(tables.voiceprint, "ada") == 0


# A key store that cannot be written.


@pytest.fixture
def stuck(home: Home, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The key store cannot be overwritten for now."""

    def refuse(_: Any) -> list[str]:
        raise KeysUnavailable("read-only")

    monkeypatch.setattr(home.services.store.keys, "destroy", refuse)
    return monkeypatch


@pytest.mark.parametrize("act", ACTS)
def test_until_the_keys_are_destroyed_it_says_pending(home: Home, stuck: pytest.MonkeyPatch, act: str) -> None:
    method, path = ACTS[act](home)
    kept = home.kept("ada")
    answered = home.call(method, path, home.owner if "household" in act else home["ada"].headers)
    assert (answered.status_code, answered.json()["state"], answered.json()["jws"]) == (202, "pending", None)
    _reveals_nothing(home, act, kept)
    assert home.call("GET", f"/v1/receipts/{answered.json()['id']}").status_code == 202
    stuck.undo()
    assert home.services.forgetting.resume() == 1
    assert home.ok("GET", f"/v1/receipts/{answered.json()['id']}")["state"] == "complete"


def test_whoever_is_being_erased_can_write_nothing_more(home: Home, stuck: pytest.MonkeyPatch) -> None:
    """Else the purge could never finish: something new would refer to what is to go. Their session ends at once."""
    ada, code = home["ada"], home.ok("POST", f"{home['ada'].path}/invitations", home["ada"].headers)["code"]
    home.ok("DELETE", ada.path, ada.headers)
    home.clock.forward(minutes=1)
    tries = [
        home.call("PUT", f"{ada.path}/consents/voice_id", ada.headers, json=decision()),
        home.call("POST", f"{ada.path}/enrollments", ada.headers),
        home.call("POST", f"{ada.path}/invitations", home.owner),
        home.call("PATCH", ada.path, home.owner, json={"display_name": "Eve"}),
        home.call("POST", "/v1/session", json={"code": code}),
        home.call("POST", "people", home.owner, json=_child_of(ada.id)),
    ]
    assert [answered.status_code for answered in tries] == [401, 401, 404, 404, 401, 409]
    stuck.undo()
    assert home.services.forgetting.resume() == 1
    assert home.count(tables.person, "ada") == 0


def _child_of(guardian: str) -> dict[str, Any]:
    return {"display_name": "Mia", "kind": "child", "guardians": [guardian]}


def test_a_household_being_erased_takes_nothing_in(home: Home, stuck: pytest.MonkeyPatch) -> None:
    home.ok("DELETE", "", home.owner)
    assert home.call("POST", "people", home.owner, json={"display_name": "Eve"}).status_code == 401
    assert home.call("PATCH", "", home.admin, json={"name": "Eve"}).status_code == 404
    stuck.undo()
    assert home.services.forgetting.resume() == 1


def test_an_abandoned_enrollment_stays_shut_while_it_is_erased(home: Home, stuck: pytest.MonkeyPatch) -> None:
    enrollment = home.reads("ada")
    path = f"{home['ada'].path}/enrollments/{enrollment}"
    home.ok("DELETE", path, home["ada"].headers)
    for ending, more in (("takes", home.sound("ada")), ("complete", {})):
        assert home.call("POST", f"{path}/{ending}", home["ada"].headers, **more).status_code == 409
    stuck.undo()
    home.services.forgetting.resume()
    assert home.count(tables.take, "ada") == home.count(tables.enrollment, "ada") == 0


def test_a_late_purge_spares_what_was_agreed_to_since(home: Home, stuck: pytest.MonkeyPatch) -> None:
    home.withdraws("ada")
    stuck.undo()
    home.clock.forward(hours=1)
    home.enrolls("ada")
    assert home.names("ada") == "ada"
    assert home.services.forgetting.resume() >= 1
    assert home.names("ada") == "ada"
    assert home.count(tables.voiceprint, "ada") == 1



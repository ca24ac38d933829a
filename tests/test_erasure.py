"""Erasing: in an order that survives a crash anywhere, everywhere, counted again; nothing in flight lands after it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from home import GATE, Home, decision, voice
from sqlalchemy import update

from enrollment.purge import OF_HOUSEHOLD, OF_PERSON, SHELVES
from voiceid import failpoint
from voiceid.errors import KeysUnavailable
from voiceid.ports import Request
from voiceid.store import tables
from voiceid.types import Decision, HouseholdId
from voiceid.views import ResponseText


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Ada and Ben are enrolled and have said yes to everything; of each a request was kept, with sound and text."""
    with Home(tmp_path_factory.mktemp("home")) as home:
        home.enrolls("ada", "ben")
        for name in ("ada", "ben"):
            home.grants(name, "transcripts", "adapt", "share:lights", "share:music")
            assert _speaks(home, name)["stored"]
        yield home


@pytest.fixture
def home(prepared: Home, tmp_path: Path) -> Iterator[Home]:
    with prepared.twin(tmp_path) as home:
        yield home


def _speaks(home: Home, name: str) -> Any:
    form = {"files": {"audio": ("a.wav", home.sound(name)["content"], "audio/wav")}}
    said = {"transcript": "will it rain today", "intent": "weather"}
    home.clock.forward(minutes=1)
    return home.ok("POST", "recognize", home.owner, data=said, **form)


def _kept(home: Home, name: str) -> Any:
    return home.ok("GET", f"{home[name].path}/interactions", home[name].headers)["items"][0]


# Where personal data lies is known, and all of it is reached.


def test_every_table_with_something_of_a_person_is_registered() -> None:
    """The ledger, the activity and the purges outlive the person; what they hold is pseudonymous."""
    outlive = {"ledger", "activity", "purge"}
    registered = {shelf.table.name for shelf in SHELVES.values()}
    personal = {
        name
        for name, table in tables.metadata.tables.items()
        if name not in outlive and ("person_id" in table.c or "sealed" in table.c or name in {"household", "person"})
    }
    assert personal - registered == set()
    assert {table.name for table in tables.PERSONAL} <= registered
    assert {name for name, shelf in SHELVES.items() if "person_id" in shelf.table.c} == OF_PERSON
    assert set(SHELVES) == OF_HOUSEHOLD


@pytest.mark.parametrize("name", tables.metadata.tables)
def test_every_column_says_what_it_holds(name: str) -> None:
    table = tables.metadata.tables[name]
    assert [column.name for column in table.c if not column.info.get("category")] == []
    if name not in {"installation", "admin_token"}:
        assert next(iter(table.primary_key)).name == "household_id"
    for column in table.c:
        assert (column.info["category"] == "personal, encrypted under its own key") == (column.name == "sealed")


def test_the_outliving_tables_hold_no_content() -> None:
    allowed = {"pseudonymous id", "time", "operational", "digest"}
    for table in (tables.ledger, tables.activity, tables.purge):
        assert {column.info["category"] for column in table.c} <= allowed


REACHED = {
    ("voice_id",): {"voiceprint"},
    ("save_recordings",): {"voiceprint", "recording"},
    ("transcripts",): {"transcript"},
    ("adapt",): set(),
    ("save_recordings", "transcripts"): {"voiceprint", "recording", "transcript", "interaction"},
    ("share:lights",): set(),
}
"""What withdrawing leaves empty, when everything else stays granted."""


@pytest.mark.parametrize("purposes", REACHED, ids="+".join)
def test_withdrawing_erases_what_only_it_allowed(home: Home, purposes: tuple[str, ...]) -> None:
    stores = (tables.voiceprint, tables.recording, tables.transcript, tables.interaction)
    home.withdraws("ada", *purposes)
    empty = {table.name for table in stores if home.count(table, "ada") == 0}
    assert empty == REACHED[purposes]
    assert all(home.count(table, "ben") for table in stores)
    assert home.names("ben") == "ben"


def test_a_receipt_counts_what_was_found_and_what_is_left(home: Home) -> None:
    home.names("ada")
    receipt = home.withdraws("ada")
    found = {one["store"]: one["found"] for one in receipt["stores"]}
    assert receipt["state"] == "complete"
    assert found | {"recordings": 5, "voiceprints": 1, "interactions": 1, "transcripts": 1} == found
    assert found["index"] == 1
    assert [one for one in receipt["stores"] if one["left"]] == []
    assert receipt["keys_destroyed"]
    assert not set(receipt["keys_destroyed"]) & home.keys()


# The order, and crashes.

Act = Callable[[Home], tuple[str, str]]


def _delete(path: str) -> Act:
    return lambda home: ("DELETE", path.format(ada=home["ada"].path, **_kept(home, "ada")))


ACTS: dict[str, Act] = {
    "withdraw": _delete("{ada}/consents"),
    "delete the voiceprint": _delete("{ada}/voiceprint"),
    "delete a recording": _delete("{ada}/recordings/{recording}"),
    "delete an interaction": _delete("{ada}/interactions/{id}"),
    "delete the person": _delete("{ada}"),
    "delete the household": lambda home: ("DELETE", home.path),
}
POINTS = [name for name in failpoint.NAMES if name.startswith("purge.")]


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
    kept = _kept(home, "ada")
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


def _reveals_nothing(home: Home, act: str, kept: Any) -> None:
    """What was to be erased answers no more, finished or not; nobody is taken for anybody else."""
    ada = home["ada"]
    if act == "delete the household":
        assert home.call("POST", "recognize", home.owner, **home.sound("ada")).status_code in {401, 404}
        return
    named = {home.names("ada"), home.names("ben")}
    assert named == ({"ada", "ben"} if act in {"delete a recording", "delete an interaction"} else {None, "ben"})
    people = {one["id"] for one in home.ok("GET", "people", home.owner)["items"]}
    if act == "delete the person":
        assert ada.id not in people
        assert home.call("GET", ada.path, home.owner).status_code == 404
        return
    sounds = home.call("GET", f"{ada.path}/recordings/{kept['recording']}", ada.headers)
    assert (sounds.status_code == 200) == (act == "delete the voiceprint")
    listed = home.ok("GET", f"{ada.path}/interactions", ada.headers)["items"]
    texts = {one["id"]: one["transcript"] for one in listed}
    assert bool(texts.get(kept["id"])) == (act in {"delete the voiceprint", "delete a recording"})


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
    kept = _kept(home, "ada")
    answered = home.call(method, path, home.owner if "household" in act else home["ada"].headers)
    assert (answered.status_code, answered.json()["state"], answered.json()["jws"]) == (202, "pending", None)
    _reveals_nothing(home, act, kept)
    assert home.call("GET", f"/v1/receipts/{answered.json()['id']}").status_code == 202
    stuck.undo()
    assert home.services.forgetting.resume() == 1
    assert home.ok("GET", f"/v1/receipts/{answered.json()['id']}")["state"] == "complete"


def test_whoever_is_being_erased_can_write_nothing_more(home: Home, stuck: pytest.MonkeyPatch) -> None:
    """Else the purge could never finish: something new would refer to what is to go."""
    ada, code = home["ada"], home.ok("POST", f"{home['ada'].path}/invitations", home["ada"].headers)["code"]
    home.ok("DELETE", ada.path, ada.headers)
    home.clock.forward(minutes=1)
    tries = [
        home.call("PUT", f"{ada.path}/consents/voice_id", ada.headers, json=decision()),
        home.call("POST", f"{ada.path}/enrollments", ada.headers),
        home.call("POST", f"{ada.path}/invitations", home.owner),
        home.call("PATCH", ada.path, ada.headers, json={"display_name": "Eve"}),
        home.call("POST", "/v1/session", json={"code": code}),
        home.call("POST", "people", home.owner, json=_child_of(ada.id)),
    ]
    assert [answered.status_code for answered in tries] == [404, 404, 404, 404, 401, 409]
    stuck.undo()
    assert home.services.forgetting.resume() == 1
    assert home.count(tables.person, "ada") == 0


def _child_of(guardian: str) -> dict[str, Any]:
    return {"display_name": "Mia", "kind": "child", "guardians": [guardian]}


def test_a_household_being_erased_takes_nothing_in(home: Home, stuck: pytest.MonkeyPatch) -> None:
    home.ok("DELETE", "", home.owner)
    for method, path, body in (("POST", "people", {"display_name": "Eve"}), ("PATCH", "", {"name": "Eve"})):
        assert home.call(method, path, home.owner, json=body).status_code == 404
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


def test_a_clock_set_back_hides_nothing_from_a_purge(home: Home) -> None:
    _speaks(home, "ada")
    home.clock.forward(days=-365)
    receipt = home.withdraws("ada")
    assert receipt["state"] == "complete"
    for table in (tables.voiceprint, tables.recording, tables.interaction, tables.transcript):
        assert home.count(table, "ada") == 0


def test_a_recount_that_finds_something_signs_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr("enrollment.purge.delete", lambda table: update(table).values(household_id=home.id))
        answered = home.call("DELETE", f"{home['ada'].path}/voiceprint", home["ada"].headers)
        assert (answered.status_code, answered.json()["jws"]) == (202, None)
    assert home.services.forgetting.resume() == 1
    assert home.count(tables.voiceprint, "ada") == 0


# What is in flight when somebody withdraws.


@dataclass
class Meanwhile:
    """Withdraws once, just when the port is used."""

    home: Home
    done: bool = False

    def strike(self) -> None:
        if not self.done:
            self.done = True
            self.home.withdraws("ada")


def test_a_take_in_flight_leaves_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    started = home.ok("POST", f"{home['ada'].path}/enrollments", home["ada"].headers)["id"]
    meanwhile, embed = Meanwhile(home), home.encoder.embed
    monkeypatch.setattr(home.encoder, "embed", lambda speech: (embed(speech), meanwhile.strike())[0])
    path = f"{home['ada'].path}/enrollments/{started}/takes"
    answered = home.call("POST", path, home["ada"].headers, **home.sound("ada"))
    assert (meanwhile.done, answered.status_code) == (True, 409)
    _nothing_of_ada(home)


def test_a_completion_in_flight_leaves_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    enrollment = home.reads("ada")
    meanwhile, of = Meanwhile(home), home.services.voiceprints.of
    monkeypatch.setattr(home.services.voiceprints, "of", lambda *which: (of(*which), meanwhile.strike())[0])
    path = f"{home['ada'].path}/enrollments/{enrollment}/complete"
    answered = home.call("POST", path, home["ada"].headers)
    assert (meanwhile.done, answered.status_code) == (True, 409)
    _nothing_of_ada(home)


class LateKeeper:
    """`Keeper`: somebody withdraws after they were named and before anything is kept."""

    def __init__(self, home: Home) -> None:
        self._real = home.services.recognizer.keeper
        self._meanwhile = Meanwhile(home)

    def keep(self, household: HouseholdId, request: Request, decision: Decision, said: ResponseText) -> bool:
        self._meanwhile.strike()
        return self._real.keep(household, request, decision, said)


def test_a_request_in_flight_keeps_nothing(home: Home) -> None:
    services = home.services
    late = replace(services.recognizer, keeper=LateKeeper(home))
    object.__setattr__(services, "recognizer", late)
    assert home.hears("ada")["stored"] is False
    _nothing_of_ada(home)


def _nothing_of_ada(home: Home) -> None:
    for table in (tables.take, tables.enrollment, tables.voiceprint, tables.recording, tables.interaction,
                  tables.transcript, tables.pseudonym):  # fmt: skip
        assert home.count(table, "ada") == 0, table.name
    assert home.names("ada") is None


# The whole household, and backups.


def test_deleting_a_household_leaves_random_ids_alone(home: Home) -> None:
    away = home.ok("POST", "/v1/households", home.admin, json={"name": "Next door"})["id"]
    home.ok("DELETE", "", home.owner)
    for name, table in tables.metadata.tables.items():
        if name in {"ledger", "activity", "purge", "installation", "admin_token"}:
            continue
        assert [row for row in home.rows(table) if row.household_id != away] == [], name
    assert home.call("GET", "", home.owner).status_code == 401
    assert home.ok("GET", f"/v1/households/{away}", home.admin)["name"] == "Next door"


def test_a_restored_backup_brings_nobody_back(home: Home) -> None:
    """The data of yesterday, the keys of today: the tombstones lie with the keys and are replayed at the start."""
    home.services.store.database.close()
    yesterday = {path.name: path.read_bytes() for path in (home.root / "data").iterdir() if path.is_file()}
    receipt = home.withdraws("ada")
    home.close()
    for name, content in yesterday.items():
        (home.root / "data" / name).write_bytes(content)
    (home.root / "data/voiceid.db-shm").unlink(missing_ok=True)
    home._open()
    assert (home.names("ada"), home.names("ben")) == (None, "ben")
    _nothing_of_ada(home)
    assert home.ok("GET", f"/v1/receipts/{receipt['id']}")["state"] == "complete"
    assert voice("ada").any()
    assert set(GATE) & {row.purpose for row in home.rows(tables.ledger) if row.event == "withdrawn"}

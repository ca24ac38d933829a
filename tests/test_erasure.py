"""Erasing reaches every store, counts again, and nothing that was in flight lands after it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from home import GATE, Home
from sqlalchemy import update

from enrollment.purge import OF_HOUSEHOLD, OF_PERSON, SHELVES
from voiceid.decode import to_flac
from voiceid.errors import KeysUnavailable
from voiceid.store import tables
from voiceid.types import Pcm


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


def test_a_clock_set_back_hides_nothing_from_a_purge(home: Home) -> None:
    home.asks("ada")
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


def test_a_request_in_flight_keeps_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody withdraws after they were named, and after it was found that something may be kept."""
    meanwhile = Meanwhile(home)
    monkeypatch.setattr("enrollment.keep.to_flac", lambda pcm: (to_flac(pcm), meanwhile.strike())[0])
    assert home.hears("ada")["stored"] is False
    assert meanwhile.done
    _nothing_of_ada(home)


@pytest.mark.parametrize("anew", [False, True], ids=["no more", "agreed anew"])
def test_a_request_in_flight_keeps_nothing_once_the_gate_is_shut(
    home: Home, monkeypatch: pytest.MonkeyPatch, anew: bool  # noqa: FBT001 a case
) -> None:
    """Recordings and text are still agreed to; being named is not, and so nothing can be kept under that name.

    Nor under a new yes, which does not cover what was said before it.
    """
    before = home.count(tables.recording, "ada")
    withdrawn: list[object] = []

    def late(pcm: Pcm) -> bytes:
        withdrawn.append(home.withdraws("ada", "voice_id") if not withdrawn else None)
        if anew:
            home.grants("ada", "voice_id")
        return to_flac(pcm)

    monkeypatch.setattr("enrollment.keep.to_flac", late)
    assert home.hears("ada")["stored"] is False
    assert len(withdrawn) == 1
    assert home.count(tables.recording, "ada") == before


def _nothing_of_ada(home: Home) -> None:
    for table in (tables.take, tables.enrollment, tables.voiceprint, tables.recording, tables.interaction,
                  tables.transcript, tables.pseudonym):  # fmt: skip
        assert home.count(table, "ada") == 0, table.name
    assert home.names("ada") is None


# What is pending: the keys cannot be destroyed yet.


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The key store cannot be written; undone, it can."""

    def refuse(*_: object) -> None:
        raise KeysUnavailable("read-only")

    with monkeypatch.context() as patch:
        patch.setattr("voiceid.store.keys.FileKeyStore.bury", refuse)
        yield patch


def test_who_is_being_erased_opens_nothing_any_more(home: Home, stuck: pytest.MonkeyPatch) -> None:
    """Neither with the session they had, nor as a guardian; and once the keys can be destroyed it comes to its end."""
    home.joins("mia", kind="child", guardians=("ada", "ben")).grants("mia", *GATE, by="ada")
    assert home.call("DELETE", home["ada"].path, home.owner).status_code == 202
    for path in ("people", f"{home['mia'].path}/activity", f"{home['mia'].path}/recordings"):
        assert home.call("GET", path, home["ada"].headers).status_code == 401
    assert home.ok("GET", f"{home['mia'].path}/guardians", home["ben"].headers)["guardians"] == [home["ben"].id]
    stuck.undo()
    assert home.services.forgetting.resume() == 1
    _nothing_of_ada(home)


def test_without_a_guardian_everything_lapses_also_while_both_are_pending(
    home: Home, stuck: pytest.MonkeyPatch
) -> None:
    home.joins("mia", kind="child", guardians=("ada", "ben")).grants("mia", *GATE, by="ada")
    for name in ("ada", "ben"):
        assert home.call("DELETE", home[name].path, home.owner).status_code == 202
    stuck.undo()
    assert home.services.forgetting.resume() == 3
    granted = home.ok("GET", f"{home['mia'].path}/consents", home["mia"].headers)["purposes"]
    assert [one["purpose"] for one in granted if one["granted"]] == []


def test_what_is_pending_holds_up_no_other_erasing(home: Home, stuck: pytest.MonkeyPatch) -> None:
    """A child, then the last guardian, then the household: each is refused nothing, and each comes to its end."""
    home.joins("mia", kind="child", guardians=("ada",))
    for path in (home["mia"].path, home["ada"].path, ""):
        answered = home.call("DELETE", path, home.owner)
        assert (answered.status_code, answered.json().get("state")) == (202, "pending")
    assert home.call("GET", "people", home.owner).status_code == 401
    stuck.undo()
    assert home.services.forgetting.resume() == 3
    assert home.count(tables.person) == home.count(tables.household) == 0


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
    assert set(GATE) <= {row.purpose for row in home.rows(tables.ledger) if row.event == "withdrawn"}

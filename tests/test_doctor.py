"""`voiceid doctor --deep` finds each thing that can be wrong with what is stored, and says how to mend it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from home import Home
from sqlalchemy import delete, text, update

from voiceid import cli
from voiceid.service import doctor, keeping
from voiceid.store import checkup, tables


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Ada is enrolled, was heard, and took one word back; all of it today, by the real clock."""
    with Home(tmp_path_factory.mktemp("home")) as home:
        home.clock.time = datetime.now(UTC) - timedelta(minutes=30)
        home.enrolls("ada").grants("ada", "transcripts", "adapt")
        assert home.asks("ada")["stored"]
        home.withdraws("ada", "adapt")
        yield home


@pytest.fixture
def home(prepared: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setattr(checkup, "_UNDER_WAY_S", 0.0)
    with prepared.twin(tmp_path) as home:
        yield home


def examined(home: Home) -> dict[str, doctor.Check]:
    """What is wrong."""
    checks = doctor._installation(home.settings, deep=True)
    wrong = {check.name: check for check in checks if not check.ok}
    assert all(check.mend for check in wrong.values())
    return wrong


def by_hand(home: Home, *statements: Any) -> None:
    """What somebody can do who holds the database's file."""
    engine = home.services.store.database.engine
    with engine.connect() as connection:
        connection.exec_driver_sql("ROLLBACK")
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        for (name,) in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(text(f"DROP TRIGGER {name}"))
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    engine.dispose()


def test_nothing_is_wrong_with_what_only_time_and_people_touched(home: Home) -> None:
    assert examined(home) == {}


def _lose_a_row(home: Home) -> None:
    by_hand(home, delete(tables.transcript))


def _lose_a_key(home: Home) -> None:
    home.services.store.keys.destroy([home.rows(tables.voiceprint)[0].key_id])


def _lose_a_person(home: Home) -> None:
    by_hand(home, delete(tables.guardian), delete(tables.person))


def _lose_an_interaction(home: Home) -> None:
    by_hand(home, delete(tables.interaction))


def _let_time_pass(home: Home) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=2)
    by_hand(home, update(tables.recording).values(expires_at=long_ago))


def _let_everybody_read(home: Home) -> None:
    (home.root / "keys" / "slots.bin").chmod(0o640)


def _leave_half_a_restore(home: Home) -> None:
    (home.root / "data" / "voiceid.db.restored").touch(0o600)


def _leave_half_a_rotation(home: Home) -> None:
    (home.root / "keys" / "master.key.next").touch(0o600)


def _change_the_ledger(home: Home) -> None:
    by_hand(home, update(tables.ledger).where(tables.ledger.c.seq == 2).values(event="denied"))


def _cut_the_ledger(home: Home) -> None:
    last = max(row.seq for row in home.rows(tables.ledger))
    by_hand(home, delete(tables.ledger).where(tables.ledger.c.seq == last))


def _forge_a_receipt(home: Home) -> None:
    (row, *_) = home.rows(tables.purge)
    head, body, signature = row.receipt.split(".")
    by_hand(home, update(tables.purge).values(receipt=f"{head}.{body[:-4]}AAAA.{signature}"))


def _put_old_keys_back(home: Home) -> None:
    (home.root / "keys" / "tombstones.jsonl").write_text("")


def _put_old_data_back(home: Home) -> None:
    by_hand(home, delete(tables.purge))


def _hang_a_purge(home: Home) -> None:
    by_hand(home, update(tables.purge).values(state="pending"))


FINDINGS: dict[Callable[[Home], None], tuple[str, str, str]] = {
    _lose_a_row: ("keys without data", "1 keys", "key sweep"),
    _lose_a_key: ("data without keys", "1 voiceprint", "key restore"),
    _lose_a_person: ("orphans", "5 recording", "restore a backup"),
    _lose_an_interaction: ("orphans", "1 transcript", "restore a backup"),
    _let_time_pass: ("expired", "5 recordings", "retain --now"),
    _let_everybody_read: ("modes of keys", "slots.bin", "chmod"),
    _leave_half_a_restore: ("files left over", "voiceid.db.restored", "delete"),
    _leave_half_a_rotation: ("files left over", "master.key.next", "key rotate"),
    _change_the_ledger: ("ledger and activity", "row 2", "restore a backup"),
    _cut_the_ledger: ("receipts", "receipts", "whole ledger"),
    _forge_a_receipt: ("receipts", "receipts", "signing key"),
    _put_old_keys_back: ("tombstones", "purges", "start the service"),
    _put_old_data_back: ("tombstones", "purges", "start the service"),
    _hang_a_purge: ("purges", "pending", "start the service"),
}


@pytest.mark.parametrize("damage", FINDINGS, ids=lambda damage: damage.__name__.strip("_").replace("_", " "))
def test_whatever_is_wrong_is_found_and_can_be_mended(home: Home, damage: Callable[[Home], None]) -> None:
    name, detail, mend = FINDINGS[damage]
    damage(home)
    found = examined(home)[name]
    assert detail in found.detail
    assert mend in str(found.mend)


def test_the_command_looks_deeper_only_when_asked_and_ends_in_1(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VOICEID_DATA_DIR", str(home.root / "data"))
    monkeypatch.setenv("VOICEID_KEYS_DIR", str(home.root / "keys"))
    monkeypatch.setattr(doctor, "_models", lambda _settings: iter(()))
    _lose_a_row(home)
    assert cli.main(["doctor", "--json"]) == 0
    assert cli.main(["doctor", "--deep"]) == 1
    assert "voiceid key sweep" in capsys.readouterr().out


def test_looking_changes_nothing(home: Home) -> None:
    _lose_a_row(home)
    before = home.bytes_on_disk()
    examined(home)
    assert home.bytes_on_disk() == before


def test_keys_that_open_nothing_are_swept_and_no_other(home: Home) -> None:
    kept, (stray,) = home.keys(), home.services.store.keys.create()
    home.close()
    assert keeping.sweep(home.settings).destroyed == 1
    home._open()
    assert home.keys() == kept
    assert not {stray[0]} & home.keys()
    assert home.names("ada") == "ada"


def test_what_is_under_way_is_not_wrong(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key whose row is committed a moment later; a row whose key was destroyed and that is deleted a moment later."""
    store = home.services.store
    made = store.keys.create()[0][0]
    voiceprint = home.rows(tables.voiceprint)[0]

    def meanwhile(_seconds: float) -> None:
        store.keys.destroy([made])
        by_hand(home, delete(tables.voiceprint))

    monkeypatch.setattr(checkup.time, "sleep", meanwhile)
    assert checkup.stray_keys(store) == set()
    store.keys.destroy([voiceprint.key_id])
    assert checkup.data_without_keys(store) == {}

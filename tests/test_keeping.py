"""Backups hold no key, restoring revives nobody, a new master key opens what it should, and no copy undoes a purge."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from home import Home

from enrollment.purge import Purge
from voiceid.errors import InvalidRequest, KeysUnavailable, NotFound, StoreUnavailable
from voiceid.service import keeping, wiring
from voiceid.settings import Settings
from voiceid.store import chain, consents, tables
from voiceid.store.backup import in_use

PASSPHRASE = "correct horse battery"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """Ada and Ben are enrolled."""
    with Home(tmp_path / "home") as home:
        home.enrolls("ada", "ben")
        yield home


def reopened(home: Home) -> Home:
    """Open again what was closed for a restore."""
    home._open()
    return home


def test_a_restored_backup_does_not_bring_back_who_withdrew_since(home: Home, tmp_path: Path) -> None:
    """The backup still holds Ada's rows; the tombstones are replayed before anything is answered."""
    keeping.backup(home.settings, tmp_path / "old.db")
    home.withdraws("ada")
    home.close()

    restored = keeping.restore(home.settings, tmp_path / "old.db")
    reopened(home)

    assert restored.replayed == 1
    assert home.names("ada") is None
    assert home.names("ben") == "ben"
    assert home.count(tables.voiceprint, "ada") == home.count(tables.recording, "ada") == 0
    with home.services.store.database.reader() as tx:
        chain.verify(tx, tables.ledger, home.id)
        chain.verify(tx, tables.activity, home.id)


def test_what_was_withdrawn_stays_withdrawn_also_if_the_clock_had_been_set_back(home: Home, tmp_path: Path) -> None:
    """By its date the withdrawal comes before the yes; in a restored backup it must count all the same."""
    home.grants("ada", "transcripts", "human_review")
    keeping.backup(home.settings, tmp_path / "old.db")
    home.clock.forward(days=-365)
    home.withdraws("ada", "transcripts")
    home.withdraws("ada", "human_review")
    home.close()

    assert keeping.restore(home.settings, tmp_path / "old.db").replayed == 2
    reopened(home)

    with home.services.store.database.reader() as tx:
        granted = consents.agreed(tx, home.id, home["ada"].id, home.clock())
    assert sorted(granted) == ["save_recordings", "voice_id"]


def test_without_the_replay_the_rows_would_be_back(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: what the test above would miss if nothing were replayed."""
    keeping.backup(home.settings, tmp_path / "old.db")
    home.withdraws("ada")
    home.close()
    monkeypatch.setattr(Purge, "replay", lambda self: 0)

    keeping.restore(home.settings, tmp_path / "old.db")
    reopened(home)

    assert home.count(tables.voiceprint, "ada") == 1
    assert home.names("ada") is None  # the key is destroyed all the same


def test_a_restored_backup_signs_everybody_out(home: Home, tmp_path: Path) -> None:
    """Some may have signed out, or been signed out, since it was made."""
    ben = home["ben"]
    keeping.backup(home.settings, tmp_path / "old.db")
    home.close()

    keeping.restore(home.settings, tmp_path / "old.db")
    reopened(home)

    assert home.call("GET", f"{ben.path}/recordings", ben.headers).status_code == 401
    assert home.call("GET", "people", home.owner).status_code == 200


def test_a_backup_holds_no_key(home: Home, tmp_path: Path) -> None:
    keeping.backup(home.settings, tmp_path / "old.db")
    content = (tmp_path / "old.db").read_bytes()
    keys = home.services.store.keys

    made = home.keys()
    assert made
    assert not any(keys.get(key) in content for key in made)
    assert (home.settings.keys_dir / "master.key").read_bytes() not in content
    assert (tmp_path / "old.db").stat().st_mode & 0o077 == 0


def test_a_backup_is_never_written_over_a_file(home: Home, tmp_path: Path) -> None:
    (tmp_path / "old.db").write_text("mine")

    with pytest.raises(InvalidRequest):
        keeping.backup(home.settings, tmp_path / "old.db")
    assert (tmp_path / "old.db").read_text() == "mine"


def test_nothing_is_restored_while_the_service_runs(home: Home, tmp_path: Path) -> None:
    keeping.backup(home.settings, tmp_path / "old.db")

    with in_use(home.settings.data_dir, alone=False), pytest.raises(StoreUnavailable, match="stop it first"):
        keeping.restore(home.settings, tmp_path / "old.db")


def test_what_is_no_backup_of_ours_is_refused_and_nothing_changes(home: Home, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Ada")
    other = Settings(data_dir=tmp_path / "data", keys_dir=tmp_path / "keys")
    wiring.open_store(other).database.close()
    keeping.backup(other, tmp_path / "theirs.db")

    home.close()
    for name in ("letter.txt", "theirs.db"):
        with pytest.raises(InvalidRequest):
            keeping.restore(home.settings, tmp_path / name)
    with pytest.raises(NotFound):
        keeping.restore(home.settings, tmp_path / "missing.db")
    assert reopened(home).names("ada") == "ada"


def test_a_new_master_key_opens_what_is_left_and_the_old_one_nothing(home: Home) -> None:
    """The service goes on running meanwhile; what it makes next is wrapped with the new key."""
    master = home.settings.keys_dir / "master.key"
    old = master.read_bytes()

    rotated = keeping.rotate(home.settings)
    assert rotated.keys == len(home.keys())
    assert home.names("ada") == "ada"
    home.enrolls("cleo")

    assert master.read_bytes() != old
    assert {path.name for path in home.settings.keys_dir.iterdir()} == {
        "installation", "master.key", "signing.key", "slots.bin", "tombstones.jsonl",
    }  # fmt: skip
    assert home.restarts().names("cleo") == "cleo"
    new = master.read_bytes()
    home.close()
    master.write_bytes(old)
    with pytest.raises(KeysUnavailable):
        home._open()
    master.write_bytes(new)
    reopened(home)


def test_an_old_copy_of_the_keys_does_not_open_what_was_purged_since(home: Home, tmp_path: Path) -> None:
    """With the data at hand, the copy is told what was purged: its keys are destroyed in it too."""
    keeping.copy_keys(home.settings, tmp_path / "keys.age", PASSPHRASE)
    doomed = {row.key_id for row in home.rows(tables.voiceprint) if row.person_id == home["ada"].id}
    home.withdraws("ada")
    home.close()
    shutil.rmtree(home.settings.keys_dir)

    restored = keeping.put_keys_back(home.settings, tmp_path / "keys.age", PASSPHRASE)
    reopened(home)

    assert restored.replayed == 1
    assert doomed
    assert not doomed & home.keys()
    assert home.names("ada") is None
    assert home.names("ben") == "ben"


def test_a_copy_of_the_keys_opens_with_its_passphrase_alone(home: Home, tmp_path: Path) -> None:
    keeping.copy_keys(home.settings, tmp_path / "keys.age", PASSPHRASE)
    master = (home.settings.keys_dir / "master.key").read_bytes()
    home.close()

    assert master not in (tmp_path / "keys.age").read_bytes()
    with pytest.raises(InvalidRequest):  # one is there
        keeping.put_keys_back(home.settings, tmp_path / "keys.age", PASSPHRASE)
    home.settings.keys_dir.rename(tmp_path / "gone")
    with pytest.raises(InvalidRequest):
        keeping.put_keys_back(home.settings, tmp_path / "keys.age", "wrong passphrase")
    assert not home.settings.keys_dir.exists()
    (tmp_path / "gone").rename(home.settings.keys_dir)
    with pytest.raises(InvalidRequest):
        keeping.copy_keys(home.settings, tmp_path / "short.age", "short")
    reopened(home)


def test_the_backup_is_of_one_moment_while_others_write(home: Home, tmp_path: Path) -> None:
    """SQLite's own copy: a whole database, with all that was committed before."""
    home.joins("cleo")
    keeping.backup(home.settings, tmp_path / "old.db")
    home.joins("dan")

    with sqlite3.connect(tmp_path / "old.db") as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert copy.execute("SELECT count(*) FROM person").fetchone() == (3,)

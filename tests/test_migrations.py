"""Both databases, by the same migrations: the same tables, the same refusals, the same household."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from home import GATE, START, Home
from sqlalchemy import Engine, Table, inspect, text
from sqlalchemy.exc import DBAPIError

from voiceid.errors import StoreUnavailable
from voiceid.store import chain, migrate, tables
from voiceid.store.database import Database

ENGINES = ["sqlite", "postgres"]
APPEND_ONLY = ["activity", "ledger"]


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database, migrated to the newest tables."""
    if request.param == "sqlite":
        made = Database.in_directory(tmp_path / "data")
    else:
        made = Database(request.getfixturevalue("postgres_url"))
    yield made
    made.close()


def _described(engine: Engine) -> dict[str, Any]:
    """Tables, columns, keys, indexes and checks, in words that both databases share."""
    look = inspect(engine)
    return {name: _table(look, name) for name in look.get_table_names() if name != "alembic_version"}


def _table(look: Any, name: str) -> dict[str, Any]:
    unique = {tuple(one["column_names"]) for one in look.get_unique_constraints(name)}
    return {
        "columns": {one["name"]: (_plain(one["type"]), one["nullable"]) for one in look.get_columns(name)},
        "primary key": look.get_pk_constraint(name)["constrained_columns"],
        "foreign keys": {
            (tuple(one["constrained_columns"]), one["referred_table"], tuple(one["referred_columns"]))
            for one in look.get_foreign_keys(name)
        },
        "unique": unique,
        "indexes": {
            (one["name"], tuple(one["column_names"]))
            for one in look.get_indexes(name)
            if tuple(one["column_names"]) not in unique
        },
        "checks": {one["name"] for one in look.get_check_constraints(name)},
    }


def _plain(kind: Any) -> str:
    """SQLite has no type for a moment with a zone, and calls bytes otherwise."""
    words = {"BLOB": "BYTEA", "DATETIME": "TIMESTAMP", "FLOAT": "DOUBLE PRECISION"}
    return words.get(str(kind), str(kind))


def _triggers(engine: Engine) -> set[str]:
    names = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
        "postgresql": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
    }
    with engine.connect() as connection:
        return set(connection.execute(text(names[engine.dialect.name])).scalars())


def _from_nothing(database: Database) -> None:
    """Drop everything, as if the database had never been used."""
    with database.engine.begin() as connection:
        for table in reversed(tables.metadata.sorted_tables):
            connection.execute(text(f"DROP TABLE {table.name}"))
        connection.execute(text("DROP TABLE alembic_version"))
        if database.engine.dialect.name == "postgresql":
            for table in APPEND_ONLY:
                connection.execute(text(f"DROP FUNCTION {table}_refuses"))


def test_the_migrations_make_the_tables_of_the_code(database: Database, tmp_path: Path) -> None:
    """`create_all` makes what `tables.py` says; the migrations must come to the same."""
    _from_nothing(database)
    migrate.upgrade(database.engine, "head")
    migrated = _described(database.engine)
    with database.engine.begin() as connection:
        if database.engine.dialect.name == "postgresql":
            connection.execute(text("CREATE SCHEMA plain"))
            connection.execute(text("SET search_path TO plain"))
            tables.metadata.create_all(connection)
            made = {name: _table(inspect(connection), name) for name in tables.metadata.tables}
        else:
            other = Database.in_directory(tmp_path / "other").engine
            with other.begin() as fresh:
                for name in reversed(tables.metadata.sorted_tables):
                    fresh.execute(text(f"DROP TABLE {name.name}"))
                tables.metadata.create_all(fresh)
            made = {name: _table(inspect(other), name) for name in tables.metadata.tables}
            other.dispose()
    assert set(migrated) == set(tables.metadata.tables)
    for name in migrated:
        assert migrated[name] == made[name], name


def test_an_empty_database_is_made_without_the_tool_for_migrations(tmp_path: Path) -> None:
    """It would cost every first start 0.3 s, and the service 12 MB for as long as it runs."""
    words = """
import sys
from pathlib import Path
from voiceid.store.database import Database
Database.in_directory(Path(sys.argv[1]))
sys.exit("alembic" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", words, str(tmp_path)], check=False).returncode == 0


def test_both_databases_are_alike(tmp_path: Path, postgres_url: str) -> None:
    one, other = Database.in_directory(tmp_path / "data"), Database(postgres_url)
    described = _described(one.engine)
    assert described == _described(other.engine)
    assert len(described) == len(tables.metadata.tables)
    refused = {f"{table}_no_{change}" for table in APPEND_ONLY for change in ("update", "delete")}
    assert _triggers(one.engine) == refused
    assert _triggers(other.engine) == refused | {f"{table}_no_truncate" for table in APPEND_ONLY}
    one.close()
    other.close()


def _a_row(table: Table) -> dict[str, Any]:
    words = {"ledger": {"event": "granted"}, "activity": {"actor": "owner:x", "action": "seen"}}
    return {"household_id": "h", "seq": 1, "at": START, "chain": bytes(32), **words[table.name]}


@pytest.mark.parametrize("name", APPEND_ONLY)
def test_what_is_append_only_refuses(database: Database, name: str) -> None:
    table = tables.metadata.tables[name]
    with database.writer() as tx:
        tx.execute(table.insert().values(**_a_row(table)))
    statements = [f"UPDATE {name} SET seq = 2", f"DELETE FROM {name}"]
    if database.engine.dialect.name == "postgresql":  # the other has no such word
        statements.append(f"TRUNCATE {name}")
    for statement in statements:
        with pytest.raises(DBAPIError, match="append-only"), database.writer() as tx:
            tx.execute(text(statement))
        with database.reader() as tx:
            assert tx.execute(table.select()).one().seq == 1


def test_migrating_again_changes_nothing(database: Database) -> None:
    before = _described(database.engine)
    migrate.upgrade(database.engine)
    assert migrate.current(database.engine) == migrate.newest()
    assert _described(database.engine) == before


def test_every_revision_can_be_reached_one_by_one(database: Database) -> None:
    """From an empty database through every revision: the same as what a fresh one is made with at once."""
    whole = _described(database.engine), _triggers(database.engine)
    _from_nothing(database)
    while migrate.current(database.engine) != migrate.newest():
        migrate.upgrade(database.engine, "+1")
    assert (_described(database.engine), _triggers(database.engine)) == whole


def test_a_newer_database_is_left_alone(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreUnavailable, match="update voiceid"):
        migrate.upgrade(database.engine)


# A household on PostgreSQL.


@pytest.fixture
def home(postgres_url: str, tmp_path: Path) -> Iterator[Home]:
    with Home(tmp_path, database_url=postgres_url) as home:
        yield home


def test_the_whole_way_on_postgres(home: Home) -> None:
    """Enroll, recognize, keep, withdraw, forget; more consents than fit into a short word."""
    home.enrolls("ada", "ben").grants("ada", "transcripts", "adapt", "human_review", "share:" + "x" * 40)
    assert [home.names(name) for name in ("ada", "ben", "eve")] == ["ada", "ben", None]
    home.clock.forward(minutes=1)
    assert home.hears("ada")["stored"]
    kept = home.ok("GET", f"{home['ada'].path}/interactions", home["ada"].headers)["items"]
    assert len(kept) == 1
    sound = home.call("GET", f"{home['ada'].path}/recordings/{kept[0]['recording']}", home["ada"].headers)
    assert sound.content[:4] == b"fLaC"
    receipt = home.withdraws("ada")
    assert receipt["state"] == "complete"
    assert len(receipt["why"]) > 64
    assert not set(receipt["keys_destroyed"]) & home.keys()
    for table in (tables.voiceprint, tables.recording, tables.interaction, tables.transcript):
        assert home.count(table, "ada") == 0
    assert [home.names(name) for name in ("ada", "ben")] == [None, "ben"]
    home.ok("DELETE", "", home.owner)
    with home.services.store.database.reader() as tx:
        assert chain.verify(tx, tables.ledger, home.id) > 0
        assert chain.verify(tx, tables.activity, home.id) > 0


def test_a_crash_on_postgres_is_made_good(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.enrolls("ada")
    monkeypatch.setattr("enrollment.purge.Purge.run", lambda self, where, purge: self.receipt(where, purge))
    home.ok("DELETE", f"{home['ada'].path}/voiceprint", home["ada"].headers)
    assert (home.names("ada"), home.count(tables.voiceprint)) == (None, 1)
    monkeypatch.undo()
    home.restarts()
    assert home.count(tables.voiceprint) == 0


def test_times_are_utc_wherever_the_server_is(home: Home, postgres_url: str) -> None:
    with home.services.store.database.engine.begin() as connection:
        name = connection.execute(text("SELECT current_database()")).scalar()
        connection.execute(text(f"ALTER DATABASE {name} SET timezone TO 'Asia/Kathmandu'"))
    home.restarts().agrees("ada")
    told = home.ok("GET", f"{home['ada'].path}/activity", home["ada"].headers)["items"]
    assert {one["at"] for one in told} == {"2026-03-02T09:00:00Z"}
    with home.services.store.database.reader() as tx:
        assert chain.verify(tx, tables.activity, home.id) == len(home.rows(tables.activity))


@pytest.mark.parametrize("text_field", ["label", "intent"])
def test_a_text_that_postgres_cannot_hold_is_refused(home: Home, text_field: str) -> None:
    """It stores no NUL; a clear answer, and nothing of the value in it."""
    if text_field == "label":
        answered = home.call("POST", "tokens", home.owner, json={"role": "device", "label": "secret\x00"})
    else:
        form = {"audio": ("a.wav", home.sound("ada")["content"], "audio/wav")}
        answered = home.call("POST", "recognize", home.owner, files=form, data={"intent": "secret\x00"})
    assert (answered.status_code, answered.json()["type"]) == (422, "/problems/invalid-request")
    assert "secret" not in answered.text


def test_a_purge_waits_for_whoever_writes(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both append to the ledger; whoever did not wait would take the same place in it."""
    home.enrolls("ada")
    with monkeypatch.context() as later:
        later.setattr("enrollment.purge.Purge.run", lambda self, where, purge: self.receipt(where, purge))
        home.ok("DELETE", f"{home['ada'].path}/voiceprint", home["ada"].headers)
    with ThreadPoolExecutor(1) as pool:
        with home.services.store.database.writer(home.id) as tx:
            chain.append(tx, tables.ledger, home.id, {"at": home.clock(), "event": "enrolled"})
            resumed = pool.submit(home.services.forgetting.resume)
            time.sleep(0.5)
            assert not resumed.done()
        assert resumed.result() == 1
    with home.services.store.database.reader() as tx:
        assert chain.verify(tx, tables.ledger, home.id) == len(home.rows(tables.ledger))


def test_two_writers_of_a_household_take_turns(home: Home) -> None:
    """Both append to the same chain; neither fails, and no link is missing."""
    home.agrees("ada", "ben")

    def work(name: str) -> None:
        for purpose in ("transcripts", "adapt") * 3:
            home.grants(name, purpose)
            home.withdraws(name, purpose)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, ("ada", "ben")))
    assert set(GATE) <= {row.purpose for row in home.rows(tables.ledger)}
    with home.services.store.database.reader() as tx:
        assert chain.verify(tx, tables.ledger, home.id) == len(home.rows(tables.ledger))

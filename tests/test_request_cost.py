"""What one request may cost beside the encoder: how often it reads, and that no statement is built for it alone."""

import os
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from home import Home
from sqlalchemy import event, select, text

from voiceid.errors import StoreUnavailable
from voiceid.proof.memory import MemoryScanner
from voiceid.scan.markers import Text
from voiceid.service.allocator import ENVIRONMENT
from voiceid.store import consents, ids, people, responses, tables, tokens
from voiceid.store.database import _AT_ONCE, Database, WouldWait, _plain

GUEST = ["token", "household", "household", "response_template"]
"""Who calls; consents, after encoding; the household's language; its own texts."""
MEMBER = [
    "token", "household", "household", "person", "household", "response_template", "household", "ledger", "voiceprint",
]  # fmt: skip
"""Consents once more before the profile; then whether anything has changed, what may be kept, the last day of use."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Ada keeps nothing."""
    with Home(tmp_path_factory.mktemp("home")) as home:
        home.joins("ada").grants("ada", "save_recordings", retention="none").grants("ada", "voice_id")
        yield home.enrolls_here("ada")


PRAGMAS = {"busy_timeout": 0, "temp_store": 2, "cache_size": 0}
"""Of the connections that read at once: they wait for nobody, write no temporary file, keep no page."""


@dataclass
class Read:
    """What the database was asked meanwhile."""

    tables: list[str] = field(default_factory=list)
    """The first of each statement, as SQLite took it."""
    built: list[Any] = field(default_factory=list)
    """Statements as SQLAlchemy took them, where it did."""
    compiled: int = 0
    """How many were put into words for SQLite that had not been before."""


@contextmanager
def read(home: Home) -> Iterator[Read]:
    database = home.services.store.database
    database.fill()
    found, before, engine, own = Read(), _plain.cache_info().misses, database.engine, [*database._own]

    def seen(words: str) -> None:
        if not words.startswith(("BEGIN", "ROLLBACK", "PRAGMA")):
            assert words.startswith("SELECT"), "nothing is written"
            found.tables.append(words.partition("FROM ")[2].split(maxsplit=1)[0])

    def lent(connection: Any, *_: Any) -> None:
        connection.set_trace_callback(seen)

    def returned(connection: Any, *_: Any) -> None:
        connection.set_trace_callback(None)

    def asked(_connection: Any, _cursor: Any, words: str, _values: Any, context: Any, _many: Any) -> None:
        if not words.startswith("BEGIN"):
            found.built.append(context.invoked_statement)

    pool = engine.pool
    heard = ((pool, "checkout", lent), (pool, "checkin", returned), (engine, "before_cursor_execute", asked))
    for listening in heard:
        event.listen(*listening)
    _tell(own, seen)
    try:
        yield found
    finally:
        for listening in heard:
            event.remove(*listening)
        _tell(own, None)
        found.compiled = _plain.cache_info().misses - before


def _tell(connections: list[sqlite3.Connection], seen: Callable[[str], None] | None) -> None:
    for one in connections:
        one.set_trace_callback(seen)


@pytest.mark.parametrize(("speaker", "tables"), [("eve", GUEST), ("ada", MEMBER)], ids=["a guest", "a member"])
def test_reads_of_one_request(home: Home, speaker: str, tables: list[str]) -> None:
    """Each statement is the same object both times: building it takes longer than running it."""
    home.hears(speaker)  # the first one loads the index
    with read(home) as first:
        home.hears(speaker)
    with read(home) as second:
        home.hears(speaker)

    assert first.tables == second.tables == tables
    assert all(one is other for one, other in zip(first.built, second.built, strict=True))
    assert second.compiled == 0
    assert len(second.built) < len(tables)


def test_a_plain_answer_is_the_one_that_sqlalchemy_gives(home: Home) -> None:
    """Names, values, moments with their zone."""
    template = {"personal": "Hello {{ name }}", "anonymous": "Hello"}
    home.ok("PUT", "responses/weather", home.owner, json=template)
    digest = ids.digest(home["ada"].headers["Authorization"].rpartition("_")[2])
    asked: list[tuple[Any, dict[str, Any]]] = [
        (consents._EVERYTHING, {}), (people._ONE_HOME, {}), (people._ONE_PERSON, {"person": home["ada"].id}),
        (tokens._TOKEN, {"asked": digest}), (responses._ONE, {"wanted": "weather"}),
        (responses._ONE, {"wanted": "none"}),
    ]  # fmt: skip
    database, found = home.services.store.database, []
    for query, given in asked:
        given["household"] = home.id
        with database.reader() as tx:
            told = [row._asdict() for row in tx.execute(query, given)]
        assert [row._asdict() for row in database.ask(query, **given)] == told
        found.append(len(told))
    assert found == [2, 1, 1, 1, 1, 0]
    (token,) = database.ask(tokens._TOKEN, household=home.id, asked=digest)
    assert token.expires_at.utcoffset() == timedelta(0)


def test_an_answer_that_cannot_be_read_holds_on_to_no_moment(tmp_path: Path) -> None:
    """A connection that was given back half read would show everybody after it how things were, the consents too."""
    house = {"key_id": "k", "sealed": b"", "created_at": datetime(2026, 3, 2, tzinfo=UTC), "epoch": 1}
    table, everything = tables.household, select(tables.household)
    with closing(Database.in_directory(tmp_path)) as database, closing(Database.in_directory(tmp_path)) as other:
        with other.writer() as tx:
            tx.execute(table.insert(), [{"household_id": name, **house} for name in "abc"])
            tx.execute(text("UPDATE household SET created_at = 'never' WHERE household_id = 'a'"))
        with pytest.raises(ValueError, match="never") as held:
            database.ask(everything)
        with other.writer() as tx:
            tx.execute(table.update().values(epoch=2, created_at=house["created_at"]))
        assert {row.epoch for row in database.ask(everything)} == {2}
        assert held.value


def test_a_plain_question_leaves_nothing_open(home: Home) -> None:
    for given in ({}, {"houshold": home.id}, {"household": home.id, "person": "a"}):
        with pytest.raises(TypeError, match="household"):
            home.services.store.database.ask(people._ONE_HOME, **given)


def test_a_plain_question_that_fails_is_told_and_lends_nothing(tmp_path: Path) -> None:
    with closing(Database.in_directory(tmp_path)) as database:
        with database.writer() as tx:
            tx.execute(text("ALTER TABLE household RENAME TO elsewhere"))
        for _ in range(20):  # more than there are connections
            with pytest.raises(StoreUnavailable, match="OperationalError"):
                database.ask(people._ONE_HOME, household="a")


def test_who_calls_is_told_at_once_though_every_connection_is_lent(home: Home) -> None:
    """By the loop itself: nobody who waits for a connection keeps it waiting."""
    home.hears("eve")
    database = home.services.store.database
    with ExitStack() as lent:
        for _ in range(15):  # as many as SQLAlchemy lends
            lent.enter_context(database.engine.connect())
        path = f"/v1/households/{home.id}/recognize"
        assert home.client.post(path, headers=home.owner).json()["type"] == "/problems/empty-audio"


def test_what_is_told_at_once_is_of_now(tmp_path: Path) -> None:
    """What another process has committed counts, a token taken back above all."""
    house = {"household_id": "a", "key_id": "k", "sealed": b"", "created_at": datetime(2026, 3, 2, tzinfo=UTC)}
    with closing(Database.in_directory(tmp_path)) as database, closing(Database.in_directory(tmp_path)) as other:
        for epoch in (1, 2):
            with other.writer() as tx:
                tx.execute(tables.household.delete())
                tx.execute(tables.household.insert().values(epoch=epoch, **house))
            with database.at_once():
                assert [row.epoch for row in database.ask(select(tables.household))] == [epoch]


def test_at_once_nothing_is_waited_for_and_nothing_written(tmp_path: Path) -> None:
    with closing(Database.in_directory(tmp_path)) as database:
        with database.at_once():
            assert database.ask(people._ONE_HOME, household="a") == []
            for waits in (database.reader, database.writer):
                with pytest.raises(WouldWait), waits():
                    pytest.fail("lent")
            (own,) = database._own
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                own.execute("DELETE FROM household")
        with database.reader():
            pass  # outside, everything as ever


def test_only_so_many_threads_are_told_at_once(tmp_path: Path) -> None:
    """Everybody else may wait, instead of opening one more connection each."""
    with closing(Database.in_directory(tmp_path)) as database:
        with ExitStack() as taken:
            for _ in range(_AT_ONCE):
                taken.enter_context(database._room)
            with database.at_once(), pytest.raises(WouldWait):
                database.ask(people._ONE_HOME, household="a")
            assert database.ask(people._ONE_HOME, household="a") == []
            assert database._own == []
        with database.at_once():
            assert database.ask(people._ONE_HOME, household="a") == []


def test_many_who_ask_hear_of_what_they_asked(tmp_path: Path) -> None:
    """Of their own question each, and no further connection is kept for it."""
    house = {"key_id": "k", "sealed": b"", "created_at": datetime(2026, 3, 2, tzinfo=UTC)}
    names = [f"house {number}" for number in range(40)]
    with closing(Database.in_directory(tmp_path)) as database:
        with database.writer() as tx:
            rows = [{"household_id": name, "epoch": at, **house} for at, name in enumerate(names)]
            tx.execute(tables.household.insert(), rows)

        def told(at: int) -> list[bool]:
            mine = [database.ask(people._ONE_HOME, household=names[(at * 7 + turn) % 40]) for turn in range(40)]
            return [row.household_id == names[(at * 7 + turn) % 40] for turn, (row,) in enumerate(mine)]

        with ThreadPoolExecutor(12) as threads:
            asked = threads.map(told, range(24))
            for _ in range(30):
                database.fill()
            assert all(all(right) for right in asked)
        assert len(database._own) == _AT_ONCE


def test_a_locked_database_is_left_to_who_may_wait(tmp_path: Path) -> None:
    with closing(Database.in_directory(tmp_path)) as database:
        database.engine.dispose()
        with closing(sqlite3.connect(tmp_path / "voiceid.db", isolation_level=None)) as alone, database.at_once():
            alone.execute("PRAGMA journal_mode=DELETE")  # as it is, nobody could lock it against reading
            alone.execute("BEGIN EXCLUSIVE")
            with pytest.raises(WouldWait):
                database.ask(people._ONE_HOME, household="a")
            with ThreadPoolExecutor(1) as another:
                waits = another.submit(database.ask, people._ONE_HOME, household="a")
                assert not wait([waits], 0.2).done
                alone.execute("ROLLBACK")
                assert waits.result() == []
            assert database.ask(people._ONE_HOME, household="a") == []


def test_who_may_wait_hears_what_is_wrong(tmp_path: Path) -> None:
    """Not told at once, the caller is looked up in a thread, and the failure is told as ever."""
    with Home(tmp_path) as home:
        with home.services.store.database.writer() as tx:
            tx.execute(text("ALTER TABLE token RENAME TO elsewhere"))
        answer = home.client.post(f"/v1/households/{home.id}/recognize", headers=home.owner)
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/store-unavailable")


def test_only_who_asks_at_once_is_not_kept_waiting(tmp_path: Path) -> None:
    with closing(Database.in_directory(tmp_path)) as database:
        with database.at_once(), ThreadPoolExecutor(1) as another:
            assert another.submit(_read, database).result() == 0
        with pytest.raises(TypeError), database.at_once():
            database.ask(people._ONE_HOME)
        assert _read(database) == 0, "what failed is over"
        database.fill()
        told = [[own.execute(f"PRAGMA {name}").fetchone()[0] for name in PRAGMAS] for own in database._own]
        assert told == [[*PRAGMAS.values()]] * _AT_ONCE


def _read(database: Database) -> int:
    with database.reader() as tx:
        return len(tx.execute(select(tables.household)).all())


def test_nothing_is_left_beside_the_database(tmp_path: Path) -> None:
    """Whoever may only read cannot clear away what was written ahead, so it must not be the last to leave."""
    database = Database.in_directory(tmp_path)
    with database.at_once():
        database.ask(people._ONE_HOME, household="a")
    database.close()
    assert [file.name for file in tmp_path.iterdir()] == ["voiceid.db"]
    with database.at_once(), pytest.raises(WouldWait):
        database.ask(people._ONE_HOME, household="a")
    assert database.ask(people._ONE_HOME, household="a") == []
    database.close()
    assert [file.name for file in tmp_path.iterdir()] == ["voiceid.db"]


def test_closing_waits_for_who_asks_at_once(tmp_path: Path) -> None:
    """A connection put back later would never be closed."""
    database = Database.in_directory(tmp_path)
    with ThreadPoolExecutor(2) as threads:
        with database._room:
            closing_it = [threads.submit(database.close) for _ in range(2)]
            assert not wait(closing_it, 0.2).done
        for one in closing_it:
            one.result(10)
    database.fill()
    assert database._own == []
    assert not database._room.acquire(blocking=False)
    database.close()
    assert [file.name for file in tmp_path.iterdir()] == ["voiceid.db"]


def test_what_cannot_be_asked_is_left_to_who_may_wait(tmp_path: Path) -> None:
    """Whatever is wrong is told as ever, and the connection is kept."""
    unheard_of: Any = object()
    with closing(Database.in_directory(tmp_path)) as database:
        with database.at_once(), pytest.raises(WouldWait):
            database.ask(people._ONE_HOME, household=unheard_of)
        with pytest.raises(sqlite3.Error, match="parameter 1"):
            database.ask(people._ONE_HOME, household=unheard_of)
        assert len(database._own) == 1


READS = """
import sys
from contextlib import ExitStack
from pathlib import Path
from sqlalchemy import select
from voiceid.store import tables, tokens
from voiceid.store.database import Database
database = Database.in_directory(Path(sys.argv[1]))
def at_once():
    with database.at_once():
        return len(database.ask(tokens._TOKEN, household="a", asked=bytes([1])))
def in_transactions():
    with ExitStack() as held:
        lent = [held.enter_context(database.reader()) for _ in range(5)]
        return max(len(tx.execute(select(tables.token)).all()) for tx in lent)
first, then = (at_once, in_transactions)[int(sys.argv[2])], at_once
for reads in (first, then):
    print(flush=True)
    input()
    print(reads(), flush=True)
input()
"""


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="this system does not show a process's memory")
@pytest.mark.parametrize("how", [0, 1], ids=["at once", "in transactions"])
def test_a_row_deleted_since_does_not_stay_with_who_read_it(how: int, tmp_path: Path) -> None:
    """The pages that it was read from are freed, and the allocator of the service overwrites them."""
    label, made = secrets.token_hex(9), {"household_id": "a", "created_at": datetime(2026, 3, 2, tzinfo=UTC)}
    house, token = tables.household.insert().values(key_id="k", sealed=b"", epoch=1, **made), tables.token.insert()
    mine = token.values(token_id="t", role="owner", digest=b"\1", label=label, **made)
    words = [sys.executable, "-c", READS, str(tmp_path), str(how)]
    with (
        subprocess.Popen(
            words, env=os.environ | ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as reads,
        closing(Database.in_directory(tmp_path)) as database,
    ):
        assert reads.stdin
        assert reads.stdout
        told = []
        for changes in ((house, mine), (tables.token.delete(),)):
            reads.stdout.readline()
            with database.writer() as tx:
                for change in changes:
                    tx.execute(change)
            reads.stdin.write("\n")
            reads.stdin.flush()
            told.append(reads.stdout.readline())
        found = MemoryScanner([Text("label", label)]).scan(reads.pid)
        reads.communicate("\n")
    assert told == ["1\n", "0\n"]
    assert not found

"""What one request may cost beside the encoder: how often it reads, and that no statement is built for it alone."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from home import Home
from sqlalchemy import event, select, text

from voiceid.errors import StoreUnavailable
from voiceid.store import consents, ids, people, responses, tables, tokens
from voiceid.store.database import Database, _plain

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
    found, before, engine = Read(), _plain.cache_info().misses, home.services.store.database.engine

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
    for one in heard:
        event.listen(*one)
    try:
        yield found
    finally:
        for one in heard:
            event.remove(*one)
        found.compiled = _plain.cache_info().misses - before


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

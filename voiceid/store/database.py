"""One transactional database: SQLite in the data directory, or PostgreSQL. It knows tables, not what they mean."""

import os
import secrets
import sqlite3
import threading
from collections import namedtuple
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, create_engine, event, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DataError, DBAPIError, OperationalError
from sqlalchemy.pool import QueuePool

from voiceid.errors import InvalidRequest, NotFound, StoreUnavailable
from voiceid.store import migrate, tables
from voiceid.turns import by_turns
from voiceid.types import HouseholdId

_BUSY_TIMEOUT_S = 5
_TURN_TIMEOUT_S = 30
_AT_ONCE = 4
"""Who may ask at once: the event loop, and those who encode on a small machine."""
_SQLITE_PRAGMAS = (
    "cache_size=0",  # no connection keeps a page, which would hold a row that was deleted since; before any is read
    "cache_spill=OFF",  # but what a transaction writes is kept until it ends, and goes to disk once
    "journal_mode=WAL",
    "synchronous=FULL",  # a receipt must not be signed before its purge is on disk
    "foreign_keys=ON",
    "secure_delete=ON",  # hygiene: the destroyed key is the proof
    "temp_store=MEMORY",  # no temporary file ever holds a row
)


class WouldWait(Exception):
    """What was asked for within `Database.at_once()` has to be waited for."""


class _Here(threading.local):
    """How one thread asks."""

    at_once = False


class Database:
    """Hands out connections; every one ends its transaction before it is given back."""

    def __init__(self, url: str) -> None:
        """Connect and bring the tables up to date.

        Raises: StoreUnavailable.
        """
        self.engine = _engine(url)
        self._turns = threading.Lock() if self.engine.dialect.name == "sqlite" else None
        """Writers of one process wait here: SQLite would let them poll, and one could be passed over for seconds."""
        self._here = _Here()
        self._room = threading.Semaphore(_AT_ONCE)
        self._own: list[sqlite3.Connection] = []
        """What is asked at once, by one thread each: those that SQLAlchemy lends may all be lent."""
        self._closing = threading.Lock()
        self._closed = False
        with _translated():
            migrate.upgrade(self.engine)

    @classmethod
    def in_directory(cls, directory: Path) -> "Database":
        """Open the embedded database, making the directory (0700) and the file (0600) if need be."""
        path = directory / "voiceid.db"
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StoreUnavailable(f"cannot open the data directory: {error.strerror}") from error
        return cls(f"sqlite:///{path.resolve()}")

    @contextmanager
    def reader(self) -> Iterator[Connection]:
        """A read transaction: everything read within is of one moment."""
        self._refuse_at_once()
        with _translated(), self.engine.connect() as connection:
            if self.engine.dialect.name != "sqlite":
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    def ask(self, query: Select[Any], /, **given: str | bytes) -> Sequence[Any]:
        """All rows of one query, which are of one moment; what it leaves open is `given`.

        For what every request reads: `query` is kept once it was asked, so it has to be made once. SQLite is asked
        past SQLAlchemy's layers, which take several times as long as its answer, and by turns.
        Raises: StoreUnavailable.
        """
        if self.engine.dialect.name != "sqlite":
            with self.reader() as tx:
                return tx.execute(query, given).all()
        plain = _plain(query)
        if self._here.at_once:
            return self._asked_at_once(plain, given)
        with suppress(WouldWait):
            return self._asked_by_turns(plain, given)
        with _translated(), closing(self.engine.raw_connection()) as lent, closing(lent.cursor()) as cursor:
            return plain.rows(cursor, given)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let this thread ask() without waiting: for the event loop, which would keep everybody else waiting.

        The embedded database answers in a tenth of a millisecond, which another thread takes longer to be woken for;
        but not while somebody has locked it or asks at once as well, and a server never.
        Raises: WouldWait, then and for everything but ask(); whoever asks can do so again in a thread that may wait.
        """
        self._here.at_once = True
        try:
            yield
        finally:
            self._here.at_once = False

    @contextmanager
    def writer(self, household: HouseholdId | None = None) -> Iterator[Connection]:
        """A write transaction that no other writer of this household overlaps.

        Raises: NotFound, when the household is gone or being erased; StoreUnavailable; InvalidRequest, for a value that
        this database cannot hold.
        """
        self._refuse_at_once()
        with _translated(), self._turn(), self.engine.connect() as connection:
            connection.execution_options(voiceid_write=True)
            with connection.begin():
                if household is not None and not hold(connection, household, tables.spared(tables.household)):
                    raise NotFound("no such household")
                yield connection

    @contextmanager
    def installation(self) -> Iterator[tuple[str, bool]]:
        """This installation's random id, and whether it is new: its key store is then made before that is committed."""
        table = tables.installation
        with self.writer() as tx:
            found = tx.execute(select(table.c.installation_id)).scalar()
            known = found or secrets.token_hex(16)
            if found is None:
                tx.execute(table.insert().values(installation_id=known))
            yield known, found is None

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self._turns is None:
            yield
            return
        if not self._turns.acquire(timeout=_TURN_TIMEOUT_S):
            raise StoreUnavailable("too much is being written at once")
        try:
            yield
        finally:
            self._turns.release()

    def fill(self) -> None:
        """Open all connections that are kept, so that the files held open do not grow with who comes at once.

        Of the embedded database alone: a server's connections are others' as well.
        """
        pool = self.engine.pool
        if self.engine.dialect.name == "sqlite" and isinstance(pool, QueuePool):
            with _translated(), ExitStack() as held:
                for _ in range(pool.size()):
                    held.enter_context(self.engine.connect())
            self._fill_own()

    def close(self) -> None:
        """Let go of the files; whoever asks later is told nevertheless, not at once."""
        with self._closing:
            if not self._closed:
                self._take_all_room()  # for good: whoever asks at once has been told, and nobody does from here on
                self._closed = True
            while self._own:  # first: the last to leave puts what was written in its place, and these may not
                self._own.pop().close()
            self.engine.dispose()

    def _fill_own(self) -> None:
        with self._closing:
            if self._closed:
                return
            self._take_all_room()
            try:
                self._own += [_only_reads(self.engine) for _ in range(_AT_ONCE - len(self._own))]
            finally:
                self._room.release(_AT_ONCE)

    def _take_all_room(self) -> None:
        """Wait until nobody asks at once."""
        for _ in range(_AT_ONCE):
            self._room.acquire()

    def _asked_at_once(self, plain: "_Plain", given: dict[str, str | bytes]) -> Sequence[Any]:
        if not self._room.acquire(blocking=False):
            raise WouldWait
        try:
            own = self._one_that_reads()
            try:
                with closing(own.cursor()) as cursor:
                    return plain.rows(cursor, given)
            finally:
                self._own.append(own)
        except sqlite3.Error as error:
            raise WouldWait from error
        finally:
            self._room.release()

    _asked_by_turns = by_turns(_asked_at_once)

    def _one_that_reads(self) -> sqlite3.Connection:
        try:
            return self._own.pop()
        except IndexError:
            return _only_reads(self.engine)

    def _refuse_at_once(self) -> None:
        if self._here.at_once:
            raise WouldWait


def hold(tx: Connection, household: HouseholdId, *also: ColumnElement[bool]) -> bool:
    """Let no other writer of this household overlap this transaction; whether there is such a household."""
    table = tables.household
    mine = select(table.c.epoch).where(table.c.household_id == household, *also)
    return tx.execute(mine.with_for_update()).first() is not None


def revision(url: str) -> str | None:
    """Which tables a database has, without bringing them up to date; None for an empty one.

    Raises: StoreUnavailable.
    """
    engine = _engine(url)
    try:
        with _translated():
            return migrate.current(engine)
    finally:
        engine.dispose()


class _Plain:
    """A query as SQLite takes it, and what makes its values ours."""

    def __init__(self, query: Select[Any]) -> None:
        dialect = sqlite.dialect(paramstyle="named")
        compiled, columns = query.compile(dialect=dialect), query.selected_columns
        made = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        self._text, self._known = str(compiled), compiled.params
        self._open = {name for name, bound in compiled.binds.items() if bound.required}
        self._made = [(at, process) for at, process in enumerate(made) if process]
        self._row: Any = namedtuple("Row", columns.keys())  # type: ignore[misc]  # noqa: PYI024 named only here

    def rows(self, cursor: Any, given: dict[str, str | bytes]) -> list[Any]:
        """Ask; rows with a name for each value. All are fetched first: a cursor half read holds on to its moment.

        Raises: TypeError, when not exactly what the query leaves open is given.
        """
        if given.keys() != self._open:
            raise TypeError(f"the query leaves open {sorted(self._open)}")
        found = []
        for values in cursor.execute(self._text, {**self._known, **given}).fetchall():
            row = list(values)
            for at, process in self._made:
                row[at] = process(row[at])
            found.append(self._row._make(row))
        return found


_plain = lru_cache(maxsize=64)(_Plain)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the driver's failures into ours; its message may quote values, so it is not repeated."""
    try:
        yield
    except OperationalError as error:
        raise StoreUnavailable(type(error.orig).__name__) from error
    except sqlite3.OperationalError as error:
        raise StoreUnavailable(type(error).__name__) from error
    except (DataError, sqlite3.DataError):
        raise InvalidRequest("a text holds a character, or a number is of a size, that cannot be stored") from None
    except DBAPIError as error:
        if error.connection_invalidated:
            raise StoreUnavailable("the connection was lost") from error
        raise


def _only_reads(engine: Engine) -> sqlite3.Connection:
    """A further connection to the embedded database, which writes nothing, and keeps no page that it has read.

    It gives up at once where somebody has locked the database.
    """
    path = Path(engine.url.database or "").resolve()
    own = sqlite3.connect(
        f"{path.as_uri()}?mode=ro", uri=True, timeout=0, isolation_level=None, check_same_thread=False
    )
    own.execute("PRAGMA temp_store=MEMORY")
    own.execute("PRAGMA cache_size=0")  # as for those that SQLAlchemy lends, and before any page is read
    return own


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True, hide_parameters=True)
    engine = create_engine(
        url, hide_parameters=True, connect_args={"timeout": _BUSY_TIMEOUT_S, "check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in _SQLITE_PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("voiceid_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine

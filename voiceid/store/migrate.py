"""Brings a database to the newest tables: an empty one at once, an older one by its migrations.

Alembic is imported for the latter alone: it costs 0.3 s and 12 MB.
"""

from collections.abc import Iterator
from importlib import resources

from sqlalchemy import Connection, Engine, inspect, text

from voiceid.errors import StoreUnavailable
from voiceid.store import tables

APPEND_ONLY = ("ledger", "activity")
_VERSION = "alembic_version"


def newest() -> str:
    """The newest revision that ships: its number is how its file's name begins."""
    names = [file.name for file in resources.files(__package__).joinpath("migrations/versions").iterdir()]
    return max(name.split("_")[0] for name in names if name[:4].isdigit())


def current(engine: Engine) -> str | None:
    """The revision of this database; None for an empty one."""
    if not inspect(engine).has_table(_VERSION):
        return None
    with engine.connect() as connection:
        return connection.execute(text(f"SELECT version_num FROM {_VERSION}")).scalar()  # noqa: S608 a constant


def upgrade(engine: Engine, to: str | None = None) -> None:
    """Run what is missing, in one transaction each; `to` a revision, step by step from wherever it is.

    Raises: StoreUnavailable, when the database is newer than this program.
    """
    have = current(engine)
    if have == newest():
        return
    if have is not None and have > newest():
        raise StoreUnavailable(f"the database is at revision {have}, this program knows {newest()}: update voiceid")
    if have is None and to is None:
        _make(engine)
        return
    from alembic import command  # noqa: PLC0415 hardly a start has anything to migrate
    from alembic.config import Config  # noqa: PLC0415 same

    config = Config()
    config.set_main_option("script_location", f"{__package__}:migrations")
    with engine.connect() as connection:
        connection.execution_options(voiceid_write=True)
        config.attributes["connection"] = connection
        command.upgrade(config, to or "head")


def _make(engine: Engine) -> None:
    """Make all tables in one transaction, as the migrations would; a test holds the two together."""
    with engine.connect() as connection:
        connection.execution_options(voiceid_write=True)
        with connection.begin():
            if inspect(connection).has_table(_VERSION):
                return  # another process was first
            tables.metadata.create_all(connection, checkfirst=False)
            for statement in _refusals(connection):
                connection.execute(text(statement))
            connection.execute(text(f"CREATE TABLE {_VERSION} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
            connection.execute(text(f"INSERT INTO {_VERSION} VALUES (:revision)"), {"revision": newest()})  # noqa: S608 same


def _refusals(connection: Connection) -> Iterator[str]:
    """Triggers by which the append-only tables refuse to be changed."""
    for table in APPEND_ONLY:
        if connection.dialect.name == "sqlite":
            for change in ("UPDATE", "DELETE"):
                yield (
                    f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table}"
                    f" BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                )
            continue
        yield (
            f"CREATE FUNCTION {table}_refuses() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$"
        )
        for change, each in (("UPDATE", "ROW"), ("DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
            yield (
                f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table}"
                f" FOR EACH {each} EXECUTE FUNCTION {table}_refuses()"
            )

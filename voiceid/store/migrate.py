"""Brings a database to the newest tables. Alembic is imported only when there is something to do."""

from importlib import resources

from sqlalchemy import Engine, inspect, text

from voiceid.errors import StoreUnavailable


def newest() -> str:
    """The newest revision that ships: its number is how its file's name begins."""
    names = [file.name for file in resources.files(__package__).joinpath("migrations/versions").iterdir()]
    return max(name.split("_")[0] for name in names if name[:4].isdigit())


def current(engine: Engine) -> str | None:
    """The revision of this database; None for an empty one."""
    if not inspect(engine).has_table("alembic_version"):
        return None
    with engine.connect() as connection:
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(engine: Engine, to: str = "head") -> None:
    """Run what is missing, in one transaction each.

    Raises: StoreUnavailable, when the database is newer than this program.
    """
    have = current(engine)
    if have == newest():
        return
    if have is not None and have > newest():
        raise StoreUnavailable(f"the database is at revision {have}, this program knows {newest()}: update voiceid")
    from alembic import command  # noqa: PLC0415 costs 0.3 s, and most starts have nothing to migrate
    from alembic.config import Config  # noqa: PLC0415 same

    config = Config()
    config.set_main_option("script_location", f"{__package__}:migrations")
    with engine.connect() as connection:
        connection.execution_options(voiceid_write=True)
        config.attributes["connection"] = connection
        command.upgrade(config, to)

"""A copy of the data, made while the service runs, without a single key: useless without the key store.

Of PostgreSQL, make one with `pg_dump`; restoring works the same, since every start replays the tombstones.
"""

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from voiceid.errors import InvalidRequest, StoreUnavailable
from voiceid.failpoint import reach

_FILE = "voiceid.db"


def back_up(data_dir: Path, target: Path) -> int:
    """Copy the embedded database, consistent as of one moment; the number of bytes.

    Raises: InvalidRequest, when the target exists; StoreUnavailable, when it cannot be written: nothing is then left.
    """
    if target.exists():
        raise InvalidRequest("target: exists already")
    new = target.with_name(target.name + ".part")
    try:
        os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
        source = sqlite3.connect(f"file:{data_dir / _FILE}?mode=ro", uri=True)
        copy = sqlite3.connect(new)
        try:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
        finally:
            copy.close()
            source.close()
        _sync(new)
        new.replace(target)
    except (OSError, sqlite3.Error) as error:
        new.unlink(missing_ok=True)
        raise StoreUnavailable(f"cannot make the backup: {error}") from None
    return target.stat().st_size


def put_back(source: Path, data_dir: Path, installation: str) -> None:
    """Put a backup in the database's place; the caller then replays the tombstones.

    Sessions and invitations of the backup are void: some may have been signed out since.
    Raises: InvalidRequest, for a file that is no backup of this installation; StoreUnavailable.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = data_dir / (_FILE + ".restored")
    try:
        shutil.copyfile(source, new)
        new.chmod(0o600)
        reach("restore.copied")
        _prepare(new, installation)
        _settle(data_dir / _FILE)
        _sync(new)
        new.replace(data_dir / _FILE)
        reach("restore.replaced")
    except (OSError, sqlite3.Error) as error:
        raise StoreUnavailable(f"cannot put the backup back: {error}") from None
    finally:
        new.unlink(missing_ok=True)


def _prepare(path: Path, installation: str) -> None:
    connection = sqlite3.connect(path)
    try:
        whose = connection.execute("SELECT installation_id FROM installation").fetchall()
        if whose != [(installation,)]:
            raise InvalidRequest("source: a backup of another installation; its keys are not here")
        with connection:
            connection.execute("DELETE FROM token WHERE role = 'person'")
            connection.execute("DELETE FROM invitation")
    except sqlite3.DatabaseError:
        raise InvalidRequest("source: not a backup made by `voiceid backup`") from None
    finally:
        connection.close()


def _settle(path: Path) -> None:
    """Fold the write-ahead log of the database that is to be replaced into it, so that no log outlives its database."""
    if not path.exists():
        return
    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")
    finally:
        connection.close()


@contextmanager
def in_use(data_dir: Path, *, alone: bool) -> Iterator[None]:
    """Hold the data directory: any number of services at a time, or a restore alone.

    Raises: StoreUnavailable, when that is not possible right now.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(data_dir / "in-use", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise StoreUnavailable("the service is running: stop it first" if alone else "a restore is running") from None
    try:
        yield
    finally:
        os.close(fd)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

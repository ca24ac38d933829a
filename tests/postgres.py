"""A throw-away PostgreSQL server from the system's own binaries, on a Unix socket, gone after the tests."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

ACCOUNT = "postgres"
"""PostgreSQL refuses to run as root; Debian's package brings this account."""


class PostgresMissing(RuntimeError):
    """No server binaries on this machine (Debian: apt install postgresql)."""


@dataclass(frozen=True)
class PostgresServer:
    """A running server. Every database is empty when handed out."""

    socket_dir: Path
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def url(self, database: str = ACCOUNT) -> str:
        """The SQLAlchemy URL of one of its databases."""
        return f"postgresql+psycopg://{ACCOUNT}@/{database}?host={self.socket_dir}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """A new, empty database for as long as the context lasts; yields its SQLAlchemy URL."""
        name = f"test_{next(self._numbers)}"
        self._administer(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self._administer(f"DROP DATABASE {name} WITH (FORCE)")

    def _administer(self, statement: str) -> None:
        with psycopg.connect(host=str(self.socket_dir), user=ACCOUNT, dbname=ACCOUNT, autocommit=True) as session:
            session.execute(statement.encode())


def find_binaries() -> Path:
    """The directory of `postgres` and `initdb`, the newest version first.

    Raises: PostgresMissing.
    """
    versions = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    for server in sorted(versions, key=lambda path: int(path.parts[-3]), reverse=True):
        return server.parent
    on_path = shutil.which("postgres")
    if on_path is None:
        raise PostgresMissing("no PostgreSQL server on this machine (Debian: apt install postgresql)")
    return Path(on_path).parent


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Start a new cluster as an account that may, and stop and erase it afterwards.

    Raises: PostgresMissing.
    """
    binaries = find_binaries()
    with tempfile.TemporaryDirectory(prefix="voiceid-pg-") as scratch, tempfile.TemporaryFile() as log:
        root = Path(scratch)
        how: dict[str, Any] = {"cwd": root, "stdin": subprocess.DEVNULL, "stdout": log, "stderr": subprocess.STDOUT}
        how |= _account()
        if "user" in how:
            shutil.chown(root, how["user"])
        data = root / "data"
        initdb = [str(binaries / "initdb"), "--username", ACCOUNT, "--auth", "trust", "--encoding", "UTF8"]
        subprocess.run([*initdb, "--locale", "C.UTF-8", "--no-sync", "--pgdata", str(data)], check=True, **how)
        settings = {"listen_addresses": "", "unix_socket_directories": root, "fsync": "off", "max_connections": 200}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        process = subprocess.Popen([str(binaries / "postgres"), "-D", str(data), *options], **how)
        try:
            _wait_until_ready(binaries, root, process)
            yield PostgresServer(root)
        finally:
            process.send_signal(signal.SIGINT)  # "fast": open sessions are ended
            process.wait(timeout=30)


def _account() -> dict[str, Any]:
    if os.getuid() != 0:
        return {}
    entry = pwd.getpwnam(ACCOUNT)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _wait_until_ready(binaries: Path, socket_dir: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while subprocess.run([binaries / "pg_isready", "-q", "-h", socket_dir], check=False).returncode != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the test server of PostgreSQL did not start")
        time.sleep(0.05)

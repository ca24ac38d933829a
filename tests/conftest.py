"""What every test gets: a clean environment, closed sockets, and real parts to test with."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from closed_sockets import closed_sockets
from machine import ROOT, absent
from postgres import PostgresMissing, PostgresServer, postgres_server

SPEECH_DIR = Path(os.environ.get("VOICEID_SPEECH_DIR", ROOT / "../shared/speech")).resolve()
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the extra `speechbrain` are for the environment that has it."""
    if importlib.util.find_spec("torch") is None:
        for item in items:
            if item.get_closest_marker("torch"):
                item.add_marker(pytest.mark.skip(reason="needs the extra `speechbrain`: make test-speechbrain"))


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> Iterator[None]:
    """What is set in this shell must neither steer a test nor reach a server that a test starts."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("VOICEID_") or name.lower().endswith("_proxy"):
                patch.delenv(name)
        yield


@pytest.fixture(autouse=True)
def _closed_sockets() -> Iterator[None]:
    with closed_sockets() as attempts:
        yield
    assert not attempts, f"outbound connections were tried and the refusal was swallowed: {attempts}"


@pytest.fixture(scope="session")
def speech_dir() -> Path:
    """The recordings of real people: `dev`, `test`, `cohort`, `noise`, `rir`."""
    if not SPEECH_DIR.is_dir():
        pytest.skip("no recordings of real people: set VOICEID_SPEECH_DIR")  # not part of the product: CI may lack them
    return SPEECH_DIR


@pytest.fixture(scope="session")
def voices() -> Path:
    """The synthetic household: `voices / "ada" / "enroll_1.flac"`. Ada, Ben, Cleo, Dan; guests Eve, Finn, Gwen."""
    return ROOT / "voiceid" / "demo" / "voices"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running PostgreSQL, for tests that need several databases or the server's own files."""
    try:
        with postgres_server() as server:
            yield server
    except PostgresMissing as missing:
        absent(str(missing))


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """The SQLAlchemy URL of an empty PostgreSQL database, dropped after the test."""
    with postgres.database() as url:
        yield url


@pytest.fixture(scope="session")
def browser_path() -> str:
    """Chromium, as the system's package brings it."""
    if BROWSER is None:
        absent("no browser on this machine (Debian: apt install chromium)")
    return str(BROWSER)

"""The real server, as a process of its own, with everything it writes below one folder that is gone afterwards."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from voiceid.errors import ServiceUnreachable

SERVE = (sys.executable, "-m", "voiceid", "serve", "--json")
"""The command that starts it, as a user would."""

_READY_WITHIN_S = 90
_GONE_WITHIN_S = 15
_LAST_WORDS_S = 5


@dataclass(frozen=True, slots=True)
class Home:
    """A running installation that did not exist before."""

    url: str
    household: str
    owner_token: str
    folder: Path
    """Everything it writes: `data`, `keys`, `log`, `tmp`."""
    ready_s: float
    """From the command to the first possible answer."""


@contextmanager
def new_home(command: Sequence[str] = SERVE) -> Iterator[Home]:
    """Start a server with fresh directories; end it and remove them, whatever happens.

    Raises: ServiceUnreachable, when it does not become ready.
    """
    with tempfile.TemporaryDirectory(prefix="voiceid-demo-") as scratch:
        folder = Path(scratch)
        for name in ("log", "tmp"):
            (folder / name).mkdir()
        with (folder / "log" / "voiceid.log").open("wb") as log:
            began = time.perf_counter()
            server = subprocess.Popen(  # noqa: S603 our own command
                command, env=_environment(folder), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
            )
            try:
                ready = _ready(server, folder)
                took = time.perf_counter() - began
                yield Home(ready["url"], ready["household"], ready["owner_token"], folder, took)
            finally:
                _end(server)


def _environment(folder: Path) -> dict[str, str]:
    """The shell's, but for settings of ours and for where temporary files go."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VOICEID_")}
    return kept | {
        "VOICEID_DATA_DIR": str(folder / "data"),
        "VOICEID_KEYS_DIR": str(folder / "keys"),
        "VOICEID_HOST": "127.0.0.1",
        "VOICEID_PORT": "0",
        "TMPDIR": str(folder / "tmp"),
    }


def _ready(server: subprocess.Popen[bytes], folder: Path) -> dict[str, str]:
    """Wait for the one line that the server prints."""
    stream = server.stdout
    too_late = threading.Timer(_READY_WITHIN_S, server.kill)
    too_late.start()
    try:
        line = stream.readline() if stream else b""
    finally:
        too_late.cancel()
    try:
        said: dict[str, str] = json.loads(line)
    except ValueError:
        said = {}
    if "url" not in said:
        with suppress(subprocess.TimeoutExpired):
            server.wait(_LAST_WORDS_S)
        log = (folder / "log" / "voiceid.log").read_text(errors="replace").strip().splitlines()
        raise ServiceUnreachable(f"the server did not start: {log[-1] if log else 'it said nothing'}")
    return said


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(_GONE_WITHIN_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    if server.stdout:
        server.stdout.close()

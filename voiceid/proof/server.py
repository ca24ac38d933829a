"""The service in a process of its own: started, killed, started again."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from voiceid.client import Client
from voiceid.service.allocator import ENVIRONMENT

_READY_S = 60
_END_S = 20


class Place:
    """Where one installation lies, and everything that it could leave something in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data, self.keys, self.tmp, self.logs = (root / name for name in ("data", "keys", "tmp", "logs"))
        for folder in (self.tmp, self.logs):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def folders(self) -> list[Path]:
        return [self.data, self.keys, self.tmp, self.logs]


class Server:
    """One start of the service. The process is ours, and ends with the context."""

    def __init__(
        self, place: Place, *, voices: str = "made-up", without: Sequence[str] = (), overwriting: bool = True,
        **settings: str,
    ) -> None:
        """Start it and wait until it answers; `overwriting`: under the allocator that `voiceid serve` runs under.

        Raises: RuntimeError, when it does not come up; its log tells why.
        """
        self.place = place
        what = json.dumps({"voices": voices, "without": list(without)})
        self._log = (place.logs / "server.log").open("ab")
        self._process = subprocess.Popen(  # noqa: S603 our own module
            [sys.executable, "-m", "voiceid.proof.serving", what],
            stdout=subprocess.PIPE, stderr=self._log, cwd=Path.cwd(),
            env={**environment(place, **settings), **(ENVIRONMENT if overwriting else {})},
        )  # fmt: skip
        said = self._process.stdout.readline() if self._process.stdout else b""
        if not said:
            raise RuntimeError(f"the service ended with {self._process.wait(_READY_S)}")
        self.ready: dict[str, Any] = json.loads(said)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def url(self) -> str:
        return str(self.ready["url"])

    def client(self, token: str) -> Client:
        """Somebody with a token."""
        return Client(self.url, token)

    def stop(self) -> None:
        """End it as an operator would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(how)
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_END_S)
        if self._process.stdout:
            self._process.stdout.close()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def environment(place: Place, **settings: str) -> dict[str, str]:
    """A clean environment that knows only this place."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VOICEID_")}
    ours = {"VOICEID_DATA_DIR": place.data, "VOICEID_KEYS_DIR": place.keys, "TMPDIR": place.tmp, "VOICEID_PORT": "0"}
    return {**kept, **{name: str(value) for name, value in ours.items()}, "OMP_NUM_THREADS": "1", **settings}

"""The real service in a process of its own, on a free loopback port, with fresh directories."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from benchmarks import voices
from benchmarks.machine import resident_mb

COMMAND = (sys.executable, "-m", "voiceid", "serve", "--json", "--port", "0")
_GIVE_UP_S = 60


class Server:
    """`voiceid serve`, ready for requests."""

    def __init__(self, home: Path, **settings: str) -> None:
        self._environment = environment(home) | settings
        began = time.perf_counter()
        self._process = subprocess.Popen(
            COMMAND, env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        said = self._process.stdout.readline() if self._process.stdout else ""
        self.ready_s = time.perf_counter() - began
        """Seconds from the start of the process to its word that it is ready."""
        if not said:
            raise RuntimeError(f"voiceid serve ended with {self._process.wait()}")
        ready = json.loads(said)
        self.address = urlsplit(ready["url"]).netloc
        self.household: str | None = ready["household"]
        self.owner_token: str | None = ready["owner_token"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(_GIVE_UP_S)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def resident_mb(self) -> float:
        return resident_mb(self._process.pid)

    def caller(self, token: str) -> "Caller":
        """Somebody with a token and a connection of their own."""
        return Caller(self.address, token)


class Refused(RuntimeError):
    """The service did not do what it was asked to."""

    def __init__(self, said: str, status: int, retry_after: str | None) -> None:
        super().__init__(said)
        self.status = status
        self.retry_after = retry_after


class Caller:
    """One kept-alive connection, by hand: what it costs itself must not count as the service's."""

    def __init__(self, address: str, token: str) -> None:
        host, _, port = address.rpartition(":")
        self._address = host, int(port)
        self._head = f"HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n"
        self._socket: socket.socket | None = None

    def __call__(self, method: str, path: str, body: bytes | dict[str, Any] = b"", kind: str = "audio/wav") -> Any:
        """The answer's JSON.

        Raises: Refused, for any answer but a 2xx.
        """
        if isinstance(body, dict):
            body, kind = json.dumps(body).encode(), "application/json"
        head = f"{method} {path} {self._head}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        try:
            told, content = self._exchange(head.encode() + body)
        except (BrokenPipeError, ConnectionResetError):  # idle too long: hung up
            self._socket = None
            told, content = self._exchange(head.encode() + body)
        status = int(told.split(b" ", 2)[1])
        if status // 100 != 2:  # noqa: PLR2004 success
            said = f"{method} {path}: {status} {content[:200]!r}"
            raise Refused(said, status, (_header(told, b"retry-after") or b"").decode() or None)
        return json.loads(content) if content else None

    def _exchange(self, request: bytes) -> tuple[bytes, bytes]:
        """Status line and headers, and the content that came with them.

        Raises: ConnectionResetError, when the other side has hung up.
        """
        if self._socket is None:
            self._socket = socket.create_connection(self._address, _GIVE_UP_S)
        self._socket.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._more()
        told, _, content = received.partition(b"\r\n\r\n")
        length = int(_header(told, b"content-length") or 0)
        while len(content) < length:
            content += self._more()
        return told, content

    def _more(self) -> bytes:
        found = self._socket.recv(65536) if self._socket else b""
        if not found:
            raise ConnectionResetError
        return found


def _header(told: bytes, name: bytes) -> bytes | None:
    """The value of a header, by its name in small letters."""
    for line in told.split(b"\r\n")[1:]:
        found, _, value = line.partition(b":")
        if found.lower() == name:
            return value.strip()
    return None


class Household:
    """The first household of a fresh service, with members enrolled the way people are: over HTTP, step by step."""

    def __init__(self, server: Server) -> None:
        if server.household is None or server.owner_token is None:
            raise RuntimeError("not a fresh installation")
        self._server = server
        self.path = f"/v1/households/{server.household}"
        self.token = server.owner_token
        self.owner = server.caller(server.owner_token)
        self._policy = self.owner("GET", "/v1/policy")["version"]
        self.asked = 0
        """Requests so far."""

    def enroll(self, who: str, retention: str) -> None:
        """Bring one of the synthetic voices in; `retention` says how long recordings are kept."""
        person = self.owner("POST", f"{self.path}/people", {"display_name": who.title()})["id"]
        here = f"{self.path}/people/{person}"
        code = self.owner("POST", f"{here}/invitations")["code"]
        me = self._server.caller(self.owner("POST", "/v1/session", {"code": code})["token"])
        shown = {"decision": "granted", "policy_version": self._policy, "language": "en", "method": "screen"}
        me("PUT", f"{here}/consents/save_recordings", shown | {"retention": retention})
        me("PUT", f"{here}/consents/voice_id", shown)
        enrollment = f"{here}/enrollments/" + me("POST", f"{here}/enrollments", {"locale": "en"})["id"]
        for number in range(1, voices.TAKES + 1):
            me("POST", f"{enrollment}/takes", voices.take(who, number), "audio/flac")
        me("POST", f"{enrollment}/complete")

    def recognize(self, sound: bytes, kind: str = "audio/wav", by: Caller | None = None) -> dict[str, Any]:
        """One request."""
        self.asked += 1
        answer: dict[str, Any] = (by or self.owner)("POST", f"{self.path}/recognize", sound, kind)
        return answer


def environment(home: Path) -> dict[str, str]:
    """What a server's process sees: its own directories, and no settings of this shell."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("VOICEID_")}
    mine.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed service is compiled once
    return mine | {"VOICEID_DATA_DIR": str(home / "data"), "VOICEID_KEYS_DIR": str(home / "keys")}

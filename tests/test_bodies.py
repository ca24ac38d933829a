"""Request bodies: read in memory under a cap, never spooled to disk, refused early and cheaply."""

import asyncio
import http.client
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient
from home import Home, clip, voice
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from voiceid.service import run
from voiceid.service.body import OTHER_BODY_BYTES
from voiceid.settings import Settings

MIB = 1 << 20
JUST_BELOW_S, JUST_ABOVE_S = 32.0, 33.5  # of 16 bits at 16 kHz: 1,024,044 and 1,072,044 bytes
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TMPFILE


class Watch:
    """Notices every file that this process opens for writing, temporary ones without a name included."""

    def __init__(self) -> None:
        self._seen: list[str] | None = None
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if self._seen is None:
            return
        if (event == "open" and (args[2] or 0) & WRITES) or event.startswith("tempfile."):
            self._seen.append(str(args[0]))

    @contextmanager
    def over(self) -> Iterator[list[str]]:
        self._seen = []
        try:
            yield self._seen
        finally:
            self._seen = None


WATCH = Watch()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with Home(tmp_path_factory.mktemp("home"), max_audio_s=300) as home:
        yield home.enrolls("ada")


def _raw(seconds: float) -> dict[str, Any]:
    return {"content": clip(voice("ada"), seconds), "headers": {"content-type": "audio/wav"}}


def _form(seconds: float) -> dict[str, Any]:
    return {"files": {"audio": ("a.wav", clip(voice("ada"), seconds), "audio/wav")}, "data": {"intent": "weather"}}


@pytest.mark.parametrize("seconds", [JUST_BELOW_S, JUST_ABOVE_S, 300.0], ids=["below 1 MiB", "above 1 MiB", "9 MiB"])
@pytest.mark.parametrize("body", [_raw, _form])
@pytest.mark.parametrize("path", ["recognize", "verify", "takes"])
def test_no_temporary_file_on_either_side_of_a_mebibyte(
    home: Home, body: Callable[[float], dict[str, Any]], path: str, seconds: float
) -> None:
    place = "recognize" if path == "recognize" else f"{home['ada'].path}/{path}"
    if path == "takes":
        started = home.ok("POST", f"{home['ada'].path}/enrollments", home["ada"].headers)["id"]
        place = f"{home['ada'].path}/enrollments/{started}/takes"
    with WATCH.over() as written:
        home.ok("POST", place, home["ada"].headers, **body(seconds))
    assert written == []


async def _spools(request: Request) -> PlainTextResponse:
    async with request.form() as form:
        return PlainTextResponse(str(len(form)))


def test_the_watch_sees_what_starlette_would_do() -> None:
    """Its own form parser writes a body of more than a mebibyte to disk: this is what the tests above would catch."""
    with TestClient(Starlette(routes=[Route("/", _spools, methods=["POST"])])) as client, WATCH.over() as written:
        client.post("/", files=_form(JUST_BELOW_S)["files"])
        assert written == []
        client.post("/", files=_form(JUST_ABOVE_S)["files"])
    assert written != []


# Too much.


class Sender:
    """An ASGI client that counts how much of its body anybody wanted."""

    def __init__(self, home: Home, path: str, headers: dict[str, str], size: int, *, stated: bool) -> None:
        self._home, self._size, self.sent = home, size, 0
        listed = headers | ({"content-length": str(size)} if stated else {"transfer-encoding": "chunked"})
        self._scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
            "path": f"{home.path}/{path}", "raw_path": b"", "query_string": b"", "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in listed.items()],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        }  # fmt: skip
        self.status = 0
        self.content = b""

    async def _receive(self) -> dict[str, Any]:
        more = min(64 * 1024, self._size - self.sent)
        self.sent += more
        return {"type": "http.request", "body": bytes(more), "more_body": self.sent < self._size}

    async def _send(self, message: Any) -> None:
        self.status = message.get("status", self.status)
        self.content += message.get("body", b"")

    def post(self) -> "Sender":
        asyncio.run(self._home.client.app(self._scope, self._receive, self._send))
        return self


KINDS = ["audio/wav", "audio/pcm;rate=16000;encoding=s16le;channels=1", "multipart/form-data; boundary=x"]


@pytest.mark.parametrize("stated", [True, False], ids=["stated", "chunked"])
@pytest.mark.parametrize("kind", KINDS)
def test_three_hundred_megabytes_are_refused_early(home: Home, kind: str, *, stated: bool) -> None:
    """By their stated length before a byte is read, else when the cap is reached."""
    began = time.perf_counter()
    sender = Sender(home, "recognize", {**home.owner, "content-type": kind}, 300 * MIB, stated=stated).post()
    assert (sender.status, b"body-too-large" in sender.content) == (413, True)
    assert sender.sent <= (0 if stated else 25 * MIB)
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize("stated", [True, False], ids=["stated", "chunked"])
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "audio/wav", "multipart/form-data; boundary=x"])
def test_what_is_no_sound_is_capped_lower(home: Home, kind: str, *, stated: bool) -> None:
    """Also when it says that it is sound: an endpoint for JSON takes none."""
    sender = Sender(home, "people", {**home.owner, "content-type": kind}, 4 * MIB, stated=stated).post()
    assert (sender.status, b"body-too-large" in sender.content) == (413, True)
    assert sender.sent <= OTHER_BODY_BYTES + 64 * 1024


@pytest.mark.parametrize("path", ["recognize", "people/{}/verify", "people/{}/enrollments/{}/takes"])
def test_whoever_may_not_send_is_refused_before_anything_is_read(home: Home, path: str) -> None:
    place = path.format(home["ada"].id, "a" * 24)
    for by, status in (({}, 401), (home.admin, 403)):
        sender = Sender(home, place, {**by, "content-type": "audio/wav"}, 20 * MIB, stated=False).post()
        assert (sender.status, sender.sent) == (status, 0)


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "1e9", "", "0x10"])
def test_an_odd_length_is_counted_as_it_comes(home: Home, length: str) -> None:
    headers = {**home.owner, "content-type": "audio/wav", "content-length": length}
    sender = Sender(home, "recognize", headers, 30 * MIB, stated=False)
    sender._scope["headers"] = [one for one in sender._scope["headers"] if one[0] != b"transfer-encoding"]
    assert sender.post().status == 413


@pytest.fixture(scope="module")
def port(home: Home) -> Iterator[int]:
    """The same application behind a real server on a free port of loopback."""
    config = uvicorn.Config(home.client.app, port=0, lifespan="off", log_level="critical", http=run._HTTP)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.parametrize("stated", [True, False], ids=["stated", "chunked"])
def test_a_real_server_stays_small_and_quick(home: Home, port: int, *, stated: bool) -> None:
    """300 MB over a socket: 413 within seconds, no more memory than the cap allows, and the service goes on."""
    before, began = _peak_mib(), time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest("POST", f"{home.path}/recognize")
    for name, value in {**home.owner, "Content-Type": "audio/wav"}.items():
        connection.putheader(name, value)
    connection.putheader(*(("Content-Length", str(300 * MIB)) if stated else ("Transfer-Encoding", "chunked")))
    connection.endheaders()
    block = bytes(MIB)
    try:
        for _ in range(300):
            connection.send(block if stated else b"%x\r\n%s\r\n" % (len(block), block))
    except (BrokenPipeError, ConnectionResetError):
        pass  # the server has answered and hung up
    with connection.getresponse() as response:
        assert response.status == 413
    connection.close()
    assert time.perf_counter() - began < 10
    assert _peak_mib() - before < 100
    assert home.hears("ada")["mode"] == "personalized"


HEAD = b" HTTP/1.1\r\nhost: localhost\r\n"
IN_CHUNKS = b"POST /v1/session" + HEAD + b"transfer-encoding: chunked\r\n\r\n1"
ENDLESS = {
    "an address": b"GET /healthz?",
    "a name": b"GET /healthz" + HEAD,
    "a value": b"GET /healthz" + HEAD + b"x: ",
    "a trailer": IN_CHUNKS + b"\r\n{\r\n0\r\nx: ",
    "the length of a chunk": IN_CHUNKS + b";",
}


@pytest.mark.parametrize("begun", ENDLESS.values(), ids=ENDLESS)
def test_a_head_without_an_end_is_cut_off(home: Home, port: int, begun: bytes) -> None:
    """At 16 KiB, or what came in at once with it; whoever goes on sending finds the line closed."""
    sent = 0
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line, suppress(ConnectionError):
        line.sendall(begun)
        while sent < 2 * MIB:
            line.sendall(b"a" * 4096)
            sent += 4096
            time.sleep(0.001)
    assert sent < MIB
    assert home.hears("ada")["mode"] == "personalized"


def test_a_trailer_is_no_header(home: Home, port: int) -> None:
    """Whoever stands before us and checks headers would not see it."""
    head = f"POST {home.path}/recognize HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n"
    (name, value), = home.owner.items()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(f"{head}content-type: audio/wav\r\n\r\n1\r\nx\r\n0\r\n{name}: {value}\r\n\r\n".encode())
        assert told(line) == 401


@pytest.mark.parametrize("apart", [False, True], ids=["at once", "apart"])
def test_an_upgrade_that_nobody_offers_keeps_its_body(home: Home, port: int, *, apart: bool) -> None:
    """Java's client and curl ask for one with every request."""
    sound, (owner,) = clip(voice("ada")), home.owner.items()
    head = {
        "host": "localhost", owner[0]: owner[1], "content-type": "audio/wav", "content-length": str(len(sound)),
        "connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AAMAAABkAARAAAAAAAIAAAAA",
    }  # fmt: skip
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        parts = [f"POST {home.path}/recognize HTTP/1.1\r\n{lines}\r\n".encode(), sound]
        for part in parts if apart else [b"".join(parts)]:
            line.sendall(part)
            time.sleep(0.05)
        assert told(line) == 200


def test_many_requests_at_once_on_one_line_wait_their_turn(home: Home, port: int) -> None:
    before = _peak_mib()
    with socket.create_connection(("127.0.0.1", port), timeout=1) as line, suppress(TimeoutError):
        for _ in range(200):
            line.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n" * 2000)
    assert _peak_mib() - before < 40
    assert home.hears("ada")["mode"] == "personalized"


def test_the_service_reads_requests_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else is installed."""
    used = []
    monkeypatch.setattr(run, "settled", lambda: None)
    monkeypatch.setattr(run._Server, "run", lambda self, **_: used.append(self.config.http))
    run.serve(Settings(data_dir=tmp_path / "data", keys_dir=tmp_path / "keys", port=0), lambda _: None)
    assert used == ["h11"]


def told(line: socket.socket) -> int:
    """The status of the answer on this line, read to its end."""
    answered = http.client.HTTPResponse(line)
    answered.begin()
    answered.read()
    return answered.status


def test_a_long_head_is_read(port: int) -> None:
    """As long as a proxy before us might make it, in pieces; and the line stays open."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        for _ in range(3):
            line.sendall(b"GET /healthz" + HEAD)
            for number in range(14):
                line.sendall(b"x-%d: %s\r\n" % (number, b"a" * 1000))
            line.sendall(b"\r\n")
            assert told(line) == 200


# Broken forms.

BOUNDARY = "--x\r\n"
AUDIO = 'Content-Disposition: form-data; name="audio"\r\n\r\n'
FORMS = {
    "no boundary": ("multipart/form-data", b""),
    "an empty boundary": ('multipart/form-data; boundary=""', b"----"),
    "nothing": ("multipart/form-data; boundary=x", b""),
    "another boundary": ("multipart/form-data; boundary=x", b"--y\r\n\r\n\r\n--y--\r\n"),
    "no field audio": (
        "multipart/form-data; boundary=x",
        f'{BOUNDARY}Content-Disposition: form-data; name="sound"\r\n\r\nabc\r\n--x--\r\n'.encode(),
    ),
    "a field without a name": ("multipart/form-data; boundary=x", f"{BOUNDARY}X: y\r\n\r\nabc\r\n--x--\r\n".encode()),
    "cut off in a header": ("multipart/form-data; boundary=x", f"{BOUNDARY}Content-Dispo".encode()),
    "cut off in the sound": ("multipart/form-data; boundary=x", f"{BOUNDARY}{AUDIO}RIFF".encode()),
    "cut off at the end": ("multipart/form-data; boundary=x", f"{BOUNDARY}{AUDIO}RIFF\r\n--x".encode()),
    "without an end": (
        "multipart/form-data; boundary=x",
        f'{BOUNDARY}{AUDIO}RIFF\r\n{BOUNDARY}Content-Disposition: form-data; name="intent"\r\n\r\nwea'.encode(),
    ),
    "a broken header": ("multipart/form-data; boundary=x", f"{BOUNDARY}a b c\x00\r\n\r\nabc\r\n--x--\r\n".encode()),
    "an endless header": ("multipart/form-data; boundary=x", BOUNDARY.encode() + b"X" * 200_000),
    "a long text": (
        "multipart/form-data; boundary=x",
        f'{BOUNDARY}Content-Disposition: form-data; name="intent"\r\n\r\n{"y" * 9000}\r\n--x--\r\n'.encode(),
    ),
    "a hundred thousand parts": (
        "multipart/form-data; boundary=x", f"{BOUNDARY}{AUDIO}\r\n".encode() * 100_000 + b"--x--\r\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "content"), FORMS.values(), ids=FORMS)
def test_a_broken_form_is_refused_at_once(home: Home, kind: str, content: bytes) -> None:
    began = time.perf_counter()
    answered = home.call("POST", "recognize", home.owner, content=content, headers={"content-type": kind})
    assert (answered.status_code, answered.json()["type"]) == (422, "/problems/invalid-request")
    assert time.perf_counter() - began < 2


def test_a_form_may_hold_other_fields(home: Home) -> None:
    form = {"audio": ("a.wav", clip(voice("ada")), "audio/wav"), "camera": (None, "front door")}
    assert home.ok("POST", "recognize", home.owner, files=form)["mode"] == "personalized"




def test_json_that_is_none(home: Home) -> None:
    for content in (b"", b"{", b'{"name": }', b"\xff", b"[" * 50_000):
        typed = {**home.admin, "content-type": "application/json"}
        answered = home.call("POST", "/v1/households", typed, content=content)
        assert (answered.status_code, answered.json()["type"]) == (422, "/problems/invalid-request")

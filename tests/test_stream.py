"""The limits of live connections: how many there are, and how fast anybody may send."""

import asyncio
import json
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from home import Home
from running import Running, running
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from voiceid import listen
from voiceid.errors import TooManyConnections
from voiceid.service import stream
from voiceid.service.stream import PER_TOKEN, OpenStreams

CHUNK = bytes(3200)
FLOOD_BYTES = 64 * 1024 * 1024


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("home"), encoders=1, live_per_household=3) as started:
        yield started


def live(service: Running, token: str | None = None) -> ClientConnection:
    headers = {"Authorization": f"Bearer {token or service.owner}"}
    address = f"ws{service.url[4:]}/v1/households/{service.household}/listen"
    return connect(address, additional_headers=headers, max_size=None)


def first(connection: ClientConnection) -> str:
    """What a connection is told first: `listening`, or the code of a problem."""
    event = json.loads(connection.recv(10))
    return str(event["problem"]["type"] if event["type"] == "error" else event["type"])


def test_a_household_has_so_many_live_connections_and_no_more(service: Running) -> None:
    with ExitStack() as held:
        for _ in range(3):
            assert first(held.enter_context(live(service))) == "listening"
        one_more = held.enter_context(live(service))
        assert first(one_more) == "/problems/too-many-connections"
        with pytest.raises(ConnectionClosed) as closed:
            one_more.recv(10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013
    deadline = time.monotonic() + 5
    while len(service.services.streams) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(service.services.streams) == 0
    with live(service) as again:
        assert first(again) == "listening"


def test_a_refused_connection_takes_no_place(tmp_path: Path) -> None:
    with Home(tmp_path, live_per_household=1) as home:
        for headers in ({"Authorization": "Bearer nonsense"}, home.admin):
            with home.client.websocket_connect(f"{home.path}/listen", headers=headers) as refused:
                assert json.loads(refused.receive_text())["type"] == "error"
        with home.client.websocket_connect(f"{home.path}/listen", headers=home.owner) as taken:
            assert json.loads(taken.receive_text())["type"] == "listening"


@pytest.mark.parametrize(("kind", "room"), [("token", PER_TOKEN), ("household", 12), ("service", 20)])
def test_each_limit_counts_for_itself(kind: str, room: int) -> None:
    """Connections of one token; of one household, by many tokens; of many households."""
    streams = OpenStreams(in_all=20, per_household=12)
    with ExitStack() as held:
        for number in range(room):
            household = "h" if kind != "service" else f"h{number}"
            held.enter_context(streams.one(household, "t" if kind == "token" else f"t{number}"))
        with pytest.raises(TooManyConnections, match=kind), streams.one("h" if kind != "service" else "new", "t"):
            pass
        assert len(streams) == room
    assert len(streams) == 0
    assert not streams._open


def _memory_bytes() -> int:
    """Memory of this process, which is the service's too."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_whoever_sends_faster_than_the_service_listens_has_to_wait(service: Running) -> None:
    """While the only encoder is taken nothing more is read: a flood waits in the system's buffers, or at its source."""
    gate = threading.Event()
    headers = {"Authorization": f"Bearer {service.owner}"}
    address = f"ws{service.url[4:]}/v1/households/{service.household}/listen"
    with connect(address, additional_headers=headers, max_size=None) as connection:
        assert first(connection) == "listening"
        service.services.pool._threads.submit(gate.wait)
        connection.send(CHUNK)
        before = _memory_bytes()

        def flood() -> None:
            message = bytes(60_000)
            with suppress(ConnectionClosed, OSError):
                for _ in range(FLOOD_BYTES // len(message)):
                    connection.send(message)

        flooding = threading.Thread(target=flood)
        flooding.start()
        flooding.join(2)
        grown = _memory_bytes() - before
        gate.set()
        connection.socket.shutdown(socket.SHUT_RDWR)
        flooding.join(10)
    assert not flooding.is_alive()
    assert grown < FLOOD_BYTES / 4


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with Home(tmp_path_factory.mktemp("quiet")) as made:
        yield made


def code_of_the_end(home: Home, messages: list[bytes | str], pause_s: float = 0.0) -> str:
    """Send these, one after the other; the code of the problem that ends the connection."""
    with home.client.websocket_connect(f"{home.path}/listen", headers=home.owner) as socket_:
        for message in messages:
            time.sleep(pause_s)
            socket_.send_bytes(message) if isinstance(message, bytes) else socket_.send_text(message)
        while (event := json.loads(socket_.receive_text()))["type"] != "error":
            pass
        assert socket_.receive()["code"] == 1008
    return str(event["problem"]["type"]).removeprefix("/problems/")


def test_a_connection_carries_an_hour_of_sound_and_no_more(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert listen.LONGEST_CONNECTION_S == 3600
    monkeypatch.setattr(listen, "LONGEST_CONNECTION_S", 1)
    assert code_of_the_end(home, [CHUNK] * 12) == "audio-too-long"


def test_whoever_sends_little_stays_no_longer_than_whoever_sends_much(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour of sound in crumbs, or none at all, would hold a place for days."""
    assert stream.LONGEST_S == 3600
    monkeypatch.setattr(stream, "LONGEST_S", 0.05)
    assert code_of_the_end(home, ['{"type": "end"}'] * 4, pause_s=0.03) == "audio-too-long"


def test_whoever_reads_nothing_of_what_they_are_told_is_given_up(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their window is shut: from the second event on nothing can be sent, not even why."""
    assert stream.IDLE_S == 30
    monkeypatch.setattr(stream, "IDLE_S", 0.05)
    monkeypatch.setattr(stream, "_LAST_WORD_S", 0.05)
    coming = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": '{"type": "end"}'}]
    told: list[Any] = []

    async def receive() -> Any:
        return coming.pop(0) if coming else await asyncio.Future()

    async def send(message: Any) -> None:
        told.append(message)
        if len(told) > 2:
            await asyncio.Future()

    path = f"{home.path}/listen"
    scope = {
        "type": "websocket", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": [(b"authorization", home.owner["Authorization"].encode())], "subprotocols": [],
        "asgi": {"version": "3.0"}, "scheme": "ws", "client": ("test", 1), "server": ("test", 1),
    }  # fmt: skip
    asyncio.run(asyncio.wait_for(home.client.app(scope, receive, send), 5))
    assert [json.loads(message["text"])["type"] for message in told[1:]] == ["listening", "listening", "error"]
    assert json.loads(told[-1]["text"])["problem"]["type"] == "/problems/idle"
    assert len(home.services.streams) == 0

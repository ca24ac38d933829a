"""The guards of conftest.py hold: what they should stop is stopped, what they should allow works."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from closed_sockets import OutboundConnection, closed_sockets, is_local
from postgres import PostgresServer


@pytest.fixture
def attempts() -> Iterator[list[str]]:
    """A second guard around the test, so that its tries do not count against the test itself."""
    with closed_sockets() as tried:
        yield tried


@pytest.mark.parametrize("host", ["192.0.2.1", "10.0.0.1", "2001:db8::1", "::ffff:192.0.2.1", "example.org", "0.0.0.0"])
def test_other_machines_are_not_local(host: str) -> None:
    assert not is_local(host)


@pytest.mark.parametrize("host", [None, "", "localhost", "127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", b"::1"])
def test_this_machine_is_local(host: object) -> None:
    assert is_local(host)


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")])
def test_no_stream_leaves(attempts: list[str], family: int, host: str) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        with pytest.raises(OutboundConnection):
            sock.connect((host, 80))
        with pytest.raises(OutboundConnection):
            sock.connect_ex((host, 80))
    assert attempts == [host, host]


def test_no_datagram_leaves(attempts: list[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        with pytest.raises(OutboundConnection):
            sock.sendto(b"x", ("192.0.2.1", 53))
        with pytest.raises(OutboundConnection):
            sock.sendto(b"x", 0, ("192.0.2.1", 53))
    assert len(attempts) == 2


def test_no_name_is_looked_up(attempts: list[str]) -> None:
    with pytest.raises(OutboundConnection):
        socket.getaddrinfo("example.org", 443)
    with pytest.raises(OutboundConnection):
        socket.gethostbyname("example.org")
    assert attempts == ["example.org", "example.org"]


def test_asyncio_takes_the_same_way(attempts: list[str]) -> None:
    async def reach_out() -> None:
        await asyncio.open_connection("192.0.2.1", 80)

    with pytest.raises(OutboundConnection):
        asyncio.run(reach_out())
    assert attempts == ["192.0.2.1"]


def test_a_swallowed_refusal_is_still_on_record(attempts: list[str]) -> None:
    with socket.socket() as sock:
        try:
            sock.connect(("192.0.2.1", 80))
        except Exception:  # noqa: BLE001 - as careless code would
            sock.close()
    assert attempts == ["192.0.2.1"]


def test_loopback_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        client.sendall(b"hello")
        peer, _ = server.accept()
        with peer:
            assert peer.recv(5) == b"hello"


def test_unix_sockets_are_open(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen()
        client.connect(str(tmp_path / "s"))


def test_the_shell_does_not_steer_the_tests() -> None:
    assert [name for name in os.environ if name.startswith("VOICEID_")] == []


def test_postgres_hands_out_empty_databases(postgres_url: str, postgres: PostgresServer) -> None:
    def tables(url: str) -> int:
        with psycopg.connect(url.replace("+psycopg", "")) as session:
            found = session.execute("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'")
            row = found.fetchone()
            session.execute("CREATE TABLE voice (id int)")
        assert row is not None
        return int(row[0])

    assert tables(postgres_url) == 0
    with postgres.database() as other:
        assert tables(other) == 0


def test_postgres_listens_on_no_port(postgres: PostgresServer) -> None:
    with psycopg.connect(postgres.url().replace("+psycopg", "")) as session:
        assert session.execute("SHOW listen_addresses").fetchone() == ("",)


def test_the_synthetic_household_is_complete(voices: Path) -> None:
    clips = {path.stem for path in voices.glob("*/*.flac")}
    everyone = {path.parent.name for path in voices.glob("*/*.flac")}
    assert everyone == {"ada", "ben", "cleo", "dan", "guest_eve", "guest_finn", "guest_gwen"}
    assert clips == {f"enroll_{n}" for n in range(1, 5)} | {f"request_{n}" for n in range(1, 7)}
    assert len(list(voices.glob("*/*.flac"))) == len(everyone) * len(clips)

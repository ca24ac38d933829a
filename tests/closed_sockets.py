"""No packet leaves this machine while tests run: Python's sockets reach loopback and Unix sockets, nothing else.

Libraries that call the operating system themselves (libpq, ZeroMQ) are not covered; they are given local addresses.
"""

import ipaddress
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

_LOCAL_NAMES = frozenset({"", "localhost", "ip6-localhost"})


class OutboundConnection(RuntimeError):
    """A test tried to reach another machine. Not an OSError, so that no retry loop takes it for a bad network."""


def is_local(host: object) -> bool:
    """Whether a packet to this host stays on this machine. A name that would have to be looked up does not."""
    if host is None:
        return True
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    if name in _LOCAL_NAMES:
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _check(attempts: list[str], host: object) -> None:
    if not is_local(host):
        attempts.append(str(host))
        raise OutboundConnection(f"outbound connection to {host!r}")


@contextmanager
def closed_sockets() -> Iterator[list[str]]:
    """Refuse every way out for as long as the context lasts; yields the hosts that were tried."""
    attempts: list[str] = []

    def guarded(name: str) -> Callable[..., Any]:
        original = getattr(socket.socket, name)

        def call(sock: socket.socket, *args: Any) -> Any:
            address = args[-1]  # sendto(data, [flags,] address)
            if sock.family in (socket.AF_INET, socket.AF_INET6):
                _check(attempts, address[0])
            return original(sock, *args)

        return call

    def looked_up(name: str) -> Callable[..., Any]:
        original = getattr(socket, name)

        def call(host: object, *args: Any, **kwargs: Any) -> Any:
            _check(attempts, host)
            return original(host, *args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for method in ("connect", "connect_ex", "sendto"):
            patch.setattr(socket.socket, method, guarded(method))
        for function in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
            patch.setattr(socket, function, looked_up(function))
        yield attempts

"""Runs the service: one process, one socket, and a log that holds nothing of what came in. The only user of uvicorn."""

import errno
import ipaddress
import logging
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace

import uvicorn

from voiceid.errors import InvalidSettings
from voiceid.service import wiring
from voiceid.service.early import Networks, settled
from voiceid.service.services import Services
from voiceid.settings import Settings
from voiceid.store.backup import in_use

_NOISY = ("uvicorn", "alembic")
_MESSAGE_BYTES = 64 * 1024
"""A chunk of sound has 3,200; nothing larger is read into memory first and refused then."""
_FINISH_S = 10
"""How long a request that is under way may take once the service is told to stop."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The service answers. Household and tokens are set on an installation's first start alone, and shown this once."""

    url: str
    code: str
    """Signs in whoever redeems it first as the owner of the first household; made anew at every start."""
    household: str | None = None
    admin_token: str | None = None
    owner_token: str | None = None


def serve(
    settings: Settings, on_ready: Callable[[Ready], None], *, plain_http_anywhere: bool = False,
    networks: Networks | None = None,
) -> None:
    """Run until a signal ends it; `on_ready` is called once, when the first request would be answered.

    `networks`, where there are any, are loading already.
    Raises: InvalidSettings, for an address that cannot be had, or one off loopback unless `plain_http_anywhere`; what
        build() raises.
    """
    if not (plain_http_anywhere or is_loopback(settings.host)):
        raise InvalidSettings(
            f"{settings.host} is not loopback, and plain HTTP would carry voices and tokens for anyone on the network"
            " to read: put TLS in front and say --unsafe-plain-http"
        )
    _log_to_stderr(settings.log_level)
    with ExitStack() as held:
        bound = held.enter_context(_bind(settings.host, settings.port))
        if settings.database_url is None:
            held.enter_context(in_use(settings.data_dir, alone=False))
        services = wiring.build(settings, networks=networks)
        config = uvicorn.Config(
            wiring.create_app(services), log_config=None, access_log=False, server_header=False, proxy_headers=False,
            ws="websockets-sansio", ws_max_size=_MESSAGE_BYTES, timeout_graceful_shutdown=_FINISH_S,
        )  # fmt: skip
        settled()
        _Server(config, lambda: on_ready(_ready(services, bound))).run(sockets=[bound])


def is_loopback(host: str) -> bool:
    """Whether what is sent to this address stays on this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Server(uvicorn.Server):
    """Tells when it is ready: only then are the first tokens made, so that none is lost to a failed start."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets)
        if self.started:
            self._on_ready()


def _ready(services: Services, bound: socket.socket) -> Ready:
    host, port = bound.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 shown, not bound
    first = wiring.first_start(services)
    ready = Ready(f"http://{shown}:{port}", wiring.sign_in_code(services))
    return replace(ready, **asdict(first)) if first else ready


def _bind(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet: connections are refused until the service is ready."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InvalidSettings(f"port {port} is taken by another program; 0 finds a free one") from None
        raise InvalidSettings(f"cannot listen on {host} port {port}: {error.strerror}") from None
    return bound


def _log_to_stderr(level: str) -> None:
    line = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(stream=sys.stderr, level=level.upper(), format=line)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))

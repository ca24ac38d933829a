"""Runs the service: one process, one socket, and a log that holds nothing of what came in. The only user of uvicorn."""

import asyncio
import errno
import ipaddress
import logging
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast

import uvicorn
from starlette.types import ASGIApp

from voiceid.errors import InvalidSettings, VoiceIdError
from voiceid.service import wiring
from voiceid.service.early import Networks, rest, settled, slim
from voiceid.service.front import Front
from voiceid.service.hosts import AllowedHosts, extra_hosts
from voiceid.service.later import Later
from voiceid.service.problems import Net
from voiceid.service.services import Services
from voiceid.settings import Settings
from voiceid.store.backup import in_use
from voiceid.store.store import utc_now

if TYPE_CHECKING:
    from voiceid.service.lan import Lan

_NOISY = ("uvicorn", "alembic", "faiss")
_MESSAGE_BYTES = 64 * 1024
"""A chunk of sound has 3,200; nothing larger is read into memory first and refused then."""
_HTTP: Literal["h11"] = "h11"
"""uvicorn would take httptools wherever that is installed. Its heads have no bound, a trailer counts as a header, even
`Authorization`, and the body behind an `Upgrade` that nobody offers counts as the next request."""
_FINISH_S = 10
"""How long a request that is under way may take once the service is told to stop."""
_HANDSHAKE_S = 10
_LOOK_EVERY_TICKS = 36_000
"""An hour: uvicorn ticks ten times a second."""
_AFTER_S = 1
"""After the service is ready: a request that has waited for it is answered first."""
_LOOPBACK = "127.0.0.1"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ready:
    """The service answers. Household and tokens are set on an installation's first start alone, and shown this once."""

    url: str
    code: str
    """Signs in whoever redeems it first as the owner of the first household; made anew at every start."""
    household: str | None = None
    admin_token: str | None = None
    owner_token: str | None = None
    lan_url: str | None = None
    """The same service on other devices of the home; set with `--lan`."""
    fingerprint: str | None = None
    """SHA-256 of the certificate that they are to trust; to compare with what they show."""


def serve(
    settings: Settings, on_ready: Callable[[Ready], None], *, lan: bool = False, plain_http_anywhere: bool = False,
    networks: Networks | None = None,
) -> None:
    """Run until a signal ends it; `on_ready` is called once, when the first request would be answered.

    With `lan` it listens on loopback as ever, and with TLS on this machine's addresses in the home network.
    `networks`, where there are any, are loading already.
    Raises: InvalidSettings, for an address that cannot be had, or one off loopback unless `plain_http_anywhere`; what
        build() raises.
    """
    if not (lan or plain_http_anywhere or is_loopback(settings.host)):
        raise InvalidSettings(
            f"{settings.host} is not loopback, and plain HTTP would carry voices and tokens for anyone on the network"
            " to read: say --lan for HTTPS in the home network, or put TLS in front and say --unsafe-plain-http"
        )
    _log_to_stderr(settings.log_level)
    with ExitStack() as held:
        bound = held.enter_context(_bind(_LOOPBACK if lan else settings.host, settings.port))
        if settings.database_url is None:
            held.enter_context(in_use(settings.data_dir, alone=False))
        services = wiring.build(settings, networks=networks)
        home = _at_home(settings, bound) if lan else None
        outside = [held.enter_context(_bind(address, home.port)) for address in home.addresses] if home else []
        later = Later(partial(_application, services, home))
        names = [*extra_hosts(settings), *(home.names if home else ())]
        config = uvicorn.Config(
            AllowedHosts(Net(Front(services, later)), names), log_config=None, access_log=False, server_header=False,
            proxy_headers=False, http=_HTTP, ws=cast("Any", _websocket), ws_max_size=_MESSAGE_BYTES,
            timeout_graceful_shutdown=_FINISH_S,
        )  # fmt: skip
        settled()
        tell, load = lambda: on_ready(_ready(services, bound, home)), partial(_rest, services)
        _Server(config, tell, load, later, home, outside).run(sockets=[bound])


def is_loopback(host: str) -> bool:
    """Whether what is sent to this address stays on this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Server(uvicorn.Server):
    """Tells when it is ready: only then are the first tokens made, so that none is lost to a failed start.

    It listens with TLS on further sockets, and takes a new certificate in time.
    """

    def __init__(
        self, config: uvicorn.Config, on_ready: Callable[[], None], load: Callable[[], None], later: Later,
        home: "Lan | None", outside: Sequence[socket.socket],
    ) -> None:
        super().__init__(config)
        self._on_ready, self._load, self._later = on_ready, load, later
        self._home, self._outside = home, outside
        self._tls = home.tls() if home else None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets)
        if not self.started:
            return
        if self._tls:
            for one in self._outside:
                self.servers.append(await self._listen(one, self._tls))
        self._on_ready()
        self._rest = asyncio.create_task(self._load_rest())

    async def on_tick(self, counter: int) -> bool:
        """Once in a while look whether the certificate is still good for long."""
        if self._home and self._tls and counter % _LOOK_EVERY_TICKS == 0:
            try:
                if newer := self._home.renewed(utc_now()):
                    self._home = newer
                    self._tls.load_cert_chain(newer.certified.certificate, newer.certified.key)
            except VoiceIdError as error:
                _log.warning("the certificate will be renewed later: %s", type(error).__name__)
        return await super().on_tick(counter)

    async def _load_rest(self) -> None:
        try:
            await asyncio.to_thread(self._load)
            await asyncio.sleep(_AFTER_S)
            await self._later.complete()
        except Exception as error:  # noqa: BLE001 whoever asks for what is lacking has it tried again, and hears of it
            _log.error("part of the service cannot be loaded: %s", type(error).__name__)

    async def _listen(self, one: socket.socket, tls: ssl.SSLContext) -> asyncio.Server:
        def protocol() -> asyncio.Protocol:
            make: Any = self.config.http_protocol_class  # uvicorn knows only that it is a class
            made: asyncio.Protocol = make(
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )
            return made

        return await asyncio.get_running_loop().create_server(
            protocol, sock=one, ssl=tls, backlog=self.config.backlog, ssl_handshake_timeout=_HANDSHAKE_S
        )


def _websocket(**given: Any) -> asyncio.Protocol:
    from uvicorn.protocols.websockets.websockets_sansio_impl import (  # noqa: PLC0415 whom nobody calls live needs none
        WebSocketsSansIOProtocol,
    )

    return WebSocketsSansIOProtocol(**given)


def _rest(services: Services) -> None:
    rest()
    services.store.database.fill()


def _application(services: Services, home: "Lan | None") -> ASGIApp:
    """The whole application, with what the framework would else build in its first request, on the loop."""
    slim()
    from voiceid.service.application import create_app  # noqa: PLC0415 the web framework takes half a second to import

    app = create_app(services)
    app.state.lan = home
    for route in app.router.routes:
        route.matches({"type": "http", "method": "GET", "path": "/", "headers": []})
    return app


def _at_home(settings: Settings, bound: socket.socket) -> "Lan":
    from voiceid.service.lan import prepare  # noqa: PLC0415 X.509 takes long to import, and few need it

    return prepare(settings, bound.getsockname()[1], utc_now())


def _ready(services: Services, bound: socket.socket, home: "Lan | None") -> Ready:
    host, port = bound.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 shown, not bound
    first = wiring.first_start(services)
    ready = Ready(f"http://{shown}:{port}", wiring.sign_in_code(services))
    if home:
        ready = replace(ready, lan_url=home.url, fingerprint=home.certified.fingerprint)
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

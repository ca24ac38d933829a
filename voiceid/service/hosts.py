"""By which names the service may be called, and by no other: a name of another site may be made to lead here."""

import ipaddress
from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from voiceid.errors import WrongHost
from voiceid.service.problems import answer
from voiceid.settings import Settings

HERE = ("localhost",)


def extra_hosts(settings: Settings) -> list[str]:
    """The further names that the operator lists."""
    return [name.strip().lower() for name in settings.allowed_hosts.split(",") if name.strip()]


class AllowedHosts:
    """ASGI middleware: answers only to its own names.

    Another site's name may be made to lead here (DNS rebinding), and its page would then count as ours; the name in
    `Host` tells. An address as the host was typed as such: no name led here.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        self._app = app
        self._names = frozenset({*HERE, *names})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is meant for us, refuse the rest before anything of it is read."""
        if scope["type"] not in {"http", "websocket"} or self._knows(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await answer(WrongHost())(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    def _knows(self, scope: Scope) -> bool:
        named = [value.decode("latin-1") for key, value in scope["headers"] if key == b"host"]
        return len(named) == 1 and (name := host_of(named[0])) != "" and (is_address(name) or name in self._names)


def host_of(header: str) -> str:
    """The host in a `Host` header, without its port; empty if there is none."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower().rstrip(".")


def is_address(name: str) -> bool:
    """Whether this is an IP address rather than a name."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

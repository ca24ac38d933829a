"""The front door: answers recognition, live recognition and health, and hands on everything else.

Whoever speaks waits for these, after a start too; the web framework takes longer to load than all they need. What is
asked as plainly as documented is answered here, as the application would (`tests/test_front.py` asks both). The rest,
every mistake in an address included, is the application's to judge.
"""

import asyncio
import re

from starlette.datastructures import QueryParams, State
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from voiceid.errors import InvalidRequest
from voiceid.listen import Wish
from voiceid.ports import Actor
from voiceid.service.answering import ID, answered, as_json, listen, may_recognize, wish
from voiceid.service.body import audio_body, capped
from voiceid.service.services import Services
from voiceid.service.sessions import with_our_cookies
from voiceid.service.wiring import alive
from voiceid.store.database import WouldWait
from voiceid.types import HouseholdId

_RECOGNIZE = re.compile(f"/v1/households/(?P<household>{ID})/recognize")
_LISTEN = re.compile("/v1/households/(?P<household>[^/]+)/listen")
_MAY_ASK = frozenset({"intent", "locale", "explain"})
_WELL = {"status": "ok"}


class Front:
    """An ASGI application before the whole one. A failure is left to who answers failures, `problems.Net`."""

    def __init__(self, services: Services, rest: ASGIApp) -> None:
        """`rest` is the whole application; its lifespan is ours."""
        self.state = State({"services": services})
        self._services = services
        self._rest = rest
        self._lifespan = Router(lifespan=lambda _: alive(services))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is ours, hand on the rest."""
        if any(name == b"cookie" for name, _ in scope.get("headers", ())):
            scope = with_our_cookies(scope)
        match scope["type"], scope.get("method"), "" if scope.get("root_path") else scope.get("path", ""):
            case "websocket", _, path if found := _LISTEN.fullmatch(path):
                await listen(WebSocket(self._ours(scope, **found.groupdict()), receive, send), found["household"])
            case "http", "POST", path if (found := _RECOGNIZE.fullmatch(path)) and (asked := _plain_wish(scope)):
                answer = await self._recognize(self._ours(scope, **found.groupdict()), receive, asked)
                await answer(scope, receive, send)
            case "http", "GET", "/healthz":
                await JSONResponse(_WELL)(scope, receive, send)
            case "http", "GET", "/readyz":
                await asyncio.to_thread(self._services.check)
                await JSONResponse(_WELL)(scope, receive, send)
            case "lifespan", *_:
                await self._lifespan(scope, receive, send)
            case _:
                await self._rest(scope, receive, send)

    async def _recognize(self, scope: Scope, receive: Receive, wished: Wish) -> Response:
        request = Request(scope, capped(scope, receive, self._services.settings.max_body_mb))
        actor = await self._caller(request)
        audio = await audio_body(request)
        household = HouseholdId(request.path_params["household"])
        answer = await answered(self._services, household, actor, audio, wished)
        return Response(as_json(answer), media_type="application/json")

    async def _caller(self, request: Request) -> Actor:
        """Who asks, if they may. Told at once where that can be: in a thread it would wait for those that encode."""
        try:
            with self._services.store.database.at_once():
                return may_recognize(request)
        except WouldWait:
            return await asyncio.to_thread(may_recognize, request)

    def _ours(self, scope: Scope, **found: str) -> Scope:
        return {**scope, "app": self, "path_params": found}


def _plain_wish(scope: Scope) -> Wish | None:
    """What the address asks for, each once and as documented; None: it is not as plain as that."""
    asked = QueryParams(scope["query_string"])
    names = [name for name, _ in asked.multi_items()]
    if len(names) > len(set(names)) or not _MAY_ASK.issuperset(names):
        return None
    try:
        return wish(asked)
    except InvalidRequest:
        return None

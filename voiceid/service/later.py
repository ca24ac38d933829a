"""Routes that are loaded once the service is ready. Recognition is there before; who asks for more waits for it."""

import asyncio
from collections.abc import Callable, Iterable

from fastapi import APIRouter, FastAPI
from starlette.routing import Match
from starlette.types import Receive, Scope, Send


class Later:
    """An application, and the routes that it still lacks."""

    def __init__(self, app: FastAPI, rest: Callable[[], Iterable[APIRouter]]) -> None:
        self._app, self._rest = app, rest
        self._there = False
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._there and scope["type"] in {"http", "websocket"} and not self._known(scope):
            await self.complete()
        await self._app(scope, receive, send)

    async def complete(self) -> None:
        """Load what is lacking, in a thread: requests go on being answered."""
        async with self._turn:
            if self._there:
                return
            for router in await asyncio.to_thread(self._rest):
                self._app.include_router(router)
            self._there = True

    def _known(self, scope: Scope) -> bool:
        return any(route.matches(scope)[0] is not Match.NONE for route in self._app.routes)

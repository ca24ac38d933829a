"""What is loaded once the service is ready: recognition is there before; whoever asks for more then waits for it."""

import asyncio
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send


class Later:
    """An ASGI application that is loaded in a thread, once, before its first request at the latest."""

    def __init__(self, load: Callable[[], ASGIApp]) -> None:
        self._load = load
        self._loaded: ASGIApp | None = None
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, once there is somebody to pass on to."""
        there = self._loaded or await self.complete()
        await there(scope, receive, send)

    async def complete(self) -> ASGIApp:
        """Load it, unless it is loaded: requests go on being answered. Another call tries again what failed."""
        async with self._turn:
            if self._loaded is None:
                self._loaded = await asyncio.to_thread(self._load)
            return self._loaded

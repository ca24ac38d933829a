"""What is loaded once the service is ready: recognition is there before; whoever asks for more then waits for it."""

import asyncio
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send


class Later:
    """An ASGI application that is loaded in a thread, once, before its first request at the latest."""

    def __init__(self, load: Callable[[], ASGIApp]) -> None:
        self._load = load
        self._loaded: ASGIApp | None = None
        self._loading: asyncio.Task[ASGIApp] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, once there is somebody to pass on to."""
        there = self._loaded or await self.complete()
        await there(scope, receive, send)

    async def complete(self) -> ASGIApp:
        """Load it, unless it is loaded: requests go on being answered.

        All who wait meanwhile have the same, or hear of the same failure; a later call tries again what failed.
        """
        if self._loaded is not None:
            return self._loaded
        if self._loading is None:
            self._loading = asyncio.create_task(asyncio.to_thread(self._load))
            self._loading.add_done_callback(self._ended)
        return await asyncio.shield(self._loading)  # whoever hangs up does not end it for the others

    def _ended(self, loading: asyncio.Task[ASGIApp]) -> None:
        self._loading = None
        if not loading.cancelled() and loading.exception() is None:
            self._loaded = loading.result()

"""One live connection: chunks in, events out, one at a time, so that a sender who is too fast has to wait."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, TypeVar

from starlette.websockets import WebSocket, WebSocketDisconnect

from voiceid.errors import AudioTooLong, Busy, Idle, InvalidRequest, TooManyConnections, VoiceIdError
from voiceid.listen import LONGEST_CONNECTION_S, Event, Listener
from voiceid.service.pool import EncoderPool
from voiceid.service.problems import as_problem
from voiceid.views import Decided

T = TypeVar("T")

IDLE_S = 30.0
"""A connection that sends nothing for so long, or does not read what it is told, is closed."""
LONGEST_S = float(LONGEST_CONNECTION_S)
"""By the clock: who sends little would otherwise stay for days before an hour of sound has come."""
BUSY_S = 3.0
"""So long a chunk waits for a free encoder before the connection is given up."""
_RETRY_S = 0.05
_LAST_WORD_S = 1.0
_POLICY, _TRY_AGAIN, _FAILED = 1008, 1013, 1011
_LATER, _OURS = {429, 503}, 500

PER_TOKEN = 8
"""Live connections of one token: a page has a few tabs, a device a few rooms."""

Heard = Callable[[Decided, float], None]


class OpenStreams:
    """Counts the live connections, so that nobody's crowd out the others'. For the event loop's thread alone."""

    def __init__(self, in_all: int, per_household: int) -> None:
        self._limits = {"service": in_all, "household": per_household, "token": PER_TOKEN}
        self._open: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def one(self, household: str, token: str) -> Iterator[None]:
        """One more for as long as the context lasts.

        Raises: TooManyConnections.
        """
        counted = [("service", ""), ("household", household), ("token", token)]
        for kind, name in counted:
            if self._open[kind, name] >= self._limits[kind]:
                raise TooManyConnections(f"live connections of this {kind}", most=self._limits[kind])
        self._open.update(counted)
        try:
            yield
        finally:
            self._open.subtract(counted)
            self._open = +self._open  # forgets whoever has none left

    def __len__(self) -> int:
        return self._open["service", ""]


class Stream:
    """Carries sound to a listener and its events back, until either side has had enough."""

    def __init__(
        self, socket: WebSocket, pool: EncoderPool, listener: Listener, still_welcome: Callable[[], object],
        heard: Heard,
    ) -> None:
        self._socket = socket
        self._pool = pool
        self._listener = listener
        self._still_welcome = still_welcome
        """Reads the token anew, and raises NotAuthenticated once it has been revoked."""
        self._heard = heard

    async def run(self) -> None:
        """Serve the connection to its end.

        Raises: Idle, Busy, InvalidRequest, AudioTooLong, NotAuthenticated; the caller tells and closes.
        """
        await send(self._socket, self._listener.begin())
        until = time.monotonic() + LONGEST_S
        while True:
            if time.monotonic() > until:
                raise AudioTooLong("this connection has lasted long enough: open another", max_s=LONGEST_CONNECTION_S)
            try:
                message = await asyncio.wait_for(self._socket.receive(), IDLE_S)
            except TimeoutError:
                raise Idle(f"nothing came for {IDLE_S:.0f} s") from None
            if message["type"] == "websocket.disconnect":
                return
            if message.get("bytes") is not None:
                await self._tell(self._listener.hear(message["bytes"]))
            elif _is_end(message.get("text") or ""):
                await self._tell(self._listener.end())
            else:
                raise InvalidRequest('message: a chunk of sound, or {"type": "end"}')

    async def _tell(self, events: Iterator[Event]) -> None:
        """Send each event as soon as it is known, if the token still counts."""
        while True:
            began = time.perf_counter()
            event = await self._in_pool(lambda: self._next(events))
            if event is None:
                return
            if isinstance(event, Decided):
                self._heard(event, time.perf_counter() - began)
            try:
                await asyncio.wait_for(send(self._socket, event), IDLE_S)
            except TimeoutError:  # whoever does not read what they asked for is gone
                raise Idle(f"nothing was read for {IDLE_S:.0f} s") from None

    def _next(self, events: Iterator[Event]) -> Event | None:
        event = next(events, None)
        if event is not None:
            self._still_welcome()
        return event

    async def _in_pool(self, work: Callable[[], T]) -> T:
        """Wait for a free encoder, but not for ever: a microphone does not wait.

        Raises: Busy.
        """
        deadline = time.monotonic() + BUSY_S
        while True:
            try:
                return await self._pool.run(work)
            except Busy:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_RETRY_S)


async def send(socket: WebSocket, event: Event) -> None:
    """Send one event; of a decision the answer's members stand beside its type."""
    content: dict[str, Any] = asdict(event)
    if isinstance(event, Decided):
        answer = {name: value for name, value in content.pop("answer").items() if value is not None or name == "person"}
        content |= answer
    await socket.send_text(json.dumps(content))


async def refuse(socket: WebSocket, error: VoiceIdError) -> None:
    """Tell what is wrong, as problem details, and close."""
    code = _TRY_AGAIN if error.status in _LATER else _FAILED if error.status >= _OURS else _POLICY
    try:
        told = socket.send_text(json.dumps({"type": "error", "problem": as_problem(error)}))
        await asyncio.wait_for(told, _LAST_WORD_S)
        await socket.close(code)
    except (WebSocketDisconnect, RuntimeError, TimeoutError):
        return  # whoever it was has gone already


def _is_end(text: str) -> bool:
    try:
        return bool(json.loads(text) == {"type": "end"})
    except (ValueError, RecursionError):
        return False

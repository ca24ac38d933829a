"""One thread per encoder behind a bounded queue: past it the answer is "busy" at once, never a queue without end."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from voiceid.errors import Busy

T = TypeVar("T")


class EncoderPool:
    """Runs what needs a processor, as many at a time as there are encoders."""

    def __init__(self, encoders: int, queue: int) -> None:
        self._threads = ThreadPoolExecutor(encoders, thread_name_prefix="encoder")
        self._room = threading.BoundedSemaphore(encoders + queue)

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread. Whoever hangs up meanwhile leaves the queue, or holds their place until it is done.

        Raises: Busy, when the queue is full; whatever `work` raises.
        """
        if not self._room.acquire(blocking=False):
            raise Busy(retry_after_s=1)
        try:
            running = self._threads.submit(work)
        except RuntimeError:
            self._room.release()
            raise
        running.add_done_callback(self._left)
        try:
            return await asyncio.wrap_future(running)
        finally:
            del running  # a failure refers to this frame, and must not be referred to by it: the sound would stay

    def close(self) -> None:
        """Wait for what is running; refuse what is not."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _left(self, _done: Future[T]) -> None:
        self._room.release()

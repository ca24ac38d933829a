"""One thread per encoder behind a bounded queue: past it the answer is "busy" at once, never a queue without end."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from voiceid.errors import Busy

T = TypeVar("T")


class EncoderPool:
    """Runs what needs a processor, as many at a time as there are encoders."""

    def __init__(self, encoders: int, queue: int) -> None:
        self._threads = ThreadPoolExecutor(encoders, thread_name_prefix="encoder")
        self._room = encoders + queue
        self._inside = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread.

        Raises: Busy, when the queue is full; whatever `work` raises.
        """
        if self._inside >= self._room:
            raise Busy(retry_after_s=1)
        self._inside += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._inside -= 1

    def close(self) -> None:
        """Wait for what is running; refuse what is not."""
        self._threads.shutdown(wait=True, cancel_futures=True)

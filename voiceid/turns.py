"""Turns at short work in many steps, such as measuring a clip: who has begun goes through to the end.

numpy gives up Python's lock in each call and takes it again, as SQLite does in each step. Where two threads go through
their steps at once the lock goes back and forth between them, and each time whoever waits for it has to be woken, on a
processor that idles meanwhile.
"""

import threading
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
PATIENCE_S = 0.02
"""Many times what such work takes for some seconds of speech. Whoever has waited for so long begins, as beside
somebody's minutes: turns spare time, they protect nothing."""
_turn = threading.Lock()


def by_turns(work: Callable[P, T]) -> Callable[P, T]:
    """Begin when no other thread is at work of this kind. What waits for something else is not of this kind."""

    @wraps(work)
    def alone(*args: P.args, **kwargs: P.kwargs) -> T:
        mine = _turn.acquire(timeout=PATIENCE_S)
        try:
            return work(*args, **kwargs)
        finally:
            if mine:
                _turn.release()

    return alone

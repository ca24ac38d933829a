"""Turns at numbers: who works on a clip's samples does so alone, from beginning to end.

numpy gives up Python's lock in each call and takes it again. Where two threads go through their calls at once the lock
goes back and forth between them, and each time whoever waits for it has to be woken, on a processor that idles
meanwhile.
"""

import threading
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_turn = threading.Lock()


def by_turns(work: Callable[P, T]) -> Callable[P, T]:
    """Let no other thread begin work of this kind before this is done.

    For short work in many calls of numpy, which neither waits for anything nor begins other work of this kind: it would
    wait for itself.
    """

    @wraps(work)
    def alone(*args: P.args, **kwargs: P.kwargs) -> T:
        with _turn:
            return work(*args, **kwargs)

    return alone

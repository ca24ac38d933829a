"""What a purge leaves in this process's memory: objects that nobody reaches any more, and numpy's own small blocks.

Freed memory is overwritten by the allocator that the service runs under (`service/allocator.py`). Two things never get
that far by themselves: objects in cycles, until Python looks for them, and arrays below 1 KiB, such as an embedding,
whose blocks numpy keeps for the next array.
"""

import contextlib
import ctypes
import gc

import numpy as np

_NUMPY_KEEPS_BELOW = 1024
_NUMPY_KEEPS = 8
"""Blocks of each size, and one more."""


def let_go() -> None:
    """Free what nobody reaches, and overwrite what numpy keeps.

    Looking for cycles takes milliseconds once a started service has set aside all that stays (`service/early.py`);
    where nothing was set aside it is left to its time.
    """
    if gc.get_freeze_count():
        gc.collect()
    held = [np.zeros(size, np.uint8) for size in range(4, _NUMPY_KEEPS_BELOW, 4) for _ in range(_NUMPY_KEEPS)]
    del held  # zeros in every block that was kept


def give_back() -> None:
    """Hand free memory back to the system; it takes milliseconds. Only glibc has to be asked."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)

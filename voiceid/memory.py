"""What a purge leaves in this process's memory: objects that nobody reaches any more, and numpy's own small blocks.

Freed memory is overwritten by the allocator that the service runs under (`service/allocator.py`). Two things never get
that far by themselves: objects in cycles, until Python looks for them, and arrays below 1 KiB, such as an embedding,
whose blocks numpy keeps for the next array.
"""

import contextlib
import ctypes
import gc
import mmap
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

_NUMPY_KEEPS_BELOW = 1024
_NUMPY_KEEPS = 8
"""Blocks of each size, and one more."""
_MAPPED = re.compile(
    rb"^(?P<begin>[0-9a-f]+)-(?P<end>[0-9a-f]+) r-[x-]p \S+ \S+ \S+ +/.*\n"
    rb"(?:[A-Z].*\n)*?Anonymous: +(?P<written>\d+) kB\n(?:[A-Z].*\n)*?Swap: +(?P<away>\d+) kB\n",
    re.MULTILINE,
)
"""A stretch of a file in memory that cannot be written to now; how much of it was before, in memory or swapped out."""


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


def give_back_code() -> None:
    """Let go of program code that was needed to load what is loaded now: most of it is never run again.

    What is run again comes back, page by page, from what the system holds of its file: so only what nothing has
    written to. Linux alone tells. To be called before the first request, while nothing is being loaded.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for begin, end in _as_in_its_file(Path("/proc/self/smaps").read_bytes()):
            library.madvise(begin, end - begin, mmap.MADV_DONTNEED)


def _as_in_its_file(told: bytes) -> Iterator[tuple[int, int]]:
    """Where code and constants lie that still equal their file, in what the system tells of a process's memory."""
    for one in _MAPPED.finditer(told):
        if one["written"] == one["away"] == b"0":
            yield int(one["begin"], 16), int(one["end"], 16)

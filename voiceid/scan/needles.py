"""Finds any number of byte patterns in one pass, in time that does not depend on how many there are."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

_HEAD = 8
"""Bytes of a pattern that are looked up; longer ones are then compared whole."""
_TABLE_BITS = 22
_MIX = np.uint64(0x9E3779B97F4A7C15)
_FEW_VALUES = 3


class Needles(Generic[T]):
    """Patterns, each with what it stands for."""

    def __init__(self, patterns: Iterable[tuple[T, bytes]]) -> None:
        """Patterns that consist of one or two byte values, as silence does, would be found everywhere: left out."""
        self._by_head: dict[bytes, list[tuple[bytes, T]]] = defaultdict(list)
        self._short: list[tuple[bytes, T]] = []
        self.longest = 0
        for meaning, pattern in patterns:
            if len(set(pattern[:_HEAD])) < _FEW_VALUES:
                continue
            self.longest = max(self.longest, len(pattern))
            if len(pattern) < _HEAD:
                self._short.append((pattern, meaning))
            else:
                self._by_head[pattern[:_HEAD]].append((pattern, meaning))
        self._heads = np.sort(np.frombuffer(b"".join(self._by_head), dtype="<u8"))
        self._table = np.zeros(1 << _TABLE_BITS, dtype=bool)
        self._table[_slots(self._heads)] = True

    def within(self, data: bytes) -> Iterator[tuple[int, T]]:
        """Where in `data` each pattern begins, and what it stands for."""
        for at in self._heads_in(data):
            for pattern, meaning in self._by_head[data[at : at + _HEAD]]:
                if data.startswith(pattern, at):
                    yield at, meaning
        for pattern, meaning in self._short:
            at = data.find(pattern)
            if at >= 0:
                yield at, meaning

    def _heads_in(self, data: bytes) -> Iterator[int]:
        for shift in range(min(_HEAD, max(0, len(data) - _HEAD + 1))):
            windows = np.frombuffer(data, "<u8", (len(data) - shift) // _HEAD, shift)
            likely = np.flatnonzero(self._table[_slots(windows)])
            if len(likely):
                near = np.minimum(np.searchsorted(self._heads, windows[likely]), len(self._heads) - 1)
                sure = likely[self._heads[near] == windows[likely]]
                yield from (int(at) * _HEAD + shift for at in sure)


def _slots(windows: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        return (windows * _MIX) >> np.uint64(64 - _TABLE_BITS)

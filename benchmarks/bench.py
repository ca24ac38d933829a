"""One run: how long it may take, how noisy the machine is, and a place for files."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.machine import Noise
from benchmarks.rows import Compared, Row, alternate

_LEAST, _LEAST_QUICK = 9, 3
"""Turns of one comparison, however little time is left."""


@dataclass
class Bench:
    """What every section gets."""

    scratch: Path
    """A directory of its own, removed after the run."""
    quick: bool
    noise: Noise = field(default_factory=Noise)
    began: float = field(default_factory=time.monotonic)
    _until: float = field(default=0.0, init=False)
    """When the section that is measured now should be over."""

    @property
    def limit_s(self) -> float:
        """What a run plans with, seconds: less than its minute, or ten, for what has begun is finished."""
        return 58 if self.quick else 570

    @property
    def cores(self) -> int:
        """Cores that this process may use."""
        return len(os.sched_getaffinity(0))

    @property
    def left_s(self) -> float:
        return self.limit_s - (time.monotonic() - self.began)

    def enter(self, section: "Section", later: Sequence["Section"]) -> None:
        """Give a section its share of what is left."""
        mine = section.share(quick=self.quick)
        whole = mine + sum(one.share(quick=self.quick) for one in later)
        self._until = time.monotonic() + max(0.0, self.left_s) * mine / whole

    def seconds(self, full: float, quick: float = 0.0) -> float:
        """How long one comparison may go on, given what is left of its section."""
        return min(quick if self.quick else full, max(0.0, (self._until - time.monotonic()) / 2))

    def alternate(
        self, ours: Callable[[], object], peer: Callable[[], object], full: float, quick: float = 0.0, *,
        most: int = 200,
    ) -> Compared:
        """Measure two calls in turns for so many seconds, or as many as there are."""
        least = _LEAST_QUICK if self.quick else _LEAST
        return alternate(ours, peer, self.seconds(full, quick), least=least, most=most)

    def folder(self, name: str) -> Path:
        """A new directory."""
        path = self.scratch / f"{name}-{time.monotonic_ns()}"
        path.mkdir()
        return path


@dataclass(frozen=True, slots=True)
class Section:
    """Some rows that are measured together."""

    name: str
    rows: Callable[[Bench], Iterator[Row]]
    full_s: float
    """What it takes of a full run on a quiet machine; its share of what is left follows from that."""
    quick_s: float = 0.0
    """The same of a short run; 0: it is left out of one."""

    def share(self, *, quick: bool) -> float:
        """Seconds that it would like to have."""
        return self.quick_s if quick else self.full_s

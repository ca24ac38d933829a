"""One run: how long it may take, how noisy the machine is, and a place for files."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.machine import Noise
from benchmarks.rows import Row


@dataclass
class Bench:
    """What every section gets."""

    scratch: Path
    """A directory of its own, removed after the run."""
    quick: bool
    noise: Noise = field(default_factory=Noise)
    began: float = field(default_factory=time.monotonic)

    @property
    def limit_s(self) -> float:
        """The whole run's bound, seconds."""
        return 60 if self.quick else 600

    @property
    def cores(self) -> int:
        """Cores that this process may use."""
        return len(os.sched_getaffinity(0))

    @property
    def left_s(self) -> float:
        return self.limit_s - (time.monotonic() - self.began)

    def seconds(self, full: float, quick: float) -> float:
        """How long one comparison may go on, given what is left of the whole."""
        return min(quick if self.quick else full, max(0.0, self.left_s / 4))

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
    needs_s: float
    """What it takes on a machine as slow as a noisy one; it is left out when less is left."""
    in_quick: bool = True

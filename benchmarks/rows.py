"""One line of the table: a figure, the peer it is measured against, the goal, and whether that is met."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.machine import timed

WIDE = 0.15
"""Half the width of a ratio's interval, as a share of it, beyond which the machine was too noisy to compare."""
_ENOUGH = 30.0
"""Seconds for the two sides of one comparison, should nobody say otherwise."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure, or its ratio to the peer's, has to reach."""

    of: Literal["ratio", "figure"]
    bound: float
    at_least: bool = False

    def __str__(self) -> str:
        return f"{self.of} {'>=' if self.at_least else '<='} {self.bound:g}"

    def met(self, low: float, high: float) -> bool | None:
        """Whether everything between `low` and `high` reaches it; None: part of it does."""
        inside = [value >= self.bound if self.at_least else value <= self.bound for value in (low, high)]
        return inside[0] if inside[0] == inside[1] else None


@dataclass(frozen=True, slots=True)
class Row:
    """A measured figure. Without `ratio` there was no peer, or the machine was too noisy to compare with it."""

    name: str
    figure: float | None
    unit: str
    peer: str
    ratio: float | None
    goal: str | None
    ok: bool | None
    """None: no goal, or no verdict because of noise."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Two things measured in turns."""

    ours_s: float
    """Median, seconds."""
    peer_s: float
    ratio: float
    """Median over the pairs, ours to the peer's."""
    low: float
    high: float
    """95 % interval of that median."""

    @property
    def too_noisy(self) -> bool:
        return (self.high - self.low) / 2 > WIDE * self.ratio


def alternate(
    ours: Callable[[], object], peer: Callable[[], object], seconds: float = _ENOUGH, *, least: int = 9, most: int = 200
) -> Compared:
    """Measure two calls in turns, in the order A B B A, so that what slows the machine slows both."""
    ours(), peer()  # the first call of each pays for what is only paid once
    mine: list[float] = []
    theirs: list[float] = []
    end = time.perf_counter() + seconds
    while len(mine) < least or (time.perf_counter() < end and len(mine) < most):
        turns = ((ours, mine), (peer, theirs))
        for call, taken in turns if len(mine) % 2 == 0 else reversed(turns):
            taken.append(timed(call))
    return paired(mine, theirs)


def paired(mine: Sequence[float], theirs: Sequence[float]) -> Compared:
    """Two equally long series, measured in turns, as one comparison."""
    ratios = sorted(one / other for one, other in zip(mine, theirs, strict=True))
    low, high = _interval(len(ratios))
    middle = statistics.median
    return Compared(middle(mine), middle(theirs), middle(ratios), ratios[low], ratios[high])


def timed_row(
    name: str, compared: Compared, peer: str, goal: Goal | None = None, *, unit: Literal["ms", "s"] = "ms",
    quiet: bool = True,
) -> Row:
    """A row about time. On a noisy machine a figure in seconds can pass its goal, but not fail it."""
    figure = compared.ours_s * (1000 if unit == "ms" else 1)
    match goal:
        case None:
            ok = None
        case Goal(of="figure"):
            ok = goal.met(figure, figure) or (False if quiet else None)
        case _ if compared.too_noisy:
            ok = goal.met(compared.low, compared.high)
        case _:
            ok = goal.met(compared.ratio, compared.ratio)
    ratio = None if compared.too_noisy and ok is None else compared.ratio
    return Row(name, _rounded(figure), unit, peer, _rounded(ratio), _text(goal), ok)


def plain_row(
    name: str, figure: float, unit: str, peer: str = "-", peer_figure: float | None = None, goal: Goal | None = None
) -> Row:
    """A row about something that noise does not change, such as bytes."""
    ratio = figure / peer_figure if peer_figure else None
    judged = figure if goal and goal.of == "figure" else ratio
    ok = goal.met(judged, judged) if goal and judged is not None else None
    return Row(name, _rounded(figure), unit, peer, _rounded(ratio), _text(goal), ok)


def missing_row(name: str, unit: str, why: str, goal: Goal | None = None) -> Row:
    """A row that could not be measured, and why."""
    return Row(name, None, unit, why, None, _text(goal), None)


def _interval(count: int) -> tuple[int, int]:
    """Positions in a sorted series between which its median lies, 19 times in 20."""
    low = max(0, math.floor((count - 1.96 * math.sqrt(count)) / 2))
    return low, count - 1 - low


def _text(goal: Goal | None) -> str | None:
    return None if goal is None else str(goal)


def _rounded(value: float | None) -> float | None:
    """Three significant digits."""
    return None if value is None else float(f"{value:.3g}")

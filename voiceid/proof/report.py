"""What a proof says: of each check what was planned, done, expected and found."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. It holds only if all that was planned was done, and what was found was expected."""

    proof: str
    name: str
    planned: int
    done: int
    expected: Any
    found: Any

    @property
    def ok(self) -> bool:
        return self.done == self.planned > 0 and self.found == self.expected


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is done."""

    churn: int
    """Enrollments, each later erased, before the canaries go in."""
    crashes: int
    """Kills with made-up voices."""
    crashes_real: int
    """Kills of the whole service with real encoder and speech."""
    examples: int
    """Orders of events of the model test."""
    steps: int
    """Events in each."""
    rounds: int
    """Withdrawals among clients that recognize without pause."""
    rounds_real: int
    controls: bool = True
    """Whether it is also shown that each check would fail."""


FULL = Sizes(churn=500, crashes=200, crashes_real=20, examples=200, steps=40, rounds=1000, rounds_real=50)
QUICK = Sizes(churn=6, crashes=20, crashes_real=1, examples=12, steps=25, rounds=12, rounds_real=2)
"""What the ordinary tests run."""


@dataclass(frozen=True, slots=True)
class Section:
    """One proof and how long it took."""

    proof: str
    seconds: float
    checks: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Report:
    """All proofs; `ok` only if every check held."""

    ok: bool
    seconds: float
    sections: list[Section]


def collect(proofs: dict[str, Callable[[], Iterator[Check]]], watch: Callable[[Check], object]) -> Report:
    """Run the proofs one after another; `watch` hears of each check as soon as it is done.

    A proof that breaks off is a check that failed, and the others go on.
    """
    began, sections, ok = time.monotonic(), [], True
    for name, proof in proofs.items():
        at, checks = time.monotonic(), []
        for check in _guarded(name, proof):
            watch(check)
            checks.append(as_dict(check))
            ok = ok and check.ok
        sections.append(Section(name, round(time.monotonic() - at, 1), checks))
    return Report(ok, round(time.monotonic() - began, 1), sections)


def as_dict(check: Check) -> dict[str, Any]:
    """One check as JSON."""
    return {
        "name": check.name, "planned": check.planned, "done": check.done, "expected": check.expected,
        "found": check.found, "ok": check.ok,
    }  # fmt: skip


def _guarded(name: str, proof: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    try:
        yield from proof()
    except Exception as error:  # noqa: BLE001 whatever it is, the proof did not come to its end
        yield Check(name, "comes to its end", 1, 0, None, f"{type(error).__name__}: {error}")

"""What a proof says: of each check what was planned, done, expected and found."""

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


FULL = Sizes(churn=500, crashes=200, crashes_real=20, examples=100, steps=30, rounds=1000, rounds_real=50)
QUICK = Sizes(churn=6, crashes=20, crashes_real=1, examples=12, steps=25, rounds=12, rounds_real=2)
"""What the ordinary tests run."""


@dataclass(frozen=True, slots=True)
class Section:
    """One proof and how long it took."""

    proof: str
    ok: bool
    seconds: float
    checks: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Report:
    """All proofs; `ok` only if all that was planned was done, and as expected."""

    ok: bool
    seconds: float
    processors: int
    sections: list[Section]


def as_dict(check: Check) -> dict[str, Any]:
    """One check as JSON."""
    return {
        "name": check.name, "planned": check.planned, "done": check.done, "expected": check.expected,
        "found": check.found, "ok": check.ok,
    }  # fmt: skip

"""Trials -> the figures of one corpus in one condition, with intervals over its speakers."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceid.calibration import Bars
from voiceid.decide import decide
from voiceid.evaluate import metrics
from voiceid.evaluate.protocol import GUEST, Floats, Ints, Scores, Trials
from voiceid.ports import Match
from voiceid.types import Decision, PersonId, Quality, Verdict

ROUNDS = 200
"""Bootstrap rounds over speakers."""
FPIRS = {"fnir_at_fpir_01": 0.001, "fnir_at_fpir_1": 0.01, "fnir_at_fpir_5": 0.05}
POOLED = ("fnir_at_fpir_1", "fnir_shipped", "fpir_shipped", "misnamed", "guests_stored", "members_stored")

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What one recognizer made of the trials."""

    best: Floats
    """What it would move a bar on, shape (trials,)."""
    column: Ints
    """Whom it found most likely."""
    named: Mask
    stored: Mask
    llr: Floats
    """Evidence of every comparison, natural log, shape (trials, household size)."""


def ours(trials: Trials, table: Scores, bars: Bars) -> Outcome:
    """What the product decides, by its own `decide`."""
    quality = [Quality(*map(float, table.quality[request])) for request in trials.request]
    decided = [_decided(row, q, bars) for row, q in zip(trials.scores, quality, strict=True)]
    weights = np.array([bars.likelihood(q) for q in quality])
    confidence = np.clip([d.confidence for d in decided], 1e-300, 1 - 1e-16)
    return Outcome(
        best=np.log(confidence) - np.log1p(-confidence),
        column=np.argmax(trials.scores, axis=1),
        named=np.array([d.verdict is Verdict.KNOWN for d in decided]),
        stored=np.array([d.storable for d in decided]),
        llr=weights[:, :1] + weights[:, 1:] * trials.scores,
    )


def plain(trials: Trials, baseline: Mapping[str, float]) -> Outcome:
    """Plain cosine with one bar for everything: what every open tool does. `baseline`: threshold, offset, slope."""
    best = trials.scores.max(axis=1)
    named = best >= baseline["threshold"]
    llr = baseline["offset"] + baseline["slope"] * trials.scores
    return Outcome(best, np.argmax(trials.scores, axis=1), named, named, llr)


def _decided(row: Floats, quality: Quality, bars: Bars) -> Decision:
    return decide([Match(PersonId(str(i)), float(score)) for i, score in enumerate(row)], quality, bars)


def figures(trials: Trials, outcome: Outcome) -> dict[str, Any]:
    """Error rates 0..1, Cllr in bits, intervals at 95 %, and how many trials they rest on."""
    counted = _Counted(trials, outcome)
    values: dict[str, Callable[[Floats], float]] = {
        **{name: counted.fnir_at(fpir) for name, fpir in FPIRS.items()},
        "fnir_shipped": counted.members(~(outcome.named & counted.own)),
        "fpir_shipped": counted.guests(outcome.named),
        "misnamed": counted.members(outcome.named & ~counted.own),
        "guests_stored": counted.guests(outcome.stored),
        "members_stored": counted.members(outcome.stored & counted.own),
        "eer": counted.eer,
        "cllr": counted.cllr,
    }
    everyone = np.ones(counted.people)
    found = {name: value(everyone) for name, value in values.items()}
    return {
        **{name: _plain(value) for name, value in found.items()},
        "min_cllr": metrics.min_cllr(counted.target, counted.nontarget),
        "min_dcf": metrics.min_dcf(counted.target, counted.nontarget),
        "trials": counted.trials(),
        "ci95": {name: counted.interval(name, value, found[name]) for name, value in values.items()},
    }


class _Counted:
    """Trials sorted by kind, ready to be weighed by how often each speaker was drawn."""

    def __init__(self, trials: Trials, outcome: Outcome) -> None:
        speakers, self._who = np.unique(trials.speaker, return_inverse=True)
        self.people = len(speakers)
        self._requests = trials.request
        self._guest = trials.own == GUEST
        self._best = outcome.best
        self.own = outcome.column == trials.own
        heard = np.isfinite(trials.scores)
        same = np.arange(trials.scores.shape[1]) == trials.own[:, None]
        self.target, self.nontarget = outcome.llr[heard & same], outcome.llr[heard & ~same]
        rows = np.broadcast_to(self._who[:, None], trials.scores.shape)
        self._target_who, self._nontarget_who = rows[heard & same], rows[heard & ~same]

    def members(self, happened: Mask) -> Callable[[Floats], float]:
        return self._share(happened, ~self._guest)

    def guests(self, happened: Mask) -> Callable[[Floats], float]:
        return self._share(happened, self._guest)

    def _share(self, happened: Mask, among: Mask) -> Callable[[Floats], float]:
        """A rate as sums per speaker: cheap to draw again."""
        events = np.bincount(self._who[among], happened[among], minlength=self.people)
        asked = np.bincount(self._who[among], minlength=self.people)
        return lambda drawn: float(events @ drawn / total) if (total := float(asked @ drawn)) else math.nan

    def fnir_at(self, fpir: float) -> Callable[[Floats], float]:
        def value(drawn: Floats) -> float:
            mass = drawn[self._who]
            bar = metrics.bar_at_fpir(self._best[self._guest], fpir, mass[self._guest])
            members = ~self._guest
            return metrics.fnir(self._best[members], self.own[members], bar, mass[members])

        return value

    def eer(self, drawn: Floats) -> float:
        return metrics.eer(self.target, self.nontarget, (drawn[self._target_who], drawn[self._nontarget_who]))

    def cllr(self, drawn: Floats) -> float:
        return metrics.cllr(self.target, self.nontarget, (drawn[self._target_who], drawn[self._nontarget_who]))

    def trials(self) -> dict[str, int]:
        """Requests in all households, and the distinct ones and speakers behind them."""
        return {
            "members": int((~self._guest).sum()),
            "guests": int(self._guest.sum()),
            "distinct_member_requests": len(np.unique(self._requests[~self._guest])),
            "distinct_guest_requests": len(np.unique(self._requests[self._guest])),
            "speakers": self.people,
        }

    def interval(self, name: str, value: Callable[[Floats], float], found: float) -> list[float | None]:
        """Bootstrap over speakers; shares also get no narrower than the exact interval of the distinct requests.

        Without the latter a rate of nought would claim to be known exactly.
        """
        low, high = metrics.bootstrap(self.people, lambda drawn: value(drawn.astype(np.float64)), rounds=ROUNDS)
        if name not in {"cllr", "eer"} and math.isfinite(found):
            kind = self._guest if name in {"fpir_shipped", "guests_stored"} else ~self._guest
            distinct = len(np.unique(self._requests[kind]))
            exact = metrics.clopper_pearson(round(found * distinct), distinct)
            low, high = min(low, exact[0]), max(high, exact[1])
        return [_plain(low), _plain(high)]


def pooled(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Shares over the corpora of one condition, each corpus counting the same: `<channel>` -> `<seconds>` -> shares."""
    conditions = sorted({name.partition("@")[2] or "clean" for name in found})
    result: dict[str, Any] = {}
    for condition in conditions:
        parts = [f["by_speech_s"] for name, f in found.items() if (name.partition("@")[2] or "clean") == condition]
        result[condition] = {
            s: {name: float(np.mean([part[s][name] for part in parts if s in part])) for name in POOLED}
            for s in sorted({s for part in parts for s in part}, key=float)
        }
    return result


def _plain(value: float) -> float | None:
    """A figure for JSON, which knows no NaN."""
    return round(value, 6) if math.isfinite(value) else None

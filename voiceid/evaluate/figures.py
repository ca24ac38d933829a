"""Trials -> the figures of one corpus in one condition, with intervals over its speakers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceid.calibration import Bars
from voiceid.evaluate import metrics
from voiceid.evaluate.protocol import GUEST, Floats, Ints, Scores, Trials
from voiceid.evaluate.weighted import Comparisons, Searches, draws
from voiceid.speech import is_narrow
from voiceid.types import Quality

ROUNDS = 300
"""Bootstrap rounds over speakers."""
FPIRS = {"fnir_at_fpir_01": 0.001, "fnir_at_fpir_1": 0.01, "fnir_at_fpir_5": 0.05}
OF_GUESTS = ("fpir_shipped", "guests_stored")
OF_MEMBERS = ("fnir_shipped", "misnamed", "members_stored")
SHARES = (*FPIRS, *OF_MEMBERS, *OF_GUESTS)
UPPER = ("fpir_shipped", "misnamed", "guests_stored")
"""Shares that a goal bounds from above."""

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
    confidence: Floats | None = None
    """Probability that the most likely member speaks, 0..1; None: it claims none."""


def ours(trials: Trials, table: Scores, bars: Bars) -> Outcome:
    """What the product decides: two voices or one, then `decide`, for all trials. A test holds them together."""
    requests, back = np.unique(trials.request, return_inverse=True)
    size = trials.scores.shape[1]
    told = np.array([_told(table, row, size, bars) for row in requests])[back]
    offset, slope, to_name, to_store, apart, crowd, usual, guests, doubted, *to_be_alone = told.T
    heard = trials.heard

    def less_the_crowd(scores: Floats) -> Floats:
        others = scores.sum(axis=1, keepdims=True) + usual[:, None] - scores
        found: Floats = scores - crowd[:, None] * others / size
        return found

    relative = less_the_crowd(np.where(heard[:, None], trials.scores, 0.0))
    column = np.argmax(trials.scores, axis=1)
    rows = np.arange(len(column))
    prior = np.log((1 - guests) / size)
    weights = offset[:, None] + slope[:, None] * relative + prior[:, None]
    best = weights[rows, column]
    others = weights.copy()
    others[rows, column] = -math.inf
    rest = np.logaddexp.reduce(others, axis=1)
    against_all = np.clip(best - np.logaddexp(rest, np.log(guests)), -500, 500)
    reached = relative[rows, column]
    alone = [less_the_crowd(trials.sides[:, side])[rows, column] >= bar for side, bar in enumerate(to_be_alone)]
    judged = heard & ((doubted == 0) | (alone[0] & alone[1]))
    named = judged & (reached >= to_name) & (best - rest >= apart)
    llr = weights - prior[:, None]
    return Outcome(
        best=np.where(judged, against_all, -math.inf),
        column=column,
        named=named,
        stored=named & (reached >= to_store),
        llr=np.where(heard[:, None], llr, -math.inf),
        confidence=np.where(judged, 1 / (1 + np.exp(-against_all)), 0.0),
    )


def _told(table: Scores, row: int, size: int, bars: Bars) -> tuple[float, ...]:
    """All that the bars say of one request."""
    q = Quality(*map(float, table.quality[row]))
    by = bars.narrow if bars.narrow and is_narrow(q) else bars
    offset, slope = by.likelihood(q)
    doubted = by.doubts(float(table.turns[row]), q)
    sides = (replace(q, speech_s=q.speech_s * float(share)) for share in table.shares[row])
    to_be_alone = (by.threshold(by.alone, 1, side) for side in sides)
    to_name, to_store = by.threshold(by.name, size, q), by.threshold(by.store, size, q)
    return offset, slope, to_name, to_store, by.apart, by.crowd, by.usual, by.guest_prior, doubted, *to_be_alone


def plain(trials: Trials, baseline: Mapping[str, float]) -> Outcome:
    """Plain cosine with one bar for everything: what every open tool does. `baseline`: threshold, offset, slope."""
    best = trials.scores.max(axis=1)
    named = best >= baseline["threshold"]
    llr = baseline["offset"] + baseline["slope"] * trials.scores
    return Outcome(best, np.argmax(trials.scores, axis=1), named, named, llr)


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """One rate per speaker and kind, to be taken together over corpora, conditions or groups of people."""

    speakers: tuple[str, ...]
    rates: Mapping[str, Floats]
    """Shape (speakers,), 0..1; NaN where nothing was asked."""
    requests: Mapping[str, Ints]
    """Distinct requests of each speaker, as `members` and as `guests`."""

    def only(self, names: frozenset[str]) -> "Tally":
        """Some of the speakers."""
        keep = np.array([name in names for name in self.speakers], dtype=bool)
        return replace(
            self,
            speakers=tuple(name for name in self.speakers if name in names),
            rates={name: rate[keep] for name, rate in self.rates.items()},
            requests={kind: count[keep] for kind, count in self.requests.items()},
        )


def figures(trials: Trials, outcome: Outcome, names: Sequence[str] = ()) -> tuple[dict[str, Any], Tally]:
    """Error rates 0..1, Cllr in bits, intervals at 95 %, how many trials they rest on; and the rates by speaker.

    `names`: of the speakers, by their number in the trials.
    """
    found = _Counted(trials, outcome)
    drawn = draws(found.people, ROUNDS, seed=0)
    values = {**found.comparisons(drawn), **found.searches(drawn), **found.shares(drawn)}
    numbers = {name: plain_number(float(series[0])) for name, series in values.items()}
    bounds = {name: found.bounds(name, series) for name, series in values.items()}
    told = {
        **numbers,
        "trials": found.trials(),
        "ci95": {name: [plain_number(x) for x in (low, high)] for name, (low, high, _) in bounds.items()},
        "upper95": {name: plain_number(bounds[name][2]) for name in UPPER},
    }
    return told, found.tally(names)


def tally(trials: Trials, outcome: Outcome, names: Sequence[str]) -> Tally:
    """The rates by speaker alone; `names` as in figures()."""
    return _Counted(trials, outcome).tally(names)


class _Counted:
    """Trials sorted by kind, ready to be weighed by how often each speaker was drawn."""

    def __init__(self, trials: Trials, outcome: Outcome) -> None:
        self._numbers, self._who = np.unique(trials.speaker, return_inverse=True)
        self.people = len(self._numbers)
        self._requests = trials.request
        self._guest = trials.own == GUEST
        own = outcome.column == trials.own
        self._happened = {
            "fnir_shipped": ~(outcome.named & own),
            "misnamed": outcome.named & ~own,
            "members_stored": outcome.stored & own,
            "fpir_shipped": outcome.named,
            "guests_stored": outcome.stored,
        }
        self._search = Searches(outcome.best, own, self._guest, self._who)
        self._missed = {name: ~(own & (outcome.best >= self._search.bar(fpir, np.ones(self.people))))
                        for name, fpir in FPIRS.items()}  # fmt: skip
        heard = np.broadcast_to(trials.heard[:, None], trials.scores.shape)
        same = np.arange(trials.scores.shape[1]) == trials.own[:, None]
        rows = np.broadcast_to(self._who[:, None], trials.scores.shape)
        self._compared = Comparisons(outcome.llr[heard], same[heard], rows[heard], self.people)

    def comparisons(self, drawn: Floats) -> dict[str, Floats]:
        return self._compared.of(drawn)

    def searches(self, drawn: Floats) -> dict[str, Floats]:
        """FNIR where its own bar names a given share of the guests, shape (rounds,)."""
        return {
            name: np.array([self._search.fnir(self._search.bar(fpir, row), row) for row in drawn])
            for name, fpir in FPIRS.items()
        }

    def shares(self, drawn: Floats) -> dict[str, Floats]:
        with np.errstate(invalid="ignore"):  # a round in which nobody asks has no share
            sums = {name: self._sums(name, happened) for name, happened in self._happened.items()}
            return {name: (drawn @ events) / (drawn @ asked) for name, (events, asked) in sums.items()}

    def _sums(self, name: str, happened: Mask) -> tuple[Floats, Ints]:
        """How often it happened to each speaker, and how often it could have."""
        among = self._guest if name in OF_GUESTS else ~self._guest
        asked: Ints = np.bincount(self._who[among], minlength=self.people)
        events = np.bincount(self._who[among], happened[among].astype(np.float64), minlength=self.people)
        return events.astype(np.float64), asked

    def _distinct(self, among: Mask) -> Ints:
        _, first = np.unique(self._requests[among], return_index=True)
        return np.bincount(self._who[among][first], minlength=self.people)

    def trials(self) -> dict[str, int]:
        """Requests in all households, and the distinct ones and speakers behind them."""
        return {
            "members": int((~self._guest).sum()),
            "guests": int(self._guest.sum()),
            "distinct_member_requests": int(self._distinct(~self._guest).sum()),
            "distinct_guest_requests": int(self._distinct(self._guest).sum()),
            "speakers": self.people,
        }

    def tally(self, names: Sequence[str]) -> Tally:
        """Rates by speaker; FNIR at the bar that all of them share."""
        with np.errstate(invalid="ignore"):  # who was never drawn has no rate
            sums = {n: self._sums(n, happened) for n, happened in {**self._happened, **self._missed}.items()}
            rates = {name: events / asked for name, (events, asked) in sums.items()}
        requests = {"members": self._distinct(~self._guest), "guests": self._distinct(self._guest)}
        told = tuple(names[number] if names else str(number) for number in self._numbers)
        return Tally(told, rates, requests)

    def bounds(self, name: str, series: Floats) -> tuple[float, float, float]:
        kind = self._guest if name in OF_GUESTS else ~self._guest
        return interval(series, int(self._distinct(kind).sum()) if name in SHARES else None)


def interval(series: Floats, distinct: int | None) -> tuple[float, float, float]:
    """95 % interval, and the one-sided upper bound, of a figure whose bootstrap follows the figure itself.

    A share gets none narrower than the exact one of its `distinct` requests: without that a rate of nought would claim
    to be known exactly.
    """
    found, rounds = float(series[0]), series[1:][np.isfinite(series[1:])]
    if not math.isfinite(found) or not len(rounds):
        return math.nan, math.nan, math.nan
    low, high, upper = (float(x) for x in np.percentile(rounds, [2.5, 97.5, 95]))
    if distinct is not None:
        events = round(found * distinct)
        exact = metrics.clopper_pearson(events, distinct)
        low, high = min(low, exact[0]), max(high, exact[1])
        upper = max(upper, metrics.clopper_pearson(events, distinct, 0.9)[1])
    return low, high, upper


def plain_number(value: float) -> float | None:
    """A figure for JSON, which knows no NaN."""
    return round(value, 6) if math.isfinite(value) else None

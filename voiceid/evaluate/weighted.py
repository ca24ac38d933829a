"""The figures of `metrics` for many draws of the speakers: scores are sorted once and weighted often.

Comparisons of one kind that follow each other without one of the other kind between them are taken together: the
curve of misses against false alarms is a straight line there, so no figure changes.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceid.evaluate import metrics

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

P_TARGET = 0.01


class Comparisons:
    """Evidence of comparisons with the right person and with others, and who asked."""

    def __init__(self, llr: Floats, same: Mask, who: Ints, people: int) -> None:
        values, cell = np.unique(llr, return_inverse=True)
        hits = np.bincount(cell[same], minlength=len(values))
        others = np.bincount(cell[~same], minlength=len(values))
        kind = np.where(others == 0, 1, np.where(hits == 0, -1, 0))
        joined = np.append(False, (kind[1:] == kind[:-1]) & (kind[1:] != 0))
        run = np.cumsum(~joined)[cell] - 1
        runs = int(run.max()) + 1
        place = who * runs + run
        self._hits, self._others = (
            np.bincount(place[part], minlength=people * runs).reshape(people, runs).astype(np.float64)
            for part in (same, ~same)
        )
        cost = np.logaddexp(0, np.where(same, -llr, llr)) / math.log(2)
        self._missed, self._passed = (np.bincount(who[p], cost[p], minlength=people) for p in (same, ~same))

    def of(self, drawn: Floats) -> dict[str, Floats]:
        """EER, minDCF, Cllr, minCllr and what calibration costs, for every row of `drawn`, shape (rounds, people)."""
        hits, others = drawn @ self._hits, drawn @ self._others
        with np.errstate(invalid="ignore"):  # a round without one of the kinds has no figure
            hit, other = hits.sum(axis=1), others.sum(axis=1)
            start = np.zeros((len(drawn), 1))
            miss = np.hstack([start, np.cumsum(hits, axis=1)]) / hit[:, None]
            alarm = 1 - np.hstack([start, np.cumsum(others, axis=1)]) / other[:, None]
            cllr = (drawn @ self._missed / hit + drawn @ self._passed / other) / 2
        dcf = (P_TARGET * miss + (1 - P_TARGET) * alarm).min(axis=1) / P_TARGET
        least = np.array([_min_cllr(*row) for row in zip(hits, others, strict=True)])
        return {"eer": _eer(miss, alarm), "min_dcf": dcf, "cllr": cllr, "min_cllr": least, "loss": cllr - least}


def _eer(miss: Floats, alarm: Floats) -> Floats:
    """As `metrics.eer`, for every row."""
    rows = np.arange(len(miss))
    after = np.argmax(miss >= alarm, axis=1)
    before = np.maximum(after - 1, 0)
    gap_before = alarm[rows, before] - miss[rows, before]
    gap = gap_before + miss[rows, after] - alarm[rows, after]
    share = np.divide(gap_before, gap, out=np.zeros_like(gap), where=gap != 0)
    found: Floats = miss[rows, before] + share * (miss[rows, after] - miss[rows, before])
    return np.where(np.isnan(miss[:, -1] + alarm[:, -1]), math.nan, found)


def _min_cllr(hits: Floats, others: Floats) -> float:
    """As `metrics.min_cllr`, from the mass of either kind in ascending order of score."""
    some = hits + others > 0
    hit, other = float(hits.sum()), float(others.sum())
    if not hit or not other:
        return math.nan
    blocks = metrics.pool_adjacent(hits[some].tolist(), others[some].tolist())
    cost = 0.0
    for ours, theirs in blocks:
        if ours and theirs:
            odds = (ours / hit) / (theirs / other)
            cost += ours / hit * math.log2(1 + 1 / odds) + theirs / other * math.log2(1 + odds)
    return cost / 2


class Searches:
    """The best member of every request, as far as a bar on it is concerned."""

    def __init__(self, best: Floats, own: Mask, guest: Mask, who: Ints) -> None:
        order = np.flatnonzero(guest)[np.argsort(-best[guest], kind="stable")]
        self._guests, self._guest_who = best[order], who[order]
        self._ends = np.append(self._guests[1:] != self._guests[:-1], True)[: len(order)]
        found = np.flatnonzero(own & ~guest)
        found = found[np.argsort(best[found], kind="stable")]
        self._members, self._member_who = best[found], who[found]
        self._asked = np.bincount(who[~guest], minlength=int(who.max()) + 1)

    def bar(self, fpir: float, drawn: Floats) -> float:
        """As `metrics.bar_at_fpir`."""
        mass = drawn[self._guest_who]
        named = np.cumsum(mass)
        if not len(named) or named[-1] == 0:
            return math.nan
        too_many = np.flatnonzero(self._ends & (named > fpir * named[-1] * (1 + 1e-12)))
        return float(np.nextafter(self._guests[too_many[0]], math.inf)) if len(too_many) else -math.inf

    def fnir(self, bar: float, drawn: Floats) -> float:
        """As `metrics.fnir`: members who are not found, or stay below the bar."""
        asked = float(self._asked @ drawn[: len(self._asked)])
        if math.isnan(bar) or asked == 0:
            return math.nan
        first = int(np.searchsorted(self._members, bar, side="left"))
        return 1 - float(drawn[self._member_who[first:]].sum()) / asked


def draws(people: int, rounds: int, seed: int) -> Floats:
    """How often each speaker is drawn, shape (1 + rounds, people): everybody once, then with replacement."""
    rng = np.random.default_rng(seed)
    drawn: Any = rng.multinomial(people, np.full(people, 1 / people), size=rounds)
    return np.vstack([np.ones(people), drawn]).astype(np.float64)

"""Error rates of the field from scores, in numpy alone; higher scores mean "more likely this person".

Recognition (1:N, open set) after ISO/IEC 19795-1: FPIR is the share of guests' requests that get a name, FNIR the share
of members' requests that do not get their own. Verification (1:1): EER, minDCF, and Cllr, the cost of a log-likelihood
ratio in bits, which minCllr bounds from below by the best monotone map.

Every rate takes optional `weights`, one per trial: a bootstrap over speakers repeats and drops trials by weight alone.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
_BISECTIONS = 60


def rate(happened: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Share of trials in which it happened, 0..1; NaN when there was no trial."""
    events = np.asarray(happened, dtype=np.float64)
    if weights is None:
        return float(events.mean()) if len(events) else math.nan
    mass = np.asarray(weights, dtype=np.float64)
    total = float(mass.sum())
    return float(events @ mass) / total if total > 0 else math.nan


def bar_at_fpir(guests: ArrayLike, fpir: float, weights: ArrayLike | None = None) -> float:
    """The lowest bar that at most a share `fpir` of the guests reach; `guests` holds each request's best score.

    A score is named when it is at or above the bar, so the bar lies just above a guest's score. NaN without guests.
    """
    scores = np.asarray(guests, dtype=np.float64)
    mass = np.ones(len(scores)) if weights is None else np.asarray(weights, dtype=np.float64)
    if mass.sum() == 0:
        return math.nan
    order = np.argsort(-scores, kind="stable")
    named = np.cumsum(mass[order]) / mass.sum()
    last = _last_of_ties(scores[order])  # who ties is named together
    too_many = np.flatnonzero(last & (named > fpir))
    if len(too_many) == 0:
        return -math.inf
    return float(np.nextafter(scores[order][too_many[0]], math.inf))


def fnir(members: ArrayLike, own: ArrayLike, bar: float, weights: ArrayLike | None = None) -> float:
    """Share of members' requests whose best score is not their own (`own` false) or below the bar; NaN for none."""
    if math.isnan(bar):
        return math.nan
    best, right = np.asarray(members, dtype=np.float64), np.asarray(own, dtype=bool)
    return rate(~(right & (best >= bar)), weights)


def _last_of_ties(ordered: Array) -> NDArray[np.bool_]:
    return np.append(ordered[1:] != ordered[:-1], True)


def errors(
    target: ArrayLike, nontarget: ArrayLike, weights: tuple[ArrayLike, ArrayLike] | None
) -> tuple[Array, Array]:
    """Miss and false-alarm rates at every bar from "accept all" to "accept none"."""
    hit, other = np.asarray(target, dtype=np.float64), np.asarray(nontarget, dtype=np.float64)
    mass_hit, mass_other = (np.ones(len(hit)), np.ones(len(other))) if weights is None else weights
    scores = np.concatenate([hit, other])
    order = np.argsort(scores, kind="stable")
    missed = np.concatenate([np.asarray(mass_hit, dtype=np.float64), np.zeros(len(other))])[order]
    passed = np.concatenate([np.zeros(len(hit)), np.asarray(mass_other, dtype=np.float64)])[order]
    ends = _last_of_ties(scores[order])
    miss = np.concatenate([[0.0], np.cumsum(missed)[ends]]) / missed.sum()
    alarm = 1 - np.concatenate([[0.0], np.cumsum(passed)[ends]]) / passed.sum()
    return miss, alarm


def eer(target: ArrayLike, nontarget: ArrayLike, weights: tuple[ArrayLike, ArrayLike] | None = None) -> float:
    """Equal error rate: where the line between neighbouring bars crosses miss = false alarm."""
    miss, alarm = errors(target, nontarget, weights)
    after = int(np.argmax(miss >= alarm))
    before = max(after - 1, 0)
    gap_before, gap_after = alarm[before] - miss[before], miss[after] - alarm[after]
    share = 0.0 if gap_before + gap_after == 0 else gap_before / (gap_before + gap_after)
    return float(miss[before] + share * (miss[after] - miss[before]))


def min_dcf(target: ArrayLike, nontarget: ArrayLike, p_target: float = 0.01) -> float:
    """Least detection cost over all bars, both costs 1, relative to the better of "all" and "none"."""
    miss, alarm = errors(target, nontarget, None)
    cost = p_target * miss + (1 - p_target) * alarm
    return float(cost.min() / min(p_target, 1 - p_target))


def cllr(
    target_llr: ArrayLike, nontarget_llr: ArrayLike, weights: tuple[ArrayLike, ArrayLike] | None = None
) -> float:
    """Cost of natural-log likelihood ratios, bits: 0 is perfect, 1 is what no evidence at all costs.

    Source: Brümmer and du Preez, Application-independent evaluation of speaker detection, 2006.
    """
    mass_hit, mass_other = (None, None) if weights is None else weights
    missed = np.logaddexp(0, -np.asarray(target_llr, dtype=np.float64)) / math.log(2)
    passed = np.logaddexp(0, np.asarray(nontarget_llr, dtype=np.float64)) / math.log(2)
    return (rate(missed, mass_hit) + rate(passed, mass_other)) / 2


def min_cllr(target: ArrayLike, nontarget: ArrayLike) -> float:
    """Cllr after the best monotone map of these very scores (pool adjacent violators)."""
    hit, other = np.asarray(target, dtype=np.float64), np.asarray(nontarget, dtype=np.float64)
    scores, back = np.unique(np.concatenate([hit, other]), return_inverse=True)
    hits = np.bincount(back[: len(hit)], minlength=len(scores))
    others = np.bincount(back[len(hit) :], minlength=len(scores))
    with np.errstate(divide="ignore"):  # an end of the scale that only one kind reaches is certain: infinite
        llr = np.array(
            [math.nan if h + o == 0 else np.log(h / len(hit)) - np.log(o / len(other)) for h, o in _pav(hits, others)]
        )
    return cllr(llr[back[: len(hit)]], llr[back[len(hit) :]])


def pool_adjacent(hits: Sequence[float], others: Sequence[float]) -> list[tuple[float, float]]:
    """Pool neighbours until the share of hits rises from left to right: mass of hits and of others in each block."""
    return [(hit, other) for hit, other, _ in _blocks(hits, others)]


def _pav(hits: NDArray[np.int64], others: NDArray[np.int64]) -> list[tuple[float, float]]:
    """The pooled counts, one pair per score."""
    return [(hit, other) for hit, other, size in _blocks(hits.tolist(), others.tolist()) for _ in range(size)]


def _blocks(hits: Sequence[float], others: Sequence[float]) -> list[tuple[float, float, int]]:
    blocks: list[tuple[float, float, int]] = []  # hits, others, scores pooled
    for hit, other in zip(hits, others, strict=True):
        block = (hit, other, 1)
        while blocks and blocks[-1][0] * (block[0] + block[1]) >= block[0] * (blocks[-1][0] + blocks[-1][1]):
            before = blocks.pop()
            block = (before[0] + block[0], before[1] + block[1], before[2] + block[2])
        blocks.append(block)
    return blocks


def bootstrap(
    speakers: int, statistic: Callable[[NDArray[np.int64]], float], *, rounds: int = 300, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of a statistic when the speakers are drawn anew, with replacement.

    `statistic` takes how often each speaker was drawn, shape (speakers,). Rounds without a value (NaN) are left out.
    """
    rng = np.random.default_rng(seed)
    drawn = (rng.multinomial(speakers, np.full(speakers, 1 / speakers)) for _ in range(rounds))
    values = np.array([statistic(counts) for counts in drawn])
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return math.nan, math.nan
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def clopper_pearson(events: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact interval of a share from independent trials, 0..1; (0, 1) without trials."""
    if trials == 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = 0.0 if events == 0 else _solve(_at_most(events - 1, trials), -1, 1 - tail)
    high = 1.0 if events == trials else _solve(_at_most(events, trials), -1, tail)
    return low, high


def _at_most(events: int, trials: int) -> Callable[[float], float]:
    """Probability of at most so many events, by the share, 0 < share < 1."""
    k = np.arange(events + 1)
    choose = np.concatenate([[0.0], np.cumsum(np.log((trials - k[:-1]) / (k[:-1] + 1)))])
    return lambda share: float(np.exp(choose + k * math.log(share) + (trials - k) * math.log1p(-share)).sum())


def _solve(monotone: Callable[[float], float], sign: int, value: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if sign * monotone(middle) < sign * value else (low, middle)
    return (low + high) / 2

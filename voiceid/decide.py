"""Scores + quality -> known | unsure | stranger, with a calibrated confidence. Pure: every bar comes with `Bars`.

Two questions, two measures. May a guest get this name? The score must be so high that only the stated share of guests
reaches it, in a household of this size and with this much speech. Who of the household is it, and how sure? Each score
is evidence, a log-likelihood ratio, and Bayes' rule over "a guest" and every person compared makes it a probability.
Either counts a score less what it has in common with everyone's in the household.
"""

import math
from collections.abc import Sequence

import numpy as np

from voiceid.calibration import Bars
from voiceid.ports import Match
from voiceid.types import Decision, PersonId, Quality, Verdict

_MOST_ODDS = 500.0
"""Natural log; beyond it exp() overflows, and nothing changes."""


def decide(matches: Sequence[Match], quality: Quality, bars: Bars) -> Decision:
    """Name the best person only where their score reaches the bar and nobody else's comes close.

    `matches` holds each permitted person once, in any order. A score that is not a number names nobody.

    - known: the score reaches the bar, the odds against the rest of the household reach `bars.apart`.
    - unsure, `ambiguous`: the score reaches the bar, the odds against the rest of the household do not.
    - unsure, `unknown_voice`: the score stays below the bar, yet the odds reach `bars.ask`.
    - stranger: anything less, or nobody to compare with.
    """
    if not matches:
        return Decision(Verdict.STRANGER, "nobody_enrolled", None, 0.0)
    heard = sorted((m for m in matches if math.isfinite(m.score)), key=lambda m: -m.score)
    if not heard:
        return Decision(Verdict.STRANGER, "unknown_voice", None, 0.0)
    best = heard[0]
    scores = bars.relative([m.score for m in heard])
    against_others, against_all = _odds(scores, len(matches), quality, bars)
    common = best.score - scores[0]
    confidence = 1 / (1 + math.exp(-min(max(against_all, -_MOST_ODDS), _MOST_ODDS)))
    bar = bars.threshold(bars.name, len(matches), quality) + common
    if best.score < bar:
        verdict = Verdict.UNSURE if against_all >= bars.ask else Verdict.STRANGER
        return Decision(verdict, "unknown_voice", None, confidence, best.score, bar)
    if against_others < bars.apart:
        return Decision(Verdict.UNSURE, "ambiguous", None, confidence, best.score, bar)
    storable = best.score >= bars.threshold(bars.store, len(matches), quality) + common
    return Decision(Verdict.KNOWN, "recognized", best.person, confidence, best.score, bar, storable=storable)


def speaks_alone(person: PersonId, sides: Sequence[tuple[Sequence[Match], Quality]], bars: Bars) -> bool:
    """Whether either side of a clip may be this person's: it reaches what a share `bars.alone` of strangers reach."""
    return all(_may_be(person, matches, quality, bars) for matches, quality in sides)


def _may_be(person: PersonId, matches: Sequence[Match], quality: Quality, bars: Bars) -> bool:
    relative = bars.relative([match.score for match in matches])
    score = next((s for match, s in zip(matches, relative, strict=True) if match.person == person), -math.inf)
    return score >= bars.threshold(bars.alone, 1, quality)


def _odds(scores: Sequence[float], people: int, quality: Quality, bars: Bars) -> tuple[float, float]:
    """Log odds of the first score's person: against the rest of the household, and against guests too."""
    offset, slope = bars.likelihood(quality)
    prior = math.log((1 - bars.guest_prior) / people)
    best, *others = (offset + slope * score + prior for score in scores)
    rest = float(np.logaddexp.reduce(others)) if others else -math.inf
    return best - rest, best - float(np.logaddexp(rest, math.log(bars.guest_prior)))

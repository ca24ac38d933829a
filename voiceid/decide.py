"""Scores + quality -> known | unsure | stranger, with a calibrated confidence. Pure: every bar comes with `Bars`.

Two questions, two measures. May a guest get this name? The score must be so high that only the stated share of guests
reaches it, in a household of this size and with this much speech. Who of the household is it, and how sure? Each score
is evidence, a log-likelihood ratio, and Bayes' rule over "a guest" and every person compared makes it a probability.
Either counts a score less what it has in common with everyone's in the household.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from voiceid.calibration import Bars
from voiceid.ports import Matches
from voiceid.types import Decision, PersonId, Quality, Verdict

_MOST_ODDS = 500.0
"""Natural log; beyond it exp() overflows, and nothing changes."""


def decide(matches: Matches, quality: Quality, bars: Bars) -> Decision:
    """Name the best person only where their score reaches the bar and nobody else's comes close.

    A score that is not a number names nobody.

    - known: the score reaches the bar, the odds against the rest of the household reach `bars.apart`.
    - unsure, `ambiguous`: the score reaches the bar, the odds against the rest of the household do not.
    - unsure, `unknown_voice`: the score stays below the bar, yet the odds reach `bars.ask`.
    - stranger: anything less, or nobody to compare with.
    """
    people = len(matches)
    if not people:
        return Decision(Verdict.STRANGER, "nobody_enrolled", None, 0.0)
    told = matches.told()
    if not told:
        return Decision(Verdict.STRANGER, "unknown_voice", None, 0.0)
    at, relative = int(told.scores.argmax()), bars.relative(told.scores)
    best = float(told.scores[at])
    against_others, against_all = _odds(relative, at, people, quality, bars)
    common = best - float(relative[at])
    confidence = 1 / (1 + math.exp(-min(max(against_all, -_MOST_ODDS), _MOST_ODDS)))
    bar = bars.threshold(bars.name, people, quality) + common
    if best < bar:
        verdict = Verdict.UNSURE if against_all >= bars.ask else Verdict.STRANGER
        return Decision(verdict, "unknown_voice", None, confidence, best, bar)
    if against_others < bars.apart:
        return Decision(Verdict.UNSURE, "ambiguous", None, confidence, best, bar)
    storable = best >= bars.threshold(bars.store, people, quality) + common
    return Decision(Verdict.KNOWN, "recognized", told.people[at], confidence, best, bar, storable=storable)


def speaks_alone(person: PersonId, sides: Sequence[tuple[Matches, Quality]], bars: Bars) -> bool:
    """Whether either side of a clip may be this person's: it reaches what a share `bars.alone` of strangers reach."""
    return all(_may_be(person, matches, quality, bars) for matches, quality in sides)


def _may_be(person: PersonId, matches: Matches, quality: Quality, bars: Bars) -> bool:
    told = matches.told()
    if person not in told.people:
        return False
    score = bars.relative(told.scores)[told.people.index(person)]
    return bool(score >= bars.threshold(bars.alone, 1, quality))


def _odds(
    scores: NDArray[np.float64], at: int, people: int, quality: Quality, bars: Bars
) -> tuple[float, float]:
    """Log odds of the person whose score stands there: against the rest of the household, and against guests too."""
    offset, slope = bars.likelihood(quality)
    evidence = offset + slope * scores + math.log((1 - bars.guest_prior) / people)
    best, rest = float(evidence[at]), float(np.logaddexp.reduce(np.delete(evidence, at)))
    return best - rest, best - float(np.logaddexp(rest, math.log(bars.guest_prior)))

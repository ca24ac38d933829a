"""Decisions with bars that can be worked out by hand.

Evidence is 20 * score - 10 - 1 / speech_s. Of other people's requests one in ten reaches 0.5 + 0.1 / speech_s, and one
in ten of those each 0.1 above it.
"""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceid.calibration import Bars, Term
from voiceid.decide import decide, speaks_alone
from voiceid.ports import Matches
from voiceid.types import ModelId, PersonId, Quality, Verdict

BARS = Bars(
    model_id=ModelId("toy@0"),
    evidence=(Term("one", -10.0, 20.0), Term("brevity", -1.0, 0.0)),
    tail=(Term("one", math.log(10) * 4, -math.log(10) * 10), Term("brevity", math.log(10), 0.0)),
    speech_s=(1.0, 4.0),
    guest_prior=0.5,
    name=0.01,
    store=0.0001,
    apart=math.log(9),
    ask=0.0,
    same_voice=0.4,
    same_person=0.8,
)


def quality(speech_s: float = 4.0) -> Quality:
    return Quality(speech_s, speech_s, -20.0, 30.0, 0.0)


def matches(*scores: float) -> Matches:
    return Matches.of({PersonId(f"p{i}"): score for i, score in enumerate(scores)})


def test_nobody_enrolled_is_a_stranger() -> None:
    decision = decide(matches(), quality(), BARS)

    assert (decision.verdict, decision.reason, decision.person) == (Verdict.STRANGER, "nobody_enrolled", None)
    assert decision.confidence == 0
    assert decision.score is None


def test_one_person_is_bayes_by_hand() -> None:
    """Evidence 20 * 0.6 - 10 - 1/4 = 1.75; half of the requests are guests', so odds = e^1.75."""
    decision = decide(matches(0.6), quality(), BARS)

    assert decision.confidence == pytest.approx(1 / (1 + math.exp(-1.75)))


def test_two_people_are_bayes_by_hand() -> None:
    """Odds of the first: e^1.75 / 4 against a guest's 1/2 and the second's e^-2.25 / 4."""
    first, second = math.exp(1.75) / 4, math.exp(-2.25) / 4

    decision = decide(matches(0.6, 0.4), quality(), BARS)

    assert decision.confidence == pytest.approx(first / (first + second + 0.5))


def test_above_the_bar_is_known_by_name() -> None:
    decision = decide(matches(0.2, 0.9, 0.1), quality(), BARS)

    assert (decision.verdict, decision.reason, decision.person) == (Verdict.KNOWN, "recognized", "p1")
    assert decision.score == 0.9


def test_below_every_bar_is_a_stranger() -> None:
    decision = decide(matches(0.2, 0.1), quality(), BARS)

    assert (decision.verdict, decision.reason, decision.person) == (Verdict.STRANGER, "unknown_voice", None)


def test_between_the_bars_is_unsure_and_nameless() -> None:
    decision = decide(matches(0.62), quality(), BARS)

    assert (decision.verdict, decision.reason, decision.person) == (Verdict.UNSURE, "unknown_voice", None)
    assert 0.5 < decision.confidence < 0.99


def test_two_people_too_close_are_ambiguous() -> None:
    """Each alone would be named; together neither is."""
    alone, together = decide(matches(0.9), quality(), BARS), decide(matches(0.9, 0.88), quality(), BARS)

    assert alone.verdict is Verdict.KNOWN
    assert (together.verdict, together.reason, together.person) == (Verdict.UNSURE, "ambiguous", None)


def test_the_threshold_is_the_score_that_would_have_named() -> None:
    """At the threshold the name comes, a hair below it does not."""
    threshold = decide(matches(0.7, 0.5, 0.3), quality(2), BARS).threshold
    assert threshold is not None

    assert decide(matches(threshold + 1e-9, 0.5, 0.3), quality(2), BARS).verdict is Verdict.KNOWN
    assert decide(matches(threshold - 1e-9, 0.5, 0.3), quality(2), BARS).verdict is not Verdict.KNOWN


def test_the_bar_by_hand() -> None:
    """One guest in a hundred, five people, two seconds: 1 in 500 reaches (4 + 1/2 + log10(500)) / 10."""
    decision = decide(matches(0.7, 0, 0, 0, 0), quality(2), BARS)

    assert decision.threshold == pytest.approx((4.5 + math.log10(500)) / 10)


def test_a_larger_household_asks_for_more() -> None:
    bars = [decide(matches(0.7, *[0.0] * others), quality(), BARS).threshold or 0 for others in (0, 3, 9)]

    assert bars == sorted(bars)
    assert bars[1] - bars[0] == pytest.approx(math.log10(4) / 10)


def test_a_shorter_request_asks_for_more() -> None:
    short, long = (decide(matches(0.7), quality(s), BARS).threshold or 0 for s in (1.0, 4.0))

    assert short - long == pytest.approx(0.075)


@pytest.mark.parametrize(("speech_s", "nearest"), [(0.01, 1.0), (60.0, 4.0)])
def test_beyond_what_was_measured_the_nearest_counts(speech_s: float, nearest: float) -> None:
    assert decide(matches(0.6), quality(speech_s), BARS) == decide(matches(0.6), quality(nearest), BARS)


def test_storing_asks_for_more_than_naming() -> None:
    named, stored = decide(matches(0.76), quality(), BARS), decide(matches(0.9), quality(), BARS)

    assert (named.verdict, named.storable) == (Verdict.KNOWN, False)
    assert (stored.verdict, stored.storable) == (Verdict.KNOWN, True)


def test_an_ambiguous_request_is_never_storable() -> None:
    """However high both scores are."""
    lax = replace(BARS, store=BARS.name)

    assert not decide(matches(0.95, 0.95), quality(), lax).storable


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_names_nobody(score: float) -> None:
    decision = decide(matches(score), quality(), BARS)

    assert (decision.verdict, decision.person, decision.confidence) == (Verdict.STRANGER, None, 0.0)


def test_a_broken_score_does_not_stand_in_for_its_neighbour() -> None:
    assert decide(matches(math.nan, 0.9), quality(), BARS).person == "p1"
    assert speaks_alone(PersonId("p1"), [(matches(math.nan, 0.9), quality())], BARS)
    assert not speaks_alone(PersonId("p0"), [(matches(math.nan, 0.9), quality())], BARS)


cosines = st.lists(st.floats(-1, 1), min_size=1, max_size=10)


@given(scores=cosines, speech_s=st.floats(0.1, 30))
def test_a_name_is_never_a_guess(scores: list[float], speech_s: float) -> None:
    decision = decide(matches(*scores), quality(speech_s), BARS)

    assert 0 <= decision.confidence <= 1
    assert (decision.person is not None) == (decision.verdict is Verdict.KNOWN)
    if decision.person is not None:
        best, *rest = sorted(scores, reverse=True)
        assert decision.score == best
        assert best >= (decision.threshold or math.inf)
        assert not rest or (best - rest[0]) * 20 >= BARS.apart - 1e-9


@given(scores=cosines, order=st.randoms(use_true_random=False))
def test_the_order_of_the_household_does_not_matter(scores: list[float], order: object) -> None:
    household = matches(*scores)
    shuffled = sorted(scores, key=lambda _: order.random())  # type: ignore[attr-defined]  # Hypothesis' Random

    assert decide(matches(*shuffled), quality(), BARS).confidence == pytest.approx(
        decide(household, quality(), BARS).confidence
    )


@pytest.mark.parametrize(
    ("first", "second", "alone"),
    [((0.56, 0.0), (0.9, 0.0), True), ((0.54, 0.0), (0.9, 0.0), False), ((0.9, 0.0), (0.54, 0.9), False)],
)
def test_whoever_speaks_alone_is_on_either_side(
    first: tuple[float, ...], second: tuple[float, ...], alone: bool  # noqa: FBT001 a case
) -> None:
    """One in ten strangers reaches 0.5 + 0.1 / 2 with two seconds: less than that on one side is somebody else."""
    sides = [(matches(*first), quality(2.0)), (matches(*second), quality(2.0))]
    bars = replace(BARS, alone=0.1)

    assert speaks_alone(PersonId("p0"), sides, bars) == alone
    assert not speaks_alone(PersonId("nobody"), sides, bars)
    assert speaks_alone(PersonId("p0"), [], bars)

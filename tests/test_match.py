"""Scores are those of the people who are permitted, in order."""

from dataclasses import replace

import numpy as np
import pytest
from home import BARS, DIM, GATE, MODEL
from numpy.typing import NDArray

from voiceid.calibration import Bars
from voiceid.consent import Permit
from voiceid.match import Index
from voiceid.types import Embedding, HouseholdId, PersonId, Voiceprint


def voice(name: str) -> NDArray[np.float32]:
    """A random direction of its own for each name."""
    direction = np.random.default_rng(list(name.encode())).standard_normal(DIM)
    return (direction / np.linalg.norm(direction)).astype(np.float32)


NAMES = [PersonId(f"person {number}") for number in range(40)]
PROBE = Embedding(voice("somebody"), MODEL)
BOTH_VIEWS = replace(BARS, narrow=BARS)


def built(bars: Bars | None, people: list[PersonId]) -> Index:
    prints = [Voiceprint(name, MODEL, voice(name)[None], voice(f"{name} by telephone")[None]) for name in people]
    return Index.build(prints, MODEL, DIM, 0, bars)


def permit(people: list[PersonId]) -> Permit:
    return Permit(HouseholdId("h"), 0, frozenset(people), frozenset(GATE))


@pytest.mark.parametrize("narrow", [False, True])
def test_everybody_is_scored_as_some_of_them_are(*, narrow: bool) -> None:
    """Some: out of an index that holds one more."""
    some = built(BOTH_VIEWS, [*NAMES, PersonId("not permitted")]).nearest(PROBE, among=permit(NAMES), narrow=narrow)
    everybody = built(BOTH_VIEWS, NAMES).nearest(PROBE, among=permit(NAMES), narrow=narrow)
    views = [f"{name} by telephone" if narrow else name for name in NAMES]
    scores = [float(voice(view) @ PROBE.vector) for view in views]
    best = sorted(zip(scores, NAMES, strict=True), reverse=True)
    for found in (some, everybody):
        assert [match.person for match in found] == [name for _, name in best]
        assert [match.score for match in found] == pytest.approx([score for score, _ in best], abs=1e-6)


def test_who_is_not_permitted_is_not_scored_after_everybody_was() -> None:
    index = built(None, NAMES)
    assert len(index.nearest(PROBE, among=permit(NAMES))) == len(NAMES)
    assert {match.person for match in index.nearest(PROBE, among=permit(NAMES[1:]))} == set(NAMES[1:])
    assert len(index.nearest(PROBE, among=permit(NAMES))) == len(NAMES)


def test_who_is_permitted_and_has_no_voiceprint_is_not_scored() -> None:
    found = built(None, NAMES[:3]).nearest(PROBE, among=permit(NAMES))
    assert {match.person for match in found} == set(NAMES[:3])
    assert list(built(None, []).nearest(PROBE, among=permit(NAMES))) == []


def test_without_the_view_of_a_telephone_nobody_is_found_in_it() -> None:
    assert list(built(None, NAMES).nearest(PROBE, among=permit(NAMES), narrow=True)) == []


def test_scores_outlive_the_index() -> None:
    index = built(None, NAMES)
    found = index.nearest(PROBE, among=permit(NAMES))
    before = float(voice(NAMES[0]) @ PROBE.vector)
    index.wipe()
    assert next(match.score for match in found if match.person == NAMES[0]) == pytest.approx(before, abs=1e-6)
    assert all(match.score == 0 for match in index.nearest(PROBE, among=permit(NAMES)))

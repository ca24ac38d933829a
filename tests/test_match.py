"""Scores are those of the people who are permitted, and of nobody else."""

from dataclasses import replace

import numpy as np
import pytest
from home import BARS, DIM, GATE, MODEL
from numpy.typing import NDArray

from voiceid.calibration import Bars
from voiceid.consent import Permit
from voiceid.errors import ModelMismatch
from voiceid.match import Index, Indexes
from voiceid.types import Embedding, HouseholdId, ModelId, PersonId, Voiceprint


def voice(name: str) -> NDArray[np.float32]:
    """A random direction of its own for each name."""
    direction = np.random.default_rng(list(name.encode())).standard_normal(DIM)
    return (direction / np.linalg.norm(direction)).astype(np.float32)


NAMES = [PersonId(f"person {number}") for number in range(40)]
HOME, EPOCH = HouseholdId("h"), 7
PROBE = Embedding(voice("somebody"), MODEL)
BOTH_VIEWS = replace(BARS, narrow=BARS)


def built(bars: Bars | None, people: list[PersonId]) -> Index:
    prints = [Voiceprint(name, MODEL, voice(name)[None], voice(f"{name} by telephone")[None]) for name in people]
    return Index.build(prints, MODEL, DIM, EPOCH, bars)


def permit(people: list[PersonId], epoch: int = EPOCH) -> Permit:
    return Permit(HOME, epoch, frozenset(people), frozenset(GATE))


def alone(name: PersonId) -> float:
    """The score that only this one product gives."""
    return float(voice(name) @ PROBE.vector)


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("others", [0, 1, 30])
def test_each_score_is_a_product_of_its_own(*, narrow: bool, others: int) -> None:
    """Whoever else the index holds: those who are not permitted stand before, between and behind."""
    index = built(BOTH_VIEWS, NAMES)
    permitted = NAMES[others // 2 : len(NAMES) - (others - others // 2)]

    found = index.nearest(PROBE, among=permit(permitted), narrow=narrow)

    views = [PersonId(f"{name} by telephone") if narrow else name for name in permitted]
    assert list(found.people) == permitted
    assert found.scores == pytest.approx(np.array([alone(view) for view in views]), abs=1e-6)
    best = max(permitted, key=lambda name: alone(views[permitted.index(name)]))
    assert found.people[found.scores.argmax()] == best


@pytest.mark.parametrize("narrow", [False, True])
def test_a_score_is_the_same_to_the_last_digit_whoever_is_compared_beside(*, narrow: bool) -> None:
    """Voices that stand one behind the other are scored in one go, others one by one."""
    index = built(BOTH_VIEWS, NAMES)

    def scores(people: list[PersonId]) -> dict[PersonId, float]:
        found = index.nearest(PROBE, among=permit(people), narrow=narrow)
        return dict(zip(found.people, found.scores.tolist(), strict=True))

    everybody = scores(NAMES)
    for people in (NAMES[::2], NAMES[1::3], NAMES[5:17], NAMES[3:4], [NAMES[0], NAMES[-1]], NAMES[30:]):
        assert scores(people) == {name: everybody[name] for name in people}


def test_a_permit_counts_for_its_own_search_alone() -> None:
    """What was worked out for one is not used for another of the same epoch, the same size or the same household."""
    index = built(None, NAMES)
    for permitted in (NAMES, NAMES[1:], NAMES[:-1], NAMES, [], NAMES[::2], NAMES[1::2]):
        found = index.nearest(PROBE, among=permit(permitted))
        assert list(found.people) == permitted
        assert found.scores == pytest.approx(np.array([alone(name) for name in permitted]), abs=1e-6)


def test_who_is_permitted_and_has_no_voiceprint_is_not_scored() -> None:
    assert list(built(None, NAMES[:3]).nearest(PROBE, among=permit(NAMES)).people) == NAMES[:3]
    assert len(built(None, []).nearest(PROBE, among=permit(NAMES))) == 0


def test_without_the_view_of_a_telephone_nobody_is_found_in_it() -> None:
    assert len(built(None, NAMES).nearest(PROBE, among=permit(NAMES), narrow=True)) == 0


def test_an_embedding_of_other_weights_or_another_length_is_not_compared() -> None:
    index = built(None, NAMES)
    with pytest.raises(ModelMismatch):
        index.nearest(replace(PROBE, model_id=ModelId("other@1")), among=permit(NAMES))
    with pytest.raises(ValueError, match="reshape"):
        index.nearest(replace(PROBE, vector=PROBE.vector[:-1]), among=permit(NAMES))


def test_a_person_with_two_voiceprints_is_scored_once() -> None:
    name = NAMES[0]
    prints = [Voiceprint(name, MODEL, voice(take)[None], None) for take in ("older", "newer")]
    found = Index.build(prints, MODEL, DIM, EPOCH).nearest(PROBE, among=permit([name]))
    assert found.people == (name,)
    assert found.scores == pytest.approx([alone(PersonId("newer"))], abs=1e-6)


def test_scores_outlive_the_index() -> None:
    index = built(None, NAMES)
    found = index.nearest(PROBE, among=permit(NAMES))
    index.wipe()
    assert found.scores[0] == pytest.approx(alone(NAMES[0]), abs=1e-6)
    assert not index.nearest(PROBE, among=permit(NAMES)).scores.any()


class Shelf:
    """`Voiceprints` of those who are left."""

    def __init__(self) -> None:
        self.left, self.read = list(NAMES), 0

    def of(self, household: HouseholdId, model_id: ModelId, people: frozenset[PersonId]) -> list[Voiceprint]:
        self.read += 1
        return [
            Voiceprint(name, MODEL, voice(name)[None], voice(f"{name} by telephone")[None])
            for name in self.left if name in people
        ]  # fmt: skip


def vectors(index: Index) -> NDArray[np.float32]:
    """What its memory holds."""
    return np.stack([index.faiss_index.index.reconstruct(row) for row in range(index.faiss_index.ntotal)])


def test_forgetting_somebody_overwrites_their_vectors_and_nobody_elses() -> None:
    """Both views, at once; the index is of no epoch any more, and the next search builds it anew."""
    shelf = Shelf()
    indexes = Indexes(shelf, MODEL, DIM, at_most=2, bars=BOTH_VIEWS)
    indexes.nearest(PROBE, among=permit(NAMES))
    held, before = indexes._held[HOME], vectors(indexes._held[HOME])
    gone = [NAMES[3], NAMES[39], NAMES[0]]
    rows = [at + view for at in (3, 39, 0) for view in (0, len(NAMES))]

    for name in gone:
        indexes.forget(HOME, name)
        shelf.left.remove(name)
        assert indexes.count(HOME, name) == 0
    indexes.forget(HOME, PersonId("never enrolled"))

    after = vectors(held)
    assert not after[rows].any()
    assert np.array_equal(np.delete(after, rows, axis=0), np.delete(before, rows, axis=0))
    assert indexes.count(HOME) == len(NAMES) - len(gone)
    assert indexes.held() != {HOME: EPOCH}
    found = indexes.nearest(PROBE, among=permit(NAMES))  # a permit from before, of the same epoch
    assert list(found.people) == shelf.left
    assert shelf.read == 2
    assert not vectors(held).any()  # what the others left in the old memory


def test_forgetting_a_household_overwrites_everything() -> None:
    indexes = Indexes(Shelf(), MODEL, DIM, at_most=2, bars=BOTH_VIEWS)
    indexes.nearest(PROBE, among=permit(NAMES))
    held = indexes._held[HOME]
    indexes.forget(HOME)
    assert not vectors(held).any()
    assert indexes.held() == {}
    assert indexes.count(HOME) == 0
    indexes.forget(HOME)
    indexes.forget(HOME, NAMES[0])

"""Households drawn from made-up voices: who is compared with whom, and figures that must come out."""

import math
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest

from voiceid.calibration import Bars, Term
from voiceid.decide import decide, speaks_alone
from voiceid.errors import InvalidRequest
from voiceid.evaluate.corpora import half, read_corpus
from voiceid.evaluate.embed import Clips, Voice
from voiceid.evaluate.figures import figures, ours, plain
from voiceid.evaluate.protocol import GUEST, Plan, Scores, Trials, households, likeness, scores
from voiceid.ports import Matches
from voiceid.speech import is_narrow
from voiceid.types import Decision, ModelId, PersonId, Quality, Verdict

BARS = Bars(
    model_id=ModelId("toy@0"),
    evidence=(Term("one", -30.0, 60.0),),
    tail=(Term("one", 0.0, -10.0),),
    speech_s=(1.0, 5.0),
    guest_prior=0.5,
    name=0.02,
    store=0.002,
    apart=2.0,
    ask=0.0,
    same_voice=0.4,
    same_person=0.8,
)
"""Named from ln(4 / 0.02) / 10 = 0.53 in a household of four."""
SPEECH_S = 3.0
QUALITY = astuple(Quality(SPEECH_S, SPEECH_S, -20.0, 30.0, 0.0))


def voice(name: str, direction: np.ndarray, rng: np.random.Generator, spread: float = 0.2) -> Voice:
    """Takes, the same in both views, and requests: scattered around one direction of 64."""

    def clips(count: int) -> Clips:
        vectors = direction + spread * rng.normal(size=(count, 64)) / 8
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        sides, shares = np.zeros((count, 2, 64), np.float32), np.full((count, 2), 0.5, np.float32)
        quality = np.tile(QUALITY, (count, 1))
        return Clips(vectors.astype(np.float32), quality, np.ones(count, np.float32), sides, shares)

    def takes() -> Clips:
        heard = clips(4)
        return replace(heard, vectors=np.stack([heard.vectors, heard.vectors], axis=1))

    return Voice(name, {0: takes(), 1: takes()}, {(0, SPEECH_S): clips(3), (1, SPEECH_S): clips(3)})


@pytest.fixture
def people() -> list[Voice]:
    rng = np.random.default_rng(1)
    return [voice(f"x_{i}", np.eye(64)[i], rng) for i in range(12)]


def test_nobody_is_compared_with_sound_that_enrolled_them(people: list[Voice]) -> None:
    table = scores(people, SPEECH_S)
    trials = households(table, 4, 50, seed=0)
    member = trials.own != GUEST

    assert member.any()
    for trial in np.flatnonzero(member):
        column, request = trials.own[trial], trials.request[trial]
        other_side = (table.owner == trials.speaker[trial]) & (table.owner_side != table.side[request])
        assert trials.scores[trial, column] == table.matrix[request, np.flatnonzero(other_side)[0]]


def test_guests_are_no_members_and_members_are_all_different(people: list[Voice]) -> None:
    trials = households(scores(people, SPEECH_S), 4, 50, seed=0)
    guest = trials.own == GUEST

    assert guest.any()
    assert not (trials.members[guest] == trials.speaker[guest, None]).any()
    assert all(len(set(row)) == 4 for row in trials.members.tolist())
    own = trials.members[np.arange(len(trials)), trials.own]
    assert (own[~guest] == trials.speaker[~guest]).all()


def test_the_same_seed_draws_the_same_households(people: list[Voice]) -> None:
    table = scores(people, SPEECH_S)

    first, again, other = (households(table, 4, 20, seed=s) for s in (7, 7, 8))

    assert (first.scores == again.scores).all()
    assert first.members.shape != other.members.shape or (first.members != other.members).any()


def test_too_few_speakers_for_a_household_are_refused(people: list[Voice]) -> None:
    with pytest.raises(ValueError, match="too few"):
        households(scores(people[:7], SPEECH_S), 4, 1, seed=0)


def test_voices_that_lie_apart_are_all_told_apart(people: list[Voice]) -> None:
    table = scores(people, SPEECH_S)
    trials = households(table, 4, 50, seed=0)

    found, _ = figures(trials, ours(trials, table, BARS))

    assert [found[name] for name in ("fnir_shipped", "fpir_shipped", "misnamed", "eer")] == [0, 0, 0, 0]
    assert found["min_cllr"] == 0
    assert 0 < found["ci95"]["fpir_shipped"][1] < 0.2  # nothing seen is not nothing possible


def test_a_guest_who_sounds_like_a_member_is_counted(people: list[Voice]) -> None:
    """Two of thirteen share a voice: whenever one of them is a guest of the other's, the other's name comes up."""
    rng = np.random.default_rng(2)
    twin = voice("x_twin", np.eye(64)[0], rng)
    table = scores([*people, twin], SPEECH_S)
    trials = households(table, 4, 200, seed=0)

    found, _ = figures(trials, ours(trials, table, BARS))

    assert found["fpir_shipped"] > 0.02
    assert found["ci95"]["fpir_shipped"][0] < found["fpir_shipped"] < found["ci95"]["fpir_shipped"][1]


def test_a_request_that_the_speech_check_refused_is_anonymous(people: list[Voice]) -> None:
    clips = people[0].requests[0, SPEECH_S]
    clips.vectors[:] = 0
    people[0].requests[1, SPEECH_S].vectors[:] = 0
    table = scores(people, SPEECH_S)
    trials = households(table, 4, 50, seed=0)
    refused = trials.speaker == 0

    outcome = ours(trials, table, BARS)

    assert (trials.scores[refused] == -math.inf).all()
    assert refused.any()
    assert not outcome.named[refused].any()
    assert outcome.named[~refused & (trials.own != GUEST)].all()


@pytest.mark.parametrize("size", [1, 2, 4])
def test_all_trials_at_once_are_decided_as_each_alone(size: int) -> None:
    """Noise, brevity, two bands, a crowd, bars that some reach and some do not: `ours` is `decide`."""
    rng = np.random.default_rng(9)
    wide = replace(
        BARS, evidence=(Term("one", -9.0, 20.0), Term("brevity", 1.0, -2.0), Term("noise", 2.0, -5.0)),
        tail=(Term("one", 0.0, -9.0), Term("noise", 1.0, 2.0)), crowd=0.5, usual=0.1, doubted=0.1, alone=0.2,
    )  # fmt: skip
    bars = replace(wide, narrow=replace(wide, crowd=0.0, name=0.2, guest_prior=0.2))
    requests = 60
    quality = np.array([[rng.uniform(0.5, 6), 6, -20, rng.uniform(-5, 40), 0, rng.choice([-90, -20])]
                        for _ in range(requests)])  # fmt: skip
    nobody = np.zeros(requests, int)
    turns = rng.choice([0.05, 0.9], requests, p=[0.2, 0.8])
    shares = rng.uniform(0.3, 0.7, (requests, 2))
    table = Scores(
        np.zeros((requests, 1)), nobody, nobody, np.ones(requests, bool), quality, turns, np.zeros((requests, 2, 1)),
        shares, nobody[:1], nobody[:1],
    )  # fmt: skip
    compared = rng.uniform(-0.2, 1.0, (300, size))
    compared[::17] = -math.inf
    request = rng.integers(requests, size=300)
    sides = rng.uniform(-0.2, 1.0, (300, 2, size))
    trials = Trials(compared, rng.integers(-1, size, 300), request, request, np.zeros((300, size), int), sides)

    outcome = ours(trials, table, bars)

    verdicts, passed = set(), 0
    for row, score in enumerate(compared):
        told = Quality(*map(float, quality[request[row]]))
        by = bars.narrow if is_narrow(told) and bars.narrow else bars
        decided = decide(_matches(score), told, by)
        beside = [(_matches(side), replace(told, speech_s=told.speech_s * float(share)))
                  for side, share in zip(sides[row], shares[request[row]], strict=True)]  # fmt: skip
        doubted = by.doubts(float(turns[request[row]]), told)
        if doubted and decided.person is not None and not speaks_alone(decided.person, beside, by):
            decided = Decision(Verdict.UNSURE, "several_voices", None, 0.0)
        passed += doubted and decided.person is not None
        verdicts.add((decided.reason, decided.storable))
        assert outcome.named[row] == (decided.verdict is Verdict.KNOWN)
        assert outcome.stored[row] == decided.storable
        assert outcome.confidence is not None
        if not doubted:
            assert outcome.confidence[row] == pytest.approx(decided.confidence, rel=1e-9, abs=1e-12)
        if decided.person is not None:
            assert outcome.column[row] == int(decided.person)
        if np.isfinite(score[0]):
            offset, slope = by.likelihood(told)
            assert outcome.llr[row] == pytest.approx(offset + slope * by.relative(score))
    assert {("recognized", True), ("recognized", False), ("unknown_voice", False)} <= verdicts
    assert ("several_voices", False) in verdicts
    assert passed > 0
    assert ("ambiguous", False) in verdicts or size == 1


def _matches(scores: np.ndarray) -> Matches:
    return Matches.of({PersonId(str(person)): float(score) for person, score in enumerate(scores)})


def test_similar_guests_are_those_most_like_the_members(people: list[Voice]) -> None:
    """Of thirteen, two share a voice: whenever one is a member, the other is a guest, unless both are members."""
    everyone = [*people, voice("x_twin", np.eye(64)[0], np.random.default_rng(2))]
    table = scores(everyone, SPEECH_S)

    trials = households(table, 4, 100, seed=0, alike=likeness(table))

    with_first = (trials.members == 0).any(axis=1) & ~(trials.members == 12).any(axis=1)
    for household in {tuple(row) for row in trials.members[with_first].tolist()}:
        here = (trials.members == household).all(axis=1) & (trials.own == GUEST)
        assert 12 in trials.speaker[here]
    drawn = households(table, 4, 100, seed=0)
    assert (trials.speaker[trials.own == GUEST] == 12).mean() > (drawn.speaker[drawn.own == GUEST] == 12).mean()


def test_likeness_is_highest_between_twins_and_counts_both_ways(people: list[Voice]) -> None:
    alike = likeness(scores([*people, voice("x_twin", np.eye(64)[0], np.random.default_rng(2))], SPEECH_S))

    assert alike == pytest.approx(alike.T)
    assert np.argsort(-alike[0])[:2].tolist() in ([0, 12], [12, 0])


def test_one_to_one_compares_everybody_with_everybody(people: list[Voice]) -> None:
    """12 speakers, 6 requests and 2 enrollments each: with one's own other side, and with both sides of 11 others."""
    table = scores(people, SPEECH_S)
    trials = Plan("verification").trials(table, table)

    assert len(trials) == 72 * (1 + 22)
    assert (trials.own == 0).sum() == 72
    assert (trials.members[trials.own == 0, 0] == trials.speaker[trials.own == 0]).all()
    assert (trials.members[trials.own == GUEST, 0] != trials.speaker[trials.own == GUEST]).all()
    found, _ = figures(trials, ours(trials, table, BARS))
    assert (found["eer"], found["fnir_at_fpir_1"], found["fnir_shipped"]) == (0, 0, 0)


def test_a_plan_tells_what_it_draws() -> None:
    assert Plan(size=6, guests="similar").told()["guests"] == "similar"
    assert Plan("verification").told() == {"name": "verification"}
    assert (Plan(size=6).least, Plan("verification").least, Plan().of(8).size) == (12, 2, 8)


def test_plain_cosine_names_from_its_one_bar(people: list[Voice]) -> None:
    table = scores(people, SPEECH_S)
    trials = households(table, 4, 20, seed=0)

    outcome = plain(trials, {"threshold": 0.5, "offset": -1.0, "slope": 2.0})

    assert (outcome.named == (trials.scores.max(axis=1) >= 0.5)).all()
    assert outcome.llr == pytest.approx(2 * trials.scores - 1)


def test_the_halves_share_nobody_and_lose_nobody(tmp_path: Path) -> None:
    for name in [*(f"so_{i}" for i in range(9)), *(f"libri_{i}" for i in range(4))]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.flac").touch()
        (tmp_path / name / "notes.txt").touch()
    everyone = read_corpus(tmp_path)

    one, other = half(everyone, "a"), half(list(reversed(everyone)), "b")

    assert not {p.name for p in one} & {p.name for p in other}
    assert {p.name for p in one} | {p.name for p in other} == {p.name for p in everyone}
    assert [sum(p.corpus == c for p in one) for c in ("so", "libri")] == [5, 2]
    assert everyone[0].clips == (tmp_path / "libri_0" / "a.flac",)


@pytest.mark.parametrize("folder", ["missing", "."])
def test_a_folder_without_speakers_is_refused(tmp_path: Path, folder: str) -> None:
    with pytest.raises(InvalidRequest, match="folder"):
        read_corpus(tmp_path / folder)


def test_the_bar_of_the_toy_is_where_it_says() -> None:
    assert BARS.threshold(BARS.name, 4, Quality(3, 3, 0, 0, 0)) == pytest.approx(math.log(200) / 10)

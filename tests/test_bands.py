"""Sound over a telephone, what a household has in common, and what rooms do to a voice: how each counts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from home import BARS, DIM, GATE, MODEL, Home, voice, wav

from voiceid.calibration import Bars
from voiceid.consent import Permit
from voiceid.decide import decide
from voiceid.decode import decode
from voiceid.evaluate.channels import telephone
from voiceid.match import Index
from voiceid.ports import Matches
from voiceid.speech import NARROW_DB, SpeechCheck, is_narrow, over_telephone
from voiceid.types import Embedding, HouseholdId, Pcm, PersonId, Quality, Samples, Speech, Verdict, Voiceprint

ADA, BEN, CLEO = (PersonId(name) for name in ("ada", "ben", "cleo"))
GOOD = Quality(3.0, 3.0, -20.0, 30.0, 0.0)


@pytest.fixture(scope="module")
def ada(voices: Path) -> Samples:
    return decode((voices / "ada" / "request_1.flac").read_bytes(), max_s=60).samples


def called(samples: Samples) -> Samples:
    return telephone(samples, np.random.default_rng(0))


def heard(samples: Samples) -> Speech:
    found = SpeechCheck.shipped()(Pcm(samples))
    assert isinstance(found, Speech)
    return found


def test_a_telephone_is_heard_from_what_is_missing(ada: Samples) -> None:
    near, far = heard(ada), heard(called(ada))

    assert not is_narrow(near.quality)
    assert is_narrow(far.quality)
    assert far.quality.treble_db < NARROW_DB - 20 < NARROW_DB + 15 < near.quality.treble_db


def test_what_a_telephone_would_carry_lies_between_300_and_3400_hz(ada: Samples) -> None:
    speech = heard(ada)
    carried = over_telephone(speech)
    pitch_hz = np.fft.rfftfreq(len(carried.samples), 1 / 16_000)
    before, after = (np.abs(np.fft.rfft(one.samples)) ** 2 for one in (speech, carried))
    inside = (pitch_hz > 500) & (pitch_hz < 3_000)

    assert after[inside].sum() == pytest.approx(before[inside].sum(), rel=0.02)
    assert after[pitch_hz > 4_200].sum() < 1e-3 * before[pitch_hz > 4_200].sum()
    assert after[pitch_hz < 150].sum() < 1e-2 * max(before[pitch_hz < 150].sum(), 1e-9)


def household(bars: Bars | None, *people: Voiceprint) -> tuple[Index, Permit]:
    members = frozenset(one.person for one in people)
    return Index.build(list(people), MODEL, DIM, 0, bars), Permit(HouseholdId("h"), 0, members, frozenset(GATE))


def test_each_band_is_searched_in_its_own_view() -> None:
    """As heard Ada is like Ada; over a telephone her voice is where Ben's is as heard."""
    bars = replace(BARS, narrow=BARS)
    index, everyone = household(
        bars,
        Voiceprint(ADA, MODEL, voice("ada")[None], voice("ben")[None]),
        Voiceprint(BEN, MODEL, voice("ben")[None], voice("cleo")[None]),
    )
    probe = Embedding(voice("ben"), MODEL)

    for narrow, name in ((False, BEN), (True, ADA)):
        found = index.nearest(probe, among=everyone, narrow=narrow)
        assert found.people[found.scores.argmax()] == name
    alone = replace(everyone, people=frozenset({BEN}))
    assert index.nearest(probe, among=alone, narrow=True).people == (BEN,)


def test_who_was_enrolled_over_a_telephone_alone_is_known() -> None:
    same = voice("ada")[None]
    index, _ = household(
        BARS, Voiceprint(ADA, MODEL, same, same), Voiceprint(BEN, MODEL, voice("ben")[None], voice("cleo")[None])
    )

    assert index.by_telephone == {ADA}


def test_a_projection_counts_what_rooms_do_for_less() -> None:
    """Ada once with the room's direction in her voice: without a projection a guest with the same room is closer."""
    room = np.eye(DIM, dtype=np.float32)[-1]
    matrix = np.eye(DIM, dtype=np.float32)
    matrix[-1, -1] = 0.05
    enrolled = 0.6 * voice("ada") + 0.8 * room
    probe = Embedding((0.6 * voice("ben") + 0.8 * room).astype(np.float32), MODEL)
    person = Voiceprint(ADA, MODEL, enrolled[None].astype(np.float32))

    plain = household(None, person)[0].nearest(probe, among=household(None, person)[1])
    projected = replace(BARS, projection=matrix)
    moved = household(projected, person)[0].nearest(probe, among=household(projected, person)[1])

    assert plain.scores[0] == pytest.approx(0.64, abs=1e-5)
    assert moved.scores[0] < 0.01


def test_what_a_whole_household_has_in_common_names_nobody() -> None:
    """A guest on the household's own device: everybody's score is high, nobody's stands out."""
    guest = Matches.of({ADA: 0.80, BEN: 0.55, CLEO: 0.50})
    member = Matches.of({ADA: 0.80, BEN: 0.10, CLEO: 0.05})
    bars = replace(BARS, crowd=0.5, usual=0.1)

    assert decide(guest, GOOD, BARS).verdict is Verdict.KNOWN
    assert decide(guest, GOOD, bars).person is None
    assert decide(member, GOOD, bars).person == ADA


def test_one_person_alone_is_measured_against_what_is_usual() -> None:
    bars = replace(BARS, crowd=0.5, usual=0.1)

    assert bars.relative(np.array([0.8])) == pytest.approx(np.array([0.8 - 0.5 * 0.1]))
    assert bars.relative(np.array([0.8, 0.3])) == pytest.approx(np.array([0.8 - 0.25 * 0.4, 0.3 - 0.25 * 0.9]))


def test_the_bar_that_is_told_is_the_one_that_counts() -> None:
    bars = replace(BARS, crowd=0.5, usual=0.1)
    found = decide(Matches.of({ADA: 0.9, BEN: 0.3}), GOOD, bars)
    assert found.threshold is not None

    just = decide(Matches.of({ADA: found.threshold + 1e-6, BEN: 0.3}), GOOD, bars)
    below = decide(Matches.of({ADA: found.threshold - 1e-6, BEN: 0.3}), GOOD, bars)

    assert (just.person, below.person) == (ADA, None)


@pytest.fixture(scope="module")
def home(voices: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Ada enrolled at the microphone, Ben over a telephone."""
    home = Home(tmp_path_factory.mktemp("home"), real=voices).enrolls("ada").agrees("ben")
    me = home["ben"]
    started = home.ok("POST", f"{me.path}/enrollments", me.headers)["id"]
    for number in range(1, 5):
        sound = decode((voices / "ben" / f"enroll_{number}.flac").read_bytes(), max_s=60).samples
        taken = home.ok("POST", f"{me.path}/enrollments/{started}/takes", me.headers, content=wav(called(sound)),
                        headers={"content-type": "audio/wav"})  # fmt: skip
        assert taken["accepted"], taken
    home.completes("ben", started)
    return home


def says(home: Home, samples: Samples) -> str | None:
    told = home.ok("POST", "recognize", home.owner, content=wav(samples), headers={"content-type": "audio/wav"})
    return told["person"] and told["person"]["display_name"].lower()


@pytest.mark.parametrize(("who", "expected"), [("ada", "ada"), ("ben", "ben"), ("cleo", None)])
@pytest.mark.parametrize("over", ["the air", "a telephone"])
def test_either_way_the_right_one_is_named(
    home: Home, voices: Path, who: str, expected: str | None, over: str
) -> None:
    """Enrolled at the microphone or over a telephone, asked over the air or a telephone; a guest is never named."""
    samples = decode((voices / who / "request_1.flac").read_bytes(), max_s=60).samples

    assert says(home, called(samples) if over == "a telephone" else samples) == expected

"""The rules of recognition on real speech: several voices, another voice's take, a voice twice, too short, too close.

Speakers of half `b` of `dev`: no bar was set on them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
from home import Home, wav

from voiceid.decode import decode
from voiceid.evaluate.corpora import Speaker, half, read_corpus
from voiceid.speech import LEAST_SPEECH_S, SpeechCheck
from voiceid.types import SAMPLE_RATE_HZ, Pcm, Samples, Speech

pytestmark = pytest.mark.speech


@pytest.fixture(scope="module")
def people(speech_dir: Path) -> list[Speaker]:
    return [person for person in half(read_corpus(speech_dir / "dev"), "b") if person.corpus == "so"]


@pytest.fixture(scope="module")
def prepared(people: list[Speaker], voices: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Ada is the first speaker, from their first clips."""
    with Home(tmp_path_factory.mktemp("home"), real=voices) as home:
        home.agrees("ada")
        enrolls(home, "ada", [samples(clip) for clip in people[0].clips[:5]])
        yield home


@pytest.fixture
def home(prepared: Home, tmp_path: Path) -> Iterator[Home]:
    with prepared.twin(tmp_path) as home:
        yield home


def samples(clip: Path) -> Samples:
    return decode(clip.read_bytes(), max_s=60).samples


def speech(person: Speaker, clip: int = -1) -> Samples:
    """The speech of one clip, pauses cut out."""
    heard = SpeechCheck.shipped()(Pcm(samples(person.clips[clip])))
    assert isinstance(heard, Speech)
    return heard.samples


def of_length(sound: Samples, seconds: float) -> Samples:
    return sound[: round(seconds * SAMPLE_RATE_HZ)]


def sent(sound: Samples) -> dict[str, Any]:
    return {"content": wav(np.clip(sound, -1, 1)), "headers": {"content-type": "audio/wav"}}


def enrolls(home: Home, name: str, sounds: list[Samples]) -> Any:
    """Read these; the answers to the takes, and to completing."""
    me = home[name]
    started = home.ok("POST", f"{me.path}/enrollments", me.headers)["id"]
    path = f"{me.path}/enrollments/{started}"
    takes = [home.ok("POST", f"{path}/takes", me.headers, **sent(sound)) for sound in sounds]
    return takes, home.call("POST", f"{path}/complete", me.headers)


def test_two_voices_in_one_clip_are_noticed_and_nobody_is_named(home: Home, people: list[Speaker]) -> None:
    """Ada and then a guest, two seconds each: about half are noticed. Nobody is then named, and nothing kept."""
    told = []
    for guest in people[1:11]:
        both = np.concatenate([of_length(speech(people[0], 6), 2.0), of_length(speech(guest), 2.0)])
        told.append(home.ok("POST", "recognize", home.owner, **sent(both)))

    assert sum(one["reason"] == "several_voices" for one in told) >= 4, [one["reason"] for one in told]
    assert all(one["person"] is None and not one["stored"] for one in told if one["reason"] == "several_voices")


def test_one_voice_is_not_taken_for_two(home: Home, people: list[Speaker]) -> None:
    clips = [person.clips[clip] for person in people[:6] for clip in (5, 6, 7)]
    told = [home.ok("POST", "recognize", home.owner, **sent(samples(clip))) for clip in clips]

    assert sum(one["reason"] == "several_voices" for one in told) <= 1


def test_a_take_with_two_voices_is_refused_with_the_reason(home: Home, people: list[Speaker]) -> None:
    home.agrees("ben")
    pairs = [[of_length(speech(people[who], clip), 2.0) for who in (1, 2)] for clip in (0, 1, 2)]
    takes, _ = enrolls(home, "ben", [np.concatenate(pair) for pair in pairs])

    assert sum(one["reasons"] == ["several_voices"] for one in takes) >= 2, takes
    assert all(not one["accepted"] for one in takes if one["reasons"])


def test_a_take_of_somebody_else_is_refused_with_the_reason(home: Home, people: list[Speaker]) -> None:
    home.agrees("ben")
    clips = [*people[1].clips[:4], people[2].clips[0]]
    takes, _ = enrolls(home, "ben", [samples(clip) for clip in clips])

    assert sum(one["accepted"] for one in takes[:-1]) >= 3
    assert takes[-1]["reasons"] == ["different_voice"]


def test_a_voice_that_is_enrolled_cannot_be_enrolled_for_another_person(home: Home, people: list[Speaker]) -> None:
    home.agrees("ben")
    takes, done = enrolls(home, "ben", [samples(clip) for clip in people[0].clips[3:8]])

    assert all(one["accepted"] for one in takes)
    assert (done.status_code, done.json()["type"]) == (409, "/problems/voice-already-enrolled")


def test_from_one_second_on_it_answers_and_below_it_says_what_is_needed(home: Home, people: list[Speaker]) -> None:
    own = speech(people[0], 6)
    short, enough = (home.ok("POST", "recognize", home.owner, **sent(of_length(own, s))) for s in (0.5, 1.8))

    assert (short["reason"], short["needed"]) == ("too_short", LEAST_SPEECH_S)
    assert short["measured"] < LEAST_SPEECH_S
    assert short["person"] is None
    assert enough["reason"] not in {"too_short", "poor_audio"}


def test_a_voice_between_two_close_ones_gets_neither_name(home: Home, people: list[Speaker]) -> None:
    """Ben speaks as Ada would with a longer throat: not her, but close. Whoever sounds like both is `ambiguous`."""

    def deeper(sound: Samples, share: float) -> Samples:
        return np.asarray(soxr.resample(sound, SAMPLE_RATE_HZ, SAMPLE_RATE_HZ * (1 + share)), dtype=np.float32)

    home.agrees("ben")
    for share in (0.04, 0.05, 0.06, 0.07):
        _, done = enrolls(home, "ben", [deeper(samples(clip), share) for clip in people[0].clips[:5]])
        if done.status_code == 200:
            break
    assert done.status_code == 200
    told = [
        home.ok("POST", "recognize", home.owner, **sent(deeper(samples(people[0].clips[clip]), share * part)))
        for clip in (5, 6, 7) for part in (0.4, 0.5, 0.6)
    ]  # fmt: skip

    assert any(one["reason"] == "ambiguous" for one in told), [one["reason"] for one in told]
    assert all(one["person"] is None for one in told if one["reason"] == "ambiguous")

"""Households of four real speakers through the HTTP API: on the half of `dev` that no bar was set on.

The calibration was found on half `a` (its provenance says so); here are the speakers of half `b`. The figures of `test`
are in docs/accuracy.md, with the command.
"""

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from home import GATE, Home

from voiceid.evaluate.corpora import Speaker, half, read_corpus

pytestmark = [pytest.mark.speech, pytest.mark.slow]

MEMBERS = 4
GUEST_REQUESTS = 200
GUESTS_OF_A_HOME = 30


@dataclass
class Heard:
    """What became of every request."""

    members: Counter[str] = field(default_factory=Counter)
    guests: Counter[str] = field(default_factory=Counter)


def sound(clip: Path) -> dict[str, Any]:
    return {"content": clip.read_bytes(), "headers": {"content-type": "audio/flac"}}


def move_in(home: Home, speaker: Speaker) -> list[Path]:
    """Enroll a speaker from their first clips, as many as it takes; the clips that are left for requests."""
    home.joins(speaker.name).grants(speaker.name, *GATE)
    me = home[speaker.name]
    started = home.ok("POST", f"{me.path}/enrollments", me.headers)
    clips = list(speaker.clips)
    while True:
        clip = clips.pop(0)
        taken = home.ok("POST", f"{me.path}/enrollments/{started['id']}/takes", me.headers, **sound(clip))
        if taken["next_prompt"] is None:
            break
    home.completes(speaker.name, started["id"])
    return clips


def answers(home: Home, device: dict[str, str], clip: Path) -> str | None:
    """Whom the household names when its device hears this clip, in lower case; None: nobody."""
    person = home.ok("POST", "recognize", device, **sound(clip))["person"]
    return person and str(person["display_name"]).lower()


def households(people: list[Speaker]) -> Iterator[list[Speaker]]:
    """Four at a time, of one corpus: strangers of another corpus would be too easy to tell apart."""
    drawn = random.Random(0).sample(people, len(people))
    for corpus in sorted({person.corpus for person in drawn}):
        own = [person for person in drawn if person.corpus == corpus]
        yield from (own[at : at + MEMBERS] for at in range(0, len(own) - MEMBERS + 1, MEMBERS))


def guest_clips(people: list[Speaker], at_home: list[Speaker], seed: int) -> list[Path]:
    names = {person.name for person in at_home}
    rest = [
        clip
        for person in people
        if person.name not in names and person.corpus == at_home[0].corpus
        for clip in person.clips
    ]
    return random.Random(seed).sample(rest, min(GUESTS_OF_A_HOME, len(rest)))


@pytest.fixture(scope="module")
def heard(speech_dir: Path, voices: Path, tmp_path_factory: pytest.TempPathFactory) -> Heard:
    people = half(read_corpus(speech_dir / "dev"), "b")
    found = Heard()
    for number, members in enumerate(households(people)):
        with Home(tmp_path_factory.mktemp("home"), real=voices) as home:
            device = home.token("device")
            requests = {member.name: move_in(home, member) for member in members}
            for name, clips in requests.items():
                for clip in clips:
                    said = answers(home, device, clip)
                    found.members["right" if said == name else "wrong" if said else "anonymous"] += 1
            for clip in guest_clips(people, members, number):
                found.guests["named" if answers(home, device, clip) else "anonymous"] += 1
    return found


def test_the_speakers_here_set_no_bar(speech_dir: Path) -> None:
    entries = json.loads(resources.files("voiceid").joinpath("data/calibration.json").read_text())
    here = {person.name for person in half(read_corpus(speech_dir / "dev"), "b")}

    for entry in entries.values():
        assert entry["provenance"]["half"] == "a"
        assert not here & set(entry["provenance"]["names"])


def test_at_most_a_tenth_of_members_requests_is_answered_anonymously(heard: Heard) -> None:
    requests = heard.members.total()
    assert requests >= 100
    assert heard.members["anonymous"] <= requests / 10, heard.members


def test_no_member_is_taken_for_another(heard: Heard) -> None:
    assert heard.members["wrong"] == 0, heard.members


def test_at_most_two_of_two_hundred_guests_are_named(heard: Heard) -> None:
    assert heard.guests.total() >= GUEST_REQUESTS
    assert heard.guests["named"] <= 2, heard.guests

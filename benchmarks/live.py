"""Live recognition on recordings of real people: how early, how often right, how often somebody is named by mistake.

    python -m benchmarks.live ../shared/speech/dev --half b --out docs/listen.json
    python -m benchmarks.live ../shared/speech/dev --half a --pauses

Households of four, drawn without overlap within one corpus: each member enrolled with the first clips, asking with the
rest; as many guests. Every clip goes through `Listener` as a connection's chunks would.
"""

import argparse
import hashlib
import json
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from voiceid.calibration import Bars, Policy
from voiceid.consent import OPENS_THE_GATE
from voiceid.decode import decode
from voiceid.encode import open_encoder, take_views
from voiceid.evaluate.corpora import CONTENT_TYPES, Speaker, half, read_corpus
from voiceid.evaluate.metrics import clopper_pearson
from voiceid.listen import HANG_S, Listener
from voiceid.match import Indexes
from voiceid.ports import Actor, Encoder, Gate, Heard, Request
from voiceid.recognize import Recognizer
from voiceid.respond import Responder
from voiceid.speech import SpeechCheck, VoiceActivity, find_stretches
from voiceid.types import (
    SAMPLE_RATE_HZ,
    Decision,
    Embedding,
    HouseholdId,
    ModelId,
    Pcm,
    PersonId,
    Profile,
    Speech,
    Unusable,
    Voiceprint,
)
from voiceid.views import Decided, Hypothesis, PersonView, ResponseTemplate, ResponseText

_SIZE, _ENROLLED = 4, 4
_POLICY: Policy = "balanced"
_CHUNK = 1600 * 2
_AT_S = 1.5
_GRAIN_S = 0.06
"""Speech is counted in frames of 32 ms."""
PCM_TYPE = f"audio/pcm;rate={SAMPLE_RATE_HZ};encoding=s16le;channels=1"
_HOME = HouseholdId("home")
_OWNER = Actor("owner", "benchmark", _HOME)
_NEEDED = OPENS_THE_GATE["recordings"]


@dataclass
class Home:
    """A household in memory: everybody agreed, nothing is kept."""

    prints: dict[PersonId, Voiceprint] = field(default_factory=dict)
    epoch: int = 0

    def gate(self, household: HouseholdId, /) -> Gate:
        return Gate(household, self.epoch, dict.fromkeys(self.prints, _NEEDED), withheld=False)

    def of(self, household: HouseholdId, model_id: ModelId, people: frozenset[PersonId]) -> Sequence[Voiceprint]:  # noqa: ARG002 the port's
        return [self.prints[person] for person in sorted(people)]

    def profile(self, household: HouseholdId, person: PersonId, /) -> Profile:  # noqa: ARG002 the port's
        return Profile(person, person, "adult")

    def keep(
        self, actor: Actor, household: HouseholdId, request: Request, decision: Decision,  # noqa: ARG002 the port's
        said: ResponseText, heard: Heard | None = None,  # noqa: ARG002 the port's
    ) -> bool:
        return False

    def pseudonym(self, household: HouseholdId, person: PersonId, skill: str, /) -> str | None:  # noqa: ARG002 the port's
        return None

    def template(self, household: HouseholdId, intent: str, /) -> ResponseTemplate | None:  # noqa: ARG002 the port's
        return None


class RememberingCheck:
    """A speech check that is not asked twice for the same sound."""

    def __init__(self, check: SpeechCheck) -> None:
        self._check = check
        self._known: dict[bytes, Speech | Unusable] = {}

    def __call__(self, pcm: Pcm, /) -> Speech | Unusable:
        sound = hashlib.sha256(pcm.samples.tobytes()).digest()
        if sound not in self._known:
            self._known[sound] = self._check(pcm)
        return self._known[sound]


class Remembering:
    """An encoder that is not asked twice for the same sound."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[bytes, Embedding] = {}
        self.model_id, self.dim = encoder.model_id, encoder.dim

    def embed(self, speech: Speech, /) -> Embedding:
        sound = hashlib.sha256(speech.samples.tobytes()).digest()
        if sound not in self._known:
            self._known[sound] = self._encoder.embed(speech)
        return self._known[sound]


def read(path: Path) -> Pcm:
    """One clip."""
    return decode(path.read_bytes(), CONTENT_TYPES[path.suffix], max_s=60)


def pauses(people: Sequence[Speaker], activity: VoiceActivity) -> dict[str, float]:
    """The share of clips with a pause between two stretches of speech that is longer than so many seconds."""
    longest = []
    for clip in (clip for person in people for clip in person.clips):
        pcm = read(clip)
        found = find_stretches(activity(pcm.samples), len(pcm.samples))
        gaps = [after.start - before.stop for before, after in pairwise(found)]
        longest.append(max(gaps, default=0) / SAMPLE_RATE_HZ)
    return {f"{at:.1f}": round(float(np.mean(np.array(longest) > at)), 4) for at in (0.3, 0.5, 0.6, 0.7, 0.8, 1.0, 1.2)}


def homes(people: Sequence[Speaker], seed: int) -> Iterator[tuple[list[Speaker], list[Speaker]]]:
    """Members and guests, drawn within each corpus."""
    by_corpus: dict[str, list[Speaker]] = defaultdict(list)
    for person in people:
        if len(person.clips) > _ENROLLED:
            by_corpus[person.corpus].append(person)
    chooser = random.Random(seed)
    for group in by_corpus.values():
        chooser.shuffle(group)
        for at in range(0, len(group) - len(group) % _SIZE, _SIZE):
            members = group[at : at + _SIZE]
            others = [person for person in group if person not in members]
            if len(others) >= _SIZE:
                yield members, chooser.sample(others, _SIZE)


class Ear:
    """One household's recognizer, and what it says to a clip."""

    def __init__(self, encoder: Encoder, activity: VoiceActivity) -> None:
        self.home, self._activity, self._encoder = Home(), activity, encoder
        check = RememberingCheck(SpeechCheck(activity))
        self._check = check
        bars = Bars.shipped(encoder.model_id, _POLICY)
        self.recognizer = Recognizer(
            check=check, encoder=encoder, consents=self.home,
            indexes=Indexes(self.home, encoder.model_id, encoder.dim, at_most=1, bars=bars),
            bars=bars, profiles=self.home,
            responder=Responder(self.home, lambda _: "en", lambda: datetime.now(UTC)), keeper=self.home,
            pseudonyms=self.home,
            purposes=_NEEDED,
        )

    def move_in(self, members: Sequence[Speaker]) -> None:
        """Enroll these, and nobody else."""
        self.home.prints.clear()
        self.home.epoch += 1
        for member in members:
            heard = [self._check(read(clip)) for clip in member.clips[:_ENROLLED]]
            views = np.stack([take_views(self._encoder, one) for one in heard if isinstance(one, Speech)])
            person = PersonId(member.name)
            self.home.prints[person] = Voiceprint(person, self._encoder.model_id, views[:, 0], views[:, 1])

    def speech_s(self, pcm: Pcm) -> float:
        """Net speech of a clip."""
        return self._check(pcm).quality.speech_s

    def hear(self, pcm: Pcm) -> list[Hypothesis | Decided]:
        """Every hypothesis and decision on one clip."""
        sound = _sound(pcm)
        listener = Listener(self.recognizer, self._activity, _HOME, _OWNER, longest_s=60)
        events = [
            event for at in range(0, len(sound), _CHUNK) for event in listener.hear(sound[at : at + _CHUNK])
        ]
        events += listener.end()
        return [event for event in events if isinstance(event, Hypothesis | Decided)]


def measure(people: Sequence[Speaker], seed: int, at_most: int | None) -> dict[str, Any]:
    """All figures of acceptance, in so many households."""
    found: Counter[str] = Counter()
    encoder = open_encoder("campplus", Path())
    ear = Ear(Remembering(encoder), VoiceActivity.shipped())
    for members, guests in islice(homes(people, seed), at_most):
        found["households"] += 1
        ear.move_in(members)
        for person in members:
            for clip in person.clips[_ENROLLED:]:
                found.update(_member(ear, read(clip), person.name))
        for person in guests:
            for clip in person.clips[_ENROLLED:]:
                found.update(_guest(ear, read(clip)))
    return {"encoder": str(encoder.model_id), "policy": _POLICY, **found, "shares": _shares(found)}


def _member(ear: Ear, pcm: Pcm, name: str) -> Iterator[str]:
    events = ear.hear(pcm)
    hypotheses = [event for event in events if isinstance(event, Hypothesis)]
    yield "members"
    if ear.speech_s(pcm) >= _AT_S:
        yield "members_of_1.5_s"
        early = [_name(h) for h in hypotheses if h.utterance == 1 and h.speech_s < _AT_S + _GRAIN_S]
        if early and early[-1] == name:
            yield "right_at_1.5_s"
    if any(_name(event) not in {None, name} for event in events):
        yield "members_misnamed"
    if lost := [event.answer.reason for event in events if isinstance(event, Decided) and event.retracted]:
        yield "members_retracted"
        yield f"members_retracted_{lost[0]}"
    yield from _final(ear, pcm, events)


def _guest(ear: Ear, pcm: Pcm) -> Iterator[str]:
    events = ear.hear(pcm)
    yield "guests"
    if any(_name(event) for event in events if isinstance(event, Hypothesis)):
        yield "guests_named_early"
    if any(_name(event) for event in events if isinstance(event, Decided)):
        yield "guests_named"
    yield from _final(ear, pcm, events)


def _final(ear: Ear, pcm: Pcm, events: Sequence[Hypothesis | Decided]) -> Iterator[str]:
    """Whether the decisions are those of `recognize`: on their own sound always, on the whole clip where it is one."""
    decisions = [event for event in events if isinstance(event, Decided)]
    for one in decisions:
        sound = _sound(pcm)[_byte(one.start_s) : _byte(one.end_s)]
        same = ear.recognizer.recognize(Request(decode(sound, PCM_TYPE, max_s=60)), _HOME, _OWNER)
        yield "decisions"
        if (same.mode, same.reason, same.person, same.confidence) == _said(one):
            yield "decisions_as_recognize"
    if len(decisions) == 1:
        whole = ear.recognizer.recognize(Request(decode(_sound(pcm), PCM_TYPE, max_s=60)), _HOME, _OWNER)
        yield "clips_of_one_utterance"
        if (whole.mode, whole.person) == (decisions[0].answer.mode, decisions[0].answer.person):
            yield "named_as_the_whole_clip"


def _name(event: Hypothesis | Decided) -> str | None:
    person = event.person if isinstance(event, Hypothesis) else event.answer.person
    return person.id if person else None


def _said(event: Decided) -> tuple[str, str, PersonView | None, float]:
    answer = event.answer
    return answer.mode, answer.reason, answer.person, answer.confidence


def _byte(at_s: float) -> int:
    return round(at_s * SAMPLE_RATE_HZ) * 2


def _sound(pcm: Pcm) -> bytes:
    return np.clip(np.round(pcm.samples * 32768), -32768, 32767).astype("<i2").tobytes()


def _shares(found: Counter[str]) -> dict[str, Any]:
    """Each share with its exact (Clopper-Pearson) 95 % interval."""
    of = {
        "right_at_1.5_s": "members_of_1.5_s", "members_retracted": "members", "members_misnamed": "members",
        "guests_named_early": "guests", "guests_named": "guests", "decisions_as_recognize": "decisions",
        "named_as_the_whole_clip": "clips_of_one_utterance",
    }  # fmt: skip
    return {
        part: {"count": found[part], "of": found[whole], "share": round(found[part] / max(1, found[whole]), 4),
               "ci95": [round(bound, 4) for bound in clopper_pearson(found[part], found[whole])]}
        for part, whole in of.items()
    }  # fmt: skip


def main() -> None:
    """Measure and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--half", choices=("a", "b"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--homes", type=int, help="only the first so many households: to see that it works")
    parser.add_argument("--out", type=Path, help="also write it there; `make docs` puts docs/listen.json on its page")
    parser.add_argument("--pauses", action="store_true", help="pauses within clips instead")
    asked = parser.parse_args()
    people = read_corpus(asked.folder)
    if asked.half:
        people = half(people, asked.half)
    found: dict[str, Any] = pauses(people, VoiceActivity.shipped()) if asked.pauses else (
        measure(people, asked.seed, asked.homes)
    )  # fmt: skip
    words = [word for word in sys.argv[1:] if word != "--out" and word != str(asked.out)]
    whole = {"command": " ".join(["python -m benchmarks.live", *words]), "hang_s": HANG_S, **found}
    print(json.dumps(whole, indent=1))
    if asked.out:
        asked.out.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()

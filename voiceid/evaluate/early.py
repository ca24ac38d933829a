"""How certain a name must be while somebody still speaks: `early`, the share of `name` that hypotheses may use up.

`python -m voiceid.evaluate.early ../shared/speech/dev --half a --out voiceid/data/calibration.json`

Every clip goes through `Listener`, which notes what it would look at; then households are drawn, with other takes each
time, and each share is tried on all of them. Several looks at one utterance may name a guest more often than one answer
does, and what was said cannot be unsaid: the largest share is chosen whose hypotheses name at most a quarter of the
guests that answers may.
"""

import argparse
import json
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from voiceid.calibration import Bars
from voiceid.decide import decide
from voiceid.decode import decode
from voiceid.encode import open_encoder, take_views
from voiceid.evaluate.corpora import CONTENT_TYPES, Half, Speaker, half, read_corpus
from voiceid.listen import Listener
from voiceid.ports import Actor, Encoder, Matches
from voiceid.recognize import Recognizer
from voiceid.speech import SpeechCheck, VoiceActivity, is_narrow
from voiceid.types import Embedding, HouseholdId, PersonId, Quality, Speech
from voiceid.voiceprint import pooled

SHARES = (1.0, 0.7, 0.5, 0.35, 0.25, 0.15, 0.1)
GUESTS = 0.25
"""Of the guests that `name` lets through, the share that hypotheses may name."""
SIZE, TAKES, DRAWS, SEED = 4, 4, 20, 7
AT_S = 1.5
"""Speech after which the share of members named is told."""
_GRAIN_S = 0.06
_CHUNK_BYTES = 3200


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip: as a take, if it can be one, and what was looked at while it came in."""

    views: NDArray[np.float32] | None
    """As `take_views`."""
    speech_s: float
    looks: list[list[tuple[Quality, Embedding]]]
    """For each utterance, in order."""


@dataclass(slots=True)
class _Notes:
    """Stands where the recognizer does: names nobody, so that the listener goes on looking."""

    encoder: Encoder
    looks: list[tuple[Quality, Embedding]] = field(default_factory=list)
    utterances: list[list[tuple[Quality, Embedding]]] = field(default_factory=list)
    mode: str = "anonymous"

    def guess(self, speech: Speech, *_: Any) -> None:
        self.looks.append((speech.quality, self.encoder.embed(speech)))

    def recognize(self, *_: Any, **__: Any) -> "_Notes":
        self.utterances.append(self.looks)
        self.looks = []
        return self


def heard(person: Speaker, encoder: Encoder, activity: VoiceActivity) -> Iterator[Clip]:
    """Every clip of somebody, as live recognition hears it."""
    check = SpeechCheck(activity)
    for file in person.clips:
        pcm = decode(file.read_bytes(), CONTENT_TYPES[file.suffix.lower()], max_s=60)
        whole, notes = check(pcm), _Notes(encoder)
        listener = Listener(
            cast("Recognizer", notes), activity, HouseholdId("h"), Actor("owner", "t", HouseholdId("h")), longest_s=60
        )
        sound = np.clip(np.round(pcm.samples * 2**15), -(2**15), 2**15 - 1).astype("<i2").tobytes()
        for at in range(0, len(sound), _CHUNK_BYTES):
            for _ in listener.hear(sound[at : at + _CHUNK_BYTES]):
                pass
        for _ in listener.end():
            pass
        views = take_views(encoder, whole) if isinstance(whole, Speech) else None
        yield Clip(views, whole.quality.speech_s, notes.utterances)


def tried(people: Mapping[Speaker, Sequence[Clip]], bars: Bars, shares: Sequence[float]) -> dict[float, Counter[str]]:
    """What the hypotheses say with each share, in the same households."""
    found: dict[float, Counter[str]] = {share: Counter() for share in shares}
    draw = random.Random(SEED)
    for members, guests in _households(list(people), draw):
        prints: dict[PersonId, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        asking = []
        for member in members:
            clips = draw.sample(list(people[member]), len(people[member]))
            views = np.stack([clip.views for clip in clips[:TAKES] if clip.views is not None])
            narrow = bars.narrow or bars
            prints[PersonId(member.name)] = (
                pooled(bars.projected(views[:, 0])), pooled(narrow.projected(views[:, 1]))
            )  # fmt: skip
            asking += [(member.name, clip) for clip in clips[TAKES:]]
        for share, (name, clip) in product(shares, asking):
            found[share].update(_member(name, clip, prints, _while_speaking(bars, share)))
        for share, guest in product(shares, guests):
            for clip in people[guest]:
                said = [_named(look, prints, _while_speaking(bars, share)) for looks in clip.looks for look in looks]
                found[share].update(["guests", *(["guests_named"] if any(said) else [])])
    return found


def chosen(found: Mapping[float, Counter[str]], bars: Bars) -> float:
    """The largest share whose hypotheses name few enough guests.

    Raises: ValueError, when none does.
    """
    good = [share for share, n in found.items() if n["guests_named"] <= GUESTS * bars.name * n["guests"]]
    if not good:
        raise ValueError("with every share too many guests are named")
    return max(good)


def _households(people: Sequence[Speaker], draw: random.Random) -> Iterator[tuple[list[Speaker], list[Speaker]]]:
    """Members and as many guests of the same corpus; whoever is drawn too late for a full household waits."""
    by_corpus: dict[str, list[Speaker]] = defaultdict(list)
    for person in people:
        by_corpus[person.corpus].append(person)
    for _, group in product(range(DRAWS), by_corpus.values()):
        draw.shuffle(group)
        for start, stop in pairwise(range(0, len(group) + 1, SIZE)):
            others = group[:start] + group[stop:]
            if len(others) >= SIZE:
                yield group[start:stop], draw.sample(others, SIZE)


def _while_speaking(bars: Bars, share: float) -> Bars:
    narrow = bars.narrow and replace(bars.narrow, early=share)
    return replace(bars, early=share, narrow=narrow)


def _member(
    name: str, clip: Clip, prints: Mapping[PersonId, tuple[NDArray[np.float32], NDArray[np.float32]]], bars: Bars
) -> Iterator[str]:
    said = [(look[0].speech_s, _named(look, prints, bars)) for look in next(iter(clip.looks), [])]
    if clip.speech_s >= AT_S:
        yield "members"
        first = next((who for at_s, who in said if who and at_s < AT_S + _GRAIN_S), None)
        yield "members_named" if first == name else "members_unnamed"
    if any(who not in {None, name} for _, who in said):
        yield "members_misnamed"


def _named(
    look: tuple[Quality, Embedding], prints: Mapping[PersonId, tuple[NDArray[np.float32], NDArray[np.float32]]],
    bars: Bars,
) -> str | None:
    quality, embedding = look
    narrow = is_narrow(quality) and bars.narrow is not None
    judged = (bars.narrow if narrow and bars.narrow else bars).while_speaking()
    if judged.several_voices(embedding.turn, quality):
        return None
    probe = judged.projected(embedding.vector)
    matches = Matches.of({who: float(probe @ views[narrow]) for who, views in prints.items()})
    return decide(matches, quality, judged).person


def main() -> None:
    """Command line: write the share into the entry of the encoder, and of those that are calibrated with it."""
    parser = argparse.ArgumentParser(prog="python -m voiceid.evaluate.early", description=main.__doc__)
    parser.add_argument("corpus", type=Path, help="folder speaker/utterance.*")
    parser.add_argument("--half", choices=get_args(Half), help="only this half of the speakers")
    parser.add_argument("--encoder", default="campplus")
    parser.add_argument("--models-dir", type=Path, default=Path("models"))
    parser.add_argument("--out", type=Path, help="the data file; entries are completed")
    options = parser.parse_args()
    people = read_corpus(options.corpus)
    encoder, activity = open_encoder(options.encoder, options.models_dir), VoiceActivity.shipped()
    bars = Bars.shipped(encoder.model_id, "balanced")
    some = half(people, options.half) if options.half else people
    found = tried({person: list(heard(person, encoder, activity)) for person in some}, bars, SHARES)
    told = {
        str(share): {
            "members_named_at_1.5_s": round(n["members_named"] / max(1, n["members"]), 4),
            "members_misnamed": n["members_misnamed"],
            "guests_named": round(n["guests_named"] / max(1, n["guests"]), 4),
        }
        for share, n in found.items()
    }
    share = chosen(found, bars)
    sys.stdout.write(json.dumps({"early": share, "shares": told}, indent=1) + "\n")
    if options.out:
        entries = json.loads(options.out.read_text())
        for model, entry in entries.items():
            if encoder.model_id in {model, entry.get("calibrated_with")}:
                entry["early"] = share
        options.out.write_text(json.dumps(entries, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

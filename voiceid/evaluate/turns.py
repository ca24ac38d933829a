"""Where one speaker hands over to another: the bars for clips that hold two voices.

`python -m voiceid.evaluate.turns ../shared/speech/dev --half a --out voiceid/data/calibration.json`

Each clip of one person, also joined from two, and as many of two people one after the other, in several proportions.
After `calibrate`, whose tail says what strangers reach. Three bars:

1. `one_voice`, where nothing but the clip is known: all but a stated share of one person's clips keep it.
2. `doubted`, below which it is worth to embed both sides of the moment: a stated share of one person's clips.
3. `alone`, the share of strangers whose side may pass for the named person's: ten times the least at which none of one
   person's clips is taken for two people's: rooms and telephones lower what a side reaches (docs/accuracy.md).

What share of the clips of two people is found is measured, not chosen: of those in which the first of them is named.
"""

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from voiceid.calibration import Bars
from voiceid.decide import decide, speaks_alone
from voiceid.decode import decode
from voiceid.encode import open_encoder, sides_of
from voiceid.evaluate.corpora import CONTENT_TYPES, Half, Speaker, half, read_corpus
from voiceid.evaluate.embed import LOOKED_AT
from voiceid.ports import Encoder, Matches
from voiceid.speech import SpeechCheck, is_narrow
from voiceid.types import SAMPLE_RATE_HZ, Embedding, Pcm, PersonId, Quality, Samples, Speech
from voiceid.voiceprint import pooled

TAKEN_FOR_TWO = 0.001
"""Share of the clips of one person that may be taken for two people's where nothing else is known."""
LOOKED_TWICE = 0.08
"""Share of the clips of one person that may be embedded twice."""
MARGIN = 10
ALONE = (0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002)
PROPORTIONS_S = ((1.5, 1.5), (2.0, 2.0), (3.0, 1.0), (3.0, 3.0))
JOINED_S = (2.0, 3.0, 5.0)
TAKES, DRAWS, SEED = 4, 3, 11


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """One clip against the voiceprint of the first who speaks in it."""

    turn: float
    quality: Quality
    named: bool
    """In a household of four whose others are unlike."""
    sides: list[tuple[float, Quality]]
    """Score of either side of the turn; empty where there is none."""

    def two(self, doubted: float, bars: Bars) -> bool:
        """Whether it is taken for two people's."""
        sides = [(Matches.of({_FIRST: score}), quality) for score, quality in self.sides]
        return self.named and self.turn < doubted and not speaks_alone(_FIRST, sides, bars)


_FIRST = PersonId("first")


class Room:
    """Hears clips as the product does."""

    def __init__(self, encoder: Encoder, bars: Bars) -> None:
        self._check, self._encoder, self._bars = SpeechCheck.shipped(), encoder, bars

    def speech(self, person: Speaker) -> Iterator[Samples]:
        for clip in person.clips:
            heard = self._check(decode(clip.read_bytes(), CONTENT_TYPES[clip.suffix.lower()], max_s=60))
            if isinstance(heard, Speech):
                yield heard.samples

    def voiceprint(self, takes: Sequence[Samples]) -> Any:
        """Shape (dim,)."""
        heard = [speech for take in takes if isinstance(speech := self._check(Pcm(take)), Speech)]
        return pooled(self._bars.projected(np.stack([self._encoder.embed(speech).vector for speech in heard])))

    def hears(self, samples: Samples, first: Any) -> Heard | None:
        """None, where the speech check refuses the clip, where noise counts, and over a telephone."""
        heard = self._check(Pcm(samples))
        if not isinstance(heard, Speech) or is_narrow(heard.quality) or Bars.features(heard.quality)["noise"]:
            return None
        whole = self._encoder.embed(heard)
        others = {PersonId(str(n)): self._bars.usual for n in range(3)}
        matches = Matches.of({_FIRST: self._score(whole, first), **others})
        named = decide(matches, heard.quality, self._bars).person == _FIRST
        sides = sides_of(self._encoder, heard, whole.turn_at_s) if named and whole.turn < LOOKED_AT else []
        return Heard(whole.turn, heard.quality, named, [(self._score(side, first), q) for side, q in sides])

    def _score(self, heard: Embedding, first: Any) -> float:
        return float(self._bars.projected(heard.vector) @ first)


def find(people: Sequence[Speaker], encoder: Encoder, bars: Bars) -> dict[str, Any]:
    """The bars, and what they let through on the same speakers."""
    one, two = _clips(people, Room(encoder, bars))
    turns = [heard.turn for heard in one if heard.turn < 1]
    one_voice, doubted = (float(np.quantile(turns, share)) for share in (TAKEN_FOR_TWO, LOOKED_TWICE))
    spared = [share for share in ALONE if not any(heard.two(doubted, replace(bars, alone=share)) for heard in one)]
    chosen = replace(bars, alone=min(1.0, MARGIN * min(spared, default=0.5)))
    told = {
        name: {
            "clips": len(clips), "named": sum(heard.named for heard in clips),
            "found": sum(heard.two(doubted, chosen) for heard in clips),
            "by_itself": sum(heard.turn < one_voice for heard in clips),
        }
        for name, clips in {"one person": one, **two}.items()
    }  # fmt: skip
    return {"one_voice": one_voice, "doubted": doubted, "alone": chosen.alone, "turns": told}


def _clips(people: Sequence[Speaker], room: Room) -> tuple[list[Heard], Mapping[str, list[Heard]]]:
    """Clips in which one person speaks, and those in which somebody else does too, in either order."""
    draw = random.Random(SEED)
    one: list[Heard] = []
    two: dict[str, list[Heard]] = defaultdict(list)
    speech = {person.name: list(room.speech(person)) for person in people}
    speech = {name: clips for name, clips in speech.items() if len(clips) > TAKES + 1}
    for name, clips in speech.items():
        first, rest = room.voiceprint(clips[:TAKES]), clips[TAKES:]
        joined = [_piece(rest, length_s, draw) for length_s in JOINED_S for _ in range(DRAWS)]
        one += [heard for clip in [*rest, *joined] if (heard := room.hears(clip, first))]
        others = [other for other in speech if other != name and other.split("_")[0] == name.split("_")[0]]
        for theirs_s, other_s in PROPORTIONS_S if others else ():
            for turn in range(2 * DRAWS):
                pieces = [_piece(rest, theirs_s, draw), _piece(speech[draw.choice(others)], other_s, draw)]
                heard = room.hears(np.concatenate(pieces[:: (-1) ** turn]), first)
                two[f"{theirs_s:g}+{other_s:g} s"] += [heard] if heard else []
    return one, two


def _piece(clips: Sequence[Samples], length_s: float, draw: random.Random) -> Samples:
    """So much of one person, from anywhere in two of their clips, joined."""
    whole, size = np.concatenate(draw.sample(clips, min(2, len(clips)))), int(length_s * SAMPLE_RATE_HZ)
    start = draw.randrange(max(1, len(whole) - size))
    return whole[start : start + size]


def main() -> None:
    """Command line: write the bars into the entry of the encoder."""
    parser = argparse.ArgumentParser(prog="python -m voiceid.evaluate.turns", description=main.__doc__)
    parser.add_argument("corpus", type=Path, help="folder speaker/utterance.*")
    parser.add_argument("--half", choices=get_args(Half), help="only this half of the speakers")
    parser.add_argument("--encoder", default="campplus")
    parser.add_argument("--models-dir", type=Path, default=Path("models"))
    parser.add_argument("--out", type=Path, required=True, help="the data file; the encoder's entry is completed")
    options = parser.parse_args()
    people = read_corpus(options.corpus)
    encoder = open_encoder(options.encoder, options.models_dir)
    chosen = half(people, options.half) if options.half else people
    found = find(chosen, encoder, Bars.shipped(encoder.model_id, "balanced"))
    entries = json.loads(options.out.read_text())
    entries[encoder.model_id] |= found
    options.out.write_text(json.dumps(entries, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

"""Where one speaker hands over to another: the bar below which a clip holds two voices.

`python -m voiceid.evaluate.turns ../shared/speech/dev --half a --out voiceid/data/calibration.json`

Each clip of one person, and as many of two people one after the other, in several proportions. The bar is the least
that all but a stated share of the former keep; what share of the latter falls below it is measured, not chosen.
"""

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from voiceid.calibration import Bars
from voiceid.decode import decode
from voiceid.encode import open_encoder
from voiceid.evaluate.corpora import CONTENT_TYPES, Half, Speaker, half, read_corpus
from voiceid.ports import Encoder
from voiceid.speech import SpeechCheck
from voiceid.types import SAMPLE_RATE_HZ, Pcm, Samples, Speech

TAKEN_FOR_TWO = 0.001
"""Share of the clips of one person that may be taken for two people's."""
PROPORTIONS_S = ((1.5, 1.5), (2.0, 2.0), (3.0, 1.0), (3.0, 3.0))
SEED = 11


def find(people: Sequence[Speaker], encoder: Encoder) -> dict[str, Any]:
    """The bar, and what it lets through on the same speakers."""
    check, draw = SpeechCheck.shipped(), random.Random(SEED)
    one: list[float] = []
    two: dict[str, list[float]] = {f"{first:g}+{second:g} s": [] for first, second in PROPORTIONS_S}
    speech = {person.name: list(_speech(person, check)) for person in people}
    for name, clips in speech.items():
        one += [_turn(clip, check, encoder) for clip in clips]
        for first, second in PROPORTIONS_S:
            other = draw.choice([who for who in speech if who != name])
            both = np.concatenate([_piece(clips, first, draw), _piece(speech[other], second, draw)])
            two[f"{first:g}+{second:g} s"].append(_turn(both, check, encoder))
    heard = [turn for turn in one if turn < 1]
    bar = float(np.quantile(heard, TAKEN_FOR_TWO))
    return {
        "one_voice": bar,
        "turns": {
            "one": len(heard),
            "taken_for_two": float(np.mean([turn < bar for turn in heard])),
            "two": {name: {"clips": len(t), "found": float(np.mean([x < bar for x in t]))} for name, t in two.items()},
        },
    }


def _speech(person: Speaker, check: SpeechCheck) -> Iterator[Samples]:
    for clip in person.clips:
        heard = check(decode(clip.read_bytes(), CONTENT_TYPES[clip.suffix.lower()], max_s=60))
        if isinstance(heard, Speech):
            yield heard.samples


def _piece(clips: Sequence[Samples], length_s: float, draw: random.Random) -> Samples:
    """So much of one person, from anywhere in two of their clips, joined."""
    whole, size = np.concatenate(draw.sample(clips, min(2, len(clips)))), int(length_s * SAMPLE_RATE_HZ)
    start = draw.randrange(max(1, len(whole) - size))
    return whole[start : start + size]


def _turn(samples: Samples, check: SpeechCheck, encoder: Encoder) -> float:
    """1, where the speech check refuses the clip, or noise counts."""
    heard = check(Pcm(samples))
    quiet = isinstance(heard, Speech) and Bars.features(heard.quality)["noise"] == 0
    return encoder.embed(heard).turn if isinstance(heard, Speech) and quiet else 1.0


def main() -> None:
    """Command line: write the bar into the entry of the encoder."""
    parser = argparse.ArgumentParser(prog="python -m voiceid.evaluate.turns", description=main.__doc__)
    parser.add_argument("corpus", type=Path, help="folder speaker/utterance.*")
    parser.add_argument("--half", choices=get_args(Half), help="only this half of the speakers")
    parser.add_argument("--encoder", default="campplus")
    parser.add_argument("--models-dir", type=Path, default=Path("models"))
    parser.add_argument("--out", type=Path, required=True, help="the data file; the encoder's entry is completed")
    options = parser.parse_args()
    people = read_corpus(options.corpus)
    encoder = open_encoder(options.encoder, options.models_dir)
    found = find(half(people, options.half) if options.half else people, encoder)
    entries = json.loads(options.out.read_text())
    entries[encoder.model_id] |= found
    options.out.write_text(json.dumps(entries, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

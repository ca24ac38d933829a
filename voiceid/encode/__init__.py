"""Speech -> Embedding: which encoder, by its name."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voiceid.encode.campplus import CamPlusPlus
from voiceid.ports import Encoder
from voiceid.speech import is_narrow, over_telephone
from voiceid.types import SAMPLE_RATE_HZ, Embedding, Quality, Speech


def open_encoder(name: str, models_dir: Path) -> Encoder:
    """Load an encoder: `campplus` or `campplus-int8` (shipped), `ecapa` (in `models_dir`), or a checkpoint's folder.

    Raises: MissingExtra, when SpeechBrain is not installed; ModelUnavailable, when the weights have not been pulled;
        ModelDamaged or UnpinnedModel, when they are not the published ones.
    """
    if name == "campplus":
        return CamPlusPlus.shipped()
    if name == "campplus-int8":
        return CamPlusPlus.shipped("campplus-int8")
    from voiceid.encode.ecapa import Ecapa  # noqa: PLC0415 (only who asks for it pays for it)

    return Ecapa.open(name, models_dir)


def take_views(encoder: Encoder, speech: Speech, heard: Embedding | None = None) -> NDArray[np.float32]:
    """One take as it was heard, and as a telephone would carry it: shape (2, dim), rows of unit length.

    A request over a telephone is compared with the latter. A take that came over a telephone is the same in both.
    `heard` is what the encoder already made of it.
    """
    first = (heard or encoder.embed(speech)).vector
    return np.stack([first, first if is_narrow(speech.quality) else encoder.embed(over_telephone(speech)).vector])


def sides_of(encoder: Encoder, speech: Speech, at_s: float) -> list[tuple[Embedding, Quality]]:
    """What was said before a moment of a clip, and after it, each with its share of the net speech."""
    cut, whole = round(at_s * SAMPLE_RATE_HZ), len(speech.samples)
    found = []
    for part in (speech.samples[:cut], speech.samples[cut:]):
        quality = replace(speech.quality, speech_s=speech.quality.speech_s * len(part) / whole)
        found.append((encoder.embed(Speech(part, quality)), quality))
    return found

"""The accelerated encoder against the plain one: nearly the same numbers, the same decisions, its own name."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from voiceid import onnx
from voiceid.decode import decode
from voiceid.encode import open_encoder
from voiceid.encode.campplus import CamPlusPlus
from voiceid.evaluate.corpora import half, read_corpus
from voiceid.speech import SpeechCheck
from voiceid.types import SAMPLE_RATE_HZ, Quality, Speech

LEAST_COSINE = 0.99
AGREEMENT = 0.999
"""Share of decisions that must be the same."""
GUESTS_NAMED = 0.001
"""The bar of each encoder is the score that this share of other people's requests exceed."""
LONGEST_S = 3


@pytest.fixture(scope="module")
def encoders() -> tuple[CamPlusPlus, CamPlusPlus]:
    """Plain, accelerated."""
    return CamPlusPlus.shipped(), CamPlusPlus.shipped("campplus-int8")


def embedded(encoders: Sequence[CamPlusPlus], clips: Sequence[Path]) -> list[NDArray[np.float32]]:
    """One matrix per encoder, a row per clip, of its first seconds."""
    check = SpeechCheck.shipped()
    rows = []
    for clip in clips:
        heard = check(decode(clip.read_bytes(), max_s=60))
        assert isinstance(heard, Speech)
        speech = Speech(heard.samples[: LONGEST_S * SAMPLE_RATE_HZ], heard.quality)
        rows.append([encoder.embed(speech).vector for encoder in encoders])
    return [np.array(vectors) for vectors in zip(*rows, strict=True)]


def test_it_names_its_own_weights(encoders: tuple[CamPlusPlus, CamPlusPlus], tmp_path: Path) -> None:
    """Embeddings of the two must never meet: their bars differ."""
    card = json.loads((Path(onnx.__file__).parent / "encode" / "models" / "campplus-int8.json").read_text())
    assert encoders[1].model_id == f"campplus-int8@{card['sha256'][:12]}" != encoders[0].model_id
    assert open_encoder("campplus-int8", tmp_path).model_id == encoders[1].model_id


def test_synthetic_voices_sound_the_same_to_both(encoders: tuple[CamPlusPlus, CamPlusPlus], voices: Path) -> None:
    plain, fast = embedded(encoders, sorted(voices.glob("*/request_1.flac")))
    assert float((plain * fast).sum(axis=1).min()) > LEAST_COSINE
    assert np.array_equal((plain @ plain.T).argmax(axis=1), (fast @ plain.T).argmax(axis=1))


@pytest.mark.parametrize("samples", [720, 8_000, 160_000])
def test_any_length_has_a_direction(encoders: tuple[CamPlusPlus, CamPlusPlus], samples: int) -> None:
    noise = np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32)
    vector = encoders[1].embed(Speech(noise, Quality(1, 1, -20, 60, 0))).vector
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


@pytest.mark.speech
@pytest.mark.slow
def test_both_decide_alike_on_people(encoders: tuple[CamPlusPlus, CamPlusPlus], speech_dir: Path) -> None:
    """On speakers that neither a bar nor a range was set on, each encoder with the bar of its own."""
    people = [person for person in half(read_corpus(speech_dir / "dev"), "b") if len(person.clips) > 1]
    plain, fast = embedded(encoders, [clip for person in people for clip in person.clips[:2]])
    assert float((plain * fast).sum(axis=1).min()) > LEAST_COSINE
    mine, named = np.eye(len(people), dtype=bool), []
    for vectors in (plain, fast):
        scores = vectors[1::2] @ vectors[::2].T
        named.append(scores > np.quantile(scores[~mine], 1 - GUESTS_NAMED))
    assert named[0].sum() > len(people) / 2
    assert float((named[0] == named[1]).mean()) >= AGREEMENT

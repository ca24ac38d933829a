"""How certain a name must be while somebody still speaks: what is looked at, and which share is chosen."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks import live
from voiceid.calibration import Bars
from voiceid.consent import permit
from voiceid.encode.campplus import CamPlusPlus
from voiceid.evaluate.corpora import Speaker
from voiceid.evaluate.early import Clip, chosen, heard, tried
from voiceid.speech import VoiceActivity
from voiceid.types import Embedding, HouseholdId, ModelId, PersonId, Quality, Voiceprint
from voiceid.voiceprint import pooled

MODEL = ModelId("campplus@b115e8a2c71e")


@pytest.fixture(scope="module")
def bars() -> Bars:
    return Bars.shipped(MODEL, "balanced")


def test_what_is_noted_is_what_live_recognition_looks_at(voices: Path) -> None:
    person = Speaker("ada", (voices / "ada" / "request_1.flac",))
    (clip,) = heard(person, CamPlusPlus.shipped(), VoiceActivity.shipped())
    (looks,) = clip.looks
    spoken = [quality.speech_s for quality, _ in looks]
    assert spoken == sorted(spoken)
    assert spoken[:2] == pytest.approx([1.0, 1.5], abs=0.06)
    assert spoken[-1] <= clip.speech_s
    assert clip.views is not None
    assert clip.views.shape == (2, 192)


def test_the_largest_share_that_names_few_enough_guests_is_chosen(bars: Bars) -> None:
    named = {1.0: 9, 0.5: 2, 0.25: 1}
    found = {share: Counter(guests=1000, guests_named=count) for share, count in named.items()}
    assert chosen(found, bars) == 0.5
    with pytest.raises(ValueError, match="too many guests"):
        chosen({1.0: Counter(guests=1000, guests_named=9)}, bars)


def test_with_a_smaller_share_fewer_are_named_and_nobody_by_another_s_name(bars: Bars) -> None:
    """Twelve made-up people whose clips are more or less like themselves."""
    draw = np.random.default_rng(5)
    quality = Quality(1.0, 1.6, -20.0, 40.0, 0.0)

    def clip(direction: np.ndarray) -> Clip:
        vector = direction + draw.normal(0, draw.uniform(0.05, 0.11), 192)
        unit = (vector / np.linalg.norm(vector)).astype(np.float32)
        return Clip(np.stack([unit, unit]), 2.0, [[(quality, Embedding(unit, MODEL))]])

    voices = [vector / np.linalg.norm(vector) for vector in draw.normal(size=(12, 192))]
    people = {Speaker(f"x_{at}", ()): [clip(voice) for _ in range(8)] for at, voice in enumerate(voices)}
    found = tried(people, bars, (1.0, 0.1))
    assert found[1.0]["members_named"] > found[0.1]["members_named"] > 0
    assert found[1.0]["guests_named"] >= found[0.1]["guests_named"]
    assert found[1.0]["members"] == found[0.1]["members"]
    assert found[1.0]["members_misnamed"] == 0


def test_the_benchmark_of_live_recognition_compares_as_the_service_does(bars: Bars) -> None:
    """Its figures once came from voiceprints that nobody had projected, held against bars for projected ones."""
    ear = live.Ear(CamPlusPlus.shipped(), VoiceActivity.shipped())
    takes = np.eye(192, dtype=np.float32)[:2]
    ear.home.prints = {PersonId("ada"): Voiceprint(PersonId("ada"), MODEL, takes, takes)}
    probe = Embedding(takes[0], MODEL)
    among = permit(ear.home.gate(HouseholdId("h")), ear.recognizer.purposes)
    (score,) = ear.recognizer.indexes.nearest(probe, among=among).scores
    assert score == pytest.approx(float(bars.projected(takes[0]) @ pooled(bars.projected(takes))), abs=1e-5)
    assert score != pytest.approx(float(takes[0] @ pooled(takes)), abs=1e-3)

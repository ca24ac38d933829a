"""Half a year in simulation: adapting costs nobody their name, and lets no impostor in; without its bounds it would."""

from pathlib import Path

import numpy as np
import pytest
from home import BARS, MODEL, voice
from numpy.typing import NDArray

from voiceid.evaluate.ageing import Ask, House, Life, Mode, simulate, stretched
from voiceid.types import SAMPLE_RATE_HZ, Embedding, PersonId, Quality, Speech


def test_a_stretched_voice_is_lower_and_as_loud() -> None:
    time_s = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    tone = np.sin(2 * np.pi * 1000 * time_s).astype(np.float32)
    for by in (-0.04, 0.04):
        made = stretched(tone, by)
        loudest = np.argmax(np.abs(np.fft.rfft(made))) * SAMPLE_RATE_HZ / len(made)
        assert loudest == pytest.approx(1000 / (1 + by), abs=2)
        assert float(np.std(made)) == pytest.approx(float(np.std(tone)), rel=0.01)


def _said(vector: NDArray[np.float32]) -> Ask:
    speech = Speech(np.zeros(1, np.float32), Quality(3.0, 3.0, -20.0, 40.0, 0.0))
    return Ask(speech, Embedding(vector, MODEL))


@pytest.mark.parametrize(("mode", "let_in"), [("without", False), ("adapting", False), ("unbounded", True)])
def test_an_impostor_at_the_margin(mode: Mode, let_in: bool) -> None:  # noqa: FBT001 a case
    """Now and then they sound a little more alike, and get a name; what they are mostly is not let in for that."""
    enrolled = np.stack([np.stack([voice("ada"), voice("ada", 0.9)])] * 4)
    house = House([(PersonId("ada"), enrolled)], BARS, mode)
    mostly, lucky = _said(voice("ada", 0.5)), _said(voice("ada", 0.65))
    assert (house.names(mostly), house.names(lucky)) == (None, "ada")
    for day in range(200):
        house.lives_through(lucky, day)
        house.lives_through(mostly, day)
    assert (house.names(mostly) is not None) is let_in
    assert house.names(_said(voice("ada"))) == "ada"


@pytest.mark.speech
def test_half_a_year_of_people(speech_dir: Path) -> None:
    """A small one; the whole is in docs/adapt.md."""
    found = simulate(speech_dir / "dev", Life(every=50, houses=2, size=2))
    members, visited = found["members"], found["with_impostor"]
    assert members["adapting"]["missed_last"]["trials"] == 8
    for who in (members, visited):
        without, adapting = who["without"], who["adapting"]
        assert adapting["missed_last"]["share"] <= without["missed_last"]["share"]
        assert adapting["misnamed_last"]["share"] <= without["misnamed_last"]["share"]
        assert adapting["named_last"]["share"] <= without["named_last"]["share"]
    assert visited["adapting"]["accepted_last"]["share"] <= visited["adapting"]["accepted_first"]["share"]
    assert visited["adapting"]["accepted_last"]["share"] <= visited["without"]["accepted_last"]["share"]

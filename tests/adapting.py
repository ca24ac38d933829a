"""Voices that change, and what became of them: for the tests of adapting."""

from dataclasses import replace
from typing import Any

import numpy as np
from home import BARS, Home, clip, voice
from numpy.typing import NDArray

from voiceid.store import tables
from voiceid.types import Voiceprint

EASY = replace(BARS, name=float(np.exp(-4)), store=float(np.exp(-5)))
"""Of two people enrolled, one is named from a cosine of 0.47 on, kept from 0.57 on, adapted to from 0.80 on."""


def agreed(home: Home) -> Home:
    """Ada and Ben are enrolled and agreed to everything but the review."""
    home.enrolls("ada", "ben")
    for name in ("ada", "ben"):
        home.grants(name, "transcripts", "adapt")
    return home


def older(name: str, by: float) -> NDArray[np.float32]:
    """This voice, changed: at that cosine to what it was, always in the same direction."""
    made = voice(name, by)
    made[-1], made[-2] = 0.0, made[-1]
    return made


def says(home: Home, vector: NDArray[np.float32], seconds: float = 2.5) -> Any:
    """One request in a voice made to order, a day after the last one."""
    home.clock.forward(days=1)
    sound = {"content": clip(vector, seconds), "headers": {"content-type": "audio/wav"}}
    return home.ok("POST", "recognize", home.owner, params={"explain": 1}, **sound)


def added(home: Home, name: str = "ada") -> int:
    return home.count(tables.adaptation, name)


def additions_of(voiceprint: Voiceprint) -> NDArray[np.float32]:
    assert voiceprint.added is not None
    return voiceprint.added


def score(home: Home, vector: NDArray[np.float32]) -> float:
    return float(says(home, vector, seconds=1.5)["score"])

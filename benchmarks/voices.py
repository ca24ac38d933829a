"""Sound to measure with: the synthetic voices of the package, cut to so many seconds of speech."""

import io
from functools import cache
from importlib import resources

import numpy as np
import soundfile

from voiceid.decode import decode
from voiceid.speech import SpeechCheck
from voiceid.types import SAMPLE_RATE_HZ, Quality, Samples, Speech

MEMBERS = ("ada", "ben", "cleo")
GUEST = "guest_eve"
TAKES = 4
"""Of each member."""
_VOICES = resources.files("voiceid") / "demo" / "voices"
_MAX_S = 60


def take(who: str, number: int) -> bytes:
    """One enrollment take, FLAC."""
    return (_VOICES / who / f"enroll_{number}.flac").read_bytes()


@cache
def spoken(who: str) -> Samples:
    """Everything that somebody says in their requests, without the pauses, at 16 kHz."""
    heard = [check()(decode((_VOICES / who / f"request_{n}.flac").read_bytes(), max_s=_MAX_S)) for n in range(1, 7)]
    return np.concatenate([one.samples for one in heard if isinstance(one, Speech)])


def seconds_of(who: str, seconds: float) -> Samples:
    """So many seconds of somebody's speech."""
    return spoken(who)[: round(seconds * SAMPLE_RATE_HZ)]


def speech(samples: Samples) -> Speech:
    """Samples as the speech check would pass them on."""
    length_s = len(samples) / SAMPLE_RATE_HZ
    return Speech(samples, Quality(length_s, length_s, -20.0, 30.0, 0.0))


def wav(samples: Samples) -> bytes:
    """A WAV file of 16 bits."""
    return encoded(samples, SAMPLE_RATE_HZ, "WAV", "PCM_16")


def encoded(samples: Samples, rate_hz: int, form: str, subtype: str | None = None) -> bytes:
    """A sound file in memory, as libsndfile writes it."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, subtype=subtype, format=form)
    return file.getvalue()


@cache
def check() -> SpeechCheck:
    """The shipped speech check."""
    return SpeechCheck.shipped()

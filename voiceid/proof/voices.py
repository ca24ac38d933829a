"""Made-up voices, and the ears that tell them apart: noise with a spectrum of its own instead of a speaker's tract.

They go in through the ports `Encoder`, `SpeechCheck` and voice activity, cost a millisecond a clip, and survive what
speech survives: another rate, FLAC, 16 bits. Everything behind the ports is what ships.
"""

import hashlib
import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from voiceid.calibration import Bars, Term
from voiceid.decode import to_flac
from voiceid.speech import FRAME
from voiceid.types import SAMPLE_RATE_HZ, Embedding, ModelId, Pcm, Quality, Samples, Speech, Unusable

DIM = 192
MODEL = ModelId("made-up@1")
SECONDS = 2.5
_LOWEST_HZ, _HIGHEST_HZ = 100.0, 7000.0
_QUIET = 1e-3
_SHORTEST_S = 0.5

BARS = Bars(
    model_id=MODEL,
    evidence=(Term("one", -20.0, 40.0),),
    tail=(Term("one", 0.0, -10.0),),
    speech_s=(1.0, 10.0),
    guest_prior=0.5,
    name=float(np.exp(-6)),
    store=float(np.exp(-6.5)),
    apart=3.0,
    ask=0.0,
    same_voice=0.5,
    same_person=0.95,
)
"""Bars made for these voices; they say nothing about real ones."""


@lru_cache(maxsize=4096)
def utter(speaker: str, clip: int, seconds: float = SECONDS, rate_hz: int = SAMPLE_RATE_HZ) -> Samples:
    """What this speaker says in this clip: the same words give the same samples, float32, -0.5..0.5."""
    random = np.random.default_rng(_seed(f"{speaker}/{clip}"))
    length = int(seconds * rate_hz)
    spectrum = np.fft.rfft(random.standard_normal(length))
    band = _bands(len(spectrum), rate_hz)
    tract = np.concatenate([np.exp(0.5 * _tract(speaker)), [0.0]])  # the last: outside of all bands
    sound = np.fft.irfft(spectrum * tract[band], length)
    samples: Samples = (0.5 * sound / np.abs(sound).max()).astype(np.float32)
    return samples


def wav(samples: Samples, rate_hz: int = SAMPLE_RATE_HZ) -> bytes:
    """A WAV file of 16 bits, mono."""
    data = np.rint(samples * 32767).astype("<i2").tobytes()
    out = io.BytesIO()
    out.write(b"RIFF" + (36 + len(data)).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little"))
    for value, size in ((1, 2), (1, 2), (rate_hz, 4), (2 * rate_hz, 4), (2, 2), (16, 2)):
        out.write(value.to_bytes(size, "little"))
    out.write(b"data" + len(data).to_bytes(4, "little") + data)
    return out.getvalue()


def flac(samples: Samples) -> bytes:
    """A FLAC file of 16 bits, 16 kHz, mono."""
    return to_flac(Pcm(samples))


class MadeUpEncoder:
    """`Encoder`: log power in 192 bands, less its mean."""

    model_id = MODEL
    dim = DIM

    def embed(self, speech: Speech, /) -> Embedding:
        power = np.abs(np.fft.rfft(speech.samples)) ** 2
        band = _bands(len(power), SAMPLE_RATE_HZ)
        sums = np.bincount(band, power, DIM + 1)[:DIM]
        levels = np.log(sums + 1e-12)
        levels -= levels.mean()
        return Embedding((levels / np.linalg.norm(levels)).astype(np.float32), MODEL)


def everything_is_speech(pcm: Pcm, /) -> Speech | Unusable:
    """`SpeechCheck`: whatever is loud enough is good speech."""
    loud = np.flatnonzero(np.abs(pcm.samples) > _QUIET)
    spoken = pcm.samples[loud[0] : loud[-1] + 1] if len(loud) else pcm.samples[:0]
    speech_s = len(spoken) / SAMPLE_RATE_HZ
    quality = Quality(speech_s, pcm.duration_s, -20.0, 40.0, 0.0)
    if speech_s < _SHORTEST_S:
        return Unusable("too_short", "too_short", speech_s, _SHORTEST_S, quality)
    return Speech(spoken, quality)


class Loudness:
    """Voice activity for made-up voices: certain where it is loud, none where it is not."""

    def begin(self) -> "RunningLoudness":
        """For sound that is still coming in."""
        return RunningLoudness()


class RunningLoudness:
    """Frame by frame, as `RunningActivity` does it."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, dtype=np.float32)

    def __call__(self, samples: Samples, /) -> NDArray[np.float32]:
        heard = np.concatenate([self._rest, samples])
        count = len(heard) // FRAME
        self._rest = heard[count * FRAME :]
        frames = heard[: count * FRAME].reshape(count, FRAME)
        loud: NDArray[np.float32] = (np.abs(frames).max(axis=1, initial=0.0) > _QUIET).astype(np.float32)
        return loud


def _seed(word: str) -> int:
    return int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")


@lru_cache(maxsize=4096)
def _tract(speaker: str) -> NDArray[np.float64]:
    """Which bands this speaker has more of, and which less: shape (192,), of -1 and 1."""
    return np.random.default_rng(_seed(speaker)).choice([-1.0, 1.0], DIM)


@lru_cache(maxsize=64)
def _bands(bins: int, rate_hz: int) -> NDArray[np.int64]:
    """The band of each frequency bin; 192 for those in none."""
    hz = np.linspace(0, rate_hz / 2, bins)
    band = ((hz - _LOWEST_HZ) / (_HIGHEST_HZ - _LOWEST_HZ) * DIM).astype(np.int64)
    return np.where((hz >= _LOWEST_HZ) & (hz < _HIGHEST_HZ), band, DIM)

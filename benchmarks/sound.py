"""Bytes to samples, per format, against libsndfile and soxr called by hand without any check."""

import io
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
import soundfile
import soxr

from benchmarks import voices
from benchmarks.bench import Bench
from benchmarks.rows import Row, timed_row
from voiceid.decode import decode
from voiceid.types import SAMPLE_RATE_HZ, Samples

Writer = Callable[[Samples], tuple[bytes, str]]
"""Samples to the bytes of a sound file, and their content type."""

_PCM = "audio/pcm;rate=16000;encoding=s16le;channels=1"


def _file(rate_hz: int, form: str, subtype: str | None, kind: str, channels: int = 1) -> Writer:
    def write(samples: Samples) -> tuple[bytes, str]:
        sound = soxr.resample(samples, SAMPLE_RATE_HZ, rate_hz)
        if channels > 1:
            sound = np.stack([sound] * channels, axis=1)
        return voices.encoded(sound, rate_hz, form, subtype), kind

    return write


def _raw(samples: Samples) -> tuple[bytes, str]:
    return np.clip(samples * 2**15, -(2**15), 2**15 - 1).astype("<i2").tobytes(), _PCM


FORMS: Mapping[str, Writer] = {
    "PCM": _raw,
    "WAV": _file(16_000, "WAV", "PCM_16", "audio/wav"),
    "WAV 44.1 kHz stereo": _file(44_100, "WAV", "PCM_16", "audio/wav", 2),
    "FLAC": _file(16_000, "FLAC", "PCM_16", "audio/flac"),
    "FLAC 48 kHz": _file(48_000, "FLAC", "PCM_24", "audio/flac"),
    "Vorbis": _file(44_100, "OGG", "VORBIS", "audio/ogg"),
    "Opus": _file(48_000, "OGG", "OPUS", "audio/ogg"),
    "MP3": _file(44_100, "MP3", None, "audio/mpeg"),
}


def decoding(bench: Bench) -> Iterator[Row]:
    """3 s of speech in each form."""
    samples = voices.seconds_of(voices.GUEST, 3)
    for form in ("WAV", "MP3", "Opus") if bench.quick else FORMS:
        body, kind = FORMS[form](samples)
        plain = _unframed if form == "PCM" else _unchecked
        both = bench.alternate(partial(decode, body, kind, max_s=60), partial(plain, body), 2.5, 0.6)
        yield timed_row(f"decode {form}, 3 s", both, "numpy alone" if form == "PCM" else "libsndfile and soxr alone")


def _unchecked(body: bytes) -> None:
    sound, rate_hz = soundfile.read(io.BytesIO(body), dtype="float32", always_2d=True)
    mono = sound.mean(axis=1)
    if rate_hz != SAMPLE_RATE_HZ:
        soxr.resample(mono, rate_hz, SAMPLE_RATE_HZ)


def _unframed(body: bytes) -> None:
    np.divide(np.frombuffer(body, "<i2"), 2**15, dtype=np.float32)

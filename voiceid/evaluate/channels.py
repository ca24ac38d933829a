"""Simulated conditions: what rooms, noise and telephones do to a clip. Same clip, same channel: same result.

Room responses, noises and the voices of a television are real, from the folders `rir`, `noise` and `cohort` beside the
corpus (ESC-10, LibriSpeech and others; see there).
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from voiceid.decode import decode, to_opus
from voiceid.errors import InvalidRequest
from voiceid.types import SAMPLE_RATE_HZ, Pcm, Samples

Change = Callable[[Samples, np.random.Generator], Samples]

_PHONE_RATE_HZ = 8_000
_PHONE_BAND_HZ = (300.0, 3_400.0)
_MU = 255.0
_FARTHER_DB = 9.5
"""What the direct sound loses from 1 m to 3 m, while the room's answer stays as loud."""
_DIRECT_S = 0.0025
_OCTAVES_HZ = (125.0, 250.0, 500.0, 1_000.0, 2_000.0, 4_000.0, 8_000.0)
_COLOUR_DB = 6.0
"""How far two devices may differ in any octave, either way."""


@dataclass(frozen=True)
class Condition:
    """One thing that can happen to sound."""

    name: str
    change: Change

    def apply(self, samples: Samples, clip: str) -> Samples:
        """Change one clip; the draws depend on the condition and the clip's name alone."""
        return self.change(samples, np.random.default_rng(zlib.crc32(f"{clip}@{self.name}".encode())))


@dataclass(frozen=True)
class Channel:
    """What the enrollment and what the request went through."""

    name: str
    enroll: Condition
    request: Condition


class Channels:
    """The conditions that a corpus' neighbours make possible."""

    def __init__(self, corpus: Path) -> None:
        self._beside = corpus.parent

    @cached_property
    def _rooms(self) -> list[Samples]:
        return _sounds(self._beside / "rir")

    @cached_property
    def _noises(self) -> list[Samples]:
        return _sounds(self._beside / "noise")

    @cached_property
    def _programmes(self) -> list[Samples]:
        return _sounds(self._beside / "cohort")

    def open(self, name: str) -> Channel:
        """One condition by its name.

        Raises: InvalidRequest, for an unknown name, or one whose responses or noises are not there.
        """
        changes: Mapping[str, Change] = {
            "clean": _same,
            "tel": telephone,
            "quiet": _quiet,
            "clipped": _clipped,
            "room": self._room,
            "far": self._far,
            "room-noise10": lambda samples, rng: self._noise(self._room(samples, rng), rng, 10),
            "tv10": lambda samples, rng: _over(samples, self._programmes, rng, 10),
            "opus12": _opus,
            "device": _device,
            **{f"noise{db}": self._noisy(db) for db in (20, 10, 5, 0)},
        }
        request = name.removesuffix("-both")
        if request not in changes:
            raise InvalidRequest(f"no such channel; there are {', '.join(changes)}, and -both to enroll over it too")
        needed = {"room": "rir", "far": "rir", "noise": "noise", "tv": "cohort"}
        if any(part in name and not (self._beside / folder).is_dir() for part, folder in needed.items()):
            raise InvalidRequest("this channel needs the folders rir, noise and cohort beside the corpus")
        enroll = request if name.endswith("-both") else "clean"
        return Channel(name, Condition(enroll, changes[enroll]), Condition(request, changes[request]))

    def _room(self, samples: Samples, rng: np.random.Generator) -> Samples:
        response = self._rooms[rng.integers(len(self._rooms))]
        response = response[int(np.argmax(np.abs(response))) :]  # the direct sound stays where it was
        return _at_level_of(samples, _convolved(samples, response))

    def _far(self, samples: Samples, rng: np.random.Generator) -> Samples:
        """At 3 m instead of 1 m: the direct sound is weaker, the room's answer is not."""
        response = self._rooms[rng.integers(len(self._rooms))]
        response = response[int(np.argmax(np.abs(response))) :].copy()
        response[: round(_DIRECT_S * SAMPLE_RATE_HZ)] *= 10 ** (-_FARTHER_DB / 20)
        return _at_level_of(samples, _convolved(samples, response))

    def _noise(self, samples: Samples, rng: np.random.Generator, snr_db: float) -> Samples:
        return _over(samples, self._noises, rng, snr_db)

    def _noisy(self, snr_db: float) -> Change:
        return lambda samples, rng: self._noise(samples, rng, snr_db)


def telephone(samples: Samples, _rng: np.random.Generator) -> Samples:
    """A narrow-band call: 300 to 3,400 Hz at 8 kHz, eight-bit mu-law (ITU-T G.711), and back to 16 kHz."""
    even = len(samples) // 2 * 2
    pitch = np.fft.rfftfreq(even // 2, 1 / _PHONE_RATE_HZ)
    low, high = _PHONE_BAND_HZ
    gain = 1 / np.sqrt((1 + (low / np.maximum(pitch, 1.0)) ** 8) * (1 + (pitch / high) ** 40))
    spectrum = np.fft.rfft(samples[:even])[: len(pitch)] * gain
    narrow = np.clip(np.fft.irfft(spectrum, even // 2) / 2, -1, 1)
    pressed = np.sign(narrow) * np.log1p(_MU * np.abs(narrow)) / np.log1p(_MU)
    coded = np.round(pressed * 127) / 127
    heard = np.sign(coded) * np.expm1(np.abs(coded) * np.log1p(_MU)) / _MU
    return np.asarray(np.fft.irfft(np.fft.rfft(heard), even) * 2, dtype=np.float32)


def _over(samples: Samples, others: list[Samples], rng: np.random.Generator, snr_db: float) -> Samples:
    """Another sound under this one, from anywhere in it, for as long as it takes."""
    other = others[rng.integers(len(others))]
    start = int(rng.integers(len(other)))
    other = np.resize(np.roll(other, -start), len(samples))
    return (samples + _at_level_of(samples, other) * 10 ** (-snr_db / 20)).astype(np.float32)


def _opus(samples: Samples, _rng: np.random.Generator) -> Samples:
    """Sent as Opus at 12 kbit/s."""
    heard = decode(to_opus(Pcm(samples)), "audio/ogg", max_s=len(samples) / SAMPLE_RATE_HZ + 1).samples
    return heard[: len(samples)]


def _device(samples: Samples, rng: np.random.Generator) -> Samples:
    """Another microphone: every octave louder or weaker by up to 6 dB."""
    gains_db = rng.uniform(-_COLOUR_DB, _COLOUR_DB, len(_OCTAVES_HZ))
    spectrum = np.fft.rfft(samples)
    pitch = np.maximum(np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE_HZ), 1.0)
    colour = 10 ** (np.interp(np.log2(pitch), np.log2(_OCTAVES_HZ), gains_db) / 20)
    return _at_level_of(samples, np.fft.irfft(spectrum * colour, len(samples)).astype(np.float32))


def _same(samples: Samples, _rng: np.random.Generator) -> Samples:
    return samples


def _quiet(samples: Samples, _rng: np.random.Generator) -> Samples:
    """Thirty decibels down, with the sixteen-bit steps of a recorder."""
    return np.asarray(np.round(samples * 10 ** (-30 / 20) * 32768) / 32768, dtype=np.float32)


def _clipped(samples: Samples, _rng: np.random.Generator) -> Samples:
    """So loud that the loudest tenth of a per cent of the samples, times four, no longer fits."""
    peak = float(np.quantile(np.abs(samples), 0.999)) or 1.0
    return np.asarray(np.clip(samples * 4 / peak, -1, 1), dtype=np.float32)


def _convolved(samples: Samples, response: Samples) -> Samples:
    size = 1 << (len(samples) + len(response) - 1).bit_length()
    product = np.fft.rfft(samples, size) * np.fft.rfft(response, size)
    return np.fft.irfft(product, size)[: len(samples)].astype(np.float32)


def _at_level_of(samples: Samples, changed: Samples) -> Samples:
    power = float(np.mean(changed.astype(np.float64) ** 2))
    wanted = float(np.mean(samples.astype(np.float64) ** 2))
    return (changed * np.sqrt(wanted / power)).astype(np.float32) if power > 0 else changed


def _sounds(folder: Path) -> list[Samples]:
    files = sorted(folder.rglob("*.flac")) if folder.is_dir() else []
    return [decode(file.read_bytes(), "audio/flac", max_s=60).samples for file in files]

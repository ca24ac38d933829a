"""What is looked for: a text, a clip, a vector. Each knows the bytes it would leave, and its like when it meets it."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from voiceid.decode import to_flac
from voiceid.scan.sound import Template
from voiceid.types import SAMPLE_RATE_HZ, Pcm, Samples

SHORTEST_TEXT = 6
"""Bytes, below which a text turns up by chance in what is random."""
SAME_VECTOR = 0.9
"""Cosine from which a stored vector counts as the marker, however it was scaled or rounded."""

_SPOTS = 4
_SPOT_SAMPLES = 24
_PIECE, _PIECE_EVERY = 32, 1024
_VALUES = 6
_FEWEST, _SMALLEST, _LARGEST, _MOSTLY = 32, 1e-7, 100.0, 0.9


class Marker(Protocol):
    """Something that must be findable before it was erased, and not after."""

    @property
    def name(self) -> str:
        """How findings call it; never what it is."""
        ...

    def patterns(self) -> Iterator[tuple[str, bytes]]:
        """The bytes it would leave, and in which form."""
        ...


@dataclass(frozen=True)
class Text:
    """A name, a sentence: anything written.

    Raises: ValueError, for fewer than six bytes.
    """

    name: str
    text: str

    def __post_init__(self) -> None:
        """Refuse what chance would find."""
        if len(self.text.encode()) < SHORTEST_TEXT:
            raise ValueError(f"a text to look for needs {SHORTEST_TEXT} bytes")

    def patterns(self) -> Iterator[tuple[str, bytes]]:
        """UTF-8, both UTF-16, as JSON escapes it; each also as hexadecimal digits and base64."""
        for form in ("utf-8", "utf-16-le", "utf-16-be"):
            yield from disguises(form, self.text.encode(form))
        escaped = json.dumps(self.text)[1:-1].encode()
        if escaped != self.text.encode():
            yield from disguises("JSON", escaped)


@dataclass(frozen=True, eq=False)
class Clip:
    """A recording, at 16 kHz mono, and the files it was sent as."""

    name: str
    samples: Samples
    """Shape (n,), float32, -1..1."""
    files: tuple[bytes, ...] = ()

    @cached_property
    def template(self) -> Template:
        """What opened sound is compared with."""
        return Template.of(self.samples)

    def patterns(self) -> Iterator[tuple[str, bytes]]:
        """Raw samples at the loudest spots, and pieces of the compressed files."""
        for at in self._spots():
            spot = self.samples[at : at + _SPOT_SAMPLES]
            for scale in (2**15, 2**15 - 1):  # readers and writers of 16 bits differ in what full scale is
                pcm = np.rint(spot * scale).astype(np.int16)
                yield from disguises("PCM16", pcm.astype("<i2").tobytes())
                yield from disguises("PCM16 big-endian", pcm.astype(">i2").tobytes())
            yield from disguises("float32 samples", spot.astype("<f4").tobytes())
            yield from disguises("float32 samples big-endian", spot.astype(">f4").tobytes())
        for file in (*self.files, to_flac(Pcm(self.samples))):
            for at in range(_PIECE_EVERY // 2, len(file) - _PIECE, _PIECE_EVERY):
                yield "part of the file", file[at : at + _PIECE]
            middle = len(file) // 2
            yield from disguises("part of the file", file[middle : middle + _PIECE])

    def _spots(self) -> list[int]:
        """Where the clip is loudest, at most one spot in each quarter of a second."""
        frames = len(self.samples) // _SPOT_SAMPLES
        loud = np.square(self.samples[: frames * _SPOT_SAMPLES]).reshape(frames, _SPOT_SAMPLES).sum(axis=1)
        found: list[int] = []
        for frame in np.argsort(-loud):
            at = int(frame) * _SPOT_SAMPLES
            if all(abs(at - other) > SAMPLE_RATE_HZ // 4 for other in found):
                found.append(at)
            if len(found) == _SPOTS:
                break
        return found


@dataclass(frozen=True, eq=False)
class Vector:
    """An embedding."""

    name: str
    vector: NDArray[np.float32]
    """Shape (dim,), float32, unit length."""

    def patterns(self) -> Iterator[tuple[str, bytes]]:
        """Consecutive values as float16, float32 and float64, and as JSON writes them."""
        starts = np.flatnonzero((self.vector[:-_VALUES] != 0) & (self.vector[1 : 1 - _VALUES] != 0))
        for at in starts[:: max(1, len(starts) // _SPOTS)].tolist():
            values = self.vector[at : at + _VALUES]
            for form in ("<f4", ">f4", "<f2", ">f2", "<f8", ">f8"):
                yield from disguises(f"vector {form}", values.astype(form).tobytes())
            for text in (repr(float(values[0])), str(values[0])):
                if len(text) > SHORTEST_TEXT + 2:
                    yield "vector in JSON", text.lstrip("-").encode()[: SHORTEST_TEXT + 4]

    def like(self, numbers: NDArray[np.float32]) -> float:
        """Highest cosine of the marker to any run of these numbers, -1..1."""
        if len(numbers) < len(self.vector):
            return -1.0
        runs = np.lib.stride_tricks.sliding_window_view(numbers, len(self.vector))
        lengths = np.linalg.norm(runs, axis=1)
        return float(np.max((runs @ self.vector) / np.maximum(lengths, 1e-6)))


def numbers_in(content: bytes) -> list[NDArray[np.float32]]:
    """The content read as numbers, in each form in which it looks like the coordinates of something."""
    found = []
    for form in ("<f4", ">f4", "<f2", "<f8"):
        count = len(content) // np.dtype(form).itemsize
        if count < _FEWEST:
            continue
        with np.errstate(all="ignore"):  # most bytes are no numbers
            numbers = np.frombuffer(content, form, count).astype(np.float32)
            size = np.abs(numbers)
            sensible = (size < _LARGEST) & ((size > _SMALLEST) | (size == 0))
            if np.mean(sensible) > _MOSTLY and np.mean(size > _SMALLEST) > 1 - _MOSTLY:
                found.append(np.where(size < _LARGEST, numbers, np.float32(0)))
    return found


def disguises(form: str, raw: bytes) -> Iterator[tuple[str, bytes]]:
    """The bytes themselves, and as hexadecimal digits and base64, wherever they stand in a longer text."""
    yield form, raw
    digits = raw.hex()
    yield f"hex of {form}", digits.encode()
    yield f"hex of {form}", digits.upper().encode()
    for before in range(3):
        whole = base64.b64encode(bytes(before) + raw)
        sure = whole[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]  # the characters that no neighbour can change
        yield from ((f"base64 of {form}", text) for text in {sure, sure.translate(bytes.maketrans(b"+/", b"-_"))})


def all_patterns(markers: tuple[Marker, ...]) -> Iterator[tuple[Marker, str, bytes]]:
    """Every pattern of every marker."""
    return chain.from_iterable(((marker, form, raw) for form, raw in marker.patterns()) for marker in markers)

"""Speakers -> voices: the very decoding, speech check and encoder of the product, with a cache, since sound is slow.

A speaker's clips are drawn into two sides. Each side of at least four clips can enroll, with its first four; requests
are cut from the joined clips of the other side, so that none was heard before.
"""

import ast
import hashlib
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voiceid.decode import FULL_SCALE, decode
from voiceid.encode import sides_of, take_views
from voiceid.evaluate.channels import Channel, Condition
from voiceid.evaluate.corpora import CONTENT_TYPES, Speaker
from voiceid.ports import Encoder, SpeechCheck
from voiceid.speech import too_noisy
from voiceid.types import SAMPLE_RATE_HZ, Pcm, Quality, Samples, Speech, Unusable

TAKES = 4
"""Clips that enroll."""
REQUESTS = 5
"""Requests of one length from one side, at most."""
LOOKED_AT = 0.3
"""`Embedding.turn` below which both sides are embedded; above any bar that asks for them."""
LONGEST_S = 60.0
_EXCESS_S = 0.15
"""Net speech that a request may hold beyond its length."""
_TRIES = 6
_SOUND = ("decode.py", "speech.py", "encode/fbank.py", "evaluate/channels.py", "evaluate/embed.py")
"""Files whose change makes a cached embedding stale; the encoder's digest covers the rest."""


@dataclass(frozen=True, slots=True, eq=False)
class Clips:
    """Embedded sound."""

    vectors: NDArray[np.float32]
    """Shape (n, dim), or (n, 2, dim) for takes, whose views are as in `take_views`; rows of unit length, or zeros where
    the speech check refused."""
    quality: NDArray[np.float64]
    """Shape (n, fields of `Quality`), in their order."""
    turns: NDArray[np.float32]
    """`Embedding.turn` of each, shape (n,); 1 for takes, and where the speech check refused."""
    sides: NDArray[np.float32]
    """What was said before that moment and after it, shape (n, 2, dim); zeros where it is at least `LOOKED_AT`."""
    shares: NDArray[np.float32]
    """How much of the net speech lies on either side, shape (n, 2)."""

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which clips passed the speech check, shape (n,)."""
        passed: NDArray[np.bool_] = np.any(self.vectors != 0, axis=tuple(range(1, self.vectors.ndim)))
        return passed

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.vectors)


@dataclass(frozen=True, slots=True, eq=False)
class Voice:
    """Everything that trials need of one speaker."""

    name: str
    takes: dict[int, Clips]
    """The clips that enroll, by side."""
    requests: dict[tuple[int, float], Clips]
    """By side and seconds of net speech."""

    @property
    def enrollments(self) -> dict[int, NDArray[np.float32]]:
        """Both views of the takes that passed the speech check, by side; sides without one are left out."""
        return {side: c.vectors[c.usable] for side, c in self.takes.items() if c.usable.any()}


def _without_words(source: str) -> str:
    """What Python code does: comments and docstrings left out."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [s for s in node.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    return ast.dump(tree)


class _Tape:
    """One speaker's clips, read once and decoded when somebody listens."""

    def __init__(self, person: Speaker) -> None:
        self._kinds = [CONTENT_TYPES[clip.suffix.lower()] for clip in person.clips]
        self._contents = [clip.read_bytes() for clip in person.clips]
        self._heard: dict[int, Samples] = {}
        self.digests = [hashlib.sha256(content).hexdigest() for content in self._contents]

    def samples(self, clip: int) -> Samples:
        if clip not in self._heard:
            self._heard[clip] = decode(self._contents[clip], self._kinds[clip], max_s=LONGEST_S).samples
        return self._heard[clip]


class Studio:
    """Embeds speakers in one condition, or remembers having done so."""

    def __init__(self, encoder: Encoder, check: SpeechCheck, cache: Path) -> None:
        self._encoder = encoder
        self._check = check
        self._cache = cache
        cache.mkdir(parents=True, exist_ok=True)
        code = "\n".join(_without_words((files("voiceid") / name).read_text()) for name in _SOUND)
        self._made_by = f"{encoder.model_id} {hashlib.sha256(code.encode()).hexdigest()}"

    def voices(self, people: Sequence[Speaker], channel: Channel, lengths_s: Sequence[float]) -> Iterator[Voice]:
        """Embed every speaker, one after the other."""
        for person in people:
            tape = _Tape(person)
            order = random.Random(f"sides/{person.name}").sample(range(len(person.clips)), len(person.clips))
            sides = {0: order[:TAKES], 1: order[TAKES:]} if len(order) > TAKES else {1: order}
            able = [number for number, side in sides.items() if len(side) >= TAKES and len(sides) > 1]
            yield Voice(
                person.name,
                {number: self._clips(tape, sides[number][:TAKES], channel.enroll, None) for number in able},
                {(n, s): self._clips(tape, side, channel.request, s) for n, side in sides.items() for s in lengths_s},
            )

    def _clips(self, tape: _Tape, side: Sequence[int], condition: Condition, length_s: float | None) -> Clips:
        """Whole clips, or requests of a length cut from them; from the cache if nothing that matters has changed."""
        parts = [self._made_by, condition.name, str(length_s), *(tape.digests[i] for i in side)]
        key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        file = self._cache / f"{key}.npz"
        if file.exists():
            with np.load(file) as kept:
                return Clips(**{one.name: kept[one.name] for one in fields(Clips)})
        if length_s is None:
            pieces = [tape.samples(i) for i in side]
        else:
            pieces = list(self._cut(np.concatenate([tape.samples(i) for i in side]), length_s))
        names = [f"{parts[2]}/{k}/{parts[-1]}" for k in range(len(pieces))]
        heard = [condition.apply(p, name) for p, name in zip(pieces, names, strict=True)]
        clips = self._embed(heard) if length_s else self._embed_takes(heard)
        partial = file.with_suffix(f".{os.getpid()}.npz")
        np.savez(partial, **{one.name: getattr(clips, one.name) for one in fields(Clips)})
        partial.replace(file)
        return clips

    def _cut(self, samples: Samples, length_s: float) -> Iterator[Samples]:
        """Pieces that each hold the wanted net speech and hardly more, pauses and all."""
        for _ in range(REQUESTS):
            size = self._size(samples, length_s)
            if size is None:
                return
            yield samples[:size]
            samples = samples[size:]

    def _size(self, samples: Samples, length_s: float) -> int | None:
        """How many samples hold the wanted net speech; None, if there is not enough."""
        size, found = int(length_s * SAMPLE_RATE_HZ), None
        for _ in range(_TRIES):
            excess_s = self._check(Pcm(samples[:size])).quality.speech_s - length_s
            if excess_s >= 0:
                found = size if found is None else min(found, size)
            if 0 <= excess_s <= _EXCESS_S or (excess_s < 0 and size >= len(samples)):
                break
            size = max(1, size + int((_EXCESS_S / 2 - excess_s) * SAMPLE_RATE_HZ))
        return found

    def _embed(self, sounds: Sequence[Samples]) -> Clips:
        vectors = np.zeros((len(sounds), self._encoder.dim), np.float32)
        quality = np.zeros((len(sounds), len(fields(Quality))))
        turns, (sides, shares) = np.ones(len(sounds), np.float32), self._no_sides(len(sounds))
        for row, samples in enumerate(sounds):
            checked = self._heard(samples)
            quality[row] = astuple(checked.quality)
            if isinstance(checked, Speech):
                heard = self._encoder.embed(checked)
                vectors[row], turns[row] = heard.vector, heard.turn
                if heard.turn < LOOKED_AT:
                    for place, (side, q) in enumerate(sides_of(self._encoder, checked, heard.turn_at_s)):
                        sides[row, place] = side.vector
                        shares[row, place] = q.speech_s / checked.quality.speech_s
        return Clips(vectors, quality, turns, sides, shares)

    def _embed_takes(self, sounds: Sequence[Samples]) -> Clips:
        vectors = np.zeros((len(sounds), 2, self._encoder.dim), np.float32)
        quality = np.zeros((len(sounds), len(fields(Quality))))
        for row, samples in enumerate(sounds):
            checked = self._heard(samples)
            quality[row] = astuple(checked.quality)
            if isinstance(checked, Speech) and not too_noisy(checked.quality):
                vectors[row] = take_views(self._encoder, checked)
        return Clips(vectors, quality, np.ones(len(sounds), np.float32), *self._no_sides(len(sounds)))

    def _no_sides(self, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return np.zeros((count, 2, self._encoder.dim), np.float32), np.full((count, 2), 0.5, np.float32)

    def _heard(self, samples: Samples) -> Speech | Unusable:
        return self._check(Pcm(samples, clipping=float(np.mean(np.abs(samples) >= FULL_SCALE))))

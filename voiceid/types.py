"""The frozen nouns that travel through every step. Import them, never copy them."""

import re
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Literal, NewType, Self

import numpy as np
from numpy.typing import NDArray

HouseholdId = NewType("HouseholdId", str)
PersonId = NewType("PersonId", str)
ModelId = NewType("ModelId", str)
"""Name and digest of an encoder's weights, such as `campplus@3f2c…`. Unlike ids never meet."""

Samples = NDArray[np.float32]
"""Mono sound, shape (n,), nominal range -1..1."""

SAMPLE_RATE_HZ = 16_000


class Purpose(str):
    """What a consent is for: one of five names, or `share:<skill>`.

    Raises: ValueError, for any other word.
    """

    __slots__ = ()
    _SHARE = re.compile(r"share:[a-z0-9][a-z0-9_-]{0,39}")
    _FIXED = frozenset({"save_recordings", "voice_id", "transcripts", "adapt", "human_review"})

    def __new__(cls, word: str) -> Self:
        """Accept a known purpose, refuse any other word."""
        if word not in cls._FIXED and not cls._SHARE.fullmatch(word):
            raise ValueError("no such purpose")
        return super().__new__(cls, word)


SAVE_RECORDINGS = Purpose("save_recordings")
VOICE_ID = Purpose("voice_id")
TRANSCRIPTS = Purpose("transcripts")
ADAPT = Purpose("adapt")
HUMAN_REVIEW = Purpose("human_review")
PURPOSES = (SAVE_RECORDINGS, VOICE_ID, TRANSCRIPTS, ADAPT, HUMAN_REVIEW)


@dataclass(frozen=True, slots=True, eq=False)
class Pcm:
    """Decoded sound: 16 kHz mono."""

    samples: Samples
    """Shape (n,), float32, finite."""
    clipping: float = 0.0
    """Share of the decoded samples at full scale, 0..1, measured before resampling."""

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured of one clip; the advice given to a speaker follows from it."""

    speech_s: float
    """Net speech, seconds: pauses and noise do not count."""
    duration_s: float
    level_dbfs: float
    """Mean level of the speech, dB relative to full scale; -120 for none."""
    snr_db: float
    """Speech level over the level of the pauses, dB, clamped to -20..60."""
    clipping: float
    """Share of samples at full scale, 0..1."""
    treble_db: float = 0.0
    """Power per Hz of the sound from 4.3 to 7.5 kHz over that from 1 to 3.3 kHz, dB, at least -120: a telephone's
    lies far below zero."""


@dataclass(frozen=True, slots=True, eq=False)
class Speech:
    """Sound that passed the speech check: enough of it, and clean enough to judge."""

    samples: Samples
    """Shape (n,), float32, 16 kHz: the speech alone, with a short margin around each stretch."""
    quality: Quality


UnusableReason = Literal["too_short", "poor_audio"]


@dataclass(frozen=True, slots=True)
class Unusable:
    """Sound that did not pass the speech check, and what would have been needed."""

    reason: UnusableReason
    fault: Literal["no_speech", "too_short", "too_quiet", "too_noisy", "clipped"]
    measured: float
    needed: float
    """Same unit as `measured`: seconds, dBFS, dB or share, as `fault` tells."""
    quality: Quality


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """A clip as a point on the unit sphere."""

    vector: NDArray[np.float32]
    """Shape (dim,), float32, unit length: inner product = cosine, -1..1."""
    model_id: ModelId
    turn: float = 1.0
    """Least cosine between what was said before a moment of the clip and after it, -1..1: where one speaker hands over
    to another it falls. 1 where the clip is too short, or the encoder cannot tell."""
    turn_at_s: float = 0.0
    """Where that moment is, seconds from the beginning of the clip."""


@dataclass(frozen=True, slots=True, eq=False)
class Voiceprint:
    """The embeddings that represent one person to one encoder."""

    person: PersonId
    model_id: ModelId
    takes: NDArray[np.float32]
    """Shape (n, dim), float32, rows of unit length: the takes as they were heard."""
    narrow: NDArray[np.float32] | None = None
    """The same takes as a telephone would carry them, same shape; a take that came over one is the same in both."""
    added: NDArray[np.float32] | None = None
    """What later requests added, both views of each: shape (m, 2, dim)."""


class Verdict(StrEnum):
    """What the scores allow to say."""

    KNOWN = "known"
    UNSURE = "unsure"
    STRANGER = "stranger"


Reason = Literal[
    "recognized", "unknown_voice", "ambiguous", "too_short", "poor_audio",
    "several_voices", "nobody_enrolled", "consent_withheld",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Decision:
    """Who is speaking, as far as the evidence goes. `person` is set only when `verdict` is known."""

    verdict: Verdict
    reason: Reason
    person: PersonId | None
    confidence: float
    """Calibrated probability that the best-scoring person is speaking, 0..1."""
    score: float | None = None
    """Cosine of the best person, -1..1; None when nobody was compared."""
    threshold: float | None = None
    """The score that would have named them."""
    storable: bool = False
    """Passed the storage bar, stricter than the naming bar."""


Kind = Literal["adult", "child"]


@dataclass(frozen=True, slots=True)
class Profile:
    """What a person has told about themselves."""

    person: PersonId
    display_name: str
    kind: Kind
    locale: str | None = None
    """BCP 47, such as `en-US`; None: the household's."""
    preferences: dict[str, Any] = field(default_factory=dict)
    """A small JSON object; what a skill does with it is the skill's business."""
    verify_by_device: bool = False
    """Whether devices may ask if this person is speaking. Off until the person says yes."""
    of_age_on: date | None = None
    """A child's day of coming of age, if a guardian set it: every consent then lapses, and the person decides anew."""


Change = Literal["granted", "denied", "withdrawn", "expired"]


@dataclass(frozen=True, slots=True)
class ConsentState:
    """The last word of one person on one purpose. Granted and unexpired means yes; all else no."""

    person: PersonId
    purpose: Purpose
    change: Change
    at: datetime
    expires_at: datetime | None
    retention: str | None
    """How long what it permits is kept: `until_deleted`, `18_months`, `days:N`, `none`."""

    def agreed(self, now: datetime) -> bool:
        """Whether this is a yes at `now`."""
        return self.change == "granted" and (self.expires_at is None or now < self.expires_at)

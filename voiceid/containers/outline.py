"""What the header of a sound file tells."""

from dataclasses import dataclass
from typing import Literal

Plain = Literal["int", "float", "alaw", "mulaw"]
"""How samples can be stored without a codec, little-endian; integers of one byte are unsigned."""


@dataclass(frozen=True, slots=True)
class OpusHead:
    """What an Opus stream says before its first packet.

    Source: RFC 7845, section 5.1.
    """

    skip: int
    """Samples at 48 kHz before the sound begins."""
    gain: float
    """What every sample is multiplied with."""
    family: int
    """How channels are mapped; 0: one, or left and right."""


@dataclass(frozen=True, slots=True)
class Outline:
    """A sound file as its headers tell it."""

    form: str
    """What to call it in a message."""
    rate_hz: int
    channels: int
    frames: int | None
    """Samples per channel; None: the header leaves it open."""
    plain: Plain | None = None
    """How samples are stored; None: a codec's business."""
    width: int = 0
    """Bytes of a plain sample."""
    start: int = 0
    """Where the sound begins, bytes."""
    slack: int = 0
    """By how many frames a decoder may rightly miss `frames`: codecs pad."""
    opus: OpusHead | None = None
    """None: no Opus."""


RATES_HZ = range(1_000, 768_001)
"""Sample rates that are read; no recorder works outside them."""
MOST_CODED_HZ = 8 * 192_000
"""Samples per second, over all channels, that are decoded: a bomb of FLAC can hold any number in a few bytes."""
TAIL = 4_096
"""Bytes of tags or padding that may follow the sound."""

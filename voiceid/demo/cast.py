"""Who plays: the voices that come with the package. They are synthetic, and no recording of any person."""

import json
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path

from voiceid.decode import decode
from voiceid.encode import open_encoder
from voiceid.ports import Encoder
from voiceid.scan import Clip, Marker, Text, Vector
from voiceid.speech import SpeechCheck
from voiceid.types import Unusable

ENROLL = tuple(f"enroll_{number}" for number in range(1, 5))
REQUESTS = tuple(f"request_{number}" for number in range(1, 7))
INTENTS = dict(zip(REQUESTS, ("music", "calendar", "timer", "reminder", "traffic", "shopping"), strict=True))

_VOICES = files("voiceid") / "demo" / "voices"
_LONGEST_S = 60


@dataclass(frozen=True)
class Voice:
    """One speaker, and what they say."""

    key: str
    """The folder of their clips."""
    name: str
    """Long enough that it cannot turn up by chance in bytes that are random."""

    @property
    def short(self) -> str:
        return self.name.split()[0]

    def sound(self, clip: str) -> bytes:
        """One clip, FLAC."""
        return (_VOICES / self.key / f"{clip}.flac").read_bytes()

    def words(self, clip: str) -> str:
        """What is said, with something that nobody else says."""
        return f"{_sentences()[clip]} This is {self.name} speaking."


class Markers:
    """What the scanner looks for: everything that a voice could leave behind."""

    def __init__(self) -> None:
        self._check = SpeechCheck.shipped()

    @cached_property
    def _encoder(self) -> Encoder:
        return open_encoder("campplus", Path())

    def sounds(self, voice: Voice, clips: tuple[str, ...]) -> list[Marker]:
        """The clips themselves."""
        found: list[Marker] = []
        for clip in clips:
            sound = voice.sound(clip)
            found.append(Clip(f"{voice.short}'s {clip}", decode(sound, max_s=_LONGEST_S).samples, (sound,)))
        return found

    def vectors(self, voice: Voice, clips: tuple[str, ...]) -> list[Marker]:
        """What a voiceprint of them would consist of."""
        found: list[Marker] = []
        for clip in clips:
            speech = self._check(decode(voice.sound(clip), max_s=_LONGEST_S))
            if not isinstance(speech, Unusable):
                found.append(Vector(f"{voice.short}'s {clip} as a vector", self._encoder.embed(speech).vector))
        return found

    def words(self, voice: Voice) -> list[Marker]:
        """What they said, as text."""
        return [Text(f"{voice.short}'s words in {clip}", voice.words(clip)) for clip in REQUESTS]

    def name(self, voice: Voice) -> list[Marker]:
        """Their name."""
        return [Text(f"{voice.short}'s name", voice.name)]


ADA = Voice("ada", "Ada Lindholm")
BEN = Voice("ben", "Ben Okonjo")
CLEO = Voice("cleo", "Cleo Marchetti")
MEMBERS = (ADA, BEN, CLEO)
GUESTS = (
    Voice("dan", "Dan Whitcombe"),
    Voice("guest_eve", "Eve Sandoval"),
    Voice("guest_finn", "Finn Abernathy"),
    Voice("guest_gwen", "Gwen Castellano"),
)


def _sentences() -> dict[str, str]:
    sentences: dict[str, str] = json.loads((_VOICES / "sentences.json").read_text(encoding="utf-8"))
    return sentences

"""Records from a microphone (extra `mic`). The only importer of sounddevice. What is heard stays in memory."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from voiceid.decode import to_flac
from voiceid.errors import MissingExtra, NotFound
from voiceid.types import SAMPLE_RATE_HZ, Pcm


def record(seconds: float) -> bytes:
    """Listen for so long; FLAC, 16 kHz mono.

    Raises: MissingExtra, when sounddevice or the PortAudio library is missing; NotFound, without a microphone.
    """
    sounddevice = _sounddevice()
    try:
        heard = sounddevice.rec(int(seconds * SAMPLE_RATE_HZ), samplerate=SAMPLE_RATE_HZ, channels=1, dtype="float32")
        sounddevice.wait()
    except sounddevice.PortAudioError as error:
        raise NotFound(f"no microphone answers: {error}") from None
    return to_flac(Pcm(np.ascontiguousarray(heard[:, 0], dtype=np.float32)))


def chunks(milliseconds: int = 50) -> Iterator[bytes]:
    """Listen for as long as somebody asks; PCM16, 16 kHz mono, piece by piece.

    Raises: MissingExtra; NotFound, without a microphone.
    """
    sounddevice = _sounddevice()
    size = SAMPLE_RATE_HZ * milliseconds // 1000
    try:
        with sounddevice.RawInputStream(SAMPLE_RATE_HZ, size, channels=1, dtype="int16") as stream:
            while True:
                heard, _overflowed = stream.read(size)
                yield bytes(heard)
    except sounddevice.PortAudioError as error:
        raise NotFound(f"no microphone answers: {error}") from None


def _sounddevice() -> Any:
    try:
        import sounddevice  # noqa: PLC0415 an extra, and a device: only who asks needs it
    except (ImportError, OSError) as missing:  # OSError: the wheel is there, the PortAudio library is not
        raise MissingExtra("a microphone needs PortAudio and: pip install 'voiceid[mic]'") from missing
    return sounddevice

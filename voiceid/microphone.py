"""Records from a microphone (extra `mic`). The only importer of sounddevice. What is heard stays in memory."""

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


def _sounddevice() -> Any:
    try:
        import sounddevice  # noqa: PLC0415 an extra, and a device: only who asks needs it
    except (ImportError, OSError) as missing:  # OSError: the wheel is there, the PortAudio library is not
        raise MissingExtra("a microphone needs PortAudio and: pip install 'voiceid[mic]'") from missing
    return sounddevice

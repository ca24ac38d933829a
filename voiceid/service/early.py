"""A head start: the networks load in a thread, most of it outside Python's lock, while Python imports the rest."""

import contextlib
import ctypes
import gc
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from voiceid.settings import Settings

if TYPE_CHECKING:
    from voiceid.ports import Encoder
    from voiceid.speech import VoiceActivity

_M_ARENA_MAX = -8
"""The name of the setting in glibc's malloc.h."""


class Networks:
    """Encoder and voice activity, asked for before they are needed."""

    def __init__(self, settings: Settings) -> None:
        _share_memory()
        threads = ThreadPoolExecutor(1, thread_name_prefix="networks")
        self._encoder: Future[Encoder] = threads.submit(_encoder, settings)
        self._voice_activity: Future[VoiceActivity] = threads.submit(_voice_activity)
        threads.shutdown(wait=False)

    def encoder(self) -> "Encoder":
        """Wait for the encoder.

        Raises: what open_encoder() raises.
        """
        return self._encoder.result()

    def voice_activity(self) -> "VoiceActivity":
        """Wait for the voice activity detector.

        Raises: ModelDamaged.
        """
        return self._voice_activity.result()


def settled() -> None:
    """Everything is loaded: from here on collect garbage, but not among what stays."""
    gc.freeze()
    gc.enable()


def _share_memory() -> None:
    """Have all threads take memory from one place: in glibc's many places 15 MB more stayed behind unused."""
    with contextlib.suppress(AttributeError):  # another C library has no such setting, and no such places
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _encoder(settings: Settings) -> "Encoder":
    from voiceid.encode import open_encoder  # noqa: PLC0415 imported in the thread, beside what the main one imports

    return open_encoder(settings.encoder, settings.models_dir)


def _voice_activity() -> "VoiceActivity":
    from voiceid.speech import VoiceActivity  # noqa: PLC0415 same

    return VoiceActivity.shipped()

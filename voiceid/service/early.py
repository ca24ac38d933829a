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

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""The names of the settings in glibc's malloc.h."""
_MIB = 1024 * 1024


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
    with contextlib.suppress(AttributeError):  # as below
        ctypes.CDLL(None).malloc_trim(0)


def _share_memory() -> None:
    """Have all threads take memory from one place: in glibc's many places 15 MB more stayed behind unused.

    What is large is taken from the system and given back one by one, so that no long clip leaves a hole behind: by
    itself glibc stops doing so once it has freed the file of a network.
    """
    with contextlib.suppress(AttributeError):  # another C library has no such settings, and no such places
        library = ctypes.CDLL(None)
        library.mallopt(_M_ARENA_MAX, 1)
        library.mallopt(_M_MMAP_THRESHOLD, _MIB)
        library.mallopt(_M_TRIM_THRESHOLD, 4 * _MIB)


def _encoder(settings: Settings) -> "Encoder":
    from voiceid.encode import open_encoder  # noqa: PLC0415 imported in the thread, beside what the main one imports

    return open_encoder(settings.encoder, settings.models_dir)


def _voice_activity() -> "VoiceActivity":
    from voiceid.speech import VoiceActivity  # noqa: PLC0415 same

    return VoiceActivity.shipped()

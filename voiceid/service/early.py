"""A head start: the networks load in a thread, most of it outside Python's lock, while Python imports the rest."""

import contextlib
import ctypes
import gc
import os
import sys
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voiceid.ports import Encoder
    from voiceid.settings import Settings
    from voiceid.speech import VoiceActivity

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""The names of the settings in glibc's malloc.h."""
_MIB = 1024 * 1024


class Networks:
    """Encoder and voice activity, asked for before they are needed."""

    def __init__(self, settings: "Settings") -> None:
        """Begin.

        What loads them is imported here, before anything else: only then does the thread do without Python's lock,
        which it would else wait for at each step. numpy's BLAS would start a thread for each core, which waits by
        spinning; a clip is worked on by one.
        """
        _share_memory()
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        from voiceid.encode import open_encoder  # noqa: PLC0415 after that setting
        from voiceid.speech import VoiceActivity  # noqa: PLC0415 same

        threads = ThreadPoolExecutor(1, thread_name_prefix="networks")
        self._encoder: Future[Encoder] = threads.submit(open_encoder, settings.encoder, settings.models_dir)
        self._voice_activity: Future[VoiceActivity] = threads.submit(VoiceActivity.shipped)
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


def slim() -> None:
    """Before the web framework is imported: keep out what it would load and never use.

    FastAPI looks into pydantic's first version to see whether a type comes from there. What checks a model's values is
    built when the model is first used: FastAPI alone has dozens that describe its API.
    """
    sys.modules.setdefault("pydantic.v1", None)  # type: ignore[arg-type]  # None: the import fails, which it expects
    from pydantic import BaseModel  # noqa: PLC0415 after the first line

    BaseModel.model_config["defer_build"] = True
    warnings.filterwarnings("ignore", "The 'alias' attribute", module="pydantic")  # FastAPI does so too


def settled() -> None:
    """All that recognition needs is loaded: from here on collect garbage, but not among what stays."""
    gc.freeze()
    gc.enable()
    from voiceid.memory import give_back, give_back_code  # noqa: PLC0415 numpy comes with the networks, not before

    give_back()
    give_back_code()


def rest() -> None:
    """Once the service is ready: load what an answer needs beside the encoder. Whoever asks first may wait for it.

    Nothing is set aside as in settled(): what belongs to a request could then be held for ever.
    """
    import prometheus_client  # noqa: F401, PLC0415 loaded, not used

    from voiceid import match, respond  # noqa: PLC0415 they are there by now; what they load is not

    match.searcher()
    respond.environment()


def _share_memory() -> None:
    """Have all threads take memory from two places: in glibc's many places 15 MB more stayed behind unused.

    With a single place the threads wait for each other: 4 MB less, for half a second more at the start and 5 % fewer
    answers under eight clients (`python -m benchmarks --only start --only recognition`).

    What is large is taken from the system and given back one by one, so that no long clip leaves a hole behind: by
    itself glibc stops doing so once it has freed the file of a network.
    """
    with contextlib.suppress(AttributeError):  # another C library has no such settings, and no such places
        library = ctypes.CDLL(None)
        library.mallopt(_M_ARENA_MAX, 2)
        library.mallopt(_M_MMAP_THRESHOLD, _MIB)
        library.mallopt(_M_TRIM_THRESHOLD, 4 * _MIB)

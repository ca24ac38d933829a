"""Which request may become part of a voiceprint, and how much it counts there. Pure.

A voice ages, a microphone is replaced. With `adapt`, a request may join the voiceprint of the person it named. What
keeps a stranger out, and a voiceprint from walking away, is here; who may write it, and when, in `enrollment/adapt.py`.
What it is worth: `python -m voiceid.evaluate.ageing ../shared/speech/dev`, docs/adapt.md.
"""

import numpy as np
from numpy.typing import NDArray

from voiceid.calibration import Bars
from voiceid.types import Decision, Quality
from voiceid.voiceprint import likeness, pooled

SHARE = 0.1
"""Of the guests who may pass the storage bar, the share that may pass this one."""
LEAST_SPEECH_S = 2.0
LEAST_SNR_DB = 15.0
AT_MOST = 8
"""Adapted takes that are held; the oldest falls out."""
DAYS = 180
"""After so long an adapted take is gone, whatever else happens."""

Views = NDArray[np.float32]
"""Shape (n, 2, dim), or (2, dim) for one take: as in `encode.take_views`."""


def is_certain(decision: Decision, quality: Quality, bars: Bars) -> bool:
    """Whether a request that named somebody may be added to their voiceprint, as far as the request itself tells.

    Its score must reach the bar that a tenth as many guests pass as the storage bar, with enough speech and little
    noise. `bars` are those that it was judged by.
    """
    if not decision.storable or decision.score is None or decision.threshold is None:
        return False
    if quality.speech_s < LEAST_SPEECH_S or quality.snr_db < LEAST_SNR_DB:
        return False
    above_name = bars.threshold(SHARE * bars.store, 1, quality) - bars.threshold(bars.name, 1, quality)
    return decision.score >= decision.threshold + above_name


def belongs(enrolled: Views, heard: NDArray[np.float32], bars: Bars) -> bool:
    """Whether an embedding, shape (dim,), is one more take of the voice that was enrolled.

    It is held against the enrolled takes alone, never against what was added since: one addition cannot vouch for the
    next, so no chain of them leads away. Takes that all came over a telephone tell too little to be added to.
    """
    if (enrolled[:, 0] == enrolled[:, 1]).all():
        return False
    return likeness(enrolled[:, 0], heard[np.newaxis]) >= bars.same_voice


def direction(enrolled: NDArray[np.float32], added: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a probe is compared with, shape (dim,): the pooled enrolled takes, shape (n, dim), with what was added.

    The additions count for as much as they are, and for half at most. Each take counts with its own cosine, as if there
    were only the enrolled ones: pooled in the plain way, more takes would lift everybody's scores, a stranger's too,
    above the bars that were found without them. So with additions the length is not one.
    Raises: ValueError, as `pooled`.
    """
    unit = pooled(enrolled)
    if len(added) == 0:
        return unit
    share = min(0.5, len(added) / (len(enrolled) + len(added)))
    mean = enrolled.mean(axis=0, dtype=np.float64)
    new = added.mean(axis=0, dtype=np.float64) / np.linalg.norm(mean)
    found: NDArray[np.float32] = ((1 - share) * unit + share * new).astype(np.float32)
    return found

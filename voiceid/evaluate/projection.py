"""What rooms, noise, microphones and telephones do to one person's embeddings, so that it can count for less.

Within-class covariance normalization (Hatch et al., Interspeech 2006): the covariance of each speaker's clips around
their mean, over conditions, is whitened away. It is learned from the same few people in many conditions, so it knows
what changes about a voice, not who there is.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from voiceid.evaluate.embed import Clips, Voice

SHRINK = 0.6
"""Share of the plain covariance in the mixture: few speakers, many dimensions. Of 0.3, 0.6 and 0.8, each learned on one
half of `dev` and measured on the other, the one with the fewest members missed over all conditions."""
LENGTH_S = 3.0
"""Net speech of the requests that count; shorter ones would add what brevity does."""


def fit(conditions: Iterable[Sequence[Voice]], view: int) -> NDArray[np.float32]:
    """The projection, shape (dim, dim), from the same people in several conditions; `view` as in `take_views`."""
    clips: dict[str, list[NDArray[np.float32]]] = defaultdict(list)
    for voices in conditions:
        for voice in voices:
            clips[voice.name] += [takes[:, view] for takes in voice.enrollments.values()]
            clips[voice.name] += [_heard(clip) for (_, asked_s), clip in voice.requests.items() if asked_s == LENGTH_S]
    heard = [np.unique(np.concatenate(parts), axis=0) for parts in clips.values()]  # takes recur in many conditions
    around = [vectors - vectors.mean(axis=0) for vectors in heard if len(vectors) > 1]
    scattered = np.concatenate(around).astype(np.float64)
    within = scattered.T @ scattered / len(scattered)
    even = np.trace(within) / len(within) * np.eye(len(within))
    values, directions = np.linalg.eigh((1 - SHRINK) * within + SHRINK * even)
    projection: NDArray[np.float32] = ((directions * values**-0.5) @ directions.T).astype(np.float32)
    return projection / np.float32(np.linalg.norm(projection, 2))


def _heard(clips: Clips) -> NDArray[np.float32]:
    return clips.vectors[clips.usable]

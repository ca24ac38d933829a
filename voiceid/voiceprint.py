"""Embeddings <-> one person: how takes become a voiceprint, and whether they are one voice. Pure."""

import numpy as np
from numpy.typing import NDArray

from voiceid.errors import ModelMismatch
from voiceid.types import Voiceprint

Takes = NDArray[np.float32]
"""Shape (n, dim), rows of unit length."""


def pooled(takes: Takes) -> NDArray[np.float32]:
    """One direction for a whole set of takes: their mean, made unit length again, shape (dim,).

    Raises: ValueError, for no takes, for values that are not numbers, or for takes that cancel out.
    """
    if takes.ndim != 2 or len(takes) == 0:  # noqa: PLR2004 - a matrix has two axes
        raise ValueError("takes must be a matrix with at least one row")
    mean = takes.mean(axis=0, dtype=np.float64)
    length = float(np.linalg.norm(mean))
    if not np.isfinite(length) or length < np.finfo(np.float32).eps:
        raise ValueError("these takes have no common direction")
    unit: NDArray[np.float32] = (mean / length).astype(np.float32)
    return unit


def each_to_the_others(takes: Takes) -> NDArray[np.float32]:
    """Cosine of every take with the pooled others, shape (n,), -1..1.

    Raises: ValueError, for fewer than two takes: one alone has no others.
    """
    if len(takes) < 2:  # noqa: PLR2004 - one alone has no others
        raise ValueError("one take alone cannot be compared")
    rest = [pooled(np.delete(takes, i, axis=0)) for i in range(len(takes))]
    alike: NDArray[np.float32] = (takes * np.stack(rest)).sum(axis=1)
    return alike


def cohesion(takes: Takes) -> float:
    """How much of one voice the takes are: the mean cosine of each take with the pooled others, -1..1.

    Raises: ValueError, for fewer than two takes.
    """
    return float(each_to_the_others(takes).mean())


def odd_one_out(takes: Takes, bar: float) -> int | None:
    """The row that is not the same person as the others, or None.

    The take least like the pooled others is odd if that cosine lies below `bar` (`Bars.same_voice`). Of two takes that
    differ neither is more right than the other: the later one is named.

    Raises: ValueError, for fewer than two takes.
    """
    alike = each_to_the_others(takes)
    odd = len(alike) - 1 - int(np.argmin(alike[::-1]))
    return odd if alike[odd] < bar else None


def likeness(one: Takes, other: Takes) -> float:
    """Cosine between two people's pooled takes, -1..1: above `Bars.same_person` they are one person."""
    return float(pooled(one) @ pooled(other))


def merge(one: Voiceprint, more: Voiceprint) -> Voiceprint:
    """All takes of one person together, the older ones first.

    Raises: ModelMismatch, for embeddings of different encoders; ValueError, for two people.
    """
    if one.model_id != more.model_id:
        raise ModelMismatch
    if one.person != more.person:
        raise ValueError("two people never share a voiceprint")
    return Voiceprint(one.person, one.model_id, np.concatenate([one.takes, more.takes]))

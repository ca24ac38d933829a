"""Households drawn from a corpus -> trials: who is compared with whom, and who was right.

After the published household protocol: as many guests as members, each member enrolled with four clips, requests from
clips that the enrollment has not seen, an open set. Every draw is seeded; a corpus that is too small is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voiceid.evaluate.embed import Voice
from voiceid.voiceprint import pooled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
GUEST = -1


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Every request of a corpus against every possible enrollment in it, at one length of net speech."""

    matrix: Floats
    """Shape (requests, enrollments), cosine."""
    speaker: Ints
    """Who made each request, as an index into the corpus' voices."""
    side: Ints
    """Which half of the speaker's clips each request comes from; the other one enrolls."""
    usable: NDArray[np.bool_]
    """Whether the speech check let the request through."""
    quality: Floats
    """Shape (requests, fields of `Quality`)."""
    owner: Ints
    """Whose each enrollment is."""
    owner_side: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Trials:
    """Requests made in households."""

    scores: Floats
    """Shape (trials, household size), one column per member; -inf where the request was not usable."""
    own: Ints
    """The speaker's own column, or `GUEST`."""
    speaker: Ints
    request: Ints
    """Row of `Scores`: trials of the same request are not independent."""
    members: Ints
    """Shape (trials, household size): whose column it is."""

    def __len__(self) -> int:
        """Number of requests made."""
        return len(self.own)


def scores(voices: Sequence[Voice], speech_s: float) -> Scores:
    """Compare every request of that length with the pooled takes of everyone who could be enrolled.

    Raises: ValueError, when there is nothing to compare.
    """
    enrolled = [(i, side, pooled(t)) for i, v in enumerate(voices) for side, t in v.enrollments.items()]
    asked = [(i, side, v.requests[side, s]) for i, v in enumerate(voices) for side, s in v.requests if s == speech_s]
    if not enrolled or not asked:
        raise ValueError("nobody who could be enrolled, or no request of that length")
    vectors = np.concatenate([clips.vectors for _, _, clips in asked])
    counts = [len(clips) for _, _, clips in asked]
    return Scores(
        matrix=(vectors @ np.stack([p for _, _, p in enrolled]).T).astype(np.float64),
        speaker=np.repeat([i for i, _, _ in asked], counts),
        side=np.repeat([side for _, side, _ in asked], counts),
        usable=np.concatenate([clips.usable for _, _, clips in asked]),
        quality=np.concatenate([clips.quality for _, _, clips in asked]),
        owner=np.array([i for i, _, _ in enrolled]),
        owner_side=np.array([side for _, side, _ in enrolled]),
    )


def households(table: Scores, size: int, draws: int, seed: int) -> Trials:
    """Draw households of `size` members and as many guests; everyone makes all the requests they can.

    Raises: ValueError, when fewer than `2 * size` speakers are there.
    """
    rng = np.random.default_rng([seed, size])
    people, able = np.unique(table.speaker), np.unique(table.owner)
    if len(able) < size or len(people) < 2 * size:
        raise ValueError("too few speakers for such a household")
    rows, own, members = [], [], []
    for _ in range(draws):
        inside = rng.choice(able, size, replace=False)
        guests = rng.choice(np.setdiff1d(people, inside), size, replace=False)
        columns = np.array([rng.choice(np.flatnonzero(table.owner == person)) for person in inside])
        for person, column in zip(inside, columns, strict=True):
            asks = np.flatnonzero((table.speaker == person) & (table.side != table.owner_side[column]))
            rows.append(asks)
            own.append(np.full(len(asks), np.flatnonzero(inside == person)[0]))
            members.append(np.tile(columns, (len(asks), 1)))
        asks = np.flatnonzero(np.isin(table.speaker, guests))
        rows.append(asks)
        own.append(np.full(len(asks), GUEST))
        members.append(np.tile(columns, (len(asks), 1)))
    request, columns = np.concatenate(rows), np.concatenate(members)
    compared = np.where(table.usable[request][:, None], table.matrix[request[:, None], columns], -np.inf)
    return Trials(compared, np.concatenate(own), table.speaker[request], request, table.owner[columns])

"""Households drawn from a corpus -> trials: who is compared with whom, and who was right.

After the published household protocol: as many guests as members, each member enrolled with four clips, requests from
clips that the enrollment has not seen, an open set. Every draw is seeded; a corpus that is too small is left out.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from voiceid.calibration import Bars
from voiceid.evaluate.embed import Voice
from voiceid.speech import NARROW_DB
from voiceid.voiceprint import pooled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
GUEST = -1


@dataclass(frozen=True, slots=True)
class Plan:
    """What trials to draw from the scores of a corpus."""

    name: Literal["household", "verification"] = "household"
    """Recognition in a household, or one request against one person."""
    size: int = 4
    """Members of a household, and its guests."""
    guests: Literal["any", "similar"] = "any"
    """Whoever is drawn, or the speakers most like the members."""
    draws: int = 200
    seed: int = 0

    @property
    def least(self) -> int:
        """Speakers that a corpus needs."""
        return 2 * self.size if self.name == "household" else 2

    def of(self, size: int) -> "Plan":
        """The same with households of another size."""
        return replace(self, size=size)

    def told(self) -> dict[str, Any]:
        """For the report: only what has a meaning in this protocol."""
        return asdict(self) if self.name == "household" else {"name": self.name}

    def trials(self, table: "Scores", untouched: "Scores") -> "Trials":
        """Draw them; `untouched` holds plain cosine, so that who is alike does not depend on who is measured.

        Raises: ValueError, when there are too few speakers.
        """
        if self.name == "verification":
            return verifications(table)
        alike = likeness(untouched) if self.guests == "similar" else None
        return households(table, self.size, self.draws, self.seed, alike)


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
    turns: Floats
    """`Embedding.turn` of each request, shape (requests,)."""
    sides: Floats
    """Shape (requests, 2, enrollments), cosine of what was said before that moment, and after it."""
    shares: Floats
    """Of the net speech, on either side, shape (requests, 2)."""
    owner: Ints
    """Whose each enrollment is."""
    owner_side: Ints

    @property
    def narrow(self) -> NDArray[np.bool_]:
        """Which requests came over a telephone, shape (requests,); `treble_db` is the last field of `Quality`."""
        found: NDArray[np.bool_] = self.quality[:, -1] < NARROW_DB
        return found


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
    sides: Floats
    """Shape (trials, 2, household size), as in `Scores`."""

    @property
    def heard(self) -> NDArray[np.bool_]:
        """Which requests the speech check let through, shape (trials,)."""
        found: NDArray[np.bool_] = np.isfinite(self.scores[:, 0])
        return found

    def __len__(self) -> int:
        """Number of requests made."""
        return len(self.own)


def scores(voices: Sequence[Voice], speech_s: float, bars: Bars | None = None) -> Scores:
    """Compare every request of that length with the pooled takes of everyone who could be enrolled.

    With `bars`, as the product does: projected, and requests over a telephone with takes as it would carry them.
    Without, plain cosine.
    Raises: ValueError, when there is nothing to compare.
    """
    enrolled = [(i, side, t) for i, v in enumerate(voices) for side, t in v.enrollments.items()]
    asked = [(i, side, v.requests[side, s]) for i, v in enumerate(voices) for side, s in v.requests if s == speech_s]
    if not enrolled or not asked:
        raise ValueError("nobody who could be enrolled, or no request of that length")
    vectors = np.concatenate([clips.vectors for _, _, clips in asked])
    counts = [len(clips) for _, _, clips in asked]
    quality = np.concatenate([clips.quality for _, _, clips in asked])
    heard = [vectors, *np.concatenate([clips.sides for _, _, clips in asked]).swapaxes(0, 1)]
    matrices = [_compared(some, [takes[:, 0] for _, _, takes in enrolled], bars) for some in heard]
    if bars and bars.narrow:
        over_telephone = [_compared(some, [takes[:, 1] for _, _, takes in enrolled], bars.narrow) for some in heard]
        narrow = quality[:, -1:] < NARROW_DB
        matrices = [np.where(narrow, *both) for both in zip(over_telephone, matrices, strict=True)]
    matrix, *sides = matrices
    return Scores(
        matrix=matrix,
        speaker=np.repeat([i for i, _, _ in asked], counts),
        side=np.repeat([side for _, side, _ in asked], counts),
        usable=np.concatenate([clips.usable for _, _, clips in asked]),
        quality=quality,
        sides=np.stack(sides, axis=1),
        shares=np.concatenate([clips.shares for _, _, clips in asked]).astype(np.float64),
        turns=np.concatenate([clips.turns for _, _, clips in asked]).astype(np.float64),
        owner=np.array([i for i, _, _ in enrolled]),
        owner_side=np.array([side for _, side, _ in enrolled]),
    )


def _compared(vectors: NDArray[np.float32], takes: Sequence[NDArray[np.float32]], bars: Bars | None) -> Floats:
    """Cosine of every request with every enrollment."""
    if bars is None:
        return (vectors @ np.stack([pooled(t) for t in takes]).T).astype(np.float64)
    prints = np.stack([pooled(bars.projected(t)) for t in takes])
    return (bars.projected(vectors) @ prints.T).astype(np.float64)


def likeness(table: Scores) -> Floats:
    """Mean score of each speaker's requests with each speaker's enrollments, both ways, shape (speakers, speakers)."""
    count = int(max(table.speaker.max(), table.owner.max())) + 1
    asked = np.arange(count)[:, None] == table.speaker[table.usable]
    owned = np.arange(count)[:, None] == table.owner
    total = np.maximum(asked.sum(axis=1)[:, None] * owned.sum(axis=1), 1)
    mean = asked @ table.matrix[table.usable] @ owned.T / total
    found: Floats = mean + mean.T
    return found


def households(table: Scores, size: int, draws: int, seed: int, alike: Floats | None = None) -> Trials:
    """Draw households of `size` members and as many guests; everyone makes all the requests they can.

    With `alike`, as `likeness` tells it, the guests are those most like the members: each member in turn brings the
    one of the others who is most like them.
    Raises: ValueError, when fewer than `2 * size` speakers are there.
    """
    rng = np.random.default_rng([seed, size])
    people, able = np.unique(table.speaker), np.unique(table.owner)
    if len(able) < size or len(people) < 2 * size:
        raise ValueError("too few speakers for such a household")
    rows, own, members = [], [], []
    for _ in range(draws):
        inside = rng.choice(able, size, replace=False)
        others = np.setdiff1d(people, inside)
        guests = rng.choice(others, size, replace=False) if alike is None else _most_alike(alike, inside, others)
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
    return _trials(table, np.concatenate(rows), np.concatenate(own), np.concatenate(members))


def verifications(table: Scores) -> Trials:
    """Every request against every enrollment that it may be compared with, one at a time: households of one."""
    request, column = (found.ravel() for found in np.indices(table.matrix.shape))
    same = table.speaker[request] == table.owner[column]
    fair = ~same | (table.side[request] != table.owner_side[column])
    own = np.where(same, 0, GUEST)
    return _trials(table, request[fair], own[fair], column[fair][:, None])


def _most_alike(alike: Floats, inside: Ints, others: Ints) -> Ints:
    found: list[int] = []
    for person in inside:
        left = np.setdiff1d(others, found)
        found.append(int(left[np.argmax(alike[person, left])]))
    return np.array(found)


def _trials(table: Scores, request: Ints, own: Ints, columns: Ints) -> Trials:
    compared = np.where(table.usable[request][:, None], table.matrix[request[:, None], columns], -np.inf)
    sides = table.sides[request[:, None], :, columns].swapaxes(1, 2)
    return Trials(compared, own, table.speaker[request], request, table.owner[columns], sides)

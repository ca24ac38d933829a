"""Embedding x Permit -> scores. The only importer of faiss.

The index is a cache: one per household, loaded on demand, bounded, checked at every search against the epoch that came
with the consents. A withdrawal overwrites that person's vectors at once; the rest is never searched again, and is
overwritten by the next search, or within half a minute.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from voiceid import adapt
from voiceid.calibration import Bars
from voiceid.consent import Permit
from voiceid.errors import ModelMismatch
from voiceid.ports import Matches, Voiceprints
from voiceid.types import Embedding, HouseholdId, ModelId, PersonId, Voiceprint

if TYPE_CHECKING:
    import faiss

_NEVER = -1
"""The epoch of no permit."""
_NOBODY = PersonId("")
"""Stands where somebody stood."""


@dataclass(slots=True, eq=False)
class Index:
    """One household's pooled voiceprints, of one epoch and one encoder. Whoever shares it takes turns."""

    model_id: ModelId
    epoch: int
    people: tuple[PersonId, ...]
    """Position = id in the index."""
    faiss_index: "faiss.IndexIDMap2"
    """As they were heard; behind them, from id = number of people on, as a telephone would carry them."""
    bars: Bars | None = None
    """What projects a probe as the voiceprints were projected."""
    by_telephone: frozenset[PersonId] = frozenset()
    """Who was enrolled over nothing else."""
    _asked: tuple[int, int] | None = field(default=None, init=False, repr=False)
    """Among whom was searched last: how many, and their hash."""
    _rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64), init=False, repr=False)
    """Where they stand."""

    @classmethod
    def build(
        cls, voiceprints: Iterable[Voiceprint], model_id: ModelId, dim: int, epoch: int, bars: Bars | None = None
    ) -> Self:
        """Pool each person's takes into one vector and index them; a damaged voiceprint names nobody."""
        faiss = searcher()
        index = faiss.IndexIDMap2(faiss.IndexFlatIP(dim))
        usable = (one for one in voiceprints if _sound(one.takes, dim) and _sound(_over_telephone(one), dim))
        sound = {one.person: one for one in usable}
        narrow = bars.narrow if bars else None
        if sound:
            vectors = [_direction(one.takes, one.added, 0, bars) for one in sound.values()]
            if narrow:
                vectors += [_direction(_over_telephone(one), one.added, 1, narrow) for one in sound.values()]
            index.add_with_ids(np.stack(vectors).astype(np.float32), np.arange(len(vectors), dtype=np.int64))
        alike = {who for who, one in sound.items() if one.narrow is not None and (one.takes == one.narrow).all()}
        return cls(model_id, epoch, tuple(sound), index, bars, frozenset(alike))

    def nearest(self, probe: Embedding, *, among: Permit, narrow: bool = False) -> Matches:
        """Score the permitted people against one embedding; `narrow`: as a telephone would carry them.

        Exact: each score is a product of its own. Shapes: probe.vector is (dim,), float32, unit length; so inner
        product = cosine, -1..1.
        Raises: ModelMismatch, when other weights made the probe than made this index.
        Source: cosine scoring as in ECAPA-TDNN, arXiv:2005.07143.
        """
        if probe.model_id != self.model_id:
            raise ModelMismatch
        flat, rows = self._flat(), self._permitted(among)
        if narrow:
            rows = rows + len(self.people)
        if not rows.size or rows[-1] >= flat.ntotal:
            return Matches.of({})
        bars = self.bars.narrow if self.bars and narrow else self.bars
        asked = _project(bars)(probe.vector.reshape(1, flat.d).astype(np.float32))
        scores = np.empty(len(rows), dtype=np.float32)
        faiss, first = searcher(), int(rows[0])
        asked_at, scores_at = faiss.swig_ptr(asked), faiss.swig_ptr(scores)
        faiss.omp_set_num_threads(1)  # for this thread: waiting for others cost 20 ms on a busy machine, the search 0.1
        if int(rows[-1]) - first + 1 == len(rows):  # one behind the other: the same products, in less time
            begin = faiss.swig_ptr(self._vectors()[first:]) if first else flat.get_xb()
            faiss.fvec_inner_products_ny(scores_at, asked_at, begin, flat.d, len(rows))
        else:
            flat.compute_distance_subset(1, asked_at, len(rows), scores_at, faiss.swig_ptr(rows))
        everybody = len(rows) == len(self.people)
        people = self.people if everybody else tuple(self.people[row % len(self.people)] for row in rows)
        return Matches(people, scores.astype(np.float64))

    def forget(self, person: PersonId) -> None:
        """Overwrite one person's vectors. The rest is of no epoch any more, so it is never searched again."""
        self.epoch = _NEVER
        if person in self.people:
            at = self.people.index(person)
            self._vectors()[at :: len(self.people)] = 0.0
            self.people = (*self.people[:at], _NOBODY, *self.people[at + 1 :])

    def wipe(self) -> None:
        """Overwrite the vectors before the memory is given back."""
        self._vectors()[:] = 0.0

    def _permitted(self, among: Permit) -> NDArray[np.int64]:
        """Where the permitted people stand, in rising order.

        Worked out anew only when other people are permitted than last time, told by how many there are and the hash of
        them all, 64 bits: to hold 100,000 names against as many takes longer than to score them. Whoever is named is
        looked up by name in a permit before anybody learns of it.
        """
        asked = (len(among.people), hash(among.people))
        if asked != self._asked:
            self._rows = np.array([at for at, who in enumerate(self.people) if who in among.people], dtype=np.int64)
            self._asked = asked
        return self._rows

    def _flat(self) -> Any:
        return searcher().downcast_index(self.faiss_index.index)

    def _vectors(self) -> NDArray[np.float32]:
        """Shape (n, dim): the index's own memory."""
        flat = self._flat()
        if not flat.ntotal:
            return np.empty((0, flat.d), dtype=np.float32)
        vectors: NDArray[np.float32] = searcher().rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d)
        return vectors.reshape(flat.ntotal, flat.d)


class Indexes:
    """The indexes of the households in use, newest use last; a copy that every purge reaches."""

    name = "index"

    def __init__(
        self, voiceprints: Voiceprints, model_id: ModelId, dim: int, *, at_most: int, bars: Bars | None
    ) -> None:
        self._voiceprints = voiceprints
        self._model_id = model_id
        self._dim = dim
        self._at_most = at_most
        self._bars = bars
        self._held: OrderedDict[HouseholdId, Index] = OrderedDict()
        self._lock = threading.Lock()

    def nearest(self, probe: Embedding, *, among: Permit, narrow: bool = False) -> Matches:
        """Score the permitted people of one household; an index of another epoch is first built anew."""
        with self._lock:  # searching takes microseconds; a wiped index must not be searched
            return self._current(among).nearest(probe, among=among, narrow=narrow)

    def by_telephone(self, among: Permit) -> bool:
        """Whether somebody permitted was enrolled over a telephone alone."""
        with self._lock:
            return not self._current(among).by_telephone.isdisjoint(among.people)

    def forget(self, household: HouseholdId, person: PersonId | None = None) -> None:
        """Overwrite one person's vectors, so that the next search builds anew; or drop a household's."""
        with self._lock:
            if person is None:
                self._drop(household)
            elif household in self._held:
                self._held[household].forget(person)

    def held(self) -> dict[HouseholdId, int]:
        """The households whose index is held, each with the epoch at which it may be searched."""
        with self._lock:
            return {household: index.epoch for household, index in self._held.items()}

    def count(self, household: HouseholdId, person: PersonId | None = None) -> int:
        """How many people of a household are held, or whether this one is."""
        with self._lock:
            index = self._held.get(household)
            if index is None:
                return 0
            return len(index.people) - index.people.count(_NOBODY) if person is None else index.people.count(person)

    def _current(self, among: Permit) -> Index:
        index = self._held.get(among.household)
        if index is None or index.epoch != among.epoch:
            index = self._load(among)
        self._held.move_to_end(among.household)
        return index

    def _load(self, among: Permit) -> Index:
        self._drop(among.household)
        found = self._voiceprints.of(among.household, self._model_id, among.people)
        index = Index.build(found, self._model_id, self._dim, among.epoch, self._bars)
        self._held[among.household] = index
        while len(self._held) > self._at_most:
            self._drop(next(iter(self._held)))
        return index

    def _drop(self, household: HouseholdId) -> None:
        index = self._held.pop(household, None)
        if index is not None:
            index.wipe()


def searcher() -> Any:
    """The library faiss: loaded by the first who needs it, or once the service is ready, and not before."""
    import faiss  # noqa: PLC0415 the reason is above

    return faiss


def _sound(takes: NDArray[np.float32], dim: int) -> bool:
    return takes.shape[1:] == (dim,) and bool(np.isfinite(takes).all())


def _project(bars: Bars | None) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    return bars.projected if bars else lambda vectors: vectors


def _direction(
    takes: NDArray[np.float32], added: NDArray[np.float32] | None, view: int, bars: Bars | None
) -> NDArray[np.float32]:
    projected = _project(bars)
    return adapt.direction(projected(takes), projected(takes[:0] if added is None else added[:, view]))


def _over_telephone(voiceprint: Voiceprint) -> NDArray[np.float32]:
    return voiceprint.takes if voiceprint.narrow is None else voiceprint.narrow

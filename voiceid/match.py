"""Embedding x Permit -> scores. The only importer of faiss.

The index is a cache: one per household, loaded on demand, bounded, checked at every search against the epoch that came
with the consents, dropped and overwritten at every withdrawal.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from voiceid import adapt
from voiceid.calibration import Bars
from voiceid.consent import Permit
from voiceid.errors import ModelMismatch
from voiceid.ports import Match, Voiceprints
from voiceid.types import Embedding, HouseholdId, ModelId, PersonId, Voiceprint


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """One household's pooled voiceprints, of one epoch and one encoder."""

    model_id: ModelId
    epoch: int
    people: tuple[PersonId, ...]
    """Position = id in the index."""
    faiss_index: faiss.IndexIDMap2
    """As they were heard; behind them, from id = number of people on, as a telephone would carry them."""
    bars: Bars | None = None
    """What projects a probe as the voiceprints were projected."""
    by_telephone: frozenset[PersonId] = frozenset()
    """Who was enrolled over nothing else."""

    @classmethod
    def build(
        cls, voiceprints: list[Voiceprint], model_id: ModelId, dim: int, epoch: int, bars: Bars | None = None
    ) -> "Index":
        """Pool each person's takes into one vector and index them; a damaged voiceprint names nobody."""
        index = faiss.IndexIDMap2(faiss.IndexFlatIP(dim))
        sound = [one for one in voiceprints if _sound(one.takes, dim) and _sound(_over_telephone(one), dim)]
        narrow = bars.narrow if bars else None
        if sound:
            vectors = [_direction(one.takes, one.added, 0, bars) for one in sound]
            if narrow:
                vectors += [_direction(_over_telephone(one), one.added, 1, narrow) for one in sound]
            index.add_with_ids(np.stack(vectors).astype(np.float32), np.arange(len(vectors), dtype=np.int64))
        by_telephone = {one.person for one in sound if one.narrow is not None and (one.takes == one.narrow).all()}
        return cls(model_id, epoch, tuple(one.person for one in sound), index, bars, frozenset(by_telephone))

    def nearest(self, probe: Embedding, *, among: Permit, narrow: bool = False) -> list[Match]:
        """Score the permitted people against one embedding, best first; `narrow`: as a telephone would carry them.

        Shapes: probe.vector is (dim,), float32, unit length; so inner product = cosine, -1..1.
        Raises: ModelMismatch, when other weights made the probe than made this index.
        Source: cosine scoring as in ECAPA-TDNN, arXiv:2005.07143.
        """
        if probe.model_id != self.model_id:
            raise ModelMismatch
        behind = len(self.people) if narrow else 0
        allowed = [at + behind for at, person in enumerate(self.people) if person in among.people]
        if not allowed:
            return []
        bars = self.bars.narrow if self.bars and narrow else self.bars
        selector = faiss.IDSelectorBatch(np.array(allowed, dtype=np.int64))
        chosen = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]  # not in faiss's stubs
        faiss.omp_set_num_threads(1)  # for this thread: waiting for others cost 20 ms on a busy machine, the search 0.1
        asked = _project(bars)(probe.vector[np.newaxis].astype(np.float32))
        scores, found = self.faiss_index.search(asked, len(allowed), params=chosen)
        pairs = zip(found[0], scores[0], strict=True)
        return [Match(self.people[at - behind], float(score)) for at, score in pairs if at >= 0]

    def wipe(self) -> None:
        """Overwrite the vectors before the memory is given back."""
        flat: Any = faiss.downcast_index(self.faiss_index.index)
        if flat.ntotal:
            faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d)[:] = 0.0


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

    def nearest(self, probe: Embedding, *, among: Permit, narrow: bool = False) -> list[Match]:
        """Score the permitted people of one household; an index of another epoch is first built anew."""
        with self._lock:  # searching takes microseconds; a wiped index must not be searched
            return self._current(among).nearest(probe, among=among, narrow=narrow)

    def by_telephone(self, among: Permit) -> bool:
        """Whether somebody permitted was enrolled over a telephone alone."""
        with self._lock:
            return not self._current(among).by_telephone.isdisjoint(among.people)

    def forget(self, household: HouseholdId, person: PersonId | None = None) -> None:  # noqa: ARG002 the whole household's is rebuilt
        """Overwrite and drop a household's index."""
        with self._lock:
            self._drop(household)

    def held(self) -> dict[HouseholdId, int]:
        """The households whose index is held, each with the epoch it was built at."""
        with self._lock:
            return {household: index.epoch for household, index in self._held.items()}

    def count(self, household: HouseholdId, person: PersonId | None = None) -> int:
        """How many people of a household are held, or whether this one is."""
        with self._lock:
            index = self._held.get(household)
            if index is None:
                return 0
            return len(index.people) if person is None else index.people.count(person)

    def _current(self, among: Permit) -> Index:
        index = self._held.get(among.household)
        if index is None or index.epoch != among.epoch:
            index = self._load(among)
        self._held.move_to_end(among.household)
        return index

    def _load(self, among: Permit) -> Index:
        self._drop(among.household)
        found = self._voiceprints.of(among.household, self._model_id, among.people)
        index = Index.build(list(found), self._model_id, self._dim, among.epoch, self._bars)
        self._held[among.household] = index
        while len(self._held) > self._at_most:
            self._drop(next(iter(self._held)))
        return index

    def _drop(self, household: HouseholdId) -> None:
        index = self._held.pop(household, None)
        if index is not None:
            index.wipe()


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

"""Embedding x Permit -> scores. The only importer of faiss.

The index is a cache: one per household, loaded on demand, bounded, checked at every search against the epoch that came
with the consents, dropped and overwritten at every withdrawal.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from voiceid.consent import Permit
from voiceid.errors import ModelMismatch
from voiceid.ports import Match, Voiceprints
from voiceid.types import Embedding, HouseholdId, ModelId, PersonId, Voiceprint
from voiceid.voiceprint import pooled


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """One household's pooled voiceprints, of one epoch and one encoder."""

    model_id: ModelId
    epoch: int
    people: tuple[PersonId, ...]
    """Position = id in the index."""
    faiss_index: faiss.IndexIDMap2

    @classmethod
    def build(cls, voiceprints: list[Voiceprint], model_id: ModelId, dim: int, epoch: int) -> "Index":
        """Pool each person's takes into one unit vector and index them; a damaged voiceprint names nobody."""
        index = faiss.IndexIDMap2(faiss.IndexFlatIP(dim))
        sound = [one for one in voiceprints if one.takes.shape[1:] == (dim,) and np.isfinite(one.takes).all()]
        if sound:
            vectors = np.stack([pooled(one.takes) for one in sound]).astype(np.float32)
            index.add_with_ids(vectors, np.arange(len(sound), dtype=np.int64))
        return cls(model_id, epoch, tuple(one.person for one in sound), index)

    def nearest(self, probe: Embedding, *, among: Permit) -> list[Match]:
        """Score the permitted people against one embedding, best first.

        Shapes: probe.vector is (dim,), float32, unit length; so inner product = cosine, -1..1.
        Raises: ModelMismatch, when other weights made the probe than made this index.
        Source: cosine scoring as in ECAPA-TDNN, arXiv:2005.07143.
        """
        if probe.model_id != self.model_id:
            raise ModelMismatch
        allowed = [at for at, person in enumerate(self.people) if person in among.people]
        if not allowed:
            return []
        selector = faiss.IDSelectorBatch(np.array(allowed, dtype=np.int64))
        chosen = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]  # not in faiss's stubs
        faiss.omp_set_num_threads(1)  # for this thread: waiting for others cost 20 ms on a busy machine, the search 0.1
        asked = probe.vector[np.newaxis].astype(np.float32)
        scores, found = self.faiss_index.search(asked, len(allowed), params=chosen)
        pairs = zip(found[0], scores[0], strict=True)
        return [Match(self.people[at], float(score)) for at, score in pairs if at >= 0]

    def wipe(self) -> None:
        """Overwrite the vectors before the memory is given back."""
        flat: Any = faiss.downcast_index(self.faiss_index.index)
        if flat.ntotal:
            faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d)[:] = 0.0


class Indexes:
    """The indexes of the households in use, newest use last; a copy that every purge reaches."""

    name = "index"

    def __init__(self, voiceprints: Voiceprints, model_id: ModelId, dim: int, *, at_most: int) -> None:
        self._voiceprints = voiceprints
        self._model_id = model_id
        self._dim = dim
        self._at_most = at_most
        self._held: OrderedDict[HouseholdId, Index] = OrderedDict()
        self._lock = threading.Lock()

    def nearest(self, probe: Embedding, *, among: Permit) -> list[Match]:
        """Score the permitted people of one household; an index of another epoch is first built anew."""
        with self._lock:  # searching takes microseconds; a wiped index must not be searched
            index = self._held.get(among.household)
            if index is None or index.epoch != among.epoch:
                index = self._load(among)
            self._held.move_to_end(among.household)
            return index.nearest(probe, among=among)

    def forget(self, household: HouseholdId, person: PersonId | None = None) -> None:  # noqa: ARG002 the whole household's is rebuilt
        """Overwrite and drop a household's index."""
        with self._lock:
            self._drop(household)

    def count(self, household: HouseholdId, person: PersonId | None = None) -> int:
        """How many people of a household are held, or whether this one is."""
        with self._lock:
            index = self._held.get(household)
            if index is None:
                return 0
            return len(index.people) if person is None else index.people.count(person)

    def _load(self, among: Permit) -> Index:
        self._drop(among.household)
        found = self._voiceprints.of(among.household, self._model_id, among.people)
        index = Index.build(list(found), self._model_id, self._dim, among.epoch)
        self._held[among.household] = index
        while len(self._held) > self._at_most:
            self._drop(next(iter(self._held)))
        return index

    def _drop(self, household: HouseholdId) -> None:
        index = self._held.pop(household, None)
        if index is not None:
            index.wipe()

"""Reads voiceprints. It cannot write one: that takes `biometrics.py`, which only `enrollment` may import."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import bindparam, select

from voiceid.errors import Unreadable
from voiceid.store import tables
from voiceid.store.store import Store
from voiceid.store.vault import Place
from voiceid.types import HouseholdId, ModelId, PersonId, Voiceprint
from voiceid.views import VoiceprintView

_V, _A = tables.voiceprint, tables.adaptation
_THESE = (
    select(_V)
    .where(
        _V.c.household_id == bindparam("household"), _V.c.encoder == bindparam("model"),
        _V.c.person_id.in_(bindparam("people", expanding=True)), tables.spared(_V),
    )
    .order_by(_V.c.person_id)
)  # fmt: skip
_ADDED = (
    select(_A)
    .where(
        _A.c.household_id == bindparam("household"), _A.c.person_id.in_(bindparam("people", expanding=True)),
        _A.c.expires_at > bindparam("now"), tables.spared(_A),
    )
    .order_by(_A.c.created_at)
)  # fmt: skip
"""Built once: every household that is not in memory is read by them."""
_log = logging.getLogger(__name__)


class VoiceprintShelf:
    """`Voiceprints`, out of the database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def of(self, household: HouseholdId, model_id: ModelId, people: frozenset[PersonId]) -> Sequence[Voiceprint]:
        """Decrypt the voiceprints of these people, made by this encoder, with what was added to them since.

        What cannot be read names nobody; an addition that cannot be read is left out.
        """
        if not people:
            return []
        asked = {"household": household, "people": sorted(people)}
        with self._store.database.reader() as tx:
            rows = tx.execute(_THESE, asked | {"model": model_id}).all()
            additions = tx.execute(_ADDED, asked | {"now": self._store.now()}).all()
        found = []
        for row in rows:
            try:
                takes = self._takes(household, row)
                added = self._added(household, row, additions, takes.shape[1:])
                found.append(Voiceprint(PersonId(row.person_id), model_id, takes[:, 0], takes[:, 1], added))
            except (Unreadable, ValueError):
                _log.warning("a voiceprint cannot be read and names nobody", extra={"household": household})
        return found

    def enrolled(self, household: HouseholdId) -> int:
        """How many voiceprints this household has, whatever made them."""
        with self._store.database.reader() as tx:
            return len(tx.execute(select(_V.c.voiceprint_id).where(_V.c.household_id == household)).all())

    def view(self, household: HouseholdId, person: PersonId) -> VoiceprintView | None:
        """A person's newest voiceprint, without its numbers; None if there is none."""
        mine = select(_V).where(_V.c.household_id == household, _V.c.person_id == person, tables.spared(_V))
        with self._store.database.reader() as tx:
            row = tx.execute(mine.order_by(_V.c.created_at.desc()).limit(1)).first()
        if row is None:
            return None
        return VoiceprintView(row.voiceprint_id, row.encoder, row.takes, row.cohesion, row.created_at)

    def _takes(self, household: HouseholdId, row: Any) -> NDArray[np.float32]:
        place = Place(household, row.person_id, "voiceprint", row.voiceprint_id)
        flat = np.frombuffer(self._store.vault.open(place, row.key_id, row.sealed), dtype="<f4")
        return flat.reshape(row.takes, 2, -1)

    def _added(
        self, household: HouseholdId, voiceprint: Any, additions: Sequence[Any], shape: tuple[int, ...]
    ) -> NDArray[np.float32]:
        """What later requests added to one voiceprint, shape (n, *shape)."""
        found = [np.zeros((0, *shape), np.float32)]
        for row in additions:
            if row.voiceprint_id != voiceprint.voiceprint_id:
                continue
            place = Place(household, row.person_id, "adaptation", row.adaptation_id)
            try:
                views = np.frombuffer(self._store.vault.open(place, row.key_id, row.sealed), dtype="<f4")
                if np.isfinite(views).all():
                    found.append(views.reshape(1, *shape))
            except (Unreadable, ValueError):
                _log.warning("an addition to a voiceprint cannot be read", extra={"household": household})
        return np.concatenate(found)

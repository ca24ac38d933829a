"""Reads voiceprints. It cannot write one: that takes `biometrics.py`, which only `enrollment` may import."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from voiceid.errors import Unreadable
from voiceid.store import tables
from voiceid.store.store import Store
from voiceid.store.vault import Place
from voiceid.types import HouseholdId, ModelId, PersonId, Voiceprint
from voiceid.views import VoiceprintView

_V = tables.voiceprint
_log = logging.getLogger(__name__)


class VoiceprintShelf:
    """`Voiceprints`, out of the database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def of(self, household: HouseholdId, model_id: ModelId, people: frozenset[PersonId]) -> Sequence[Voiceprint]:
        """Decrypt the voiceprints of these people, made by this encoder. What cannot be read names nobody."""
        if not people:
            return []
        mine = select(_V).where(
            _V.c.household_id == household, _V.c.encoder == model_id, _V.c.person_id.in_(sorted(people)),
            tables.spared(_V),
        )
        with self._store.database.reader() as tx:
            rows = tx.execute(mine.order_by(_V.c.person_id)).all()
        found = []
        for row in rows:
            try:
                found.append(Voiceprint(PersonId(row.person_id), model_id, self._takes(household, row)))
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
        return flat.reshape(row.takes, -1)

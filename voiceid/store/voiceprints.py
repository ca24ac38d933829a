"""Reads voiceprints. It cannot write one: that takes `biometrics.py`, which only `enrollment` may import."""

import logging
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import and_, bindparam, select

from voiceid.errors import Unreadable
from voiceid.store import tables
from voiceid.store.store import Store
from voiceid.store.vault import Place
from voiceid.types import HouseholdId, ModelId, PersonId, Voiceprint
from voiceid.views import VoiceprintView

_V, _A = tables.voiceprint, tables.adaptation
_THESE = (
    select(
        _V, _A.c.adaptation_id, _A.c.key_id.label("added_key_id"), _A.c.sealed.label("added_sealed"), _A.c.expires_at
    )
    .select_from(_V.outerjoin(_A, and_(
        _A.c.household_id == _V.c.household_id, _A.c.person_id == _V.c.person_id,
        _A.c.voiceprint_id == _V.c.voiceprint_id, tables.spared(_A),
    )))
    .where(_V.c.household_id == bindparam("household"), _V.c.encoder == bindparam("model"), tables.spared(_V))
    .order_by(_V.c.person_id, _V.c.voiceprint_id, _A.c.created_at)
)  # fmt: skip
"""Voiceprints, and a row for each addition to one. Built once: every household that is not in memory is read by it."""
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
        rows = self._store.database.ask(_THESE, household=household, model=model_id)
        found = []
        for _, same in groupby((row for row in rows if row.person_id in people), key=lambda row: row.voiceprint_id):
            first, *more = same
            try:
                takes = self._takes(household, first)
                added = self._added(household, [first, *more], takes.shape[1:])
                found.append(Voiceprint(PersonId(first.person_id), model_id, takes[:, 0], takes[:, 1], added))
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

    def _added(self, household: HouseholdId, rows: Sequence[Any], shape: tuple[int, ...]) -> NDArray[np.float32]:
        """What later requests added to one voiceprint, shape (n, *shape); its rows have one addition each, or none."""
        found, now = [np.zeros((0, *shape), np.float32)], self._store.now()
        for row in rows:
            if row.adaptation_id is None or row.expires_at <= now:
                continue
            place = Place(household, row.person_id, "adaptation", row.adaptation_id)
            try:
                views = np.frombuffer(self._store.vault.open(place, row.added_key_id, row.added_sealed), dtype="<f4")
                if np.isfinite(views).all():
                    found.append(views.reshape(1, *shape))
            except (Unreadable, ValueError):
                _log.warning("an addition to a voiceprint cannot be read", extra={"household": household})
        return np.concatenate(found)

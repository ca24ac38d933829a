"""What recognition left of a person, read by that person: recordings, interactions, activity.

There is no other way to a recording than `hear`, and it writes the activity before it hands out the sound.
"""

from typing import Any

from sqlalchemy import Select, and_, select

from voiceid.errors import NotFound, Unreadable
from voiceid.ports import Actor
from voiceid.store import tables
from voiceid.store.store import Store
from voiceid.store.vault import Place
from voiceid.types import HouseholdId, PersonId
from voiceid.views import ActivityEntry, InteractionView, RecordingView

_R, _I, _T, _A = tables.recording, tables.interaction, tables.transcript, tables.activity


class Traces:
    """Reads one person's recordings, interactions and activity."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def recordings(
        self, actor: Actor, household: HouseholdId, person: PersonId, after: str, limit: int
    ) -> list[RecordingView]:
        mine = select(_R).where(
            _R.c.household_id == household, _R.c.person_id == person, _R.c.recording_id > after, tables.spared(_R)
        )
        rows = self._noted(actor, household, person, "recordings listed", mine.order_by(_R.c.recording_id).limit(limit))
        return [
            RecordingView(row.recording_id, row.kind, row.created_at, row.duration_s, row.expires_at) for row in rows
        ]

    def hear(self, actor: Actor, household: HouseholdId, person: PersonId, recording: str) -> bytes:
        """One recording, FLAC.

        Raises: NotFound; Unreadable.
        """
        mine = select(_R).where(
            _R.c.household_id == household, _R.c.person_id == person, _R.c.recording_id == recording, tables.spared(_R)
        )
        rows = self._noted(actor, household, person, "recording heard", mine)
        if not rows:
            raise NotFound("no such recording")
        place = Place(household, person, "recording", recording)
        return self._store.vault.open(place, rows[0].key_id, rows[0].sealed)

    def interactions(
        self, actor: Actor, household: HouseholdId, person: PersonId, after: str, limit: int
    ) -> list[InteractionView]:
        both = _I.outerjoin(
            _T,
            and_(_T.c.household_id == _I.c.household_id, _T.c.interaction_id == _I.c.interaction_id, tables.spared(_T)),
        )
        mine = (
            select(_I, _T.c.key_id.label("text_key"), _T.c.sealed.label("text_sealed"))
            .select_from(both)
            .where(_I.c.household_id == household, _I.c.person_id == person, _I.c.interaction_id > after)
            .where(tables.spared(_I))
        )
        rows = self._noted(
            actor, household, person, "interactions read", mine.order_by(_I.c.interaction_id).limit(limit)
        )
        return [self._interaction(household, person, row) for row in rows]

    def activity(
        self, actor: Actor, household: HouseholdId, person: PersonId, before: int | None, limit: int
    ) -> list[tuple[int, ActivityEntry]]:
        """Newest first, each with its number in the chain."""
        mine = select(_A).where(_A.c.household_id == household, _A.c.person_id == person)
        if before is not None:
            mine = mine.where(_A.c.seq < before)
        rows = self._noted(actor, household, person, "activity read", mine.order_by(_A.c.seq.desc()).limit(limit))
        return [(row.seq, ActivityEntry(row.at, row.actor, row.action, row.why or "")) for row in rows]

    def _noted(
        self, actor: Actor, household: HouseholdId, person: PersonId, action: str, query: Select[Any]
    ) -> list[Any]:
        """Read personal data and enter the access in one transaction: neither happens without the other."""
        with self._store.database.writer(household) as tx:
            rows = list(tx.execute(query).all())
            self._store.note(tx, actor, household, action, person)
        return rows

    def _interaction(self, household: HouseholdId, person: PersonId, row: Any) -> InteractionView:
        place = Place(household, person, "interaction", row.interaction_id)
        try:
            content = self._store.vault.open_json(place, row.key_id, row.sealed)
        except Unreadable:  # one damaged row must not hide the others
            content = {"intent": None, "response": "", "confidence": 0.0}
        return InteractionView(
            row.interaction_id,
            row.created_at,
            content["intent"],
            self._text(household, person, row),
            content["response"],
            content["confidence"],
            row.recording_id,
        )

    def _text(self, household: HouseholdId, person: PersonId, row: Any) -> str | None:
        if row.text_key is None:
            return None
        try:
            place = Place(household, person, "transcript", row.interaction_id)
            return self._store.vault.open(place, row.text_key, row.text_sealed).decode()
        except Unreadable:
            return None

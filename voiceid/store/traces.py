"""What recognition left of a person, read by that person: recordings, interactions, activity.

There is no other way to a recording than `hear`, and it writes the activity before it hands out the sound.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Select, and_, or_, select

from voiceid.errors import NotFound, Unreadable
from voiceid.ports import Actor
from voiceid.store import tables
from voiceid.store.store import Store
from voiceid.store.vault import Place
from voiceid.types import HouseholdId, PersonId
from voiceid.views import ActivityEntry, InteractionView, RecordingView

_R, _I, _T, _A = tables.recording, tables.interaction, tables.transcript, tables.activity
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_CURSOR = re.compile(r"(\d{1,17})x(\d{1,9})x([a-z0-9]*)")
"""No number that a column could not hold: PostgreSQL refuses to compare with one."""


class _Mark(NamedTuple):
    """The place of an entry in a person's activity; the later, the greater."""

    at: datetime
    seq: int
    """Number in the chain, from 1; 0: a request."""
    interaction: str

    @property
    def cursor(self) -> str:
        return f"{(self.at - _EPOCH) // _MICROSECOND}x{self.seq}x{self.interaction}"

    @classmethod
    def read(cls, cursor: str) -> "_Mark | None":
        """None for the beginning, and for what is no cursor."""
        parts = _CURSOR.fullmatch(cursor)
        if parts is None:
            return None
        return cls(_EPOCH + int(parts[1]) * _MICROSECOND, int(parts[2]), parts[3])


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
        self, actor: Actor, household: HouseholdId, person: PersonId, cursor: str, limit: int
    ) -> list[tuple[str, ActivityEntry]]:
        """Newest first, each with its cursor: what was done with the person's data, and which requests named them.

        The first comes from the append-only chain. The second is read from what those requests left behind, and is
        erased with it: no list of moments at which somebody spoke outlives their withdrawal. So are the name of a
        reviewer and the reason: the chain holds an id alone.
        """
        mark = _Mark.read(cursor)
        done = select(_A).where(_A.c.household_id == household, _A.c.person_id == person)
        heard = select(_I).where(_I.c.household_id == household, _I.c.person_id == person, tables.spared(_I))
        if mark is not None:
            done = done.where(or_(_A.c.at < mark.at, and_(_A.c.at == mark.at, _A.c.seq < mark.seq)))
            same = _I.c.created_at == mark.at if mark.seq else and_(
                _I.c.created_at == mark.at, _I.c.interaction_id < mark.interaction
            )
            heard = heard.where(or_(_I.c.created_at < mark.at, same))
        done = done.order_by(_A.c.at.desc(), _A.c.seq.desc()).limit(limit)
        heard = heard.order_by(_I.c.created_at.desc(), _I.c.interaction_id.desc()).limit(limit)
        reviews = select(tables.review).where(
            tables.review.c.household_id == household, tables.review.c.person_id == person, tables.spared(tables.review)
        )
        with self._store.database.writer(household) as tx:
            granted = {row.review_id: row for row in tx.execute(reviews)}
            found: list[tuple[_Mark, Any]] = [(_Mark(row.at, row.seq, ""), row) for row in tx.execute(done)]
            found += [(_Mark(row.created_at, 0, row.interaction_id), row) for row in tx.execute(heard)]
            self._store.note(tx, actor, household, "activity read", person)
        newest = sorted(found, key=lambda one: one[0], reverse=True)[:limit]
        return [
            (mark.cursor, ActivityEntry(row.at, row.actor, row.action, self._why(household, person, row, granted))
             if mark.seq else ActivityEntry(row.created_at, self._asked_by(household, person, row), "recognized", ""))
            for mark, row in newest
        ]  # fmt: skip

    def looked(self, actor: Actor, household: HouseholdId, person: PersonId, action: str) -> None:
        """Enter that somebody else, such as a child's guardian, read what is not among these: what they agreed to."""
        if actor.person == person:
            return
        with self._store.database.writer(household) as tx:
            self._store.note(tx, actor, household, action, person)

    def _noted(
        self, actor: Actor, household: HouseholdId, person: PersonId, action: str, query: Select[Any]
    ) -> list[Any]:
        """Read personal data and enter the access in one transaction: neither happens without the other."""
        with self._store.database.writer(household) as tx:
            rows = list(tx.execute(query).all())
            self._store.note(tx, actor, household, action, person)
        return rows

    def _why(self, household: HouseholdId, person: PersonId, row: Any, reviews: dict[str, Any]) -> str:
        """Why something was done; of a review, for whom and why, for as long as the grant is there."""
        review = reviews.get((row.why or "") if row.action == "review granted" else row.actor.removeprefix("reviewer:"))
        if review is None:
            return row.why or ""
        place = Place(household, person, "review", review.review_id)
        try:
            about = self._store.vault.open_json(place, review.key_id, review.sealed)
        except Unreadable:
            return row.why or ""
        return f"{about['reviewer']}: {about['reason']}"

    def _asked_by(self, household: HouseholdId, person: PersonId, row: Any) -> str:
        """Who sent a request, as it was kept with it; empty if that is damaged, or older than this entry."""
        place = Place(household, person, "interaction", row.interaction_id)
        try:
            return str(self._store.vault.open_json(place, row.key_id, row.sealed).get("by", ""))
        except Unreadable:
            return ""

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

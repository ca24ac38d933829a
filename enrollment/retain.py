"""Time erases: what has run out goes, by the same purge as everything else. One clock, injectable."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Table, or_, select

from enrollment.purge import Purge
from enrollment.take import Takes, expired
from voiceid.errors import NotFound
from voiceid.ports import SYSTEM
from voiceid.store import tables
from voiceid.store.store import Store
from voiceid.types import HouseholdId, PersonId
from voiceid.views import Receipt, Scope

_DATED = (
    ("recordings", tables.recording, "recording_id"),
    ("transcripts", tables.transcript, "interaction_id"),
    ("interactions", tables.interaction, "interaction_id"),
)


class Retainer:
    """Erases what is past its time. Being down for a month changes nothing but the lateness."""

    def __init__(self, store: Store, purge: Purge, takes: Takes, *, idle_days: int, voiceprint_days: int) -> None:
        self._store = store
        self._purge = purge
        self._takes = takes
        self._idle = timedelta(days=idle_days)
        self._oldest = timedelta(days=voiceprint_days)

    def run(self) -> list[Receipt]:
        """Erase everything that has run out by now; one receipt for each person and kind."""
        done = [self._end_enrollment(row) for row in self._expired_enrollments()]
        for name, table, record in _DATED:
            for (household, person), records in self._due(table, record).items():
                done.append(self._erase(household, person, name, frozenset(records), f"{name} ran out"))
        for (household, person), records in self._stale_voiceprints().items():
            why = "voiceprint unused or too old"
            done.append(self._erase(household, person, "voiceprints", frozenset(records), why))
        return [receipt for receipt in done if receipt is not None]

    def _expired_enrollments(self) -> list[Any]:
        with self._store.database.reader() as tx:
            return expired(tx, self._store.now())

    def _end_enrollment(self, row: Any) -> Receipt | None:
        household, person = HouseholdId(row.household_id), PersonId(row.person_id)
        try:
            with self._store.database.writer(household) as tx:
                why = "enrollment ran out of time"
                purge = self._takes.begin_erasing(tx, SYSTEM, household, person, row.enrollment_id, why)
        except NotFound:
            return None
        return self._purge.run(household, purge)

    def _due(self, table: Table, record: str) -> dict[tuple[str, str], list[str]]:
        columns = table.c
        query = select(columns.household_id, columns.person_id, columns[record].label("record"))
        with self._store.database.reader() as tx:
            rows = tx.execute(query.where(columns.expires_at <= self._store.now())).all()
        return _by_person(rows)

    def _stale_voiceprints(self) -> dict[tuple[str, str], list[str]]:
        table, now = tables.voiceprint, self._store.now()
        query = select(table.c.household_id, table.c.person_id, table.c.voiceprint_id.label("record"))
        stale = or_(table.c.last_used_on < now - self._idle, table.c.created_at < now - self._oldest)
        with self._store.database.reader() as tx:
            return _by_person(tx.execute(query.where(stale)).all())

    def _erase(self, household: str, person: str, store: str, records: frozenset[str], why: str) -> Receipt | None:
        where = HouseholdId(household)
        try:
            with self._store.database.writer(where) as tx:
                scope = Scope(where, PersonId(person), frozenset({store}), why, records)
                purge = self._purge.begin(tx, SYSTEM, scope)
        except NotFound:
            return None
        return self._purge.run(where, purge)


def _by_person(rows: Any) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        found.setdefault((row.household_id, row.person_id), []).append(row.record)
    return found

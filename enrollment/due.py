"""What has run out by now, and since when. It only reads: `retain.py` erases it, `voiceid doctor --deep` counts it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Table, select

from enrollment.take import expired
from voiceid import policy
from voiceid.store import consents, tables
from voiceid.store.store import Store
from voiceid.types import HouseholdId, PersonId

DATED = (
    ("recordings", tables.recording, "recording_id"),
    ("transcripts", tables.transcript, "interaction_id"),
    ("interactions", tables.interaction, "interaction_id"),
    ("adaptations", tables.adaptation, "adaptation_id"),
)
Due = dict[tuple[HouseholdId, PersonId], list[tuple[str, datetime]]]
"""Whose, which records, and when each was due."""


@dataclass(frozen=True, slots=True)
class Spans:
    """How long things are kept at most, whatever a person chose."""

    idle: timedelta
    """An unused voiceprint."""
    voiceprint: timedelta
    """Any voiceprint."""
    kept: policy.Bounds = policy.NO_BOUNDS
    """Recordings and text."""

    @property
    def idle_child(self) -> timedelta:
        """An unused voiceprint of a child."""
        return min(self.idle, timedelta(days=policy.CHILD_RETENTION_DAYS))


class Calendar:
    """Finds what is due."""

    def __init__(self, store: Store, spans: Spans) -> None:
        self._store = store
        self._spans = spans

    def overdue(self, grace: timedelta) -> dict[str, int]:
        """How many items of each kind should have been gone for longer than `grace`: nothing let time do its work."""
        long_ago = self._store.now() - grace
        ends = {
            "enrollments": [row.expires_at for row in self.enrollments()],
            "consents": _ends(self.consents()),
            "voiceprints": _ends(self.voiceprints()),
            **{name: _ends(self.dated(name, table, record)) for name, table, record in DATED},
        }
        late = {kind: sum(end < long_ago for end in those) for kind, those in ends.items()}
        return {kind: count for kind, count in late.items() if count}

    def enrollments(self) -> list[Any]:
        """Rows of unfinished enrollments whose time is over."""
        with self._store.database.reader() as tx:
            return expired(tx, self._store.now())

    def consents(self) -> Due:
        """Grants whose time is over and that nobody has answered with another word yet."""
        ledger, now = tables.ledger, self._store.now()
        over = select(ledger.c.household_id, ledger.c.person_id).where(
            ledger.c.event == "granted", ledger.c.expires_at <= now
        )
        found: Due = {}
        with self._store.database.reader() as tx:
            for household, person in sorted(set(map(tuple, tx.execute(over).all()))):
                for purpose, state in consents.states(tx, household, person).items():
                    if state.change == "granted" and state.expires_at is not None and state.expires_at <= now:
                        found.setdefault((household, person), []).append((purpose, state.expires_at))
        return found

    def dated(self, name: str, table: Table, record: str) -> Due:
        """Recordings, texts or action records past the time their person chose, or past the operator's bound."""
        columns, now = table.c, self._store.now()
        bound = self._spans.kept.of(name)
        query = select(columns.household_id, columns.person_id, columns[record], columns.expires_at, columns.created_at)
        over = columns.expires_at <= now
        if bound is not None:
            over = over | (columns.created_at <= now - bound)
        with self._store.database.reader() as tx:
            rows = tx.execute(query.where(over, tables.spared(table))).all()
        return _by_person(
            (household, person, record_id, min(end for end in (expires_at, bound and created_at + bound) if end))
            for household, person, record_id, expires_at, created_at in rows
        )

    def voiceprints(self) -> Due:
        """Voiceprints that nobody used for too long, or that are too old."""
        table, person, now, spans = tables.voiceprint, tables.person, self._store.now(), self._spans
        both = table.join(
            person, (table.c.household_id == person.c.household_id) & (table.c.person_id == person.c.person_id)
        )
        query = (
            select(table, person.c.kind)
            .select_from(both)
            .where((table.c.last_used_on < now - spans.idle_child) | (table.c.created_at < now - spans.voiceprint))
            .where(tables.spared(table))
        )
        with self._store.database.reader() as tx:
            rows = tx.execute(query).all()
        dated = [(row, self._end_of(row)) for row in rows]
        return _by_person((row.household_id, row.person_id, row.voiceprint_id, due) for row, due in dated if due <= now)

    def _end_of(self, row: Any) -> datetime:
        idle = self._spans.idle_child if row.kind == "child" else self._spans.idle
        due: datetime = min(row.last_used_on + idle, row.created_at + self._spans.voiceprint)
        return due


def _by_person(rows: Iterable[Any]) -> Due:
    found: Due = {}
    for household, person, record, due in rows:
        found.setdefault((HouseholdId(household), PersonId(person)), []).append((record, due))
    return found


def _ends(due: Due) -> list[datetime]:
    return [end for records in due.values() for _, end in records]

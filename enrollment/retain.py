"""Time erases: what has run out goes, by the same purge as everything else. One clock, injectable.

Being down for a month changes nothing but the lateness, and each receipt states when it had been due.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Table, select

from enrollment.purge import Purge
from enrollment.revoke import Forgetter
from enrollment.take import Takes, expired
from voiceid import policy
from voiceid.errors import NotFound, Unreadable
from voiceid.failpoint import reach
from voiceid.ports import SYSTEM
from voiceid.store import consents, tables
from voiceid.store.people import People, children, come_of_age
from voiceid.store.store import Store
from voiceid.types import HouseholdId, PersonId, Purpose
from voiceid.views import Receipt, Scope

_DATED = (
    ("recordings", tables.recording, "recording_id"),
    ("transcripts", tables.transcript, "interaction_id"),
    ("interactions", tables.interaction, "interaction_id"),
)
Due = dict[tuple[HouseholdId, PersonId], list[tuple[str, datetime]]]
"""Whose, which records, and when each was due."""


class Retainer:
    """Erases what is past its time."""

    def __init__(
        self, store: Store, purge: Purge, takes: Takes, forgetting: Forgetter, *, idle_days: int, voiceprint_days: int
    ) -> None:
        self._store = store
        self._purge = purge
        self._takes = takes
        self._forgetting = forgetting
        self._idle = timedelta(days=idle_days)
        self._idle_child = timedelta(days=min(idle_days, policy.CHILD_RETENTION_DAYS))
        self._oldest = timedelta(days=voiceprint_days)

    def run(self) -> list[Receipt]:
        """Erase everything that has run out by now; one receipt for each person and kind."""
        reach("retain.started")
        done: list[Receipt] = []
        for row in self._expired_enrollments():
            done += self._attempt(partial(self._end_enrollment, row))
        for (household, person), words in self._lapsed_consents().items():
            purposes, due = [Purpose(word) for word, _ in words], min(at for _, at in words)
            done += self._attempt(partial(self._forgetting.expire, household, person, purposes, due))
        done += self._of_age()
        for name, table, record in _DATED:
            done += self._erase_all(name, self._due(table, record), f"{name} ran out")
        done += self._erase_all("voiceprints", self._stale_voiceprints(), "voiceprint unused or too old")
        return done

    def _of_age(self) -> list[Receipt]:
        """Whoever was a child until today decides for themselves: what a guardian agreed to lapses."""
        done: list[Receipt] = []
        profiles, now = People(self._store), self._store.now()
        with self._store.database.reader() as tx:
            minors = children(tx)
        for household, person in minors:
            try:
                day = profiles.profile(household, person).of_age_on
            except (NotFound, Unreadable):  # one damaged row must not keep everything else from its time
                continue
            if day is None or day > now.date():
                continue
            with self._store.database.reader() as tx:
                granted = sorted(consents.agreed(tx, household, person, now))
            if granted:
                due = datetime.combine(day, time(), UTC)
                done += self._attempt(partial(self._forgetting.expire, household, person, granted, due))
            with self._store.database.writer(household) as tx:
                come_of_age(tx, household, person)
                self._store.note(tx, SYSTEM, household, "came of age", person)
        return done

    def _attempt(self, work: Callable[[], Receipt]) -> list[Receipt]:
        """What is gone in the meantime needs no erasing."""
        try:
            receipt = work()
        except NotFound:
            return []
        reach("retain.done-one")
        return [receipt]

    def _expired_enrollments(self) -> list[Any]:
        with self._store.database.reader() as tx:
            return expired(tx, self._store.now())

    def _end_enrollment(self, row: Any) -> Receipt:
        household, person = HouseholdId(row.household_id), PersonId(row.person_id)
        with self._store.database.writer(household) as tx:
            why = "enrollment ran out of time"
            purge = self._takes.begin_erasing(tx, SYSTEM, household, person, row.enrollment_id, why)
        return self._purge.run(household, purge)

    def _lapsed_consents(self) -> Due:
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

    def _due(self, table: Table, record: str) -> Due:
        columns = table.c
        query = select(columns.household_id, columns.person_id, columns[record], columns.expires_at)
        with self._store.database.reader() as tx:
            due = query.where(columns.expires_at <= self._store.now(), tables.spared(table))
            return _by_person(tx.execute(due).all())

    def _stale_voiceprints(self) -> Due:
        table, person, now = tables.voiceprint, tables.person, self._store.now()
        both = table.join(
            person, (table.c.household_id == person.c.household_id) & (table.c.person_id == person.c.person_id)
        )
        idle = min(self._idle, self._idle_child)
        query = (
            select(table, person.c.kind)
            .select_from(both)
            .where((table.c.last_used_on < now - idle) | (table.c.created_at < now - self._oldest))
            .where(tables.spared(table))
        )
        with self._store.database.reader() as tx:
            rows = tx.execute(query).all()
        dated = [(row, self._voiceprint_due(row)) for row in rows]
        return _by_person((row.household_id, row.person_id, row.voiceprint_id, due) for row, due in dated if due <= now)

    def _voiceprint_due(self, row: Any) -> datetime:
        idle = self._idle_child if row.kind == "child" else self._idle
        due: datetime = min(row.last_used_on + idle, row.created_at + self._oldest)
        return due

    def _erase_all(self, store: str, due: Due, why: str) -> list[Receipt]:
        done: list[Receipt] = []
        for (household, person), records in due.items():
            scope = Scope(
                household, person, _with_reviews(store), why, frozenset(record for record, _ in records),
                due_at=min(at for _, at in records),
            )
            done += self._attempt(partial(self._erase, scope))
        return done

    def _erase(self, scope: Scope) -> Receipt:
        with self._store.database.writer(scope.household) as tx:
            purge = self._purge.begin(tx, SYSTEM, scope)
        return self._purge.run(scope.household, purge)


def _with_reviews(store: str) -> frozenset[str]:
    """A review's grant goes with its recording."""
    return frozenset({store, "reviews"} if store == "recordings" else {store})


def _by_person(rows: Iterable[Any]) -> Due:
    found: Due = {}
    for household, person, record, due in rows:
        found.setdefault((HouseholdId(household), PersonId(person)), []).append((record, due))
    return found

"""Time erases: what has run out goes, by the same purge as everything else. One clock, injectable.

Being down for a month changes nothing but the lateness, and each receipt states when it had been due.
"""

from collections.abc import Callable
from datetime import UTC, datetime, time
from functools import partial
from typing import Any

from enrollment.due import DATED, Calendar, Due, Spans
from enrollment.purge import Purge
from enrollment.revoke import Forgetter
from enrollment.take import Takes
from voiceid.errors import NotFound, Unreadable
from voiceid.failpoint import reach
from voiceid.ports import SYSTEM
from voiceid.store import consents
from voiceid.store.people import People, children, come_of_age
from voiceid.store.store import Store
from voiceid.types import HouseholdId, PersonId, Purpose
from voiceid.views import Receipt, Scope


class Retainer:
    """Erases what is past its time."""

    def __init__(self, store: Store, purge: Purge, takes: Takes, forgetting: Forgetter, spans: Spans) -> None:
        self._store = store
        self._purge = purge
        self._takes = takes
        self._forgetting = forgetting
        self._calendar = Calendar(store, spans)

    def run(self) -> list[Receipt]:
        """Erase everything that has run out by now; one receipt for each person and kind."""
        reach("retain.started")
        done: list[Receipt] = []
        for row in self._calendar.enrollments():
            done += self._attempt(partial(self._end_enrollment, row))
        for (household, person), words in self._calendar.consents().items():
            purposes, due = [Purpose(word) for word, _ in words], min(at for _, at in words)
            done += self._attempt(partial(self._forgetting.expire, household, person, purposes, due))
        done += self._of_age()
        for name, table, record in DATED:
            done += self._erase_all(name, self._calendar.dated(name, table, record), f"{name} ran out")
        done += self._erase_all("voiceprints", self._calendar.voiceprints(), "voiceprint unused or too old")
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
                lapse = partial(self._forgetting.expire, household, person, granted, due, before_their_end=True)
                done += self._attempt(lapse)
            with self._store.database.writer(household) as tx:
                if consents.agreed(tx, household, person, self._store.now()):
                    continue  # a guardian agreed in this very moment: that lapses in the next round
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

    def _end_enrollment(self, row: Any) -> Receipt:
        household, person = HouseholdId(row.household_id), PersonId(row.person_id)
        with self._store.database.writer(household) as tx:
            why = "enrollment ran out of time"
            purge = self._takes.begin_erasing(tx, SYSTEM, household, person, row.enrollment_id, why)
        return self._purge.run(household, purge)

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

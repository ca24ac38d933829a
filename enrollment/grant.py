"""Agree or refuse, one purpose at a time, to the wording that was shown."""

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from enrollment.revoke import Forgetter
from enrollment.shorten import shorten
from enrollment.word import enter
from voiceid import policy
from voiceid.errors import InvalidRequest, NotAllowed, NotForChildren, StalePolicy
from voiceid.failpoint import reach
from voiceid.ports import Actor
from voiceid.store import consents
from voiceid.store.people import guardians_of, kind_of
from voiceid.store.store import Store, raise_epoch
from voiceid.store.tokens import skills_of
from voiceid.types import PURPOSES, HouseholdId, PersonId, Purpose
from voiceid.views import ConsentDecision, ConsentRecord, PurposeState


class Grants:
    """`Consents`: every word goes into the ledger, with the digest of what was shown."""

    def __init__(self, store: Store, forgetting: Forgetter, bounds: policy.Bounds, *, ask_again_days: int) -> None:
        self._store = store
        self._bounds = bounds
        self._book = consents.ConsentBook(store)
        self._forgetting = forgetting
        self._decent = timedelta(days=ask_again_days)

    def states(self, household: HouseholdId, person: PersonId, /) -> list[PurposeState]:
        """Where every purpose stands, sharing with each skill of the household too; one never asked for is off."""
        history = self._book.history(household, person)
        now = self._store.now()
        with self._store.database.reader() as tx:
            kind = kind_of(tx, household, person)
            yes = consents.agreed(tx, household, person, now)
            skills = skills_of(tx, household) if kind == "adult" else []
        shares = [f"share:{skill}" for skill in skills]
        asked = dict.fromkeys([*map(str, PURPOSES), *shares, *(record.purpose for record in history)])
        return [
            self._state(purpose, purpose in yes, [record for record in history if record.purpose == purpose])
            for purpose in asked
        ]

    def _state(self, purpose: str, granted: bool, history: list[ConsentRecord]) -> PurposeState:  # noqa: FBT001 a field
        refused = bool(history) and history[-1].change in {"denied", "withdrawn"}
        again = history[-1].at + self._decent if refused else None
        return PurposeState(purpose, granted, history, again if again and again > self._store.now() else None)

    def put(
        self, actor: Actor, household: HouseholdId, person: PersonId, purpose: Purpose, decision: ConsentDecision
    ) -> ConsentRecord:
        """Record a yes or a no. A no to what was granted is a withdrawal: it erases, and the record names the receipt.

        A time longer than the operator allows is entered as the longest allowed; the record says which it is.

        Raises: StalePolicy; NotForChildren; NotAllowed, when a child is to agree alone; InvalidRequest; NotFound.
        """
        _check(decision, self._store.now())
        if decision.decision == "granted":
            chosen = decision.retention or policy.default_retention(purpose)
            decision = replace(decision, retention=self._bounds.limited(purpose, chosen))
        with self._store.database.writer(household) as tx:
            given_by = self._entitled(tx, actor, household, person, purpose, decision)
            last = consents.states(tx, household, person).get(purpose)
            withdrawal = decision.decision == "denied" and last is not None and last.change == "granted"
            record = None if withdrawal else self._enter(tx, actor, household, person, purpose, decision, given_by)
        reach("consent.after-commit")
        return record or self._take_back(actor, household, person, purpose)

    def _enter(
        self, tx: Connection, actor: Actor, household: HouseholdId, person: PersonId, purpose: Purpose,
        decision: ConsentDecision, given_by: str,
    ) -> ConsentRecord:
        record = enter(self._store, tx, household, person, purpose, decision.decision, decision, given_by)
        if decision.decision == "granted":
            shorten(self._store, tx, household, person)
        raise_epoch(tx, household)
        self._store.note(tx, actor, household, f"consent {decision.decision}", person, purpose)
        reach("consent.before-commit")
        return record

    def _take_back(self, actor: Actor, household: HouseholdId, person: PersonId, purpose: Purpose) -> ConsentRecord:
        receipt = self._forgetting.withdraw(actor, household, person, [purpose])
        last = [record for record in self._book.history(household, person) if record.purpose == purpose][-1]
        return replace(last, receipt=receipt.id)

    def _entitled(
        self, tx: Connection, actor: Actor, household: HouseholdId, person: PersonId, purpose: Purpose,
        decision: ConsentDecision,
    ) -> str:
        """Who is speaking for this person: themselves, or a child's guardian."""
        kind = kind_of(tx, household, person)
        if kind == "adult":
            return "self"
        if decision.decision == "denied":
            return "self" if actor.person == person else "guardian"
        if purpose in policy.ADULTS_ONLY or purpose.startswith("share:"):
            raise NotForChildren
        if actor.person not in guardians_of(tx, household, person):
            raise NotAllowed("a guardian decides this for a child")
        return "guardian"


def _check(decision: ConsentDecision, now: datetime) -> None:
    if decision.policy_version != policy.version():
        raise StalePolicy(current=policy.version())
    if decision.language not in policy.LANGUAGES:
        raise InvalidRequest("language: one of " + ", ".join(policy.LANGUAGES))
    if decision.retention is not None and not policy.valid_retention(decision.retention):
        raise InvalidRequest("retention: until_deleted, 18_months, 3_months, days:N or none")
    if decision.expires_at is not None and (decision.expires_at.tzinfo is None or decision.expires_at <= now):
        raise InvalidRequest("expires_at: a moment in the future, with its zone")

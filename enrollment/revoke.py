"""Take back: withdraw consents, delete a recording, the voiceprint, a person, a household. Each ends in a receipt."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from enrollment.purge import OF_HOUSEHOLD, OF_PERSON, Purge
from enrollment.receipt import Signer
from enrollment.shorten import shorten
from enrollment.word import enter
from voiceid import policy
from voiceid.errors import NotEnrolled, NotFound
from voiceid.ports import SYSTEM, Actor
from voiceid.store import consents, ids, tables
from voiceid.store.people import guardians_of, kind_of
from voiceid.store.store import Store
from voiceid.types import ADAPT, HUMAN_REVIEW, SAVE_RECORDINGS, TRANSCRIPTS, VOICE_ID, HouseholdId, PersonId, Purpose
from voiceid.views import ConsentDecision, Receipt, Scope

Words = tuple[tuple[PersonId, Purpose], ...]
_UNFINISHED = frozenset({"takes", "enrollments"})
_TRACE = frozenset({"interactions", "transcripts", "reviews", "recordings"})
_LEARNED = _UNFINISHED | _TRACE | {"adaptations", "voiceprints", "pseudonyms"}


class Forgetter:
    """`Forgetting`: shuts the gate first, then erases."""

    def __init__(self, store: Store, purge: Purge, signer: Signer, rule: policy.ConsentRule) -> None:
        self._store = store
        self._purge = purge
        self._signer = signer
        self._rule = rule

    def withdraw(
        self, actor: Actor, household: HouseholdId, person: PersonId, purposes: Sequence[Purpose]
    ) -> Receipt:
        """Take consents back and erase what only they allowed. It works when everything else is off.

        Raises: NotFound.
        """
        with self._store.database.writer(household) as tx:
            self._shut(tx, actor, household, person, purposes)
            shorten(self._store, tx, household, person)
            stores = self._reach(tx, household, person, purposes)
            records = self._pseudonyms(tx, household, person, purposes)
            why = "withdrawn:" + ",".join(purposes)
            words = tuple((person, purpose) for purpose in purposes)
            scope = Scope(household, person, stores, why, records, until=self._store.now(), withdrawn=words)
            purge = self._purge.begin(tx, actor, scope)
        return self._purge.run(household, purge)

    def expire(
        self, household: HouseholdId, person: PersonId, purposes: Sequence[Purpose], due_at: datetime, *,
        before_their_end: bool = False,
    ) -> Receipt:
        """Let consents lapse whose time is over, and erase what only they allowed: as if taken back, by the clock.

        They are read again: whoever has said yes anew in the meantime keeps what they have. `before_their_end`: they
        lapse although their own time is not over.
        Raises: NotFound, also when none of them is left to lapse.
        """
        with self._store.database.writer(household) as tx:
            purposes = self._lapsing(tx, household, person, purposes, before_their_end=before_their_end)
            for purpose in purposes:
                enter(self._store, tx, household, person, purpose, "expired", _without_screen(), "clock")
            shorten(self._store, tx, household, person)
            stores = self._reach(tx, household, person, purposes)
            records = self._pseudonyms(tx, household, person, purposes)
            words = tuple((person, purpose) for purpose in purposes)
            why = "expired:" + ",".join(purposes)
            now = self._store.now()
            scope = Scope(household, person, stores, why, records, until=now, due_at=due_at, withdrawn=words)
            purge = self._purge.begin(tx, SYSTEM, scope)
        return self._purge.run(household, purge)

    def delete_voiceprint(self, actor: Actor, household: HouseholdId, person: PersonId) -> Receipt:
        """Erase the voiceprint; consents stay as they are.

        Raises: NotEnrolled.
        """
        table = tables.voiceprint
        with self._store.database.writer(household) as tx:
            mine = select(table.c.voiceprint_id).where(
                table.c.household_id == household, table.c.person_id == person
            )
            if tx.execute(mine).first() is None:
                raise NotEnrolled
            purge = self._begin(tx, actor, household, person, {"voiceprints"}, "voiceprint deleted")
        return self._purge.run(household, purge)

    def delete_recording(self, actor: Actor, household: HouseholdId, person: PersonId, recording: str) -> Receipt:
        """Shred one recording.

        Raises: NotFound.
        """
        table = tables.recording
        with self._store.database.writer(household) as tx:
            there = select(table.c.recording_id).where(
                table.c.household_id == household, table.c.person_id == person, table.c.recording_id == recording
            )
            if tx.execute(there).first() is None:
                raise NotFound("no such recording")
            stores = {"reviews", "recordings"}
            purge = self._begin(tx, actor, household, person, stores, "recording deleted", {recording})
        return self._purge.run(household, purge)

    def delete_interactions(
        self, actor: Actor, household: HouseholdId, person: PersonId, only: str | None = None,
        since: datetime | None = None, until: datetime | None = None,
    ) -> Receipt:
        """Erase requests with their text and sound: one, those of a time range, or all.

        Raises: NotFound, when the one is not there.
        """
        table = tables.interaction
        chosen = select(table.c.interaction_id, table.c.recording_id).where(
            table.c.household_id == household, table.c.person_id == person
        )
        if only is not None:
            chosen = chosen.where(table.c.interaction_id == only)
        if since is not None:
            chosen = chosen.where(table.c.created_at >= since)
        if until is not None:
            chosen = chosen.where(table.c.created_at < until)
        with self._store.database.writer(household) as tx:
            rows = tx.execute(chosen).all()
            if only is not None and not rows:
                raise NotFound("no such interaction")
            records = {word for row in rows for word in row if word is not None}
            why = "interaction deleted" if only else "interactions deleted"
            purge = self._begin(tx, actor, household, person, _TRACE | {"adaptations"}, why, records)
        return self._purge.run(household, purge)

    def not_me(self, actor: Actor, household: HouseholdId, person: PersonId, interaction: str) -> Receipt:
        """Erase at once what was kept under the wrong name."""
        return self.delete_interactions(actor, household, person, only=interaction)

    def delete_person(self, actor: Actor, household: HouseholdId, person: PersonId) -> Receipt:
        """Erase a person. Children whose last guardian this was lose every consent until somebody entitled decides.

        Raises: NotFound.
        """
        with self._store.database.writer(household) as tx:
            alone = self._left_alone(tx, household, person)
            words = {who: self._shut_all(tx, actor, household, who) for who in (*alone, person)}
            purges = [
                self._begin(tx, actor, household, child, _LEARNED, "guardian gone", withdrawn=words[child])
                for child in alone
            ]
            gone = self._begin(tx, actor, household, person, OF_PERSON, "person deleted", withdrawn=words[person])
            purges.append(gone)
        return [self._purge.run(household, purge) for purge in purges][-1]

    def delete_household(self, actor: Actor, household: HouseholdId) -> Receipt:
        """Erase a household and everybody in it; ledger and activity stay, with random ids that say nothing.

        Raises: NotFound.
        """
        with self._store.database.writer(household) as tx:
            people = tables.person
            mine = select(people.c.person_id).where(people.c.household_id == household, tables.spared(people))
            everybody = tx.execute(mine).scalars()  # without whoever is being erased already
            words = [word for person in everybody.all() for word in self._shut_all(tx, actor, household, person)]
            now = self._store.now()
            scope = Scope(household, None, OF_HOUSEHOLD, "household deleted", until=now, withdrawn=tuple(words))
            purge = self._purge.begin(tx, actor, scope)
        return self._purge.run(household, purge)

    def receipt(self, receipt_id: str, /) -> Receipt:
        """Read a receipt by its unguessable id, also when its person is gone.

        Raises: NotFound.
        """
        try:
            return self._purge.receipt(*ids.unpair(receipt_id))
        except LookupError:
            raise NotFound("no such receipt") from None

    def public_keys(self) -> dict[str, Any]:
        """The key that receipts verify with, as a JSON Web Key Set."""
        return {"keys": [self._signer.public_jwk]}

    def resume(self) -> int:
        """Finish every pending purge; the number finished."""
        return self._purge.resume()

    def _begin(
        self, tx: Connection, actor: Actor, household: HouseholdId, person: PersonId, stores: set[str] | frozenset[str],
        why: str, records: set[str] | None = None, withdrawn: Words = (),
    ) -> str:
        only = None if records is None else frozenset(records)
        now = self._store.now()
        scope = Scope(household, person, frozenset(stores), why, only, until=now, withdrawn=withdrawn)
        return self._purge.begin(tx, actor, scope)

    def _lapsing(
        self, tx: Connection, household: HouseholdId, person: PersonId, purposes: Sequence[Purpose], *,
        before_their_end: bool,
    ) -> list[Purpose]:
        """Those of these consents that stand in the ledger as granted, and are over."""
        now, states = self._store.now(), consents.states(tx, household, person)
        granted = {purpose for purpose in purposes if purpose in states and states[purpose].change == "granted"}
        over = [purpose for purpose in purposes if purpose in granted
                and (before_their_end or not states[purpose].agreed(now))]  # fmt: skip
        if not over:
            raise NotFound("nothing is left to lapse")
        return over

    def _shut(
        self, tx: Connection, actor: Actor, household: HouseholdId, person: PersonId, purposes: Sequence[Purpose]
    ) -> None:
        """Write the withdrawals: from the commit on, every reader refuses."""
        kind_of(tx, household, person)
        how = _without_screen()
        given_by = "self" if actor.person == person else "guardian" if actor.role == "person" else actor.role
        for purpose in purposes:
            enter(self._store, tx, household, person, purpose, "withdrawn", how, given_by)
            self._store.note(tx, actor, household, "consent withdrawn", person, purpose)

    def _reach(
        self, tx: Connection, household: HouseholdId, person: PersonId, purposes: Sequence[Purpose]
    ) -> frozenset[str]:
        """The stores that nothing permits any more, once these purposes are withdrawn."""
        left = consents.agreed(tx, household, person, self._store.now())
        reach: set[str] = set()
        if SAVE_RECORDINGS in purposes:
            reach |= {"recordings"} | (_UNFINISHED | {"voiceprints"} if self._rule == "recordings" else set())
        if VOICE_ID in purposes:
            reach |= _UNFINISHED | {"voiceprints"}
        if ADAPT in purposes:
            reach |= {"adaptations"}
        if TRANSCRIPTS in purposes:
            reach |= {"transcripts"}
        if reach & {"recordings", "transcripts"} and not left & {SAVE_RECORDINGS, TRANSCRIPTS}:
            reach |= {"interactions"}
        if HUMAN_REVIEW in purposes or "recordings" in reach:
            reach |= {"reviews"}
        if any(purpose.startswith("share:") for purpose in purposes):
            reach |= {"pseudonyms"}
        return frozenset(reach)

    def _pseudonyms(
        self, tx: Connection, household: HouseholdId, person: PersonId, purposes: Sequence[Purpose]
    ) -> frozenset[str] | None:
        """Which records go: all of the reached stores, but of the pseudonyms only those of the skills named."""
        shares = [purpose.removeprefix("share:") for purpose in purposes if purpose.startswith("share:")]
        if not shares or len(shares) != len(purposes):
            return None
        table = tables.pseudonym
        mine = select(table.c.pseudonym_id).where(
            table.c.household_id == household, table.c.person_id == person, table.c.skill.in_(shares)
        )
        return frozenset(tx.execute(mine).scalars())

    def _shut_all(self, tx: Connection, actor: Actor, household: HouseholdId, person: PersonId) -> Words:
        granted = sorted(consents.agreed(tx, household, person, self._store.now()))
        self._shut(tx, actor, household, person, granted)
        return tuple((person, purpose) for purpose in granted)

    def _left_alone(self, tx: Connection, household: HouseholdId, guardian: PersonId) -> list[PersonId]:
        table, people = tables.guardian, tables.person
        here = select(people.c.person_id).where(people.c.household_id == household, tables.spared(people))
        wards = select(table.c.person_id).where(
            table.c.household_id == household, table.c.guardian_id == guardian, table.c.person_id.in_(here)
        )
        children = [PersonId(child) for child in tx.execute(wards).scalars()]
        return [child for child in children if guardians_of(tx, household, child) == [guardian]]


def _without_screen() -> ConsentDecision:
    """How a word is recorded that nobody had to be shown anything for."""
    return ConsentDecision("denied", policy.version(), "en", "api")

"""Erase and recount, in the order that survives a crash at any point.

1. In the caller's transaction: the scope, the items found and the keys to destroy are written down (`begin`); consent
   is withdrawn and the epoch raised there too, so every reader refuses from here on.
2. The tombstone is put into the key store and the keys are destroyed.
3. The rows are deleted, the index dropped, every registered store counted again.
4. The receipt is signed.

Each step can be repeated; `resume` takes up whatever a crash left pending.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError

from enrollment.receipt import Signer
from enrollment.shorten import shorten
from enrollment.word import take_back_again
from voiceid import memory
from voiceid.errors import KeysUnavailable, NotFound, PurgeIncomplete, StoreUnavailable
from voiceid.failpoint import reach
from voiceid.ports import SYSTEM, Actor
from voiceid.store import chain, ids, tables
from voiceid.store.database import hold
from voiceid.store.store import Store, raise_epoch
from voiceid.types import HouseholdId, PersonId, Purpose
from voiceid.views import Receipt, Scope, StoreCount

_P, _L = tables.purge, tables.ledger
_log = logging.getLogger(__name__)


class Copy(Protocol):
    """A copy of biometric data outside the database, such as the index in memory."""

    name: str

    def forget(self, household: HouseholdId, person: PersonId | None) -> None:
        """Drop every copy; overwrite the memory."""
        ...

    def count(self, household: HouseholdId, person: PersonId | None) -> int:
        """How many items are still held."""
        ...


@dataclass(frozen=True, slots=True)
class Shelf:
    """One registered store: a table with something of a person in it."""

    table: Table
    record: str
    """The column whose value a scope's `records` name."""
    part_of: str | None = None
    """Another one: what this is a part of, and goes with."""

    def matching(self, scope: Scope) -> ColumnElement[bool]:
        columns = self.table.c
        found: list[ColumnElement[bool]] = [columns.household_id == scope.household]
        if scope.person is not None:
            mine: ColumnElement[bool] = columns.person_id == scope.person
            found.append(or_(mine, columns.guardian_id == scope.person) if "guardian_id" in columns else mine)
        if scope.records is not None:
            named = [columns[name].in_(sorted(scope.records)) for name in (self.record, self.part_of) if name]
            found.append(or_(*named))
        if scope.since is not None:
            found.append(columns.created_at >= scope.since)
        if scope.until is not None and "created_at" in columns:
            found.append(columns.created_at < scope.until)
        return and_(*found)


SHELVES: Mapping[str, Shelf] = {
    "takes": Shelf(tables.take, "take_id"),
    "enrollments": Shelf(tables.enrollment, "enrollment_id"),
    "reviews": Shelf(tables.review, "recording_id"),
    "recordings": Shelf(tables.recording, "recording_id"),
    "adaptations": Shelf(tables.adaptation, "adaptation_id", "voiceprint_id"),
    "voiceprints": Shelf(tables.voiceprint, "voiceprint_id"),
    "transcripts": Shelf(tables.transcript, "interaction_id"),
    "interactions": Shelf(tables.interaction, "interaction_id"),
    "pseudonyms": Shelf(tables.pseudonym, "pseudonym_id"),
    "consent_records": Shelf(tables.consent_record, "record_id"),
    "invitations": Shelf(tables.invitation, "invitation_id"),
    "tokens": Shelf(tables.token, "token_id"),
    "pins": Shelf(tables.pin, "pin_id"),
    "guardians": Shelf(tables.guardian, "person_id"),
    "profile": Shelf(tables.person, "person_id"),
    "response_templates": Shelf(tables.response_template, "intent"),
    "household": Shelf(tables.household, "household_id"),
}
"""Every store that holds something of a person, in the order in which rows can go; a test holds it to the tables."""

_ENTITLES = frozenset({"tokens", "invitations", "guardians"})
"""What lets somebody act. It has no key to destroy, so it goes in the first step: who is pending opens nothing more."""

OF_PERSON = frozenset(SHELVES) - {"response_templates", "household"}
OF_HOUSEHOLD = frozenset(SHELVES)


class Purge:
    """Carries out purges."""

    def __init__(self, store: Store, signer: Signer, copies: Iterable[Copy] = ()) -> None:
        self._store = store
        self._signer = signer
        self._copies = tuple(copies)

    def begin(self, tx: Connection, actor: Actor, scope: Scope, *, purge: str | None = None) -> str:
        """Step 1: write down what goes, within the transaction that withdraws the consent; the purge's id."""
        if "voiceprints" in scope.stores:  # what was added to a voiceprint never outlives it
            scope = replace(scope, stores=scope.stores | {"adaptations"})
        if purge is None and scope.until is not None:
            scope = replace(scope, until=self._after_everything(tx, scope))
        purge = purge or ids.new_id()
        found: dict[str, int] = {}
        doomed: list[str] = []
        for name, shelf in SHELVES.items():
            if name not in scope.stores:
                continue
            matching = shelf.matching(scope)
            found[name] = tx.execute(select(func.count()).select_from(shelf.table).where(matching)).scalar_one()
            if "key_id" in shelf.table.c:
                doomed += tx.execute(select(shelf.table.c.key_id).where(matching)).scalars().all()
            if name in _ENTITLES:
                tx.execute(delete(shelf.table).where(matching))
        raise_epoch(tx, scope.household)
        tx.execute(_P.insert().values(
            household_id=scope.household, purge_id=purge, person_id=scope.person, state="pending",
            scope=json.dumps(_scope_json(scope)), doomed=json.dumps(doomed), found=json.dumps(found),
            actor=f"{actor.role}:{actor.id}", requested_at=self._store.now(),
        ))
        self._store.note(tx, actor, scope.household, "erased", scope.person, scope.why)
        reach("purge.planned")
        return purge

    def _after_everything(self, tx: Connection, scope: Scope) -> datetime:
        """A moment later than all that is there now: a clock that was set back must not hide anything from a purge.

        Later than the words in the ledger, too: what is taken back here must be taken back in a restored backup.
        """
        there, latest = replace(scope, until=None), self._store.now()
        said = select(func.max(_L.c.at)).where(_L.c.household_id == scope.household)
        if scope.withdrawn and (last := tx.execute(said).scalar()):
            latest = max(latest, last + timedelta(microseconds=1))
        for name, shelf in SHELVES.items():
            if name in scope.stores and "created_at" in shelf.table.c:
                newest = tx.execute(select(func.max(shelf.table.c.created_at)).where(shelf.matching(there))).scalar()
                latest = max(latest, newest + timedelta(microseconds=1)) if newest else latest
        return latest

    def run(self, household: HouseholdId, purge: str) -> Receipt:
        """Steps 2 to 4. A store that cannot be written leaves the receipt pending; it is tried again later."""
        reach("purge.begun")
        row = self._row(household, purge)
        if row.state != "complete":
            try:
                self._destroy(row)
                self._erase(row)
            except (KeysUnavailable, StoreUnavailable, PurgeIncomplete, IntegrityError):
                _log.exception("a purge is pending", extra={"purge": purge})
            memory.let_go()
        return self.receipt(household, purge)

    def receipt(self, household: HouseholdId, purge: str) -> Receipt:
        """The receipt as it stands.

        Raises: LookupError.
        """
        row = self._row(household, purge)
        scope, found = _scope(row.scope), json.loads(row.found)
        complete = row.state == "complete"
        payload = self._signer.payload(row.receipt) if complete else {}
        return Receipt(
            id=ids.pair(household, purge),
            state="complete" if complete else "pending",
            why=scope.why,
            person=scope.person,
            requested_at=row.requested_at,
            completed_at=row.completed_at,
            due_at=scope.due_at,
            stores=[StoreCount(**one) for one in payload["stores"]] if complete
            else [StoreCount(name, count, count) for name, count in found.items()],
            keys_destroyed=payload.get("keys_destroyed", []),
            ledger_head=payload.get("ledger_head"),
            jws=row.receipt,
        )  # fmt: skip

    def resume(self) -> int:
        """Finish what a crash or a missing key store left pending; the number finished."""
        with self._store.database.reader() as tx:
            rows = tx.execute(select(_P.c.household_id, _P.c.purge_id).where(_P.c.state != "complete")).all()
        return sum(self.run(HouseholdId(row.household_id), row.purge_id).state == "complete" for row in rows)

    def replay(self) -> int:
        """Carry out again what the key store's tombstones say and this database does not know: it is a restored backup.

        Consents that were taken back are taken back again, then everything goes as before. The number replayed.
        Raises: whatever keeps a tombstone from being replayed; the service must not start then.
        """
        with self._store.database.reader() as tx:
            known = set(tx.execute(select(_P.c.purge_id)).scalars())
        missing = {stone["purge"]: stone for stone in self._store.keys.tombstones() if stone["purge"] not in known}
        for purge, stone in missing.items():
            scope = _scope(json.dumps(stone["scope"]))
            with self._store.database.writer() as tx:
                for person, purpose in scope.withdrawn:
                    before = scope.until or datetime.fromisoformat(stone["at"])
                    take_back_again(self._store, tx, scope.household, person, purpose, before)
                    with suppress(NotFound):  # in a backup from before they joined
                        shorten(self._store, tx, scope.household, person)
                self.begin(tx, SYSTEM, scope, purge=purge)
            if self.run(scope.household, purge).state != "complete":
                raise PurgeIncomplete("a tombstone could not be replayed on this restored database")
        return len(missing) + self._bury_again(known)

    def _bury_again(self, known: set[str]) -> int:
        """The other way round: in a key store that was put back from an old copy, the purged have no keys either."""
        buried = {stone["purge"] for stone in self._store.keys.tombstones()}
        forgotten = sorted(known - buried)
        for purge in forgotten:
            with self._store.database.reader() as tx:
                row = tx.execute(select(_P).where(_P.c.purge_id == purge)).one()
            if row.state == "complete":
                self._destroy(row)
        return len(forgotten)

    def _destroy(self, row: Any) -> None:
        """Step 2. From the tombstone on, not even a restored backup can bring it back."""
        scope = json.loads(row.scope)
        self._store.keys.bury({"purge": row.purge_id, "at": row.requested_at.isoformat(), "scope": scope})
        reach("purge.buried")
        self._store.keys.destroy(json.loads(row.doomed))
        reach("purge.destroyed")

    def _erase(self, row: Any) -> None:
        """Steps 3 and 4.

        Raises: PurgeIncomplete, when the recount finds anything.
        """
        scope, found = _scope(row.scope), json.loads(row.found)
        with self._store.database.writer() as tx:
            hold(tx, scope.household)  # it may be gone already: then nobody else writes there
            here = and_(_P.c.household_id == scope.household, _P.c.purge_id == row.purge_id)
            if tx.execute(select(_P.c.state).where(here).with_for_update()).scalar_one() == "complete":
                return
            for name, shelf in SHELVES.items():
                if name in scope.stores:
                    tx.execute(delete(shelf.table).where(shelf.matching(scope)))
            _unlink_recordings(tx, scope)
            reach("purge.rows-deleted")
            counts = [StoreCount(name, found[name], self._left(tx, name, scope)) for name in found]
            for copy in self._copies:
                held = copy.count(scope.household, scope.person)
                copy.forget(scope.household, scope.person)
                counts.append(StoreCount(copy.name, held, copy.count(scope.household, scope.person)))
            if any(count.left for count in counts):
                raise PurgeIncomplete(", ".join(count.store for count in counts if count.left))
            self._complete(tx, row, scope, counts)
            reach("purge.before-commit")
        reach("purge.complete")

    def _complete(self, tx: Connection, row: Any, scope: Scope, counts: list[StoreCount]) -> None:
        now = self._store.now()
        entry = {"at": now, "event": "purged", "person_id": scope.person}
        chain.append(tx, tables.ledger, scope.household, entry)
        receipt = {
            "id": ids.pair(scope.household, row.purge_id),
            "state": "complete",
            "why": scope.why,
            "person": scope.person,
            "requested_at": row.requested_at.isoformat(),
            "completed_at": now.isoformat(),
            "due_at": scope.due_at and scope.due_at.isoformat(),
            "stores": [{"store": count.store, "found": count.found, "left": count.left} for count in counts],
            "keys_destroyed": sorted(json.loads(row.doomed)),
            "ledger_head": chain.head(tx, tables.ledger, scope.household),
        }
        here = and_(_P.c.household_id == scope.household, _P.c.purge_id == row.purge_id)
        done = {"state": "complete", "completed_at": now, "receipt": self._signer.sign(receipt)}
        tx.execute(update(_P).where(here).values(**done))

    def _left(self, tx: Connection, name: str, scope: Scope) -> int:
        shelf = SHELVES[name]
        count = select(func.count()).select_from(shelf.table).where(shelf.matching(scope))
        return int(tx.execute(count).scalar_one())

    def _row(self, household: HouseholdId, purge: str) -> Any:
        with self._store.database.reader() as tx:
            row = tx.execute(select(_P).where(_P.c.household_id == household, _P.c.purge_id == purge)).first()
        if row is None:
            raise LookupError(purge)
        return row


def _unlink_recordings(tx: Connection, scope: Scope) -> None:
    """An interaction must not point to a recording that is gone."""
    if "recordings" not in scope.stores:
        return
    what, kept = tables.interaction, tables.recording
    there = select(kept.c.recording_id).where(kept.c.household_id == scope.household)
    tx.execute(
        update(what)
        .where(what.c.household_id == scope.household, what.c.recording_id.not_in(there))
        .values(recording_id=None)
    )


def _scope_json(scope: Scope) -> dict[str, Any]:
    return {
        "household": scope.household,
        "person": scope.person,
        "stores": sorted(scope.stores),
        "why": scope.why,
        "records": None if scope.records is None else sorted(scope.records),
        "since": scope.since and scope.since.isoformat(),
        "until": scope.until and scope.until.isoformat(),
        "due_at": scope.due_at and scope.due_at.isoformat(),
        "withdrawn": [list(word) for word in scope.withdrawn],
    }


def _scope(text: str) -> Scope:
    plain = json.loads(text)
    return Scope(
        HouseholdId(plain["household"]),
        plain["person"] and PersonId(plain["person"]),
        frozenset(plain["stores"]),
        plain["why"],
        None if plain["records"] is None else frozenset(plain["records"]),
        plain["since"] and datetime.fromisoformat(plain["since"]),
        plain["until"] and datetime.fromisoformat(plain["until"]),
        plain["due_at"] and datetime.fromisoformat(plain["due_at"]),
        tuple((PersonId(person), Purpose(purpose)) for person, purpose in plain["withdrawn"]),
    )

"""Reads what people have agreed to, out of the ledger: its last word on each purpose counts."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, Select, and_, bindparam, func, literal, select

from voiceid.errors import NotFound, Unreadable
from voiceid.ports import Gate
from voiceid.store import tables
from voiceid.store.store import Store
from voiceid.store.vault import Place
from voiceid.types import SAVE_RECORDINGS, VOICE_ID, ConsentState, HouseholdId, PersonId, Purpose
from voiceid.views import ConsentRecord

CHANGES = ("granted", "denied", "withdrawn", "expired")
_L = tables.ledger
_CHANGE = _L.c.event.in_([literal(change) for change in CHANGES])  # bare words are written into every statement anew
_OF_VOICE = frozenset({SAVE_RECORDINGS, VOICE_ID})
_HOUSEHOLD: BindParameter[Any] = bindparam("household")


def _latest(*whose: ColumnElement[bool]) -> Select[Any]:
    """The newest ledger row of each person and purpose of one household."""
    mine = and_(_L.c.household_id == _HOUSEHOLD, _L.c.purpose.is_not(None), _CHANGE, *whose)
    newest = select(func.max(_L.c.seq).label("seq")).where(mine).group_by(_L.c.person_id, _L.c.purpose).subquery()
    return select(_L).join(newest, and_(_L.c.household_id == _HOUSEHOLD, _L.c.seq == newest.c.seq))


def _everything() -> Select[Any]:
    """Epoch and last words of one household, people who are being shredded left out."""
    last, home, person = _latest().subquery(), tables.household, tables.person
    here = select(person.c.person_id).where(person.c.household_id == _HOUSEHOLD, tables.spared(person))
    theirs = and_(last.c.household_id == home.c.household_id, last.c.person_id.in_(here))
    both = select(home.c.epoch, last).select_from(home.outerjoin(last, theirs))
    return both.where(home.c.household_id == _HOUSEHOLD, tables.spared(home))


_EVERYTHING, _OF_PERSON = _everything(), _latest(_L.c.person_id == bindparam("person"))
"""Built once: building them takes SQLAlchemy ten times as long as SQLite takes to answer."""


def state_of(row: Any) -> ConsentState:
    """One ledger row as a word."""
    return ConsentState(
        PersonId(row.person_id), Purpose(row.purpose), row.event, row.at, row.expires_at, row.retention
    )


def _readable(row: Any) -> ConsentState | None:
    """One ledger row as a word; None for a damaged one, which means no."""
    try:
        return state_of(row)
    except ValueError:
        return None


def states(tx: Connection, household: HouseholdId, person: PersonId) -> dict[Purpose, ConsentState]:
    """One person's last words, read within a transaction."""
    found = (_readable(row) for row in tx.execute(_OF_PERSON, {"household": household, "person": person}))
    return {state.purpose: state for state in found if state is not None}


def agreed(tx: Connection, household: HouseholdId, person: PersonId, now: datetime) -> frozenset[Purpose]:
    """What this person has granted, unexpired, as this transaction sees it."""
    return frozenset(p for p, state in states(tx, household, person).items() if state.agreed(now))


class ConsentBook:
    """`ConsentRecords`, out of the database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def gate(self, household: HouseholdId, /) -> Gate:
        """Read epoch and consents in one query, so that they are of one moment."""
        rows = self._store.database.ask(_EVERYTHING, household=household)
        if not rows:
            raise NotFound("no such household")
        now = self._store.now()
        words = [word for row in rows if row.person_id is not None and (word := _readable(row)) is not None]
        yes: dict[PersonId, set[Purpose]] = {}
        for state in words:
            if state.agreed(now):
                yes.setdefault(state.person, set()).add(state.purpose)
        return Gate(
            household,
            rows[0].epoch,
            {person: frozenset(purposes) for person, purposes in yes.items()},
            withheld=any(state.purpose in _OF_VOICE and not state.agreed(now) for state in words),
        )

    def history(self, household: HouseholdId, person: PersonId, /) -> list[ConsentRecord]:
        """Every word of one person, oldest first; what cannot be read any more is left blank."""
        kept = tables.consent_record
        rows = (
            select(_L, kept.c.record_id, kept.c.key_id, kept.c.sealed)
            .select_from(_L.outerjoin(kept, and_(kept.c.household_id == _L.c.household_id, kept.c.seq == _L.c.seq)))
            .where(_L.c.household_id == household, _L.c.person_id == person, _CHANGE)
            .order_by(_L.c.seq)
        )
        with self._store.database.reader() as tx:
            return [self._record(household, person, row) for row in tx.execute(rows)]

    def _record(self, household: HouseholdId, person: PersonId, row: Any) -> ConsentRecord:
        details: dict[str, Any] = {}
        if row.sealed is not None:
            place = Place(household, person, "consent_record", row.record_id)
            try:
                details = self._store.vault.open_json(place, row.key_id, row.sealed)
            except Unreadable:
                details = {}
        return ConsentRecord(
            record_id=row.record_id or "",
            purpose=row.purpose,
            change=row.event,
            at=row.at,
            policy_version=row.policy_version or "",
            wording=row.wording or "",
            language=details.get("language", ""),
            method=details.get("method", ""),
            given_by=details.get("given_by", "clock"),
            verification=details.get("verification"),
            expires_at=row.expires_at,
            retention=row.retention,
            receipt=details.get("receipt"),
        )


def granted_people(gate: Gate, purposes: Collection[Purpose]) -> frozenset[PersonId]:
    """Whoever has granted all of these; asking for nothing permits nobody."""
    if not purposes:
        return frozenset()
    return frozenset(person for person, yes in gate.agreed.items() if yes.issuperset(purposes))

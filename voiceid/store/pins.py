"""A person's PIN, for a screen that others use too: six digits or more, kept as a hash, tried slowly."""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from sqlalchemy import ColumnElement, Connection, and_, delete, select, update

from voiceid.errors import InvalidRequest, PinRefused, TooManyTries, Unreadable
from voiceid.ports import SYSTEM, Actor
from voiceid.store import ids, tables
from voiceid.store.people import kind_of
from voiceid.store.store import Store
from voiceid.store.tokens import BY_PIN, Tokens
from voiceid.store.vault import Place
from voiceid.types import HouseholdId, PersonId
from voiceid.views import Session

_N = tables.pin
FREE_TRIES = 5
"""So many wrong PINs cost nothing but the patience of whoever types."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 30, 3600
_SALT_BYTES, _HASH_BYTES = 16, 32
_PASSES, _LANES, _MEMORY_KIB = 2, 1, 19 * 1024
"""Argon2id as OWASP's password storage cheat sheet has it for a server: 19 MiB, two passes, one lane."""
_one_at_a_time = threading.Lock()
"""Of all who try at once, so that they cannot take the memory away from whoever speaks."""


def wait_after(tries: int) -> timedelta:
    """How long the next try has to wait after so many wrong ones: 30 s from the fifth on, doubled up to an hour."""
    beyond = tries - FREE_TRIES
    return timedelta(seconds=min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**beyond) if beyond >= 0 else 0)


class Pins:
    """Sets, removes and asks for PINs."""

    def __init__(self, store: Store, tokens: Tokens, *, session_minutes: int) -> None:
        self._store = store
        self._tokens = tokens
        self._lasting = timedelta(minutes=session_minutes)
        self._sources = _Sources()

    def has(self, household: HouseholdId, person: PersonId) -> bool:
        """Whether this person has a PIN."""
        with self._store.database.reader() as tx:
            return tx.execute(select(_N.c.pin_id).where(_here(household, person))).first() is not None

    def put(self, actor: Actor, household: HouseholdId, person: PersonId, pin: str) -> None:
        """Set a PIN in place of any earlier one; sessions that the earlier one opened end.

        Raises: InvalidRequest, for one that everybody tries first; NotFound.
        """
        if _first_guess(pin):
            raise InvalidRequest("pin: too easy to guess")
        record, now = ids.new_id(), self._store.now()
        sealed = self._store.vault.seal(_place(household, person, record), _hashed(pin).encode())
        with self._store.discarding(sealed.key_id), self._store.database.writer(household) as tx:
            kind_of(tx, household, person)
            ended = self._take_away(tx, household, person)
            row = {"household_id": household, "pin_id": record, "person_id": person, "tries": 0, "created_at": now}
            tx.execute(_N.insert().values(**row, key_id=sealed.key_id, sealed=sealed.sealed))
            self._store.note(tx, actor, household, "pin set", person)
        self._store.keys.destroy(ended)

    def remove(self, actor: Actor, household: HouseholdId, person: PersonId) -> None:
        """Let there be no PIN, and no session that it opened."""
        with self._store.database.writer(household) as tx:
            ended = self._take_away(tx, household, person)
            if ended:
                self._store.note(tx, actor, household, "pin removed", person)
        self._store.keys.destroy(ended)

    def sign_in(self, household: HouseholdId, people: Sequence[PersonId], pin: str, source: str) -> Session:
        """Open a short session for whichever of these people (they share a name) has this PIN.

        Every try counts before it is looked at, so that many at once are no way around the waiting.
        Raises: PinRefused; TooManyTries, for this person or from this source.
        """
        self._sources.try_from(source, self._store.now())
        found = False
        for person in people:
            row = self._counted(household, person)
            if row is None:
                continue
            found = True
            if self._fits(household, person, row, pin):
                self._sources.forget(source)
                return self._open(household, person)
        if not found:
            _hashed(pin)  # whether somebody has a PIN is not to be seen from how long the answer takes
        raise PinRefused

    def _counted(self, household: HouseholdId, person: PersonId) -> Any:
        """Count one more try; the person's row, or None if there is no PIN.

        Raises: TooManyTries.
        """
        now = self._store.now()
        with self._store.database.writer(household) as tx:
            row: Any = tx.execute(select(_N).where(_here(household, person))).first()
            if row is None:
                return None
            if row.wait_until is not None and row.wait_until > now:
                raise _too_many(row.wait_until, now)
            tries = row.tries + 1
            wait = wait_after(tries)
            tx.execute(update(_N).where(_here(household, person)).values(
                tries=tries, wait_until=now + wait if wait else None
            ))
            if wait:
                self._store.note(tx, SYSTEM, household, "pin tried", person, f"{tries} in a row")
        return row

    def _fits(self, household: HouseholdId, person: PersonId, row: Any, pin: str) -> bool:
        try:
            hashed = self._store.vault.open(_place(household, person, row.pin_id), row.key_id, row.sealed)
        except Unreadable:
            return False
        with _one_at_a_time, suppress(InvalidKey):
            Argon2id.verify_phc_encoded(pin.encode(), hashed.decode())
            return True
        return False

    def _open(self, household: HouseholdId, person: PersonId) -> Session:
        with self._store.database.writer(household) as tx:
            kind_of(tx, household, person)
            tx.execute(update(_N).where(_here(household, person)).values(tries=0, wait_until=None))
            return self._tokens.open_beside(tx, household, person, self._lasting)

    def _take_away(self, tx: Connection, household: HouseholdId, person: PersonId) -> list[str]:
        """Delete the PIN and its sessions; the ids of the keys that are to be destroyed."""
        ended = list(tx.execute(select(_N.c.key_id).where(_here(household, person))).scalars())
        tx.execute(delete(_N).where(_here(household, person)))
        opened = tables.token.c
        tx.execute(delete(tables.token).where(
            opened.household_id == household, opened.person_id == person, opened.role == "person",
            opened.label == BY_PIN,
        ))
        return ended


@dataclass(slots=True)
class _Source:
    tries: int = 0
    wait_until: datetime | None = None


class _Sources:
    """Where tries come from. In memory alone, and only so many: an address is nothing to keep."""

    AT_MOST = 4096

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Source] = OrderedDict()
        self._lock = threading.Lock()

    def try_from(self, source: str, now: datetime) -> None:
        """Count one more try.

        Raises: TooManyTries.
        """
        with self._lock:
            one = self._known.setdefault(source, _Source())
            if one.wait_until is not None and one.wait_until > now:
                raise _too_many(one.wait_until, now)
            one.tries += 1
            wait = wait_after(one.tries)
            one.wait_until = now + wait if wait else None
            self._known.move_to_end(source)
            while len(self._known) > self.AT_MOST:
                self._known.popitem(last=False)

    def forget(self, source: str) -> None:
        """It was right this time."""
        with self._lock:
            self._known.pop(source, None)


def _too_many(until: datetime, now: datetime) -> TooManyTries:
    return TooManyTries(retry_after_s=max(1, round((until - now).total_seconds())))


def _first_guess(pin: str) -> bool:
    """Whether it is one digit, or runs straight up or down."""
    steps = {(int(after) - int(before)) % 10 for before, after in pairwise(pin)}
    return steps in ({0}, {1}, {9})


def _hashed(pin: str) -> str:
    salt = secrets.token_bytes(_SALT_BYTES)
    with _one_at_a_time:
        hasher = Argon2id(
            salt=salt, length=_HASH_BYTES, iterations=_PASSES, lanes=_LANES, memory_cost=_MEMORY_KIB
        )
        return hasher.derive_phc_encoded(pin.encode())


def _here(household: HouseholdId, person: PersonId) -> ColumnElement[bool]:
    return and_(_N.c.household_id == household, _N.c.person_id == person, tables.spared(_N))


def _place(household: HouseholdId, person: PersonId, record: str) -> Place:
    return Place(household, person, "pin", record)

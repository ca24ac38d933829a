"""Looks at an installation's records without changing them; for `voiceid doctor`. It opens nothing that is sealed."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypeVar

from sqlalchemy import Connection, Table, and_, exists, func, literal, select, union

from voiceid import jws
from voiceid.errors import ReceiptInvalid
from voiceid.store import chain, migrate, tables
from voiceid.store.database import revision
from voiceid.store.store import Store
from voiceid.types import HouseholdId

T = TypeVar("T")

_UNDER_WAY_S = 1.0
"""A key is made a moment before its row is committed, and a row read a moment before its key is destroyed."""
_LINKS = (
    (tables.transcript, "interaction_id", tables.interaction, "interaction_id"),
    (tables.interaction, "recording_id", tables.recording, "recording_id"),
    (tables.consent_record, "seq", tables.ledger, "seq"),
)
"""What refers to what without the database watching over it: table, column, table, column."""


def is_current(url: str) -> bool:
    """Whether the database has the newest tables, so that opening it changes nothing.

    Raises: StoreUnavailable.
    """
    return revision(url) == migrate.newest()


def verify_chains(store: Store) -> int:
    """Recompute ledger and activity of every household, also of those that are gone; the number of rows.

    Raises: LedgerBroken.
    """
    chained = (tables.ledger, tables.activity)
    everywhere = union(*(select(table.c.household_id) for table in chained))
    with store.database.reader() as tx:
        households = [HouseholdId(household) for household in tx.execute(everywhere).scalars()]
        return sum(chain.verify(tx, table, household) for table in chained for household in households)


def pending_purges(store: Store) -> int:
    """How many purges are not complete."""
    waiting = select(func.count()).select_from(tables.purge).where(tables.purge.c.state != "complete")
    with store.database.reader() as tx:
        return int(tx.execute(waiting).scalar_one())


def stray_keys(store: Store, apart_s: float | None = None) -> set[str]:
    """Ids of the keys that open nothing that is here, in two looks so far apart."""

    def look() -> set[str]:
        alive = set(store.keys.alive())
        with store.database.reader() as tx:
            return alive - {key for _, key in _sealed(tx)}

    return _twice(look, apart_s)


def data_without_keys(store: Store) -> dict[str, int]:
    """How many rows of each table cannot be read any more; those that a pending purge has shredded are not counted."""

    def look() -> set[tuple[str, str]]:
        with store.database.reader() as tx:
            rows = set(_sealed(tx, spared=True))
        alive = set(store.keys.alive())
        return {(table, key) for table, key in rows if key not in alive}

    return dict(Counter(table for table, _ in _twice(look)))


def orphans(store: Store) -> dict[str, int]:
    """How many rows of each table belong to one that is not there: a person, an interaction, a place in the ledger."""
    found: Counter[str] = Counter()
    with store.database.reader() as tx:
        for table, columns, parent, theirs in _references():
            pairs = [table.c[mine] == parent.c[their] for mine, their in zip(columns, theirs, strict=True)]
            there = exists(select(literal(1)).select_from(parent).where(and_(*pairs)).correlate(table))
            said = [table.c[column].is_not(None) for column in columns]
            query = select(func.count()).select_from(table).where(*said, ~there)
            found[table.name] += tx.execute(query).scalar_one()
    return {name: count for name, count in found.items() if count}


def broken_receipts(store: Store) -> int:
    """How many receipts do not verify, or state a head that the ledger does not have: its tail was cut off."""
    keys = [jws.public_jwk(store.keys.signing_key().public_key())]
    done = select(tables.purge.c.household_id, tables.purge.c.receipt).where(tables.purge.c.state == "complete")
    with store.database.reader() as tx:
        links = {(house, bytes(link).hex()) for house, link in tx.execute(
            select(tables.ledger.c.household_id, tables.ledger.c.chain)
        )}  # fmt: skip
        receipts = tx.execute(done).all()
    return sum(not _holds(household, signed, keys, links) for household, signed in receipts)


def tombstones_apart(store: Store) -> int:
    """How many purges only the database or only the key store knows: one of both was put back and not replayed."""

    def look() -> set[str]:
        with store.database.reader() as tx:
            known = set(tx.execute(select(tables.purge.c.purge_id).where(tables.purge.c.state == "complete")).scalars())
            pending = set(tx.execute(select(tables.purge.c.purge_id)).scalars()) - known
        buried = {str(stone["purge"]) for stone in store.keys.tombstones()}
        return (known ^ buried) - pending

    return len(_twice(look))


def _holds(household: str, signed: str | None, keys: list[dict[str, str]], links: set[tuple[str, str]]) -> bool:
    try:
        said = jws.verify(signed or "", keys)
    except ReceiptInvalid:
        return False
    return (household, said["ledger_head"]) in links


def _sealed(tx: Connection, *, spared: bool = False) -> Iterator[tuple[str, str]]:
    """Every sealed row's table and key; `spared`: without those that a pending purge is about to shred."""
    for table in tables.metadata.sorted_tables:
        if "key_id" in table.c:
            query = select(table.c.key_id)
            for key in tx.execute(query.where(tables.spared(table)) if spared else query).scalars():
                yield table.name, key


def _references() -> Iterator[tuple[Table, list[str], Table, list[str]]]:
    """Every reference from one table to another, the household first."""
    for table in tables.metadata.sorted_tables:
        for key in table.foreign_key_constraints:
            yield table, list(key.column_keys), key.referred_table, [one.column.name for one in key.elements]
    for table, mine, parent, theirs in _LINKS:
        yield table, ["household_id", mine], parent, ["household_id", theirs]


def _twice(look: Callable[[], set[T]], apart_s: float | None = None) -> set[T]:
    """What is found now and still a moment later: the service may be at work."""
    found = look()
    if not found:
        return found
    time.sleep(_UNDER_WAY_S if apart_s is None else apart_s)
    return found & look()

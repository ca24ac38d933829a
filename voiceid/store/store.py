"""What every reader and writer of records needs: the database, the vault, the clock."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, select, update

from voiceid.errors import KeysUnavailable
from voiceid.ports import Actor, Clock
from voiceid.store import chain, tables
from voiceid.store.database import Database
from voiceid.store.keys import KeyStore
from voiceid.store.vault import Vault
from voiceid.types import HouseholdId, PersonId


def utc_now() -> datetime:
    """The real clock."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Store:
    """One installation's records."""

    database: Database
    vault: Vault
    now: Clock = utc_now

    @property
    def keys(self) -> KeyStore:
        return self.vault.keys

    def note(
        self, tx: Connection, actor: Actor, household: HouseholdId, action: str, person: PersonId | None, why: str = ""
    ) -> None:
        """Enter into the activity who did what, in the transaction in which it is done."""
        entry = {"at": self.now(), "actor": named(actor), "action": action}
        chain.append(tx, tables.activity, household, {**entry, "person_id": person, "why": why or None})

    @contextmanager
    def discarding(self, *key_ids: str) -> Iterator[None]:
        """Destroy freshly made keys if the transaction that was to use them does not come to its end."""
        try:
            yield
        except BaseException:
            with suppress(KeysUnavailable):  # a key that opens nothing; what failed first is what to tell
                self.keys.destroy(key_ids)
            raise


def named(actor: Actor) -> str:
    """Role and token id; of a person, the person's own id."""
    who = actor.person if actor.role == "person" and actor.person else actor.id
    return f"{actor.role}:{who}"


def raise_epoch(tx: Connection, household: HouseholdId) -> None:
    """Make every index of this household stale, in every process."""
    table = tables.household
    tx.execute(update(table).where(table.c.household_id == household).values(epoch=table.c.epoch + 1))


_EPOCH = select(tables.household.c.epoch).where(tables.household.c.household_id == bindparam("household"))
"""Built once: every request that may leave something reads it."""


def epoch_of(tx: Connection, household: HouseholdId) -> int:
    """The epoch of a household that is there, as this transaction sees it."""
    return int(tx.execute(_EPOCH, {"household": household}).scalar_one())


def epochs_of(store: Store, households: Collection[HouseholdId]) -> dict[HouseholdId, int]:
    """The epoch of each of these households that is still there."""
    table = tables.household
    mine = select(table.c.household_id, table.c.epoch).where(table.c.household_id.in_(sorted(households)))
    with store.database.reader() as tx:
        return {HouseholdId(household): epoch for household, epoch in tx.execute(mine)}

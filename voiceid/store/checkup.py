"""Looks at an installation's records without changing them; for `voiceid doctor`."""

from sqlalchemy import func, select, union

from voiceid.store import chain, migrate, tables
from voiceid.store.database import revision
from voiceid.store.store import Store
from voiceid.types import HouseholdId


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

"""A shorter time that a person chooses holds at once, for what is kept already too; a longer one for what comes."""

from datetime import datetime

from sqlalchemy import Connection, select, update

from voiceid import policy
from voiceid.store import consents, tables
from voiceid.store.people import kind_of
from voiceid.store.store import Store
from voiceid.types import ADAPT, SAVE_RECORDINGS, TRANSCRIPTS, HouseholdId, PersonId, Purpose

_KEPT_FOR = (
    (tables.recording, "recording_id", (SAVE_RECORDINGS,)),
    (tables.transcript, "interaction_id", (TRANSCRIPTS,)),
    (tables.interaction, "interaction_id", (SAVE_RECORDINGS, TRANSCRIPTS)),
    (tables.adaptation, "adaptation_id", (ADAPT,)),
)


def shorten(store: Store, tx: Connection, household: HouseholdId, person: PersonId) -> None:
    """Bring forward the end of everything kept for longer than the person's consents now say.

    Also after one of them was taken back: what two had allowed then ends with the other.
    Raises: NotFound.
    """
    child = kind_of(tx, household, person) == "child"
    now = store.now()
    times = {
        purpose: state.retention
        for purpose, state in consents.states(tx, household, person).items()
        if state.agreed(now)
    }
    for table, record, purposes in _KEPT_FOR:
        if not any(purpose in times for purpose in purposes):
            continue
        mine = table.c.household_id == household, table.c.person_id == person
        for row in tx.execute(select(table.c[record], table.c.created_at, table.c.expires_at).where(*mine)).all():
            end = _end(times, purposes, row.created_at, child=child)
            if end is not None and (row.expires_at is None or end < row.expires_at):
                this = update(table).where(table.c.household_id == household, table.c[record] == getattr(row, record))
                tx.execute(this.values(expires_at=end))


def _end(
    times: dict[Purpose, str | None], purposes: tuple[Purpose, ...], since: datetime, *, child: bool
) -> datetime | None:
    """The latest end that any of these purposes allows; None where one sets none, or none is granted."""
    ends = [policy.expiry(times[purpose], since, child=child) for purpose in purposes if purpose in times]
    dated = [end for end in ends if end is not None]
    return max(dated) if dated and len(dated) == len(ends) else None

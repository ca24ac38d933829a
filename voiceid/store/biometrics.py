"""Writes voices: takes, recordings, voiceprints and what a recognized request leaves. Only `enrollment` may import it.

Every function here works inside the caller's write transaction, in which the caller has read consent again.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, select, update

from voiceid.store import tables
from voiceid.store.vault import Place, Sealed
from voiceid.types import HouseholdId, ModelId, PersonId

_V = tables.voiceprint
_LAST_USED = select(_V.c.last_used_on).where(
    _V.c.household_id == bindparam("household"), _V.c.person_id == bindparam("person")
)
"""Built once: every request that names somebody reads it."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose data is written."""

    household: HouseholdId
    person: PersonId

    def place(self, kind: str, record: str) -> Place:
        return Place(self.household, self.person, kind, record)

    @property
    def row(self) -> dict[str, Any]:
        return {"household_id": self.household, "person_id": self.person}


def vector_bytes(takes: NDArray[np.float32]) -> bytes:
    """Both views of takes as they are sealed: little-endian float32. Shape (n, 2, dim), or (2, dim) for one take."""
    return np.ascontiguousarray(takes, dtype="<f4").tobytes()


def add_recording(
    tx: Connection, owner: Owner, recording: str, kind: str, sealed: Sealed, duration_s: float, at: datetime,
    expires_at: datetime | None,
) -> None:
    """Insert one recording, sealed FLAC."""
    tx.execute(tables.recording.insert().values(
        **owner.row, recording_id=recording, kind=kind, key_id=sealed.key_id, sealed=sealed.sealed,
        duration_s=duration_s, created_at=at, expires_at=expires_at,
    ))


def add_take(tx: Connection, owner: Owner, take: str, enrollment: str, sealed: Sealed, at: datetime) -> None:
    """Insert one accepted take, its embedding sealed."""
    tx.execute(tables.take.insert().values(
        **owner.row, take_id=take, enrollment_id=enrollment, key_id=sealed.key_id, sealed=sealed.sealed, created_at=at,
    ))


def add_voiceprint(
    tx: Connection, owner: Owner, voiceprint: str, encoder: ModelId, sealed: Sealed, takes: int, cohesion: float,
    at: datetime, last_used: datetime | None = None,
) -> None:
    """Insert one voiceprint; the caller raises the epoch."""
    tx.execute(tables.voiceprint.insert().values(
        **owner.row, voiceprint_id=voiceprint, encoder=encoder, key_id=sealed.key_id, sealed=sealed.sealed,
        takes=takes, cohesion=cohesion, created_at=at, last_used_on=_day(last_used or at),
    ))


def add_adaptation(
    tx: Connection, owner: Owner, adaptation: str, voiceprint: str, sealed: Sealed, at: datetime, expires_at: datetime
) -> None:
    """Insert one take that joins a voiceprint; the caller raises the epoch."""
    tx.execute(tables.adaptation.insert().values(
        **owner.row, adaptation_id=adaptation, voiceprint_id=voiceprint, key_id=sealed.key_id, sealed=sealed.sealed,
        created_at=at, expires_at=expires_at,
    ))


def add_interaction(
    tx: Connection, owner: Owner, interaction: str, sealed: Sealed, recording: str | None, at: datetime,
    expires_at: datetime | None,
) -> None:
    """Insert what a recognized request did."""
    tx.execute(tables.interaction.insert().values(
        **owner.row, interaction_id=interaction, recording_id=recording, key_id=sealed.key_id, sealed=sealed.sealed,
        created_at=at, expires_at=expires_at,
    ))


def add_transcript(
    tx: Connection, owner: Owner, interaction: str, sealed: Sealed, at: datetime, expires_at: datetime | None
) -> None:
    """Insert what was said."""
    tx.execute(tables.transcript.insert().values(
        **owner.row, interaction_id=interaction, key_id=sealed.key_id, sealed=sealed.sealed, created_at=at,
        expires_at=expires_at,
    ))


def used_today(tx: Connection, owner: Owner, at: datetime) -> None:
    """Set the idle clock of a voiceprint back; it keeps the day, not the moment."""
    table = tables.voiceprint
    tx.execute(
        update(table)
        .where(table.c.household_id == owner.household, table.c.person_id == owner.person)
        .values(last_used_on=_day(at))
    )


def last_used(tx: Connection, owner: Owner) -> datetime | None:
    """The day a voiceprint last named its person; None if there is none."""
    when: datetime | None = tx.execute(_LAST_USED, {"household": owner.household, "person": owner.person}).scalar()
    return when


def _day(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)

"""A changing voice: a request that named its person beyond doubt becomes part of their voiceprint, if they agreed.

At most one a day, held at most half a year, the oldest falls out; the enrolled takes stay as they are and count for at
least half. Withdrawing `adapt` erases all of it, and the voiceprint is again what it was after enrollment.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from enrollment.purge import Purge
from enrollment.take import needed_for_voice_id
from voiceid import adapt, policy
from voiceid.calibration import Bars
from voiceid.encode import take_views
from voiceid.errors import Unreadable
from voiceid.failpoint import reach
from voiceid.ports import SYSTEM, Encoder, Heard
from voiceid.store import biometrics, consents, tables
from voiceid.store.biometrics import Owner
from voiceid.store.people import kind_of
from voiceid.store.store import Store, epoch_of, raise_epoch
from voiceid.types import ADAPT, ConsentState, Decision
from voiceid.views import Scope

_V, _A = tables.voiceprint, tables.adaptation


@dataclass(frozen=True, slots=True, eq=False)
class Addition:
    """What may be added to a voiceprint; nothing of it is written yet."""

    voiceprint: str
    """The one that named the person."""
    views: adapt.Views
    """Shape (2, dim)."""
    heard: Heard


@dataclass(frozen=True, slots=True)
class _Room:
    """A voiceprint that may be added to now, and what was added to it before."""

    voiceprint: str
    consent: ConsentState
    held: list[str]
    """Ids, oldest first."""


class Adapter:
    """Adds to voiceprints. Consent is read before anything is computed, and again in the transaction that writes."""

    def __init__(self, store: Store, purge: Purge, encoder: Encoder, bars: Bars, rule: policy.ConsentRule) -> None:
        self._store = store
        self._purge = purge
        self._encoder = encoder
        self._bars = bars
        self.gate = needed_for_voice_id(rule)
        """Who has not agreed to all of these is not to be named, nor is anything kept of it."""
        self._needed = self.gate | {ADAPT}

    def consider(self, owner: Owner, decision: Decision, heard: Heard | None) -> Addition | None:
        """What this request would add; None if it may not."""
        if heard is None or heard.narrow or not adapt.is_certain(decision, heard.speech.quality, self._bars):
            return None
        with self._store.database.reader() as tx:
            room = self._room(tx, owner, heard)
        if room is None:
            return None
        return Addition(room.voiceprint, take_views(self._encoder, heard.speech, heard.embedding), heard)

    def add(self, tx: Connection, owner: Owner, addition: Addition, record: str) -> list[str] | None:
        """Write it, within the caller's transaction; the purges to run after that: what is too much falls out.

        None: nothing was written, because something has changed in the household since the person was named. `record`
        is the id of the interaction that is kept with it, if one is: erasing that erases this.
        """
        room = self._room(tx, owner, addition.heard)
        if room is None or room.voiceprint != addition.voiceprint:
            return None
        if epoch_of(tx, owner.household) != addition.heard.epoch:
            return None
        now = self._store.now()
        sealed = self._store.vault.seal(owner.place("adaptation", record), biometrics.vector_bytes(addition.views))
        end = self._end(tx, owner, room.consent, now)
        biometrics.add_adaptation(tx, owner, record, addition.voiceprint, sealed, now, end)
        raise_epoch(tx, owner.household)
        self._store.note(tx, SYSTEM, owner.household, "voiceprint adapted", owner.person)
        purges = []
        if oldest := room.held[: max(0, len(room.held) + 1 - adapt.AT_MOST)]:
            records = frozenset(oldest)
            scope = Scope(owner.household, owner.person, frozenset({"adaptations"}), "adapted anew", records)
            purges.append(self._purge.begin(tx, SYSTEM, scope))
        reach("adapt.before-commit")
        return purges

    def finish(self, owner: Owner, purges: list[str]) -> None:
        """After the commit: erase what fell out. A purge that cannot be finished now is taken up again later."""
        reach("adapt.after-commit")
        for purge in purges:
            self._purge.run(owner.household, purge)

    def _room(self, tx: Connection, owner: Owner, heard: Heard) -> _Room | None:
        """Where this may be added, as this transaction sees it; None: nowhere, or not today."""
        now = self._store.now()
        states = consents.states(tx, owner.household, owner.person)
        if not all(purpose in states and states[purpose].agreed(now) for purpose in self._needed):
            return None
        row = tx.execute(select(_V).where(
            _V.c.household_id == owner.household, _V.c.person_id == owner.person,
            _V.c.encoder == heard.embedding.model_id, tables.spared(_V),
        ).order_by(_V.c.created_at.desc())).first()  # fmt: skip
        if row is None or states[ADAPT].retention == policy.KEEP_NOTHING:
            return None
        held = tx.execute(select(_A.c.adaptation_id, _A.c.created_at).where(
            _A.c.household_id == owner.household, _A.c.voiceprint_id == row.voiceprint_id, tables.spared(_A),
        ).order_by(_A.c.created_at)).all()  # fmt: skip
        if held and held[-1].created_at.date() >= now.date():
            return None
        if not self._belongs(owner, row, heard):
            return None
        return _Room(row.voiceprint_id, states[ADAPT], [one.adaptation_id for one in held])

    def _belongs(self, owner: Owner, row: Any, heard: Heard) -> bool:
        place = owner.place("voiceprint", row.voiceprint_id)
        try:
            numbers = self._store.vault.open(place, row.key_id, row.sealed)
            enrolled = np.frombuffer(numbers, dtype="<f4").reshape(row.takes, 2, -1)
            return adapt.belongs(enrolled, heard.embedding.vector, self._bars)
        except (Unreadable, ValueError):  # damaged: it names nobody, and nothing is added to it
            return False

    def _end(self, tx: Connection, owner: Owner, consent: ConsentState, now: datetime) -> datetime:
        """When it must be gone: by the person's own choice, with the consent, for a child sooner, or after `DAYS`."""
        child = kind_of(tx, owner.household, owner.person) == "child"
        ends = [policy.expiry(consent.retention, now, child=child), consent.expires_at]
        return min([now + timedelta(days=adapt.DAYS), *(end for end in ends if end is not None)])

"""A new encoder: make everybody's voiceprint anew from the recordings they agreed to keep."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from enrollment.purge import Purge
from enrollment.take import needed_for_voice_id
from voiceid import policy
from voiceid.decode import from_flac
from voiceid.ports import SYSTEM, Encoder, SpeechCheck
from voiceid.store import biometrics, chain, consents, ids, tables
from voiceid.store.biometrics import Owner
from voiceid.store.store import Store
from voiceid.store.vault import Unreadable
from voiceid.types import HouseholdId, PersonId, Unusable
from voiceid.views import Scope
from voiceid.voiceprint import cohesion

_V, _R = tables.voiceprint, tables.recording


@dataclass(frozen=True, slots=True)
class CarriedOver:
    """What became of the voiceprints; ids only: an operator cannot read names."""

    encoder: str
    already: int
    carried: list[str]
    must_enroll_again: list[str]


def reembed(
    store: Store, purge: Purge, encoder: Encoder, check: SpeechCheck, rule: policy.ConsentRule
) -> CarriedOver:
    """Re-embed every voiceprint that another encoder made. Who has no usable recordings must enroll again.

    The old voiceprint goes in the transaction that writes the new one; without a new one it stays, and names nobody.
    """
    with store.database.reader() as tx:
        rows = tx.execute(select(_V).order_by(_V.c.household_id, _V.c.person_id)).all()
    carried: list[str] = []
    again: list[str] = []
    others = [row for row in rows if row.encoder != encoder.model_id]
    for row in others:
        done = _carry(store, purge, encoder, check, rule, row)
        (carried if done else again).append(row.person_id)
    return CarriedOver(encoder.model_id, len(rows) - len(others), carried, again)


def _carry(
    store: Store, purge: Purge, encoder: Encoder, check: SpeechCheck, rule: policy.ConsentRule, row: Any
) -> bool:
    owner = Owner(HouseholdId(row.household_id), PersonId(row.person_id))
    with store.database.reader() as tx:
        vectors = _vectors(store, tx, owner, encoder, check)
    if not vectors:
        return False
    takes, voiceprint = np.stack(vectors), ids.new_id()
    with store.database.writer(owner.household) as tx:
        yes = consents.agreed(tx, owner.household, owner.person, store.now())
        if not yes >= needed_for_voice_id(rule):
            return False
        scope = Scope(
            owner.household, owner.person, frozenset({"voiceprints"}), "re-embedded", frozenset({row.voiceprint_id})
        )
        ended = purge.begin(tx, SYSTEM, scope)
        now, alike = store.now(), round(cohesion(takes), 4)
        sealed = store.vault.seal(owner.place("voiceprint", voiceprint), biometrics.vector_bytes(takes))
        biometrics.add_voiceprint(tx, owner, voiceprint, encoder.model_id, sealed, len(takes), alike, now)
        chain.append(tx, tables.ledger, owner.household, {"at": now, "event": "re-embedded", "person_id": owner.person})
        store.note(tx, SYSTEM, owner.household, "voiceprint re-embedded", owner.person, encoder.model_id)
    purge.run(owner.household, ended)
    return True


def _vectors(store: Store, tx: Connection, owner: Owner, encoder: Encoder, check: SpeechCheck) -> list[Any]:
    """Embeddings of the enrollment takes that were kept and can still be read."""
    mine = select(_R).where(
        _R.c.household_id == owner.household, _R.c.person_id == owner.person, _R.c.kind == "take"
    )
    found = []
    for row in tx.execute(mine.order_by(_R.c.created_at)):
        try:
            flac = store.vault.open(owner.place("recording", row.recording_id), row.key_id, row.sealed)
        except Unreadable:
            continue
        speech = check(from_flac(flac))
        if not isinstance(speech, Unusable):
            found.append(encoder.embed(speech).vector)
    return found

"""A new encoder: make everybody's voiceprint anew from the recordings they agreed to keep."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, select

from enrollment.purge import Purge
from enrollment.take import TAKES_NEEDED, needed_for_voice_id
from voiceid import policy
from voiceid.decode import from_flac
from voiceid.encode import take_views
from voiceid.errors import Unreadable
from voiceid.ports import SYSTEM, Encoder, SpeechCheck
from voiceid.store import biometrics, chain, consents, ids, tables
from voiceid.store.biometrics import Owner
from voiceid.store.store import Store
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
    if len(vectors) < TAKES_NEEDED:
        return False
    takes, voiceprint = np.stack(list(vectors.values())), ids.new_id()
    with store.database.writer(owner.household) as tx:
        yes = consents.agreed(tx, owner.household, owner.person, store.now())
        if not yes >= needed_for_voice_id(rule) or not _still_there(tx, owner, row.voiceprint_id, set(vectors)):
            return False
        scope = Scope(
            owner.household, owner.person, frozenset({"voiceprints"}), "re-embedded", frozenset({row.voiceprint_id})
        )
        ended = purge.begin(tx, SYSTEM, scope)
        now, alike = store.now(), round(cohesion(takes[:, 0]), 4)
        sealed = store.vault.seal(owner.place("voiceprint", voiceprint), biometrics.vector_bytes(takes))
        biometrics.add_voiceprint(
            tx, owner, voiceprint, encoder.model_id, sealed, len(takes), alike, row.created_at, row.last_used_on
        )
        chain.append(tx, tables.ledger, owner.household, {"at": now, "event": "re-embedded", "person_id": owner.person})
        store.note(tx, SYSTEM, owner.household, "voiceprint re-embedded", owner.person, encoder.model_id)
    purge.run(owner.household, ended)
    return True


def _still_there(tx: Connection, owner: Owner, voiceprint: str, recordings: set[str]) -> bool:
    """Whether nothing that this is made from was deleted while it was being made."""
    old = select(_V.c.voiceprint_id).where(
        _V.c.household_id == owner.household, _V.c.voiceprint_id == voiceprint, tables.spared(_V)
    )
    return tx.execute(old).first() is not None and recordings <= set(tx.execute(_takes_of(owner)).scalars())


def _takes_of(owner: Owner) -> Select[Any]:
    mine = _R.c.household_id == owner.household, _R.c.person_id == owner.person, _R.c.kind == "take"
    return select(_R.c.recording_id).where(*mine, tables.spared(_R))


def _vectors(
    store: Store, tx: Connection, owner: Owner, encoder: Encoder, check: SpeechCheck
) -> dict[str, NDArray[np.float32]]:
    """Both views of the enrollment takes that were kept and can still be read, by recording."""
    mine = _takes_of(owner).add_columns(_R.c.key_id, _R.c.sealed)
    found = {}
    for row in tx.execute(mine.order_by(_R.c.created_at)):
        try:
            flac = store.vault.open(owner.place("recording", row.recording_id), row.key_id, row.sealed)
        except Unreadable:
            continue
        speech = check(from_flac(flac))
        if not isinstance(speech, Unusable):
            found[row.recording_id] = take_views(encoder, speech)
    return found

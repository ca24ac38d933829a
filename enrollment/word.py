"""One word of one person on one purpose: into the ledger, its details sealed apart."""

import json
from datetime import datetime

from sqlalchemy import Connection

from voiceid import policy
from voiceid.errors import KeysUnavailable
from voiceid.store import chain, consents, ids, tables
from voiceid.store.store import Store
from voiceid.store.vault import Place
from voiceid.types import Change, HouseholdId, PersonId, Purpose
from voiceid.views import ConsentDecision, ConsentRecord


def enter(
    store: Store, tx: Connection, household: HouseholdId, person: PersonId, purpose: Purpose, change: Change,
    decision: ConsentDecision, given_by: str,
) -> ConsentRecord:
    """Put one word into the ledger, and what identifies its parties under a key of its own.

    Without a key store the word still counts; only its details are then not kept. So withdrawing always works.
    """
    now, record = store.now(), ids.new_id()
    wording = policy.wording(purpose, decision.language).digest
    verified = decision.verification if given_by == "guardian" and change == "granted" else None
    details = {
        "language": decision.language, "method": decision.method, "given_by": given_by, "verification": verified,
    }
    retention = decision.retention or (policy.default_retention(purpose) if change == "granted" else None)
    place = Place(household, person, "consent_record", record)
    try:
        sealed = store.vault.seal_json(place, details)
        commitment = store.vault.derive(sealed.key_id, json.dumps(details, sort_keys=True).encode())
    except KeysUnavailable:
        if change == "granted":
            raise
        sealed, commitment = None, None
    seq = chain.append(tx, tables.ledger, household, {
        "at": now, "event": change, "person_id": person, "purpose": purpose, "wording": wording,
        "policy_version": decision.policy_version, "retention": retention, "expires_at": decision.expires_at,
        "commitment": commitment,
    })
    if sealed is not None:
        tx.execute(tables.consent_record.insert().values(
            household_id=household, record_id=record, person_id=person, seq=seq, key_id=sealed.key_id,
            sealed=sealed.sealed, created_at=now,
        ))
    return ConsentRecord(
        record, purpose, change, now, decision.policy_version, wording, decision.language, decision.method, given_by,
        verified, decision.expires_at, retention,
    )


def take_back_again(
    store: Store, tx: Connection, household: HouseholdId, person: PersonId, purpose: Purpose, before: datetime
) -> None:
    """In a restored backup: withdraw what was withdrawn after the backup was made, unless it was granted anew since.

    `before` is the end of what the withdrawal reached: later than any word that it took back, whatever clock dated it.
    """
    state = consents.states(tx, household, person).get(purpose)
    if state is None or state.change != "granted" or state.at > before:
        return
    chain.append(tx, tables.ledger, household, {
        "at": store.now(), "event": "withdrawn", "person_id": person, "purpose": purpose,
        "policy_version": policy.version(),
    })

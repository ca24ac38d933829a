"""Consent in standard forms: ISO/IEC TS 27560:2023, W3C Data Privacy Vocabulary, Kantara Consent Receipt 1.1. Pure.

A record says what was shown, when, how, for what, and what came of it. Nobody certifies anything by it: the method
`spoken` is an unverified declaration, and says so.
"""

from dataclasses import dataclass
from typing import Any

from voiceid import policy
from voiceid.types import PersonId, Purpose
from voiceid.views import ConsentRecord, HouseholdView

_STATE = {"granted": "consent given", "denied": "consent refused", "withdrawn": "consent withdrawn",
          "expired": "consent expired"}  # fmt: skip
_DPV_STATE = {"granted": "dpv:ConsentGiven", "denied": "dpv:ConsentRefused", "withdrawn": "dpv:ConsentWithdrawn",
              "expired": "dpv:ConsentExpired"}  # fmt: skip
_PII = {
    "save_recordings": ["voice recording"],
    "voice_id": ["voiceprint (biometric template)"],
    "transcripts": ["text of requests"],
    "adapt": ["voiceprint (biometric template)"],
    "human_review": ["voice recording"],
    "share": ["pseudonym", "display name", "preferences"],
}
_SPECIAL = frozenset({"voiceprint (biometric template)"})
"""Special categories: biometric data used to identify a person, GDPR Art. 9."""
WITHDRAWAL = "DELETE …/people/{p}/consents/{purpose}, the page, or `voiceid revoke`; a signed receipt is given"

_NO_TEXT = "another wording than today's was shown: the one whose digest stands in the privacy notice"
"""Said rather than today's text: a record must not claim that somebody read what they were never shown."""
_NOT_KNOWN = "und"
"""ISO 639: no language known. The details of a word can have been lost; the word itself still counts."""


@dataclass(frozen=True, slots=True)
class Context:
    """What every record of one person shares."""

    home: HouseholdView
    person: PersonId
    jurisdiction: str
    """Where the household is, ISO 3166 or a name; the operator's setting, `unspecified` otherwise."""


def iso_27560(record: ConsentRecord, context: Context) -> dict[str, Any]:
    """One record in the four sections of ISO/IEC TS 27560:2023."""
    name = record.purpose.partition(":")[0]
    wording = policy.wording(Purpose(record.purpose), record.language or "en")
    return {
        "header": {
            "schema_version": "ISO/IEC TS 27560:2023",
            "record_id": _id(record),
            "receipt_id": record.receipt or (_id(record) if record.change == "granted" else None),
            "pii_principal_id": context.person,
        },
        "processing": {
            "privacy_notice": f"/v1/policy (version {record.policy_version}, wording sha256:{record.wording})",
            "language": record.language or _NOT_KNOWN,
            "purpose": [{
                "purpose": record.purpose, "description": wording.title,
                "consent_text": wording.text if wording.digest == record.wording else _NO_TEXT,
            }],
            "lawful_basis": "explicit consent",
            "pii_information": [
                {"pii_type": kind, "pii_attribute_id": record.purpose, "special_category": kind in _SPECIAL,
                 "optional": True}
                for kind in _PII[name]
            ],
            "pii_controllers": [context.home.id],
            "collection_method": record.method or "unknown",
            "processing_method": "on the household's own machine",
            "storage_locations": ["the household's own machine, encrypted"],
            "retention_period": record.retention or "while the consent stands",
            "jurisdiction": context.jurisdiction,
            "recipient_third_parties": [name_of_skill(record.purpose)] if name == "share" else [],
            "withdrawal_method": WITHDRAWAL,
            "privacy_rights": ["access", "erasure", "portability", "withdrawal"],
        },
        "party": [
            {"party_id": context.home.id, "party_role": "PII controller", "party_name": context.home.name},
            {"party_id": context.person, "party_role": "PII principal", "given_by": record.given_by},
        ],
        "event": [
            {
                "event_time": record.at.isoformat(),
                "validity_duration": record.expires_at.isoformat() if record.expires_at else "until withdrawn",
                "entity_id": context.person,
                "event_type": "explicit" if record.change == "granted" else record.change,
                "event_state": _STATE[record.change],
            }
        ],
    }  # fmt: skip


def data_privacy_vocabulary(records: list[ConsentRecord], context: Context) -> dict[str, Any]:
    """All records of one person as JSON-LD in the W3C Data Privacy Vocabulary (DPV 2)."""
    return {
        "@context": {
            "dpv": "https://w3id.org/dpv#",
            "pd": "https://w3id.org/dpv/pd#",
            "dct": "http://purl.org/dc/terms/",
            "xsd": "http://www.w3.org/2001/XMLSchema#",
        },
        "@graph": [_dpv(record, context) for record in records],
    }


def _dpv(record: ConsentRecord, context: Context) -> dict[str, Any]:
    name = record.purpose.partition(":")[0]
    node: dict[str, Any] = {
        "@id": f"urn:voiceid:consent:{_id(record)}",
        "@type": "dpv:ConsentRecord",
        "dct:identifier": _id(record),
        "dct:issued": {"@value": record.at.isoformat(), "@type": "xsd:dateTime"},
        "dct:language": record.language or _NOT_KNOWN,
        "dpv:hasDataSubject": {"@id": f"urn:voiceid:person:{context.person}", "@type": "dpv:DataSubject"},
        "dpv:hasDataController": {"@id": f"urn:voiceid:household:{context.home.id}", "@type": "dpv:DataController"},
        "dpv:hasPurpose": {"@id": f"urn:voiceid:purpose:{record.purpose}", "@type": "dpv:Purpose"},
        "dpv:hasPersonalData": [{"@type": "pd:Voice", "dct:title": kind} for kind in _PII[name]],
        "dpv:hasLegalBasis": {"@type": "dpv:ExplicitlyExpressedConsent"},
        "dpv:hasConsentStatus": {"@id": _DPV_STATE[record.change]},
        "dpv:hasNotice": {"@id": f"urn:sha256:{record.wording}", "@type": "dpv:ConsentNotice"},
        "dpv:hasLocation": {"@type": "dpv:LocalLocation"},
        "dpv:isIndicatedBy": record.given_by,
        "dpv:hasIndicationMethod": record.method,
    }
    if record.expires_at is not None:
        node["dpv:hasExpiry"] = {"@value": record.expires_at.isoformat(), "@type": "xsd:dateTime"}
    return node


def kantara_receipt(record: ConsentRecord, context: Context) -> dict[str, Any]:
    """One grant as a Kantara Consent Receipt, version 1.1.0."""
    name = record.purpose.partition(":")[0]
    kinds = _PII[name]
    special = [kind for kind in kinds if kind in _SPECIAL]
    return {
        "version": "KI-CR-v1.1.0",
        "jurisdiction": context.jurisdiction,
        "consentTimestamp": int(record.at.timestamp()),
        "collectionMethod": record.method or "unknown",
        "consentReceiptID": _id(record),
        "language": record.language or _NOT_KNOWN,
        "piiPrincipalId": context.person,
        "piiControllers": [
            {
                "piiController": context.home.name,
                "onBehalf": False,
                "contact": "the household's owner",
                "address": {"addressCountry": context.jurisdiction},
                "email": "",
                "phone": "",
            }
        ],
        "policyUrl": "/v1/policy",
        "services": [
            {
                "service": "voiceid",
                "purposes": [
                    {
                        "purpose": policy.wording(Purpose(record.purpose), record.language or "en").title,
                        "purposeCategory": ["1 - Core Function"],
                        "consentType": "EXPLICIT",
                        "piiCategory": kinds,
                        "primaryPurpose": name == "voice_id",
                        "termination": record.retention or "when withdrawn",
                        "thirdPartyDisclosure": name == "share",
                        **({"thirdPartyName": name_of_skill(record.purpose)} if name == "share" else {}),
                    }
                ],
            }
        ],
        "sensitive": bool(special),
        "spiCat": special,
    }


def _id(record: ConsentRecord) -> str:
    """The record's own id; of one whose details were lost, what and when."""
    return record.record_id or f"{record.purpose}@{record.at.isoformat()}"


def name_of_skill(purpose: str) -> str:
    """The skill in `share:<skill>`."""
    return purpose.partition(":")[2]

"""Consent in standard forms, held to schemas written from the published lists of fields."""

import io
import json
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from home import Home

from enrollment import record as standard
from voiceid import policy
from voiceid.store import tables
from voiceid.types import PURPOSES, Change, HouseholdId, PersonId, Purpose
from voiceid.views import ConsentRecord, HouseholdView

TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "array", "items": TEXT, "minItems": 1}


def closed(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    """An object with these members and no others."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
    }


# ISO/IEC TS 27560:2023: header, processing, party, event.
ISO_27560 = closed(
    {
        "header": closed(
            {"schema_version": TEXT, "record_id": TEXT, "receipt_id": {"type": ["string", "null"]},
             "pii_principal_id": TEXT}
        ),
        "processing": closed(
            {
                "privacy_notice": TEXT,
                "language": TEXT,
                "purpose": {"type": "array", "minItems": 1, "items": closed(
                    {"purpose": TEXT, "description": TEXT, "consent_text": TEXT})},
                "lawful_basis": TEXT,
                "pii_information": {"type": "array", "minItems": 1, "items": closed(
                    {"pii_type": TEXT, "pii_attribute_id": TEXT, "special_category": {"type": "boolean"},
                     "optional": {"type": "boolean"}})},
                "pii_controllers": TEXTS,
                "collection_method": TEXT,
                "processing_method": TEXT,
                "storage_locations": TEXTS,
                "retention_period": TEXT,
                "jurisdiction": TEXT,
                "recipient_third_parties": {"type": "array", "items": TEXT},
                "withdrawal_method": TEXT,
                "privacy_rights": TEXTS,
            }
        ),
        "party": {"type": "array", "minItems": 2, "items": closed(
            {"party_id": TEXT, "party_role": {"enum": ["PII controller", "PII principal"]}},
            {"party_name": TEXT, "given_by": TEXT})},
        "event": {"type": "array", "minItems": 1, "items": closed(
            {"event_time": {"type": "string", "format": "date-time"}, "validity_duration": TEXT, "entity_id": TEXT,
             "event_type": TEXT, "event_state": {"enum": [
                 "consent given", "consent refused", "consent withdrawn", "consent expired"]}})},
    }
)  # fmt: skip

# Kantara Consent Receipt 1.1.0, section 4.
KANTARA = closed(
    {
        "version": {"const": "KI-CR-v1.1.0"},
        "jurisdiction": TEXT,
        "consentTimestamp": {"type": "integer", "minimum": 0},
        "collectionMethod": TEXT,
        "consentReceiptID": TEXT,
        "piiPrincipalId": TEXT,
        "piiControllers": {"type": "array", "minItems": 1, "items": closed(
            {"piiController": TEXT, "contact": TEXT, "address": {"type": "object"}, "email": {"type": "string"},
             "phone": {"type": "string"}}, {"onBehalf": {"type": "boolean"}, "piiControllerUrl": TEXT})},
        "policyUrl": TEXT,
        "services": {"type": "array", "minItems": 1, "items": closed({
            "service": TEXT,
            "purposes": {"type": "array", "minItems": 1, "items": closed(
                {"purpose": TEXT, "purposeCategory": TEXTS, "consentType": {"enum": ["EXPLICIT", "IMPLICIT"]},
                 "piiCategory": TEXTS, "primaryPurpose": {"type": "boolean"}, "termination": TEXT,
                 "thirdPartyDisclosure": {"type": "boolean"}}, {"thirdPartyName": TEXT})}})},
        "sensitive": {"type": "boolean"},
        "spiCat": {"type": "array", "items": TEXT},
    },
    {"language": {"type": "string", "minLength": 2}, "publicKey": TEXT},
)  # fmt: skip

DPV_NODE = {
    "type": "object",
    "required": [
        "@id", "@type", "dct:issued", "dpv:hasDataSubject", "dpv:hasDataController", "dpv:hasPurpose",
        "dpv:hasPersonalData", "dpv:hasLegalBasis", "dpv:hasConsentStatus", "dpv:hasNotice",
    ],
    "properties": {
        "@type": {"const": "dpv:ConsentRecord"},
        "dpv:hasConsentStatus": {"properties": {"@id": {"enum": [
            "dpv:ConsentGiven", "dpv:ConsentRefused", "dpv:ConsentWithdrawn", "dpv:ConsentExpired"]}}},
    },
}  # fmt: skip

CONTEXT = standard.Context(
    HouseholdView(HouseholdId("h" * 24), "Home", "en-US", datetime(2026, 1, 1, tzinfo=UTC)), PersonId("p" * 24), "DE"
)
EVERY_PURPOSE = [*PURPOSES, Purpose("share:music")]
CHANGES: list[Change] = ["granted", "denied", "withdrawn", "expired"]


def entry(purpose: Purpose, change: Change = "granted", **more: Any) -> ConsentRecord:
    digest = policy.wording(purpose, "de").digest
    at = datetime(2026, 3, 2, 9, tzinfo=UTC)
    how = {"policy_version": policy.version(), "wording": digest, "language": "de", "method": "screen"}
    return ConsentRecord("r" * 24, str(purpose), change, at, given_by="self", **how, **more)


@pytest.mark.parametrize("purpose", EVERY_PURPOSE)
@pytest.mark.parametrize("change", CHANGES)
def test_every_word_is_an_iso_27560_record(purpose: Purpose, change: Change) -> None:
    jsonschema.validate(standard.iso_27560(entry(purpose, change), CONTEXT), ISO_27560)


@pytest.mark.parametrize("purpose", EVERY_PURPOSE)
def test_every_grant_is_a_kantara_receipt(purpose: Purpose) -> None:
    receipt = standard.kantara_receipt(entry(purpose, retention="days:30"), CONTEXT)

    jsonschema.validate(receipt, KANTARA)
    assert receipt["services"][0]["purposes"][0]["termination"] == "days:30"


@pytest.mark.parametrize("change", CHANGES)
def test_every_word_is_a_dpv_consent_record(change: Change) -> None:
    records = [entry(purpose, change) for purpose in EVERY_PURPOSE]
    document = standard.data_privacy_vocabulary(records, CONTEXT)

    assert len({node["dpv:hasPurpose"]["@id"] for node in document["@graph"]}) == len(EVERY_PURPOSE)
    prefixes = {term.split(":")[0] for node in document["@graph"] for term in node if not term.startswith("@")}
    assert prefixes <= document["@context"].keys()
    for node in document["@graph"]:
        jsonschema.validate(node, DPV_NODE)


def test_a_record_names_what_was_shown_and_a_skill_that_learns_of_it() -> None:
    shared = standard.iso_27560(entry(Purpose("share:music")), CONTEXT)
    own = standard.iso_27560(entry(Purpose("voice_id")), CONTEXT)

    assert shared["processing"]["recipient_third_parties"] == ["music"]
    assert own["processing"]["recipient_third_parties"] == []
    assert own["processing"]["purpose"][0]["consent_text"] == policy.wording(Purpose("voice_id"), "de").text
    assert policy.wording(Purpose("voice_id"), "de").digest in own["processing"]["privacy_notice"]
    assert standard.kantara_receipt(entry(Purpose("voice_id")), CONTEXT)["sensitive"] is True
    assert standard.kantara_receipt(entry(Purpose("transcripts")), CONTEXT)["sensitive"] is False


def test_a_record_never_claims_that_todays_words_were_shown_before() -> None:
    """The digest of what was shown is kept; the text is stated only if it still fits."""
    older = replace(entry(Purpose("voice_id")), wording="0" * 64)
    record = standard.iso_27560(older, CONTEXT)

    jsonschema.validate(record, ISO_27560)
    assert policy.wording(Purpose("voice_id"), "de").text not in json.dumps(record, ensure_ascii=False)
    assert "0" * 64 in record["processing"]["privacy_notice"]


def test_what_is_handed_out_fits_the_schemas_also_when_details_were_lost(tmp_path: Path) -> None:
    """The key of one record is gone, as after a damage: the word still counts, and is still told."""
    with Home(tmp_path / "home") as home:
        home.joins("ada").grants("ada", "voice_id", "transcripts", "share:music").withdraws("ada", "transcripts")
        first = min(home.rows(tables.consent_record), key=lambda row: row.seq)
        home.services.store.keys.destroy([first.key_id])
        content = home.call("GET", f"{home['ada'].path}/export", home["ada"].headers).content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        iso, kantara, dpv = (
            json.loads(archive.read(f"consents/{name}")) for name in ("iso-27560.json", "kantara.json", "dpv.jsonld")
        )
    assert (len(iso), len(kantara), len(dpv["@graph"])) == (4, 3, 4)
    assert iso[0]["processing"]["language"] == "und"
    for record in iso:
        jsonschema.validate(record, ISO_27560)
    for receipt in kantara:
        jsonschema.validate(receipt, KANTARA)
    for node in dpv["@graph"]:
        jsonschema.validate(node, DPV_NODE)


def test_the_schemas_refuse_what_is_missing() -> None:
    record = standard.iso_27560(entry(Purpose("voice_id")), CONTEXT)
    del record["processing"]["withdrawal_method"]
    receipt = standard.kantara_receipt(entry(Purpose("voice_id")), CONTEXT)
    del receipt["policyUrl"]

    for document, schema in ((record, ISO_27560), (receipt, KANTARA)):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document, schema)

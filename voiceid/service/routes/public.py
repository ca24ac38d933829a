"""What anybody may read: policy, receipts, keys; and the response templates of a household."""

import io
import json
from functools import cache
from importlib import resources
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, Field

from voiceid import jws, policy, respond
from voiceid.errors import InvalidRequest
from voiceid.ports import Actor
from voiceid.service.auth import Action, may
from voiceid.service.routes.common import PENDING, House, Input, Wired, receipt_status
from voiceid.types import ModelId
from voiceid.views import Receipt, ResponseTemplate

router = APIRouter()
_EXPECTED = resources.files("voiceid") / "data" / "expected.json"

MayRead = Annotated[Actor, Depends(may(Action.READ_RESPONSES))]
MayWrite = Annotated[Actor, Depends(may(Action.WRITE_RESPONSES))]
Intent = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Language = Annotated[str, Query(max_length=35, description="`en`, `de` or `es`.")]


class Signed(Input):
    """A receipt as it was handed out."""

    jws: str = Field(max_length=1_000_000)


class Verified(BaseModel):
    """A receipt whose signature fits."""

    valid: bool
    receipt: dict[str, Any]


class Drawn(Input):
    """What a QR code is to say."""

    text: str = Field(min_length=1, max_length=300)


class Texts(Input):
    """Two Jinja2 templates for one intent."""

    personal: str = Field(max_length=respond.TEMPLATE_CHARS)
    anonymous: str = Field(max_length=respond.TEMPLATE_CHARS)


@router.get("/v1/policy", tags=["public"])
def read_policy(services: Wired, language: Language = "en") -> dict[str, Any]:
    """Purposes, wording, versions and the retention schedule."""
    if language not in policy.LANGUAGES:
        raise InvalidRequest("language: one of " + ", ".join(policy.LANGUAGES))
    settings = services.settings
    bounds = policy.Bounds(settings.recording_days, settings.transcript_days)
    shown = policy.document(language, settings.consent_rule, bounds)
    share = services.recognizer.bars.name
    chosen = services.settings.policy
    measured = _expected(services.recognizer.bars.model_id, chosen)
    return shown | {"recognition": {"policy": chosen, "guests_named_at_most": share, "measured": measured}}


@cache
def _expected(encoder: ModelId, chosen: str) -> dict[str, Any] | None:
    """What was measured with this encoder and policy; None if nothing was."""
    found: dict[str, Any] = json.loads(_EXPECTED.read_text()) if _EXPECTED.is_file() else {}
    return found if (found.get("encoder"), found.get("policy")) == (encoder, chosen) else None


@router.post(
    "/v1/qr", tags=["public"], response_class=Response, responses={200: {"content": {"image/svg+xml": {}}}}
)
def draw_qr(body: Drawn) -> Response:
    """Draw a short text, such as an invitation's link, as a QR code. Nothing of it is kept."""
    drawing = io.BytesIO()
    import segno  # noqa: PLC0415 few ever draw one

    segno.make_qr(body.text, error="m").save(drawing, kind="svg", border=2, light="#fff", xmldecl=False)
    return Response(drawing.getvalue(), media_type="image/svg+xml", headers={"Cache-Control": "no-store"})


@router.get("/v1/receipts/{receipt}", tags=["public"], responses=PENDING)
def read_receipt(receipt: str, services: Wired, response: Response) -> Receipt:
    """A receipt, for anyone who holds its unguessable id, also when its person is gone."""
    return receipt_status(services.forgetting.receipt(receipt), response)


@router.post("/v1/receipts/verify", tags=["public"])
def verify_receipt(body: Signed, services: Wired) -> Verified:
    """Check a receipt's signature against this installation's key."""
    return Verified(valid=True, receipt=jws.verify(body.jws, services.forgetting.public_keys()["keys"]))


@router.get("/.well-known/voiceid-keys.json", tags=["public"])
def read_keys(services: Wired) -> dict[str, Any]:
    """The public keys that receipts verify with, as a JSON Web Key Set."""
    return services.forgetting.public_keys()


@router.get("/v1/households/{household}/responses/{intent}", tags=["responses"])
def read_responses(household: House, intent: Intent, services: Wired, _: MayRead) -> ResponseTemplate:
    """The texts for one intent: the household's own, else the shipped ones."""
    own = services.responses.template(household, intent)
    return own or respond.shipped(intent, services.households.get(household).locale)


@router.put("/v1/households/{household}/responses/{intent}", tags=["responses"])
def write_responses(
    household: House, intent: Intent, body: Texts, services: Wired, actor: MayWrite
) -> ResponseTemplate:
    """Replace the texts for one intent."""
    template = ResponseTemplate(intent, body.personal, body.anonymous)
    respond.check(template)
    services.responses.put(actor, household, template)
    return template

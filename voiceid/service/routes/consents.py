"""Consent: state, history, yes, no, and taking it back."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from voiceid.errors import InvalidRequest, NotFound
from voiceid.policy import has_its_own_time, version
from voiceid.ports import Actor
from voiceid.service.auth import Action, may
from voiceid.service.routes.common import (
    PENDING,
    PEOPLE,
    House,
    Input,
    Instant,
    Person,
    PurposePath,
    Wired,
    receipt_status,
)
from voiceid.types import Purpose
from voiceid.views import ConsentDecision, ConsentRecord, PurposeState, Receipt

router = APIRouter(prefix=PEOPLE + "/{person}/consents", tags=["consents"])

MayRead = Annotated[Actor, Depends(may(Action.READ))]
MayGrant = Annotated[Actor, Depends(may(Action.GRANT))]
MayWithdraw = Annotated[Actor, Depends(may(Action.WITHDRAW))]


class ConsentList(BaseModel):
    """Where every purpose stands."""

    policy_version: str
    purposes: list[PurposeState]


class Decided(Input):
    """What the person decided, and what they were shown."""

    decision: Literal["granted", "denied"]
    policy_version: str = Field(max_length=40)
    """`version` of the policy that was shown; 409 if it is no longer the current one."""
    language: str = Field(max_length=8)
    method: Literal["screen", "spoken", "api"]
    """`spoken` is recorded as an unverified declaration."""
    retention: str | None = Field(None, max_length=20)
    """`until_deleted`, `18_months`, `3_months`, `days:N` or `none`; for `save_recordings`, `transcripts`, `adapt`."""
    expires_at: Instant | None = None
    verification: Literal["session", "signed_form"] = "session"
    """How a child's guardian was verified: by their own session, or by a signed form that the household keeps."""


@router.get("")
def list_consents(household: House, person: Person, services: Wired, actor: MayRead) -> ConsentList:
    """Show each purpose's state and full history. That a guardian looked enters the child's activity."""
    services.traces.looked(actor, household, person, "consents read")
    return ConsentList(policy_version=version(), purposes=services.consents.states(household, person))


@router.put("/{purpose}")
def decide(
    household: House, person: Person, purpose: PurposePath, body: Decided, services: Wired, actor: MayGrant
) -> ConsentRecord:
    """Record a yes or a no to one purpose. A no to what was granted erases what it allowed."""
    if body.retention is not None and not has_its_own_time(purpose):
        raise InvalidRequest("retention: what this purpose allows has no time to choose; see expires_at")
    moment: datetime | None = body.expires_at
    decision = ConsentDecision(
        body.decision, body.policy_version, body.language, body.method, body.retention, moment, body.verification
    )
    return services.consents.put(actor, household, person, purpose, decision)


@router.delete("/{purpose}", responses=PENDING)
def withdraw(
    household: House, person: Person, purpose: PurposePath, services: Wired, actor: MayWithdraw, response: Response
) -> Receipt:
    """Take consent to one purpose back; what only it allowed is erased."""
    return receipt_status(services.forgetting.withdraw(actor, household, person, [purpose]), response)


@router.delete("", responses=PENDING)
def withdraw_all(
    household: House, person: Person, services: Wired, actor: MayWithdraw, response: Response
) -> Receipt:
    """Take every consent back at once."""
    states = services.consents.states(household, person)
    granted = [Purpose(state.purpose) for state in states if state.history and state.history[-1].change == "granted"]
    if not granted:
        raise NotFound("nothing is granted")
    return receipt_status(services.forgetting.withdraw(actor, household, person, granted), response)

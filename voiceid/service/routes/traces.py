"""What was kept of a person, for that person: recordings, interactions, activity."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from voiceid.ports import Actor
from voiceid.service.auth import Action, may
from voiceid.service.routes.common import (
    PENDING,
    PEOPLE,
    Cursor,
    House,
    Input,
    Instant,
    Limit,
    Page,
    Person,
    RecordId,
    Wired,
    receipt_status,
)
from voiceid.views import ActivityEntry, InteractionView, Receipt, RecordingView, ReviewGrant

router = APIRouter(prefix=PEOPLE + "/{person}", tags=["mine"])

MayRead = Annotated[Actor, Depends(may(Action.READ))]
MayHear = Annotated[Actor, Depends(may(Action.HEAR))]
MayReview = Annotated[Actor, Depends(may(Action.REVIEW))]
MayWithdraw = Annotated[Actor, Depends(may(Action.WITHDRAW))]
Passphrase = Annotated[
    str | None,
    Header(alias="Voiceid-Passphrase", min_length=8, max_length=200, description="Encrypts the zip, age format."),
]
Moment = Annotated[Instant | None, Query(description="RFC 3339, with its zone.")]


class NewReview(Input):
    """Whom to let hear what, and why."""

    recording: str = Field(pattern=r"^[a-z2-7]{24}$")
    reviewer: str = Field(min_length=1, max_length=80)
    reason: str = Field(min_length=1, max_length=400)


@router.get("/recordings")
def list_recordings(
    household: House, person: Person, services: Wired, actor: MayRead, cursor: Cursor = "", limit: Limit = 50
) -> Page[RecordingView]:
    """List the recordings that were kept."""
    found = services.traces.recordings(actor, household, person, cursor, limit)
    return Page.of(found, limit, found[-1].id if found else "")


@router.get("/recordings/{recording}", response_class=Response, responses={200: {"content": {"audio/flac": {}}}})
def hear_recording(
    household: House, person: Person, recording: RecordId, services: Wired, actor: MayHear
) -> Response:
    """Hear one recording."""
    sound = services.traces.hear(actor, household, person, recording)
    return Response(sound, media_type="audio/flac", headers={"Cache-Control": "no-store"})


@router.delete("/recordings/{recording}", responses=PENDING)
def delete_recording(
    household: House, person: Person, recording: RecordId, services: Wired, actor: MayWithdraw, response: Response
) -> Receipt:
    """Shred one recording."""
    return receipt_status(services.forgetting.delete_recording(actor, household, person, recording), response)


@router.post("/reviews", status_code=201)
def grant_review(
    household: House, person: Person, body: NewReview, services: Wired, actor: MayReview
) -> ReviewGrant:
    """Let one named reviewer hear one recording, for a stated reason, for a day."""
    return services.reviews.grant(actor, household, person, body.recording, body.reviewer, body.reason)


@router.get("/interactions")
def list_interactions(
    household: House, person: Person, services: Wired, actor: MayRead, cursor: Cursor = "", limit: Limit = 50
) -> Page[InteractionView]:
    """List the requests in which this person was recognized and something was kept."""
    found = services.traces.interactions(actor, household, person, cursor, limit)
    return Page.of(found, limit, found[-1].id if found else "")


@router.delete("/interactions", responses=PENDING)
def delete_interactions(
    household: House, person: Person, services: Wired, actor: MayWithdraw, response: Response,
    since: Moment = None, until: Moment = None,
) -> Receipt:
    """Erase all interactions, or those of a time range, with their text and sound."""
    done = services.forgetting.delete_interactions(actor, household, person, since=since, until=until)
    return receipt_status(done, response)


@router.delete("/interactions/{interaction}", responses=PENDING)
def delete_interaction(
    household: House, person: Person, interaction: RecordId, services: Wired, actor: MayWithdraw, response: Response
) -> Receipt:
    """Erase one interaction, with its text and sound."""
    done = services.forgetting.delete_interactions(actor, household, person, only=interaction)
    return receipt_status(done, response)


@router.post("/interactions/{interaction}/not-me", responses=PENDING)
def not_me(
    household: House, person: Person, interaction: RecordId, services: Wired, actor: MayWithdraw, response: Response
) -> Receipt:
    """Somebody else was taken for me: erase what was kept of it, at once."""
    return receipt_status(services.forgetting.not_me(actor, household, person, interaction), response)


@router.get("/export", response_class=StreamingResponse, responses={200: {"content": {"application/zip": {}}}})
def export(
    household: House, person: Person, services: Wired, actor: MayRead, passphrase: Passphrase = None
) -> Response:
    """Everything of mine, as a zip; with a passphrase, encrypted in the age format."""
    chunks = services.exports.export(actor, household, person)
    headers = {"Cache-Control": "no-store"}
    if passphrase is None:
        return StreamingResponse(chunks, media_type="application/zip", headers=headers)
    import pyrage  # noqa: PLC0415 few ask for it

    sealed = pyrage.passphrase.encrypt(b"".join(chunks), passphrase)
    return Response(sealed, media_type="application/age", headers=headers)


@router.get("/activity")
def list_activity(
    household: House, person: Person, services: Wired, actor: MayRead, cursor: Cursor = "", limit: Limit = 50
) -> Page[ActivityEntry]:
    """Who accessed what of mine, when, and why, and which requests that left something named me; newest first."""
    found = services.traces.activity(actor, household, person, cursor, limit)
    return Page.of([entry for _, entry in found], limit, found[-1][0] if found else "")

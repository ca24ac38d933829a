"""The guided enrollment, and deleting a voiceprint."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from voiceid.decode import decode
from voiceid.memory import give_back
from voiceid.policy import language_of
from voiceid.ports import Actor
from voiceid.service.answering import LOCALE
from voiceid.service.auth import Action, may
from voiceid.service.openapi import AUDIO_REQUEST
from voiceid.service.routes.common import (
    PENDING,
    PEOPLE,
    Audio,
    House,
    Input,
    Person,
    RecordId,
    Wired,
    receipt_status,
)
from voiceid.views import EnrollmentState, Receipt, TakeResult, VoiceprintView

router = APIRouter(prefix=PEOPLE + "/{person}", tags=["enrollment"])

MayEnroll = Annotated[Actor, Depends(may(Action.GRANT))]
MayWithdraw = Annotated[Actor, Depends(may(Action.WITHDRAW))]


class NewEnrollment(Input):
    """How to guide."""

    locale: str = Field("en", pattern=LOCALE, max_length=35)
    """In which language to show the sentences."""


class Completed(Input):
    """What came of it."""

    voiceprint: VoiceprintView


@router.post("/enrollments", status_code=201)
def start_enrollment(
    household: House, person: Person, services: Wired, actor: MayEnroll, body: NewEnrollment | None = None
) -> EnrollmentState:
    """Begin; the sentences to read come with the answer."""
    language = language_of((body or NewEnrollment()).locale)
    return services.enrollments.start(actor, household, person, language)


@router.post("/enrollments/{enrollment}/takes", openapi_extra=AUDIO_REQUEST)
async def add_take(
    household: House, person: Person, enrollment: RecordId, actor: MayEnroll, audio: Audio, services: Wired
) -> TakeResult:
    """Send one take; the answer tells what was wrong, what to do, and how far it is."""

    def work() -> TakeResult:
        pcm = decode(audio.content, audio.content_type, max_s=services.settings.max_audio_s)
        return services.enrollments.add_take(actor, household, person, enrollment, pcm)

    return await services.pool.run(work)


@router.post("/enrollments/{enrollment}/complete")
def complete_enrollment(
    household: House, person: Person, enrollment: RecordId, services: Wired, actor: MayEnroll
) -> Completed:
    """Make the voiceprint from the accepted takes."""
    voiceprint = services.enrollments.complete(actor, household, person, enrollment)
    give_back()  # long takes leave 6 MB behind
    return Completed(voiceprint=voiceprint)


@router.delete("/enrollments/{enrollment}", status_code=204)
def abandon_enrollment(
    household: House, person: Person, enrollment: RecordId, services: Wired, actor: MayEnroll
) -> None:
    """Give up: nothing is kept."""
    services.enrollments.abandon(actor, household, person, enrollment)


@router.delete("/voiceprint", responses=PENDING)
def delete_voiceprint(
    household: House, person: Person, services: Wired, actor: MayWithdraw, response: Response
) -> Receipt:
    """Erase the voiceprint; consents stay as they are."""
    return receipt_status(services.forgetting.delete_voiceprint(actor, household, person), response)

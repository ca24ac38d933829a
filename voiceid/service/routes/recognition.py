"""Who is speaking: among everybody who agreed, or one person alone."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from voiceid.decode import decode
from voiceid.errors import NotAllowed
from voiceid.listen import Wish
from voiceid.ports import Actor, Request
from voiceid.service.answering import INTENT_CHARS, LOCALE, LOCALE_CHARS, answered, may_recognize
from voiceid.service.auth import Action, may
from voiceid.service.openapi import AUDIO_REQUEST
from voiceid.service.routes.common import PEOPLE, Audio, House, Person, Wired
from voiceid.views import Answer, Verification

router = APIRouter(tags=["recognition"])

MayRecognize = Annotated[Actor, Depends(may_recognize)]
MayVerify = Annotated[Actor, Depends(may(Action.VERIFY))]
Intent = Annotated[str | None, Query(max_length=INTENT_CHARS, description="What was asked for, such as `weather`.")]
Locale = Annotated[str | None, Query(max_length=LOCALE_CHARS, pattern=LOCALE, description="BCP 47.")]
Explain = Annotated[int, Query(ge=0, le=1, description="1: with score, threshold and timing; for owner and person.")]


@router.post(
    "/v1/households/{household}/recognize", openapi_extra=AUDIO_REQUEST,
    response_model_exclude_defaults=True,  # what a caller may not see is absent, not null
)
async def recognize(
    household: House, actor: MayRecognize, audio: Audio, services: Wired, intent: Intent = None,
    locale: Locale = None, explain: Explain = 0,
) -> Answer:
    """Answer one utterance: personally whom we know and may know, anonymously everybody else."""
    return await answered(services, household, actor, audio, Wish(intent, locale, explain == 1))


@router.post(PEOPLE + "/{person}/verify", openapi_extra=AUDIO_REQUEST)
async def verify(household: House, person: Person, actor: MayVerify, audio: Audio, services: Wired) -> Verification:
    """Whether this person is speaking. A voice is not a password: never open a door or move money on this alone."""

    def work() -> Verification:
        profile = services.people.profile(household, person)
        if actor.role == "device" and not profile.verify_by_device:
            raise NotAllowed("this person has not allowed devices to verify them")
        pcm = decode(audio.content, audio.content_type, max_s=services.settings.max_audio_s)
        return services.recognizer.verify(Request(pcm), household, person)

    return await services.pool.run(work)

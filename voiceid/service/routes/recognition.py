"""Who is speaking: among everybody who agreed, or one person alone."""

import re
import time
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from voiceid.decode import decode
from voiceid.errors import InvalidRequest, NotAllowed
from voiceid.ports import Actor, Request
from voiceid.service.auth import Action, may
from voiceid.service.body import Audio, AudioBody
from voiceid.service.openapi import AUDIO_REQUEST
from voiceid.service.routes.common import LOCALE, PEOPLE, House, Person, Wired
from voiceid.views import Answer, Verification

router = APIRouter(tags=["recognition"])
_INTENT_CHARS, _TRANSCRIPT_CHARS, _LOCALE_CHARS = 64, 4000, 35

MayRecognize = Annotated[Actor, Depends(may(Action.RECOGNIZE))]
MayVerify = Annotated[Actor, Depends(may(Action.VERIFY))]
Intent = Annotated[str | None, Query(max_length=_INTENT_CHARS, description="What was asked for, such as `weather`.")]
Locale = Annotated[str | None, Query(max_length=_LOCALE_CHARS, pattern=LOCALE, description="BCP 47.")]
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
    fields = _fields(audio, intent, locale)

    def work() -> Answer:
        pcm = decode(audio.content, audio.content_type, max_s=services.settings.max_audio_s)
        began = time.perf_counter()
        request = Request(pcm, fields["intent"], fields["transcript"], fields["locale"])
        answer = services.recognizer.recognize(request, household, actor, explain=explain == 1)
        services.metrics.answered(answer, time.perf_counter() - began)
        return answer

    return await services.pool.run(work)


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


def _fields(audio: AudioBody, intent: str | None, locale: str | None) -> dict[str, str | None]:
    """The texts beside the sound: from the form, else from the query. A transcript never travels in an address."""
    found = {
        "intent": audio.fields.get("intent") or intent or None,
        "transcript": audio.fields.get("transcript") or None,
        "locale": audio.fields.get("locale") or locale or None,
    }
    for name, most in (("intent", _INTENT_CHARS), ("transcript", _TRANSCRIPT_CHARS), ("locale", _LOCALE_CHARS)):
        if len(found[name] or "") > most or "\x00" in (found[name] or ""):
            raise InvalidRequest(f"{name}: a text of at most {most} characters")
    if found["locale"] and not re.fullmatch(LOCALE, found["locale"]):
        raise InvalidRequest("locale: not as in BCP 47")
    return found

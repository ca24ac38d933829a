"""What answers an utterance, whoever took the request in: the web framework's routes, or the front door before them."""

import asyncio
import re
import time
from dataclasses import MISSING, fields

import msgspec
from starlette.datastructures import QueryParams
from starlette.websockets import WebSocket

from voiceid.decode import decode
from voiceid.errors import InvalidRequest, VoiceIdError
from voiceid.listen import Listener, Wish
from voiceid.ports import Actor, Request
from voiceid.service.auth import Action, caller, may
from voiceid.service.body import AudioBody
from voiceid.service.problems import foreseen
from voiceid.service.services import Services, services_of
from voiceid.service.stream import Stream, refuse
from voiceid.types import HouseholdId
from voiceid.views import Answer

ID = "[a-z2-7]{24}"
LOCALE = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$"
INTENT_CHARS, LOCALE_CHARS = 64, 35
_TRANSCRIPT_CHARS = 4000
_UNSAID = {one.name: one.default for one in fields(Answer) if one.default is not MISSING}
may_recognize = may(Action.RECOGNIZE)


def wish(asked: QueryParams) -> Wish:
    """What the address asks for.

    Raises: InvalidRequest.
    """
    intent, locale, explain = asked.get("intent"), asked.get("locale"), asked.get("explain", "0")
    _check(intent, None, locale)
    if explain not in {"0", "1"}:
        raise InvalidRequest("explain: 0 or 1")
    return Wish(intent, locale, explain == "1")


async def answered(services: Services, household: HouseholdId, actor: Actor, audio: AudioBody, wished: Wish) -> Answer:
    """Answer one utterance: personally whom we know and may know, anonymously everybody else.

    The texts beside the sound come from the form, else from the address; a transcript never travels in an address.
    Raises: InvalidRequest; Busy; what decode() and Recognizer.recognize() raise.
    """
    beside = audio.fields
    intent, locale = beside.get("intent") or wished.intent or None, beside.get("locale") or wished.locale or None
    transcript = beside.get("transcript") or None
    _check(intent, transcript, locale)

    def work() -> Answer:
        pcm = decode(audio.content, audio.content_type, max_s=services.settings.max_audio_s)
        began = time.perf_counter()
        request = Request(pcm, intent, transcript, locale)
        answer = services.recognizer.recognize(request, household, actor, explain=wished.explain)
        services.metrics.answered(answer, time.perf_counter() - began)
        return answer

    return await services.pool.run(work)


def as_json(answer: Answer) -> bytes:
    """The answer as it is told: what a caller may not see is absent, not null."""
    told = {one.name: getattr(answer, one.name) for one in fields(Answer)}
    return msgspec.json.encode(
        {name: value for name, value in told.items() if name not in _UNSAID or value != _UNSAID[name]}
    )


async def listen(socket: WebSocket, household: str) -> None:
    """Name the speaker while they speak. In: PCM16 in chunks; out: JSON events; see docs/listen.md."""
    services = services_of(socket)
    await socket.accept()
    try:
        actor = await asyncio.to_thread(may_recognize, socket)
        with services.streams.one(household, actor.id):
            await _stream(socket, services, HouseholdId(household), actor, wish(socket.query_params)).run()
    except Exception as error:
        await refuse(socket, foreseen(error))  # by no name of its own, which would keep the sound (problems.Net)
        if type(foreseen(error)) is VoiceIdError:
            raise


def _stream(socket: WebSocket, services: Services, household: HouseholdId, actor: Actor, wished: Wish) -> Stream:
    listener = Listener(
        services.recognizer,
        services.voice_activity,
        household,
        actor,
        longest_s=services.settings.max_audio_s,
        wish=wished,
    )
    return Stream(
        socket,
        services.pool,
        listener,
        still_welcome=lambda: caller(socket),
        heard=lambda event, took_s: services.metrics.answered(event.answer, took_s),
    )


def _check(intent: str | None, transcript: str | None, locale: str | None) -> None:
    """Refuse a text that nothing could be done with.

    Raises: InvalidRequest.
    """
    given = (("intent", intent, INTENT_CHARS), ("transcript", transcript, _TRANSCRIPT_CHARS),
             ("locale", locale, LOCALE_CHARS))  # fmt: skip
    for name, text, most in given:
        if len(text or "") > most or "\x00" in (text or ""):
            raise InvalidRequest(f"{name}: a text of at most {most} characters")
    if locale is not None and not re.fullmatch(LOCALE, locale):
        raise InvalidRequest("locale: not as in BCP 47")

"""Live recognition over a WebSocket."""

import asyncio
import re

from fastapi import APIRouter, WebSocket

from voiceid.errors import InvalidRequest, VoiceIdError
from voiceid.listen import Listener, Wish
from voiceid.ports import Actor
from voiceid.service.auth import Action, caller, may
from voiceid.service.problems import foreseen
from voiceid.service.routes.common import LOCALE
from voiceid.service.services import Services, services_of
from voiceid.service.stream import Stream, refuse
from voiceid.types import HouseholdId

router = APIRouter()
_INTENT_CHARS, _LOCALE_CHARS = 64, 35
_may_listen = may(Action.RECOGNIZE)


@router.websocket("/v1/households/{household}/listen")
async def listen(socket: WebSocket, household: str) -> None:
    """Name the speaker while they speak. In: PCM16 in chunks; out: JSON events; see docs/listen.md."""
    services = services_of(socket)
    await socket.accept()
    try:
        actor = await asyncio.to_thread(_may_listen, socket)
        with services.streams.one(household, actor.id):
            await _stream(socket, services, HouseholdId(household), actor, _wish(socket)).run()
    except Exception as error:
        known = foreseen(error)
        await refuse(socket, known)
        if type(known) is VoiceIdError:
            raise


def _stream(socket: WebSocket, services: Services, household: HouseholdId, actor: Actor, wish: Wish) -> Stream:
    listener = Listener(
        services.recognizer, services.voice_activity, household, actor,
        longest_s=services.settings.max_audio_s, wish=wish,
    )
    return Stream(
        socket, services.pool, listener, still_welcome=lambda: caller(socket),
        heard=lambda event, took_s: services.metrics.answered(event.answer, took_s),
    )


def _wish(socket: WebSocket) -> Wish:
    """What the address asks for.

    Raises: InvalidRequest.
    """
    asked = socket.query_params
    intent, locale, explain = asked.get("intent"), asked.get("locale"), asked.get("explain", "0")
    if intent is not None and len(intent) > _INTENT_CHARS:
        raise InvalidRequest("intent")
    if locale is not None and (len(locale) > _LOCALE_CHARS or not re.fullmatch(LOCALE, locale)):
        raise InvalidRequest("locale")
    if explain not in {"0", "1"}:
        raise InvalidRequest("explain")
    return Wish(intent, locale, explain == "1")

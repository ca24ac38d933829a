"""Every failure as RFC 9457 problem details. A problem names the field, never its value: that may be a voice."""

import logging
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voiceid.errors import InvalidRequest, MethodNotAllowed, NotAuthenticated, NotFound, VoiceIdError

MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger(__name__)


def foreseen(error: Exception) -> VoiceIdError:
    """Any exception as one of ours."""
    match error:
        case VoiceIdError():
            return error
        case HTTPException(__cause__=VoiceIdError() as cause):  # raised while FastAPI read the body
            return cause
        case HTTPException(status_code=404 | 405 as status):
            return NotFound() if status == 404 else MethodNotAllowed()  # noqa: PLR2004 Not Found
        case HTTPException():
            return InvalidRequest("body: cannot be read")
        case _:
            return VoiceIdError()


def as_problem(error: VoiceIdError) -> dict[str, Any]:
    """RFC 9457 members; the WebSocket sends the same ones before it closes."""
    return {
        **error.facts,
        "type": f"/problems/{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": str(error),
    }


def answer(error: VoiceIdError) -> JSONResponse:
    """The response that tells a failure."""
    headers = {}
    if error.status in {429, 503}:
        headers["Retry-After"] = str(error.facts.get("retry_after_s", 5))
    if isinstance(error, NotAuthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(as_problem(error), error.status, headers, MEDIA_TYPE)


class Net:
    """ASGI middleware: the last catch. It logs where, never what: a message could quote content.

    No name here outlives the failure: it refers to all that was being done, and that to this; the sound would stay.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; answer what nobody foresaw with a problem, unless an answer has begun."""
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:  # noqa: BLE001 the last catch
            if foreseen(error).code == "internal":
                _log.error("unforeseen %s at %s", type(error).__name__, _place(error))
            told = answer(foreseen(error))
        else:
            return
        if scope["type"] == "http" and not begun:
            await told(scope, receive, send)


def _place(error: Exception) -> str:
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    return f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else "?"


PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "Ends in a stable code; docs/errors.md lists them all."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}

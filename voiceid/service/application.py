"""The whole HTTP application over wired services: every route, the description of all, an answer to every failure."""

import contextlib
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from voiceid.errors import InvalidRequest, VoiceIdError
from voiceid.service import openapi, page, wiring
from voiceid.service.body import BodyCap
from voiceid.service.problems import Net, answer, foreseen
from voiceid.service.routes import (
    consents,
    enrollments,
    health,
    households,
    lan,
    listen,
    people,
    public,
    recognition,
    session,
    session_pin,
    traces,
)
from voiceid.service.services import Services

_ROUTES = (recognition, listen, health, households, people, session, session_pin, consents, enrollments, traces, lan,
           public, page)  # fmt: skip
_TELLS_NOBODY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""What the web framework would else report of requests to whatever its environment names: paths, errors."""


def create_app(services: Services) -> FastAPI:
    """Build it. Its lifespan runs the clocks of wiring.alive(), unless whoever serves it runs them."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with wiring.alive(services):
            yield

    app = FastAPI(
        title="voiceid",
        version=version("voiceid"),
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        description="A household's own Voice ID: it remembers a voice only with consent, and proves it has forgotten.",
        telemetry=_TELLS_NOBODY,
    )
    app.state.services = services
    for routes in _ROUTES:
        app.include_router(routes.router)
    _answer_failures(app)
    app.add_middleware(BodyCap, max_body_mb=services.settings.max_body_mb)
    app.openapi = lambda: openapi.describe(app)  # type: ignore[method-assign]  # FastAPI's own way to replace it
    return app


def _answer_failures(app: FastAPI) -> None:
    async def handle(_request: Request, error: Exception) -> JSONResponse:
        if isinstance(error, RequestValidationError):
            error = InvalidRequest(", ".join(sorted({_field(one) for one in error.errors()})))
        return answer(foreseen(error))

    for kind in (VoiceIdError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, handle)
    app.add_middleware(Net)


def _field(problem: Any) -> str:
    """Where the fault lies. A name that the caller made up is not repeated: it may be content in the wrong place."""
    made_up = problem["type"] == "extra_forbidden"
    known = problem["loc"][:-1] if made_up else problem["loc"]
    return ".".join([*map(str, known), *(["unknown field"] if made_up else [])])

"""The published description of the API, made true: audio bodies, problems, the bearer token."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from voiceid.service.problems import MEDIA_TYPE, PROBLEM_SCHEMA

_BINARY = {"schema": {"type": "string", "format": "binary"}}
AUDIO_TYPES = ("audio/wav", "audio/flac", "audio/ogg", "audio/mpeg", "audio/pcm;rate=16000;encoding=s16le;channels=1")
AUDIO_REQUEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            **dict.fromkeys(AUDIO_TYPES, _BINARY),
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["audio"],
                    "properties": {
                        "audio": {"type": "string", "format": "binary"},
                        "intent": {"type": "string"},
                        "transcript": {"type": "string"},
                        "locale": {"type": "string"},
                    },
                }
            },
        },
    }
}
_PROBLEMS = {
    "401": "A valid token is needed.",
    "403": "This token may not do that.",
    "404": "No such thing here.",
    "405": "This path does not know that method.",
    "409": "At odds with what is on record.",
    "410": "This has been erased.",
    "413": "Too large or too long.",
    "415": "Not a form of audio that we read.",
    "421": "This service does not go by that name.",
    "422": "Not as documented.",
    "429": "Too often; `Retry-After` says when again.",
    "503": "Not right now; `Retry-After` says when.",
}
_PUBLIC = frozenset({"/healthz", "/readyz", "/v1/policy", "/v1/receipts/{receipt}", "/v1/receipts/verify",
                     "/.well-known/voiceid-keys.json", "/v1/session", "/v1/session/pin",
                     "/v1/qr", "/v1/lan"})  # fmt: skip


def describe(app: FastAPI) -> dict[str, Any]:
    """Build the description once, with every way to fail documented on every operation."""
    if app.openapi_schema:
        return app.openapi_schema
    schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = schema.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            open_to_all = path in _PUBLIC and not (path == "/v1/session" and method == "delete")
            operation["security"] = [] if open_to_all else [{"bearer": []}]
            for status, meaning in _PROBLEMS.items():
                operation["responses"][status] = {
                    "description": meaning,
                    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
    app.openapi_schema = schema
    return schema

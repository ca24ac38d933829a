"""Request bodies, read in memory under a cap: no byte of anybody's voice reaches a temporary file."""

from dataclasses import dataclass
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voiceid.errors import BodyTooLarge, InvalidRequest

OTHER_BODY_BYTES = 256 * 1024
"""Cap of every body that is not audio."""
_FIELD_BYTES = 8 * 1024
_PARTS = 16
_MIB = 1024 * 1024
_FOR_SOUND = ("/recognize", "/verify", "/takes")
_TEXT_FIELDS = ("intent", "transcript", "locale")


@dataclass(frozen=True, slots=True)
class AudioBody:
    """What came in: the sound's bytes and the text fields beside it."""

    content: bytes
    content_type: str | None
    fields: dict[str, str]


class BodyCap:
    """ASGI middleware: every body is capped()."""

    def __init__(self, app: ASGIApp, max_body_mb: int) -> None:
        self._app = app
        self._max_body_mb = max_body_mb

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what fits."""
        fits = capped(scope, receive, self._max_body_mb) if scope["type"] == "http" else receive
        await self._app(scope, fits, send)


def capped(scope: Scope, receive: Receive, max_body_mb: int) -> Receive:
    """Receive a body that fits. One stated to be longer is refused before any of it is read, others as they pass.

    What is returned raises: BodyTooLarge.
    """
    headers = dict(scope["headers"])
    kind = headers.get(b"content-type", b"").lower()
    sound = scope["path"].endswith(_FOR_SOUND) and kind.startswith((b"audio/", b"multipart/"))
    cap = max_body_mb * _MIB if sound else OTHER_BODY_BYTES
    stated = headers.get(b"content-length", b"0")[:20]
    read = int(stated) if stated.isdigit() else 0
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        if read > cap:
            raise BodyTooLarge(max_bytes=cap)
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > cap:
            raise BodyTooLarge(max_bytes=cap)
        return message

    return counted


async def audio_body(request: Request) -> AudioBody:
    """Read an `audio/*` body, or the field `audio` of a form.

    Raises: InvalidRequest, BodyTooLarge.
    """
    content = await request.body()
    content_type = request.headers.get("content-type", "")
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        return AudioBody(content, content_type or None, {})
    boundary = options.get(b"boundary")
    if not boundary:
        raise InvalidRequest("content-type: a form needs a boundary")
    parts = _parse(boundary, content)
    if "audio" not in parts:
        raise InvalidRequest("audio: the form has no such field")
    sound, sound_type = parts["audio"]
    return AudioBody(sound, sound_type, {name: _text(name, parts[name][0]) for name in _TEXT_FIELDS if name in parts})


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"{name}: not UTF-8") from None


def _parse(boundary: bytes, content: bytes) -> dict[str, tuple[bytes, str | None]]:
    """Split a form in memory: name -> (content, its content type)."""
    form = _Form()
    try:
        parser = MultipartParser(boundary, form.callbacks())  # type: ignore[arg-type]  # a dict of methods is what it takes
        parser.write(content)
        parser.finalize()
    except FormParserError:
        raise InvalidRequest("body: not a well-formed form") from None
    if not form.ended:
        raise InvalidRequest("body: the form ends too early")
    return form.parts


class _Form:
    """Gathers the parts of one form as the parser reports them."""

    def __init__(self) -> None:
        self.parts: dict[str, tuple[bytes, str | None]] = {}
        self.ended = False
        self._count = 0
        self._headers: dict[bytes, bytes] = {}
        self._header, self._value, self._data = bytearray(), bytearray(), bytearray()

    def callbacks(self) -> dict[str, Any]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header_end,
            "on_part_data": self._part_data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._count += 1
        if self._count > _PARTS:
            raise InvalidRequest(f"body: a form may hold {_PARTS} parts")
        self._headers, self._data = {}, bytearray()

    def _header_end(self) -> None:
        self._headers[bytes(self._header).lower()] = bytes(self._value)
        self._header, self._value = bytearray(), bytearray()

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]
        if self._name() != "audio" and len(self._data) > _FIELD_BYTES:
            raise InvalidRequest(f"a text field may hold {_FIELD_BYTES} bytes")

    def _end(self) -> None:
        kind = self._headers.get(b"content-type")
        self.parts[self._name()] = (bytes(self._data), kind.decode("latin-1") if kind else None)
        self._data = bytearray()

    def _finish(self) -> None:
        self.ended = True

    def _name(self) -> str:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        return options.get(b"name", b"").decode("latin-1")

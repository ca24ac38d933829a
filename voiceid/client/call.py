"""One operation of the service: the request it makes and how its answer reads, written once for both clients."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, wraps
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

import httpx
from pydantic import TypeAdapter, ValidationError

from voiceid.errors import InvalidRequest, NotAuthenticated, VoiceIdError
from voiceid.types import HouseholdId

P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")

_MAGIC = {b"fLaC": "audio/flac", b"RIFF": "audio/wav", b"OggS": "audio/ogg"}


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, and how to read its answer."""

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    options: Mapping[str, Any]
    """What httpx's `build_request` takes: `json`, `params`, `content`, `headers`, `data`, `files`."""

    def then(self, change: Callable[[T], U]) -> "Call[U]":
        """The same request, whose answer is a part of this one's."""
        return Call(self.method, self.path, lambda response: change(self.read(response)), self.options)


class Blocking(Protocol):
    """Sends a call and waits for its answer."""

    def send(self, call: Call[T], /) -> T: ...


class Awaiting(Protocol):
    """Sends a call; its answer is awaited."""

    def send(self, call: Call[T], /) -> Coroutine[Any, Any, T]: ...


class Operation(Generic[P, T]):
    """An operation of the service: it answers on a blocking client, and can be awaited on the other."""

    def __init__(self, build: Callable[Concatenate[Any, P], Call[T]]) -> None:
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, client: None, owner: Any = None) -> Self: ...
    @overload
    def __get__(self, client: Awaiting, owner: Any = None) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, client: Blocking, owner: Any = None) -> Callable[P, T]: ...
    def __get__(self, client: Any, owner: Any = None) -> Any:
        """Bind to the client that sends."""
        if client is None:
            return self

        @wraps(self._build)
        def run(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.send(self._build(client, *args, **kwargs))

        return run


class Group:
    """Operations that belong together. `person` is a person's id throughout."""

    household: HouseholdId | None
    """Where operations within a household go: the token's own, unless another was named."""

    has_token: bool

    @property
    def _home(self) -> str:
        if self.household is None and not self.has_token:
            raise NotAuthenticated("a token is needed: --token or VOICEID_TOKEN on the command line")
        if self.household is None:
            raise InvalidRequest("household: name one; this token belongs to none")
        return f"/v1/households/{self.household}"

    def _of(self, person: str) -> str:
        return f"{self._home}/people/{person}"


def answering(kind: type[T], method: str, path: str, **options: Any) -> Call[T]:
    """A call whose answer is one JSON document of this kind."""
    wanted: Any = kind

    def read(response: httpx.Response) -> T:
        try:
            value: T = _adapter(wanted).validate_json(response.content)
        except ValidationError:
            raise VoiceIdError("the service's answer is not one that this version knows") from None
        return value

    return Call(method, path, read, options)


def silent(method: str, path: str) -> Call[None]:
    """A call that is answered by success alone."""
    return Call(method, path, lambda _response: None, {})


def given(**fields: Any) -> dict[str, Any]:
    """The fields that are not None; a moment as text."""
    plain = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in fields.items()}
    return {name: value for name, value in plain.items() if value is not None}


def type_of(audio: bytes) -> str:
    """The media type of a sound file, from its first bytes."""
    return _MAGIC.get(audio[:4], "audio/mpeg")


def sound(audio: bytes, content_type: str | None) -> dict[str, Any]:
    """A body of sound; raw PCM has no header of its own, so its type must be given."""
    return {"content": audio, "headers": {"Content-Type": content_type or type_of(audio)}}


@lru_cache(maxsize=64)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)

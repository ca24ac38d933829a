"""Speak to a running service: `Client`, and `AsyncClient` with the same operations to await.

    with Client("http://127.0.0.1:8443", token) as home:
        ada = home.add_person("Ada")
        answer = home.recognize(Path("request.flac").read_bytes(), intent="weather")

Every operation is written once, in `Operations`, as the request it makes and how its answer reads; the two clients only
send differently. What the service refuses is raised as the same error that the service raised. Connections go straight
to the address given: no proxy that the environment names ever hears a voice.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache, wraps
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Self, TypeVar, overload

import httpx
from pydantic import TypeAdapter, ValidationError

from voiceid.errors import InvalidRequest, ServiceUnreachable, VoiceIdError
from voiceid.store import ids
from voiceid.types import HouseholdId, Kind, PersonId
from voiceid.views import (
    ActivityEntry,
    Answer,
    ConsentDecision,
    ConsentRecord,
    EnrollmentState,
    HouseholdView,
    InteractionView,
    Invited,
    PersonEntry,
    PurposeState,
    Receipt,
    RecordingView,
    ResponseTemplate,
    Session,
    TakeResult,
    TokenView,
    Verification,
    VoiceprintView,
)

P = ParamSpec("P")
T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8443"
_TIMEOUT = httpx.Timeout(60, connect=5)
_MAGIC = {b"fLaC": "audio/flac", b"RIFF": "audio/wav", b"OggS": "audio/ogg"}


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list."""

    items: list[T]
    next: str | None
    """Cursor of the next page; None on the last."""


@dataclass(frozen=True, slots=True)
class PersonDetail:
    """A person; all but `entry` is for themselves and their guardians."""

    entry: PersonEntry
    preferences: dict[str, Any] | None = None
    verify_by_device: bool | None = None
    voiceprint: VoiceprintView | None = None


@dataclass(frozen=True, slots=True)
class MintedToken:
    """A token and its text, which is shown this once."""

    id: str
    role: str
    label: str
    token: str


@dataclass(frozen=True, slots=True)
class ConsentList:
    """Where every purpose stands."""

    policy_version: str
    purposes: list[PurposeState]


@dataclass(frozen=True, slots=True)
class _Guardians:
    guardians: list[PersonId]


@dataclass(frozen=True, slots=True)
class _Completed:
    voiceprint: VoiceprintView


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, and how to read its answer."""

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    options: Mapping[str, Any]
    """What httpx's `build_request` takes: `json`, `params`, `content`, `headers`, `data`, `files`."""


class Operation(Generic[P, T]):
    """An operation of the service: on a `Client` it answers, on an `AsyncClient` it can be awaited."""

    def __init__(self, build: Callable[Concatenate[Any, P], Call[T]]) -> None:
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, client: None, owner: Any = None) -> Self: ...
    @overload
    def __get__(self, client: "Client", owner: Any = None) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: "AsyncClient", owner: Any = None) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, client: Any, owner: Any = None) -> Any:
        """Bind to the client that sends."""
        if client is None:
            return self

        @wraps(self._build)
        def run(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.send(self._build(client, *args, **kwargs))

        return run


@lru_cache(maxsize=64)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _call(method: str, path: str, kind: type[T], **options: Any) -> Call[T]:
    def read(response: httpx.Response) -> T:
        try:
            value: T = _adapter(kind).validate_json(response.content)
        except ValidationError:
            raise VoiceIdError("the service answered in a way that this version does not know") from None
        return value

    return Call(method, path, read, {name: value for name, value in options.items() if value is not None})


def _silent(method: str, path: str) -> Call[None]:
    return Call(method, path, lambda _response: None, {})


def _given(**fields: Any) -> dict[str, Any]:
    """What is not None; a moment as text."""
    plain = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in fields.items()}
    return {name: value for name, value in plain.items() if value is not None}


def _sound(audio: bytes, content_type: str | None) -> dict[str, Any]:
    """A body of sound with an honest type; raw PCM has no header, so the caller must declare it."""
    return {"content": audio, "headers": {"Content-Type": content_type or _MAGIC.get(audio[:4], "audio/mpeg")}}


class Operations:
    """Every operation of the service. `person` is a person's id throughout."""

    household: HouseholdId | None
    """Where operations within a household go: the token's own, unless another was named."""

    @property
    def _home(self) -> str:
        if self.household is None:
            raise InvalidRequest("household: name one; this token belongs to none")
        return f"/v1/households/{self.household}"

    def _of(self, person: str) -> str:
        return f"{self._home}/people/{person}"

    @Operation
    def create_household(self, name: str, locale: str = "en-US") -> Call[HouseholdView]:
        """Make a household; for the administrator."""
        return _call("POST", "/v1/households", HouseholdView, json={"name": name, "locale": locale})

    @Operation
    def households(self, cursor: str = "", limit: int = 200) -> Call[Page[HouseholdView]]:
        """List households; for the administrator."""
        return _call("GET", "/v1/households", Page[HouseholdView], params={"cursor": cursor, "limit": limit})

    @Operation
    def show_household(self) -> Call[HouseholdView]:
        """Name and locale of the household."""
        return _call("GET", self._home, HouseholdView)

    @Operation
    def change_household(self, name: str | None = None, locale: str | None = None) -> Call[HouseholdView]:
        """Rename the household or change its locale; what is None stays."""
        return _call("PATCH", self._home, HouseholdView, json=_given(name=name, locale=locale))

    @Operation
    def delete_household(self) -> Call[Receipt]:
        """Erase the household and everybody in it."""
        return _call("DELETE", self._home, Receipt)

    @Operation
    def mint_token(
        self, role: Literal["owner", "device", "skill"], label: str, skill: str | None = None
    ) -> Call[MintedToken]:
        """Mint a token; its text is shown this once. A person's is never minted: `invite` them."""
        return _call("POST", f"{self._home}/tokens", MintedToken, json=_given(role=role, label=label, skill=skill))

    @Operation
    def tokens(self, cursor: str = "", limit: int = 200) -> Call[Page[TokenView]]:
        """List the household's tokens, without their texts."""
        return _call("GET", f"{self._home}/tokens", Page[TokenView], params={"cursor": cursor, "limit": limit})

    @Operation
    def revoke_token(self, token: str) -> Call[None]:
        """Make a token useless at once."""
        return _silent("DELETE", f"{self._home}/tokens/{token}")

    @Operation
    def add_person(
        self, display_name: str, kind: Kind = "adult", locale: str | None = None, guardians: list[PersonId] | None = None
    ) -> Call[PersonEntry]:
        """Enter a person. Nothing about their voice is asked or kept by this."""
        body = _given(display_name=display_name, kind=kind, locale=locale, guardians=guardians)
        return _call("POST", f"{self._home}/people", PersonEntry, json=body)

    @Operation
    def people(self, cursor: str = "", limit: int = 200) -> Call[Page[PersonEntry]]:
        """List the people of the household, and who has voice ID on."""
        return _call("GET", f"{self._home}/people", Page[PersonEntry], params={"cursor": cursor, "limit": limit})

    @Operation
    def person(self, person: str) -> Call[PersonDetail]:
        """Show a person."""
        return _call("GET", self._of(person), PersonDetail)

    @Operation
    def change_person(
        self, person: str, *, display_name: str | None = None, locale: str | None = None,
        preferences: dict[str, Any] | None = None, verify_by_device: bool | None = None,
    ) -> Call[PersonEntry]:
        """Change a person's name, locale or preferences; what is None stays."""
        body = _given(
            display_name=display_name, locale=locale, preferences=preferences, verify_by_device=verify_by_device
        )
        return _call("PATCH", self._of(person), PersonEntry, json=body)

    @Operation
    def delete_person(self, person: str) -> Call[Receipt]:
        """Erase a person and everything of theirs."""
        return _call("DELETE", self._of(person), Receipt)

    @Operation
    def invite(self, person: str) -> Call[Invited]:
        """Make a one-time code with which this person signs in."""
        return _call("POST", f"{self._of(person)}/invitations", Invited)

    @Operation
    def guardians(self, person: str) -> Call[list[PersonId]]:
        """Who decides for a child."""
        call = _call("GET", f"{self._of(person)}/guardians", _Guardians)
        return Call(call.method, call.path, lambda response: call.read(response).guardians, call.options)

    @Operation
    def set_guardians(self, person: str, guardians: list[PersonId]) -> Call[list[PersonId]]:
        """Replace a child's guardians."""
        call = _call("PUT", f"{self._of(person)}/guardians", _Guardians, json={"guardians": guardians})
        return Call(call.method, call.path, lambda response: call.read(response).guardians, call.options)

    @Operation
    def sign_in(self, code: str) -> Call[Session]:
        """Redeem an invitation; earlier sessions of that person end."""
        return _call("POST", "/v1/session", Session, json={"code": code})

    @Operation
    def sign_out(self) -> Call[None]:
        """End this session."""
        return _silent("DELETE", "/v1/session")

    @Operation
    def consents(self, person: str) -> Call[ConsentList]:
        """Each purpose's state and full history."""
        return _call("GET", f"{self._of(person)}/consents", ConsentList)

    @Operation
    def decide(self, person: str, purpose: str, decision: ConsentDecision) -> Call[ConsentRecord]:
        """Record a yes or a no to one purpose. A no to what was granted erases what it allowed."""
        return _call("PUT", f"{self._of(person)}/consents/{purpose}", ConsentRecord, json=_given(**asdict(decision)))

    @Operation
    def withdraw(self, person: str, purpose: str) -> Call[Receipt]:
        """Take consent to one purpose back; what only it allowed is erased."""
        return _call("DELETE", f"{self._of(person)}/consents/{purpose}", Receipt)

    @Operation
    def withdraw_all(self, person: str) -> Call[Receipt]:
        """Take every consent back at once."""
        return _call("DELETE", f"{self._of(person)}/consents", Receipt)

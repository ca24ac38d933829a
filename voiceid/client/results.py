"""What only a client holds: parts of lists, and answers that the service puts together from several views."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from voiceid.types import PersonId
from voiceid.views import PersonEntry, PurposeState, VoiceprintView

T = TypeVar("T")


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
class Verified:
    """What a receipt says, once its signature fitted."""

    valid: bool
    receipt: dict[str, Any]


@dataclass(frozen=True, slots=True)
class GuardianList:
    """Who decides for a child."""

    guardians: list[PersonId]


@dataclass(frozen=True, slots=True)
class Completed:
    """What came of an enrollment."""

    voiceprint: VoiceprintView

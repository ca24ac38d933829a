"""What all routes share: path parameters, pages, the status of a receipt."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Path, Query, Request, Response
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, model_validator

from voiceid.errors import InvalidRequest
from voiceid.ports import Actor
from voiceid.service.answering import ID
from voiceid.service.auth import caller
from voiceid.service.body import AudioBody, audio_body
from voiceid.service.services import Services, services_of
from voiceid.types import HouseholdId, PersonId, Purpose
from voiceid.views import Receipt

T = TypeVar("T")

PEOPLE = "/v1/households/{household}/people"
House = Annotated[HouseholdId, Path(description="The household's id.", pattern=f"^{ID}$")]
Person = Annotated[PersonId, Path(description="The person's id.", pattern=f"^{ID}$")]
RecordId = Annotated[str, Path(description="An opaque id.", pattern=f"^{ID}$")]
Limit = Annotated[int, Query(ge=1, le=200, description="How many at the most.")]
Cursor = Annotated[str, Query(max_length=64, pattern="^[a-z0-9]*$", description="`next` of the page before.")]


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("beyond what a calendar holds") from None


Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""RFC 3339, with its zone."""


async def _services(request: Request) -> Services:  # async, or it would be handed to a thread
    return services_of(request)


Wired = Annotated[Services, Depends(_services)]
Caller = Annotated[Actor, Depends(caller)]
Audio = Annotated[AudioBody, Depends(audio_body)]


class Input(BaseModel):
    """A request body; a field that we do not know is refused rather than ignored."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _strip(cls, given: Any) -> Any:
        """Here rather than by `str_strip_whitespace`: pydantic keeps what it strips, names too, in a cache for ever."""
        if not isinstance(given, dict):
            return given
        return {name: value.strip() if isinstance(value, str) else value for name, value in given.items()}


class Page(BaseModel, Generic[T]):
    """A part of a list."""

    items: list[T]
    next: str | None
    """Cursor of the next page; null on the last."""

    @classmethod
    def of(cls, items: Sequence[T], limit: int, last: str) -> "Page[T]":
        """A full page may have a next one, which begins after `last`."""
        return cls(items=list(items), next=last if len(items) == limit else None)


def _purpose(purpose: str) -> Purpose:
    try:
        return Purpose(purpose)
    except ValueError:
        raise InvalidRequest("purpose: no such purpose") from None


PurposePath = Annotated[Purpose, Depends(_purpose)]


def receipt_status(receipt: Receipt, response: Response) -> Receipt:
    """200 for a complete receipt, 202 while something is still to be erased."""
    response.status_code = 200 if receipt.state == "complete" else 202
    return receipt


PENDING: dict[int | str, dict[str, Any]] = {
    202: {"model": Receipt, "description": "Refused from now on; erasing is not yet confirmed everywhere."}
}

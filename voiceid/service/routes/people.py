"""People, their guardians and invitations."""

import json
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field, field_validator

from voiceid.errors import NotAllowed
from voiceid.ports import Actor
from voiceid.service.answering import LOCALE
from voiceid.service.auth import Action, may
from voiceid.service.routes.common import (
    PENDING,
    PEOPLE,
    Cursor,
    House,
    Input,
    Limit,
    Page,
    Person,
    Wired,
    receipt_status,
)
from voiceid.types import PersonId
from voiceid.views import Invited, PersonEntry, Receipt, VoiceprintView

router = APIRouter(tags=["people"])
_PREFERENCES_BYTES, _PREFERENCES_LEVELS = 4096, 8
_IdText = Annotated[str, Field(pattern=r"^[a-z2-7]{24}$")]

MayAdd = Annotated[Actor, Depends(may(Action.ADD))]
MayRename = Annotated[Actor, Depends(may(Action.RENAME))]
MayRead = Annotated[Actor, Depends(may(Action.READ))]
MaySee = Annotated[Actor, Depends(may(Action.SEE))]


class NewPerson(Input):
    """A person to enter."""

    display_name: str = Field(min_length=1, max_length=80)
    kind: Literal["adult", "child"] = "adult"
    locale: str | None = Field(None, pattern=LOCALE, max_length=35)
    guardians: list[_IdText] = Field(default_factory=list, max_length=8)
    """Adults of the household who decide for a child."""


class PersonChange(Input):
    """What to change; what is absent stays. An owner may change the display name alone."""

    display_name: str | None = Field(None, min_length=1, max_length=80)
    locale: str | None = Field(None, pattern=LOCALE, max_length=35)
    preferences: dict[str, Any] | None = None
    """A JSON object of at most 4 KiB, at most 8 levels deep."""
    verify_by_device: bool | None = None
    """Whether devices may ask if this person is speaking."""
    of_age_on: date | None = None
    """A child's day of coming of age, for a guardian to set: every consent then lapses, and the person decides."""

    @field_validator("preferences")
    @classmethod
    def _small(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        try:
            plain = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError):  # not a number, half a character, a hole without a bottom
            raise ValueError("not plain JSON") from None
        if len(plain) > _PREFERENCES_BYTES or not _shallow(value, _PREFERENCES_LEVELS):
            raise ValueError("too large or too deep")
        return value


class PersonDetail(BaseModel):
    """A person: what the household sees, and for the person and their guardians what they told about themselves."""

    entry: PersonEntry
    preferences: dict[str, Any] | None = None
    verify_by_device: bool | None = None
    of_age_on: date | None = None
    voiceprint: VoiceprintView | None = None


class Guardians(Input):
    """Who decides for a child."""

    guardians: list[_IdText] = Field(min_length=1, max_length=8)


@router.post(PEOPLE, status_code=201)
def add_person(household: House, body: NewPerson, services: Wired, actor: MayAdd) -> PersonEntry:
    """Enter a person. Nothing about their voice is asked or kept by this."""
    guardians = [PersonId(who) for who in body.guardians]
    return services.people.create(actor, household, body.display_name, body.kind, body.locale, guardians)


@router.get(PEOPLE)
def list_people(
    household: House, services: Wired, _: MaySee, cursor: Cursor = "", limit: Limit = 50
) -> Page[PersonEntry]:
    """List the people of a household, and who has voice ID on."""
    found = services.people.page(household, cursor, limit)
    return Page.of(found, limit, found[-1].id if found else "")


@router.get(PEOPLE + "/{person}")
def get_person(household: House, person: Person, services: Wired, actor: MaySee) -> PersonDetail:
    """Show a person; the rest of the household sees name and voice ID alone."""
    entry = services.people.entry(household, person)
    guardians = services.people.guardians(household, person)
    if actor.person != person and actor.person not in guardians:
        return PersonDetail(entry=entry)
    services.traces.looked(actor, household, person, "profile read")
    profile = services.people.profile(household, person)
    return PersonDetail(
        entry=entry, preferences=profile.preferences, verify_by_device=profile.verify_by_device,
        of_age_on=profile.of_age_on,
        voiceprint=services.voiceprints.view(household, person),
    )


@router.patch(PEOPLE + "/{person}")
def change_person(
    household: House, person: Person, body: PersonChange, services: Wired, actor: MayRename
) -> PersonEntry:
    """Change a person's name, locale or preferences."""
    changes = body.model_dump(exclude_none=True, mode="json")
    if "of_age_on" in changes and actor.person not in services.people.guardians(household, person):
        raise NotAllowed("a child's guardian sets this")
    if actor.role == "owner" and changes.keys() - {"display_name"}:
        raise NotAllowed("an owner may change the display name alone")
    services.people.change(actor, household, person, changes)
    return services.people.entry(household, person)


@router.delete(PEOPLE + "/{person}", responses=PENDING)
def delete_person(
    household: House, person: Person, services: Wired, actor: MayRename, response: Response
) -> Receipt:
    """Erase a person and everything of theirs."""
    return receipt_status(services.forgetting.delete_person(actor, household, person), response)


@router.post(PEOPLE + "/{person}/invitations", status_code=201)
def invite(household: House, person: Person, services: Wired, actor: MayRename) -> Invited:
    """Make a one-time code with which this person signs in."""
    return services.invitations.invite(actor, household, person)


@router.get(PEOPLE + "/{person}/guardians")
def get_guardians(household: House, person: Person, services: Wired, _: MayRead) -> Guardians:
    """Show who decides for a child."""
    return Guardians.model_construct(guardians=list[str](services.people.guardians(household, person)))


@router.put(PEOPLE + "/{person}/guardians")
def set_guardians(household: House, person: Person, body: Guardians, services: Wired, actor: MayRename) -> Guardians:
    """Replace a child's guardians. An owner may only where there are none, and a child may not."""
    now = services.people.guardians(household, person)
    if actor.person not in now and not (actor.role == "owner" and not now):
        raise NotAllowed("a guardian of this child decides who else is")
    wanted = [PersonId(who) for who in body.guardians]
    found = services.people.set_guardians(actor, household, person, wanted)
    return Guardians.model_construct(guardians=list[str](found))


def _shallow(value: Any, levels: int) -> bool:
    """Whether nothing lies deeper than so many levels."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return not inside or (levels > 0 and all(_shallow(one, levels - 1) for one in inside))

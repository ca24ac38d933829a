"""Households, and the tokens of their owners, devices and skills."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import Field, model_validator

from voiceid.ports import Actor
from voiceid.service.answering import LOCALE
from voiceid.service.auth import Action, may
from voiceid.service.routes.common import (
    PENDING,
    Cursor,
    House,
    Input,
    Limit,
    Page,
    RecordId,
    Wired,
    receipt_status,
)
from voiceid.views import HouseholdView, Receipt, TokenView

router = APIRouter(prefix="/v1/households", tags=["households"])

MayManage = Annotated[Actor, Depends(may(Action.MANAGE_ALL))]
MaySee = Annotated[Actor, Depends(may(Action.HOUSEHOLD))]
MayToken = Annotated[Actor, Depends(may(Action.TOKENS))]


class NewHousehold(Input):
    """A household to make."""

    name: str = Field(min_length=1, max_length=80)
    locale: str = Field("en-US", pattern=LOCALE, max_length=35)


class HouseholdChange(Input):
    """What to change; what is absent stays."""

    name: str | None = Field(None, min_length=1, max_length=80)
    locale: str | None = Field(None, pattern=LOCALE, max_length=35)


class NewToken(Input):
    """A token to mint. A person's is never minted: invite them."""

    role: Literal["owner", "device", "skill"]
    label: str = Field(min_length=1, max_length=80)
    """Which device or skill; say `kitchen`, not whose it is."""
    skill: str | None = Field(None, pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")
    """The skill's name in `share:<skill>`; for a skill's token only."""

    @model_validator(mode="after")
    def _skill_has_name(self) -> "NewToken":
        if (self.role == "skill") != (self.skill is not None):
            raise ValueError("skill: needed for a skill's token, and for no other")
        return self


class MintedToken(Input):
    """A token and its text, which is shown this once."""

    id: str
    role: str
    label: str
    token: str


@router.post("", status_code=201)
def create_household(body: NewHousehold, services: Wired, _: MayManage) -> HouseholdView:
    """Make a household."""
    return services.households.create(body.name, body.locale)


@router.get("")
def list_households(services: Wired, _: MayManage, cursor: Cursor = "", limit: Limit = 50) -> Page[HouseholdView]:
    """List households."""
    found = services.households.page(cursor, limit)
    return Page.of(found, limit, found[-1].id if found else "")


@router.get("/{household}")
def get_household(household: House, services: Wired, _: MaySee) -> HouseholdView:
    """Show a household."""
    return services.households.get(household)


@router.patch("/{household}")
def change_household(household: House, body: HouseholdChange, services: Wired, _: MaySee) -> HouseholdView:
    """Rename a household or change its locale."""
    return services.households.change(household, body.model_dump(exclude_none=True))


@router.delete("/{household}", responses=PENDING)
def delete_household(household: House, services: Wired, actor: MaySee, response: Response) -> Receipt:
    """Erase a household and everybody in it."""
    return receipt_status(services.forgetting.delete_household(actor, household), response)


@router.post("/{household}/tokens", status_code=201)
def mint_token(household: House, body: NewToken, services: Wired, _: MayToken) -> MintedToken:
    """Mint a token for an owner, a device or a skill. Its text is shown this once."""
    view, token = services.tokens.mint(household, body.role, body.label, body.skill)
    return MintedToken(id=view.id, role=view.role, label=view.label, token=token)


@router.get("/{household}/tokens")
def list_tokens(
    household: House, services: Wired, _: MayToken, cursor: Cursor = "", limit: Limit = 50
) -> Page[TokenView]:
    """List a household's tokens, without their texts."""
    found = services.tokens.page(household, cursor, limit)
    return Page.of(found, limit, found[-1].id if found else "")


@router.delete("/{household}/tokens/{token}", status_code=204)
def revoke_token(household: House, token: RecordId, services: Wired, _: MayToken) -> None:
    """Make a token useless at once."""
    services.tokens.revoke(household, token)

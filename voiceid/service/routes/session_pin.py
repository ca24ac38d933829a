"""A PIN for the screen that everybody uses: each sets their own, and it opens a short session there."""

import ipaddress
import unicodedata
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from voiceid.errors import InvalidRequest
from voiceid.ports import Actor
from voiceid.service import sessions
from voiceid.service.auth import Action, may
from voiceid.service.routes.common import PEOPLE, House, Input, Person, Wired
from voiceid.service.routes.session import own_site
from voiceid.service.services import Services
from voiceid.types import HouseholdId, PersonId
from voiceid.views import Session, SignedIn

router = APIRouter(tags=["session"])
MaySet = Annotated[Actor, Depends(may(Action.PIN))]
_Digits = Annotated[str, Field(pattern=r"^[0-9]{6,12}$")]
_IdText = Annotated[str, Field(pattern=r"^[a-z2-7]{24}$")]
_SUBNET_BITS = 64
_PAGE = 200


class NewPin(Input):
    """A PIN of one's own."""

    pin: _Digits
    """Six to twelve digits; not one digit over and over, not 123456 or 654321."""


class PinState(BaseModel):
    """Whether there is one; what it is, nobody is told."""

    set: bool


class NameAndPin(Input):
    """Who somebody says they are, and their PIN."""

    name: str = Field(min_length=1, max_length=80)
    """As the household calls them."""
    pin: _Digits
    household: _IdText | None = None
    """Needed where one service is home to several households."""
    cookie: bool = False
    """Lay the token into a cookie instead of handing it out; what the page does."""


@router.get(PEOPLE + "/{person}/pin")
def see_pin(household: House, person: Person, services: Wired, _: MaySet) -> PinState:
    """Tell whether I have a PIN."""
    return PinState(set=services.pins.has(household, person))


@router.put(PEOPLE + "/{person}/pin", status_code=204)
def set_pin(household: House, person: Person, body: NewPin, services: Wired, actor: MaySet) -> None:
    """Set my PIN for the shared screen; sessions that an earlier one opened end."""
    services.pins.put(actor, household, person, body.pin)


@router.delete(PEOPLE + "/{person}/pin", status_code=204)
def remove_pin(household: House, person: Person, services: Wired, actor: MaySet) -> None:
    """Remove my PIN, and end the sessions that it opened."""
    services.pins.remove(actor, household, person)


@router.post("/v1/session/pin", status_code=201)
def sign_in_with_pin(
    body: NameAndPin, request: Request, response: Response, services: Wired, _: Annotated[None, Depends(own_site)]
) -> Session | SignedIn:
    """Open a short session with name and PIN. Five tries, then growing delays, per person and per source."""
    household = _household(services, body.household)
    people = _called(services, household, body.name) if household else []
    session = services.pins.sign_in(household or HouseholdId(""), people, body.pin, _source(request))
    if not body.cookie:
        return session
    role = sessions.put_cookie(request, response, session, services.store.now())
    return SignedIn(role, session.household, session.person, session.expires_at)


def _household(services: Services, named: str | None) -> HouseholdId | None:
    """The household that is meant; None if there is none by that id.

    Raises: InvalidRequest, where none is named and there are several.
    """
    if named is not None:
        return HouseholdId(named)
    homes = services.households.page("", 2)
    if len(homes) > 1:
        raise InvalidRequest("household: there are several here")
    return homes[0].id if homes else None


def _called(services: Services, household: HouseholdId, name: str) -> list[PersonId]:
    """Everybody of this name; how it is written does not matter."""
    wanted, found, after = _plain(name), [], ""
    while page := services.people.page(household, after, _PAGE):
        found += [one.id for one in page if _plain(one.display_name) == wanted]
        after = page[-1].id
    return found


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKC", name).strip().casefold()


def _source(request: Request) -> str:
    """Where a try comes from: the address, for IPv6 its network, of which one machine has all."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 4:  # noqa: PLR2004 IPv4
        return host
    return str(ipaddress.ip_network((address, _SUBNET_BITS), strict=False))

"""Signing in with a one-time code, and out; for programs with a token, for the page with a cookie."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from voiceid.errors import NotAllowed
from voiceid.service import sessions
from voiceid.service.routes.common import Caller, Input, Wired
from voiceid.views import Session, SignedIn

router = APIRouter(prefix="/v1/session", tags=["session"])


class Code(Input):
    """The one-time code of an invitation, or of the link that `voiceid serve` prints."""

    code: str = Field(max_length=100)
    cookie: bool = False
    """Lay the token into a cookie instead of handing it out; what the page does."""


class Sessions(BaseModel):
    """The sessions that this browser holds."""

    sessions: list[SignedIn]


def own_site(request: Request) -> None:
    """Refuse another site's page: it must not plant a session."""
    sessions.refuse_other_sites(request)


@router.post("", status_code=201)
def sign_in(
    body: Code, request: Request, response: Response, services: Wired, _: Annotated[None, Depends(own_site)]
) -> Session | SignedIn:
    """Redeem a one-time code; earlier sessions of that person end."""
    session = services.invitations.redeem(body.code)
    if not body.cookie:
        return session
    role = sessions.put_cookie(request, response, session, services.store.now())
    return SignedIn(role, session.household, session.person, session.expires_at)


@router.get("")
def list_sessions(request: Request, services: Wired) -> Sessions:
    """Show which sessions this browser holds, without their tokens."""
    found = []
    for role, token in sessions.held(request).items():
        actor, ends = services.tokens.who(token), services.tokens.ends(token)
        if actor is not None and actor.household is not None and ends is not None:
            found.append(SignedIn(role, actor.household, actor.person, ends))
    return Sessions(sessions=found)


@router.delete("", status_code=204)
def sign_out(services: Wired, actor: Caller, request: Request, response: Response) -> None:
    """End this session. A token that was minted is revoked by its owner instead."""
    role = request.headers.get(sessions.HEADER)
    if actor.role != "person" and "authorization" in request.headers:
        raise NotAllowed("only a session can be ended here; a token is revoked by its owner")
    services.tokens.sign_out(actor)
    if role in sessions.ROLES:
        sessions.drop_cookie(response, role)

"""Sessions of the page: the token lies in a cookie that no script can read and no other site can use.

A browser may hold two at once, the owner's and a person's; every request says in a header which of them it speaks for.
Another site's page cannot send that header, and its `Origin` gives it away. Over HTTPS the cookies' names begin with
`__Host-`: a page in plain HTTP, which anybody on the network may forge, can neither set nor replace them.
"""

import re
from datetime import datetime
from typing import Literal

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Scope

from voiceid.errors import NotAllowed
from voiceid.views import Session

PageRole = Literal["owner", "person"]
HEADER = "voiceid-session"
ROLES: tuple[PageRole, ...] = ("owner", "person")
_OURS = re.compile(rb"(__Host-)?voiceid_(owner|person)=[A-Za-z0-9_]*")


def with_our_cookies(scope: Scope) -> Scope:
    """A request with the cookies of sessions alone, which have no quotes.

    The web framework reads all that there are, on the loop; and to take the quotes off others', Python before 3.12.6
    needs time by the square of their length (CVE-2024-7592).
    """
    headers = []
    for name, value in scope["headers"]:
        if name == b"cookie":
            ours = [one for one in map(bytes.strip, value.split(b";")) if _OURS.fullmatch(one)]
            headers.append((name, b"; ".join(ours)))
        else:
            headers.append((name, value))
    return {**scope, "headers": headers}


def cookie_token(connection: HTTPConnection) -> str:
    """The token of the session that the page speaks for; empty if it names none or has none.

    Raises: NotAllowed, for another site's page.
    """
    if connection.scope["type"] == "websocket":  # a browser sends no header of ours with it, but always its origin
        role = connection.query_params.get("session", "")
        if "origin" not in connection.headers:
            return ""
    else:
        role = connection.headers.get(HEADER, "")
    if role not in ROLES:
        return ""
    refuse_other_sites(connection)
    return _found(connection, role)


def refuse_other_sites(connection: HTTPConnection) -> None:
    """Let only our own pages through; whoever sends no `Origin` is no browser, or reads.

    Raises: NotAllowed.
    """
    origin = connection.headers.get("origin")
    schemes = ("https",) if _encrypted(connection) else ("http", "https")
    ours = {f"{scheme}://{connection.headers.get('host')}" for scheme in schemes}
    if origin is not None and origin not in ours:
        raise NotAllowed("a session's cookie serves only its own page")
    if connection.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise NotAllowed("a session's cookie serves only its own page")


def put_cookie(connection: HTTPConnection, response: Response, session: Session, now: datetime) -> PageRole:
    """Lay the session's token into its cookie; whose session it is."""
    role: PageRole = "person" if session.person else "owner"
    secure = _encrypted(connection) or connection.headers.get("origin", "").startswith("https://")
    response.set_cookie(
        _name(role, secure=secure), session.token, max_age=int((session.expires_at - now).total_seconds()), path="/",
        httponly=True, samesite="strict", secure=secure,
    )
    return role


def drop_cookie(response: Response, role: PageRole) -> None:
    """Let the browser forget a session."""
    for secure in (False, True):
        response.delete_cookie(_name(role, secure=secure), path="/", httponly=True, samesite="strict", secure=secure)


def held(connection: HTTPConnection) -> dict[PageRole, str]:
    """The tokens of all sessions in this browser."""
    found = {role: _found(connection, role) for role in ROLES}
    return {role: token for role, token in found.items() if token}


def _found(connection: HTTPConnection, role: PageRole) -> str:
    """The token in a role's cookie. Where TLS ends in front of the service, either name may hold it."""
    token = connection.cookies.get(_name(role, secure=True), "")
    return token if token or _encrypted(connection) else connection.cookies.get(_name(role, secure=False), "")


def _encrypted(connection: HTTPConnection) -> bool:
    return connection.url.scheme in {"https", "wss"}


def _name(role: PageRole, *, secure: bool) -> str:
    return f"__Host-voiceid_{role}" if secure else f"voiceid_{role}"

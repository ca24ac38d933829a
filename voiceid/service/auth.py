"""Who may do what. The table below is DESIGN's, as data; one test is generated per cell."""

from collections.abc import Callable
from enum import StrEnum
from typing import Literal

from starlette.requests import HTTPConnection

from voiceid.errors import NotAllowed, NotAuthenticated, NotFound
from voiceid.ports import Actor
from voiceid.service import sessions
from voiceid.service.services import Services, services_of
from voiceid.types import PersonId

Relation = Literal["admin", "owner", "self", "guardian", "member", "device", "skill", "reviewer"]
"""How a caller stands to the person at hand; `member`: somebody else of the household."""


class Action(StrEnum):
    """What can be asked for."""

    MANAGE_ALL = "make and list households; metrics"
    HOUSEHOLD = "see, rename, delete the household"
    TOKENS = "tokens of the household"
    ADD = "add a person"
    RENAME = "invite, rename, remove a person"
    GRANT = "grant, enroll"
    WITHDRAW = "withdraw"
    PIN = "set a PIN"
    READ = "hear, read, export, activity"
    HEAR = "hear one recording"
    REVIEW = "let one reviewer hear one recording"
    SEE = "see who has voice ID on"
    RECOGNIZE = "recognize, listen"
    VERIFY = "verify"
    READ_RESPONSES = "read response templates"
    WRITE_RESPONSES = "write response templates"


_CLOSE: frozenset[Relation] = frozenset({"self", "guardian"})
MAY: dict[Action, frozenset[Relation]] = {
    Action.MANAGE_ALL: frozenset({"admin"}),
    Action.HOUSEHOLD: frozenset({"admin", "owner"}),
    Action.TOKENS: frozenset({"admin", "owner"}),
    Action.ADD: frozenset({"owner"}),
    Action.RENAME: _CLOSE | {"owner"},
    Action.GRANT: _CLOSE,
    Action.WITHDRAW: _CLOSE,
    Action.PIN: frozenset({"self"}),
    Action.READ: _CLOSE,
    Action.HEAR: _CLOSE | {"reviewer"},
    Action.REVIEW: frozenset({"self"}),
    Action.SEE: _CLOSE | {"owner", "member"},
    Action.RECOGNIZE: _CLOSE | {"owner", "member", "device", "skill"},
    Action.VERIFY: _CLOSE | {"device"},
    Action.READ_RESPONSES: _CLOSE | {"owner", "member"},
    Action.WRITE_RESPONSES: frozenset({"owner"}),
}
"""An owner can delete, but never grant, listen or act as a person. What is not listed is refused."""


def caller(connection: HTTPConnection) -> Actor:
    """Who calls: by the bearer token, else by the cookie of a page's session.

    Raises: NotAuthenticated; NotAllowed, for another site's page.
    """
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if not scheme:
        token = sessions.cookie_token(connection)
    actor = services_of(connection).tokens.who(token.strip()) if scheme.lower() in {"", "bearer"} else None
    if actor is None:
        raise NotAuthenticated
    return actor


def may(action: Action) -> Callable[[HTTPConnection], Actor]:
    """A dependency that lets only entitled callers through, judged by the path's household and person."""

    def check(connection: HTTPConnection) -> Actor:
        actor = caller(connection)  # not a dependency of its own, which would wait for one more thread
        household, person = connection.path_params.get("household"), connection.path_params.get("person")
        if actor.role != "admin" and household is not None and household != actor.household:
            raise NotFound("no such household")  # whether it exists is not theirs to know
        if actor.role == "reviewer" and connection.path_params.get("recording") != actor.recording:
            raise NotAllowed("this token opens one recording")
        relation = _relation(services_of(connection), actor, person and PersonId(person))
        if relation not in MAY[action]:
            raise NotAllowed(f"this token may not: {action.value}")
        return actor

    return check


def _relation(services: Services, actor: Actor, person: PersonId | None) -> Relation:
    match actor.role:
        case "person" if person is None:
            return "member"
        case "person" if actor.person == person:
            return "self"
        case "person":
            guardians = services.people.guardians(actor.household, person) if actor.household and person else []
            return "guardian" if actor.person in guardians else "member"
        case "admin" | "owner" | "device" | "skill" | "reviewer":
            return actor.role
        case _:
            raise NotAllowed

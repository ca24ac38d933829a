"""The people of a household, and their way in."""

import json
from typing import Annotated, Any, Literal

import typer

from voiceid.cli.shell import Who, Yes, ask, command, facts, nothing, person_id, show_receipt, table
from voiceid.client import Client, PersonDetail
from voiceid.errors import InvalidRequest
from voiceid.types import PersonId
from voiceid.views import ActivityEntry, Invited, PersonEntry, Receipt, Session

commands = typer.Typer()
people = typer.Typer(name="person", help="The people of the household, and their way in.")
commands.add_typer(people)

Locale = Annotated[str | None, typer.Option("--locale", help="BCP 47, such as en-US.")]
Guardian = Annotated[list[str] | None, typer.Option("--guardian", help="Who decides for a child; may be repeated.")]


def _show(detail: PersonDetail) -> None:
    facts(detail.entry)
    told = {"preferences": detail.preferences, "verify_by_device": detail.verify_by_device}
    facts({name: value for name, value in told.items() if value is not None} or {"rest": "for themselves alone"})
    if detail.voiceprint is not None:
        facts({f"voiceprint {name}": getattr(detail.voiceprint, name) for name in ("encoder", "takes", "cohesion")})


@command(people, "list", table("id", "display_name", "kind", "voice_id", "locale"))
def list_people(client: Client) -> list[PersonEntry]:
    """List the people of the household, and who has voice ID on."""
    return list(client.every(client.people))


@command(people, "add", facts)
def add_person(
    client: Client,
    name: str,
    kind: Annotated[Literal["adult", "child"], typer.Option("--kind")] = "adult",
    locale: Locale = None,
    guardian: Guardian = None,
) -> PersonEntry:
    """Enter a person. Nothing about their voice is asked or kept by this."""
    return client.add_person(name, kind, locale, [person_id(client, one) for one in guardian or ()])


@command(people, "show", _show)
def show_person(client: Client, who: Who) -> PersonDetail:
    """Show a person; the household sees the name and voice ID, the person everything."""
    return client.person(person_id(client, who))


@command(people, "change", facts)
def change_person(
    client: Client,
    who: Who,
    name: Annotated[str | None, typer.Option("--name")] = None,
    locale: Locale = None,
    preferences: Annotated[str | None, typer.Option("--preferences", help="A JSON object.")] = None,
    verify_by_device: Annotated[bool | None, typer.Option(help="Whether devices may verify this person.")] = None,
) -> PersonEntry:
    """Change a person's name, locale or preferences."""
    told = _object(preferences)
    person = person_id(client, who)
    return client.change_person(
        person, display_name=name, locale=locale, preferences=told, verify_by_device=verify_by_device
    )


@command(people, "remove", show_receipt)
def remove_person(client: Client, who: Who, yes: Yes = False) -> Receipt:  # noqa: FBT002 an option of the command line
    """Erase a person and everything of theirs; shows the receipt."""
    person = person_id(client, who)
    ask("Erase this person and everything of theirs?", yes=yes)
    return client.delete_person(person)


@command(people, "invite", facts)
def invite(client: Client, who: Who) -> Invited:
    """Make a one-time code. Hand it to that person: whoever redeems it acts as them."""
    return client.invite(person_id(client, who))


@command(people, "join", facts)
def join(client: Client, code: Annotated[str, typer.Argument(help="The code of an invitation.")]) -> Session:
    """Redeem an invitation. The session's token is shown this once; put it into VOICEID_TOKEN."""
    return client.sign_in(code)


@command(people, "leave", nothing)
def leave(client: Client) -> None:
    """End the session of this token."""
    client.sign_out()


@command(people, "guardians", table("id", "display_name"))
def guardians(client: Client, who: Who, to: Guardian = None) -> list[PersonEntry]:
    """Show who decides for a child, or replace them with --guardian."""
    child = person_id(client, who)
    found: list[PersonId] = (
        client.set_guardians(child, [person_id(client, one) for one in to]) if to else client.guardians(child)
    )
    return [one for one in client.every(client.people) if one.id in found]


@command(people, "activity", table("at", "who", "action", "why"))
def activity(client: Client, who: Who) -> list[ActivityEntry]:
    """Show who accessed what of a person's, when and why, newest first; for that person."""
    return list(client.every(client.activity, person_id(client, who)))


def _object(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InvalidRequest("preferences: a JSON object")
    return value

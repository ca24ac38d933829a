"""Asking, agreeing, refusing, and taking it back."""

from datetime import datetime
from typing import Annotated, Any

import typer

from voiceid.cli.shell import Who, Yes, ask, command, facts, person_id, say, show_receipt, table
from voiceid.client import Client
from voiceid.errors import InvalidRequest
from voiceid.types import PersonId
from voiceid.views import ConsentDecision, ConsentRecord, PurposeState, Receipt

commands = typer.Typer()
consents = typer.Typer(name="consent", help="Asking, agreeing, refusing, and taking it back.")
commands.add_typer(consents)

PurposeWord = Annotated[str, typer.Argument(metavar="PURPOSE", help="save_recordings, voice_id, transcripts, … ")]
Language = Annotated[str, typer.Option("--language", help="In which language to show the wording.")]
Retention = Annotated[
    str | None, typer.Option("--retention", help="until_deleted, 18_months, 3_months, days:N or none.")
]
Expires = Annotated[
    datetime | None,
    typer.Option("--expires-at", formats=["%Y-%m-%dT%H:%M:%S%z"], help="When the yes runs out, with its zone."),
]


def _show_states(states: list[PurposeState]) -> None:
    table("purpose", "granted")(states)
    for state in states:
        for record in state.history:
            say(f"  {record.at.isoformat(timespec='seconds')}  {state.purpose}: {record.change} ({record.method})")


@command(consents, "show", _show_states)
def show(client: Client, who: Who) -> list[PurposeState]:
    """Show where every purpose stands, with its history."""
    return client.consents(person_id(client, who)).purposes


@command(consents, "grant", facts)
def grant(
    client: Client, who: Who, purpose: PurposeWord, language: Language = "en", retention: Retention = None,
    expires_at: Expires = None, yes: Yes = False,  # noqa: FBT002 an option of the command line
) -> ConsentRecord:  # fmt: skip
    """Show the wording of a purpose, ask, and record the yes. Only that person's own session may."""
    return _decide(client, person_id(client, who), purpose, "granted", language, retention, expires_at, yes=yes)


@command(consents, "deny", facts)
def deny(client: Client, who: Who, purpose: PurposeWord, language: Language = "en") -> ConsentRecord:
    """Record a no. To what was granted it is a withdrawal, and erases what it allowed."""
    return _decide(client, person_id(client, who), purpose, "denied", language, None, None, yes=True)


@command(consents, "withdraw", show_receipt)
def withdraw(client: Client, who: Who, purpose: PurposeWord, yes: Yes = False) -> Receipt:  # noqa: FBT002 same
    """Take one yes back; what only it allowed is erased. Shows the receipt."""
    person = person_id(client, who)
    ask(f"Take back the consent to {purpose} and erase what it allowed?", yes=yes)
    return client.withdraw(person, purpose)


@command(commands, "revoke", show_receipt)
def revoke(client: Client, who: Who, yes: Yes = False) -> Receipt:  # noqa: FBT002 same
    """Withdraw every consent of PERSON, erase their voice, show the receipt."""
    person = person_id(client, who)
    ask("Erase every voiceprint, recording and text of this person?", yes=yes)
    return client.withdraw_all(person)


def _decide(
    client: Client, person: PersonId, purpose: str, word: Any, language: str, retention: str | None,
    expires_at: datetime | None, *, yes: bool,
) -> ConsentRecord:  # fmt: skip
    policy = client.policy(language)
    _show_wording(policy, purpose)
    if word == "granted":
        ask("Do you agree?", yes=yes)
    method: Any = "api" if yes else "screen"
    decision = ConsentDecision(word, policy["version"], policy["language"], method, retention, expires_at)
    return client.decide(person, purpose, decision)


def _show_wording(policy: dict[str, Any], purpose: str) -> None:
    """What a person must have seen before they can agree to it.

    Raises: InvalidRequest, for a purpose that the service does not ask for.
    """
    name, _, skill = purpose.partition(":")
    shown = next((one for one in policy["purposes"] if one["purpose"].partition(":")[0] == name), None)
    if shown is None:
        raise InvalidRequest("purpose: no such purpose")
    texts = [str(shown[part]).replace("example", skill) if skill else shown[part] for part in ("title", "text")]
    kept = [f"Kept: {row['default']} (or {', '.join(row['choices'])})" for row in policy["retention"]
            if row["purpose"] == purpose]  # fmt: skip
    say("", texts[0], "", texts[1], f"Collected: {shown['collected']}", *kept, "", policy["withdraw"], "")

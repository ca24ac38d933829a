"""Households and their tokens."""

from typing import Annotated, Literal

import typer

from voiceid.cli.shell import Yes, ask, command, facts, nothing, show_receipt, table
from voiceid.client import Client, MintedToken
from voiceid.views import HouseholdView, Receipt, TokenView

commands = typer.Typer()
households = typer.Typer(name="household", help="The household; for its owner and the administrator.")
tokens = typer.Typer(name="token", help="Tokens of devices, skills and owners. A person is invited instead.")
commands.add_typer(households)
commands.add_typer(tokens)

Locale = Annotated[str | None, typer.Option("--locale", help="BCP 47, such as en-US.")]


@command(households, "list", table("id", "name", "locale", "created_at"))
def list_households(client: Client) -> list[HouseholdView]:
    """List all households; for the administrator."""
    return list(client.every(client.households))


@command(households, "add", facts)
def add_household(client: Client, name: str, locale: Locale = None) -> HouseholdView:
    """Make a household; for the administrator."""
    return client.create_household(name, locale) if locale else client.create_household(name)


@command(households, "show", facts)
def show_household(client: Client) -> HouseholdView:
    """Show the household."""
    return client.show_household()


@command(households, "change", facts)
def change_household(
    client: Client, name: Annotated[str | None, typer.Option("--name")] = None, locale: Locale = None
) -> HouseholdView:
    """Rename the household or change its locale."""
    return client.change_household(name, locale)


@command(households, "remove", show_receipt)
def remove_household(client: Client, yes: Yes = False) -> Receipt:  # noqa: FBT002 an option of the command line
    """Erase the household and everybody in it; shows the receipt."""
    ask("Erase this household, everybody in it and everything of theirs?", yes=yes)
    return client.delete_household()


@command(tokens, "list", table("id", "role", "label", "created_at", "expires_at"))
def list_tokens(client: Client) -> list[TokenView]:
    """List the household's tokens, without their texts."""
    return list(client.every(client.tokens))


@command(tokens, "mint", facts)
def mint_token(
    client: Client,
    role: Annotated[Literal["owner", "device", "skill"], typer.Argument(help="owner, device or skill.")],
    label: Annotated[str, typer.Argument(help="Which one: say kitchen, not whose it is.")],
    skill: Annotated[str | None, typer.Option("--skill", help="A skill's name, as in share:NAME.")] = None,
) -> MintedToken:
    """Mint a token. Its text is shown this once."""
    return client.mint_token(role, label, skill)


@command(tokens, "revoke", nothing)
def revoke_token(client: Client, token_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Make a token useless at once."""
    client.revoke_token(token_id)

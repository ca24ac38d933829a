"""Receipts, and the policy that people agree to."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from voiceid import jws
from voiceid.cli.shell import command, facts, read_file, show_receipt
from voiceid.client import Client
from voiceid.errors import ReceiptInvalid
from voiceid.views import Receipt

commands = typer.Typer()
receipts = typer.Typer(name="receipt", help="Signed proof that something was erased.")
commands.add_typer(receipts)


def _show_policy(policy: dict[str, Any]) -> None:
    typer.echo(f"{policy['title']} (version {policy['version']}, rule {policy['consent_rule']})\n")
    for one in policy["purposes"]:
        typer.echo(f"{one['purpose']}: {one['title']}\n  {one['text']}\n  {one['collected']}\n")
    for row in policy["retention"]:
        typer.echo(f"{row['what']}: kept {row['default']}, at most {row['at_most']}")
    typer.echo(f"\n{policy['withdraw']}\n{policy['without']}\n{policy['where']}")


@command(commands, "policy", _show_policy)
def policy(
    client: Client, language: Annotated[str, typer.Option("--language", help="en, de or es.")] = "en"
) -> dict[str, Any]:
    """Show what people are asked, in the words they are shown, and how long things are kept."""
    return client.policy(language)


@command(receipts, "show", show_receipt)
def show(client: Client, receipt: Annotated[str, typer.Argument(metavar="ID")]) -> Receipt:
    """Fetch a receipt by its id; it needs no token."""
    return client.receipt(receipt)


@command(receipts, "verify", facts)
def verify(
    client: Client,
    file: Annotated[Path, typer.Argument(help="A receipt as it was handed out: JSON, or the bare signature.")],
    keys: Annotated[
        Path | None, typer.Option("--keys", help="The keys to trust, a JSON Web Key Set; else the service is asked.")
    ] = None,
) -> dict[str, Any]:
    """Check a receipt's signature and show what was signed. With --keys nothing is sent anywhere."""
    signed = _signature(read_file(file))
    trusted = _key_set(read_file(keys)) if keys else client.keys()["keys"]
    return {"valid": True, **jws.verify(signed, trusted)}


def _signature(content: bytes) -> str:
    """The compact JWS in a file.

    Raises: ReceiptInvalid.
    """
    try:
        text = content.decode().strip()
        document = json.loads(text) if text.startswith("{") else {"jws": text}
    except ValueError:
        raise ReceiptInvalid("this is not a receipt") from None
    if not isinstance(document.get("jws"), str):
        raise ReceiptInvalid("this receipt carries no signature: it is still pending")
    return str(document["jws"])


def _key_set(content: bytes) -> list[dict[str, str]]:
    try:
        keys: list[dict[str, str]] = json.loads(content)["keys"]
    except (ValueError, KeyError, TypeError):
        raise ReceiptInvalid("the keys are no JSON Web Key Set") from None
    return keys

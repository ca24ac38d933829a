"""How every command is made: its options, its one document, its one line of error."""

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import TypeAdapter

from voiceid.client import DEFAULT_URL, Client
from voiceid.errors import InvalidRequest, NotFound, VoiceIdError
from voiceid.types import PersonId
from voiceid.views import Receipt

T = TypeVar("T")

_ID = re.compile(r"[a-z2-7]{24}")
_ANY: TypeAdapter[Any] = TypeAdapter(Any)

Url = Annotated[str, typer.Option("--url", envvar="VOICEID_URL", help="Where the service answers.")]
Token = Annotated[str | None, typer.Option("--token", envvar="VOICEID_TOKEN", help="Whose command this is.")]
House = Annotated[str | None, typer.Option("--household", help="A household's id, where the token belongs to none.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Who = Annotated[str, typer.Argument(metavar="PERSON", help="A person's id, or their name where only one has it.")]


def _option(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


_REMOTE = (_option("url", Url, DEFAULT_URL), _option("token", Token, None), _option("household", House, None))
_JSON = _option("as_json", Json, False)


def command(
    group: typer.Typer, name: str, show: Callable[[Any], object]
) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Make a function a command. What it returns is shown by `show`, or printed as the one document of `--json`.

    A parameter `client` becomes the options that find the service. A result whose `ok` is False ends in exit code 1.
    """

    def register(function: Callable[..., T]) -> Callable[..., T]:
        parameters = list(inspect.signature(function).parameters.values())
        remote = any(parameter.annotation is Client for parameter in parameters)
        own = [parameter for parameter in parameters if parameter.annotation is not Client]
        shown = [*own, *(_REMOTE if remote else ()), _JSON]

        def run(**given: Any) -> None:
            as_json = given.pop("as_json")
            if remote:
                where = [given.pop(option.name) for option in _REMOTE]
                with Client(*where) as client:
                    result = function(client, **given)
            else:
                result = function(**given)
            if as_json:
                print_json(result)
            else:
                show(result)
            if getattr(result, "ok", True) is False:
                raise typer.Exit(1)

        run.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]  # how inspect lets a wrapper say it
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
        run.__doc__ = (function.__doc__ or "").split("\n\n    Raises:")[0]
        group.command(name)(run)
        return function

    return register


def print_json(result: Any) -> None:
    """The one document on standard output."""
    typer.echo(_ANY.dump_json(result, indent=2).decode())


def say(*lines: str) -> None:
    """Lines for people, where no script reads."""
    typer.echo("\n".join(lines), err=True)


def ask(question: str, *, yes: bool) -> None:
    """Go on only with a yes; `yes`: it was given on the command line."""
    if not yes:
        typer.confirm(question, abort=True, err=True)


def table(*fields: str) -> Callable[[Iterable[Any]], None]:
    """Shows items line by line: these attributes, in columns."""

    def show(items: Iterable[Any]) -> None:
        rows = [[_text(getattr(item, field)) for field in fields] for item in items]
        _columns([[field.upper() for field in fields], *rows])

    return show


def facts(result: Any) -> None:
    """Shows one object: a line for each of its fields that say something."""
    plain = _ANY.dump_python(result, mode="json")
    _columns([[f"{name}:", _text(value)] for name, value in plain.items() if value not in (None, [], {})])


def show_receipt(receipt: Receipt) -> None:
    """Shows what was erased, store by store."""
    destroyed = len(receipt.keys_destroyed)
    facts({"receipt": receipt.id, "state": receipt.state, "why": receipt.why, "keys destroyed": destroyed})
    table("store", "found", "left")(receipt.stores)


def nothing(_: object) -> None:
    """Shows nothing: it was done."""


def person_id(client: Client, word: str) -> PersonId:
    """Whom the word means.

    Raises: NotFound; InvalidRequest, when several people have this name.
    """
    if _ID.fullmatch(word):
        return PersonId(word)
    found = [one.id for one in client.every(client.people) if one.display_name.casefold() == word.casefold()]
    if len(found) > 1:
        raise InvalidRequest(f"person: {len(found)} people have this name; say the id")
    if not found:
        raise NotFound("nobody of this household has this name")
    return found[0]


def read_file(path: Path) -> bytes:
    """A file that was named on the command line.

    Raises: NotFound, when it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFound(f"{path.name}: {error.strerror}") from None


def problem(error: VoiceIdError) -> dict[str, Any]:
    """The members that the service would have answered with."""
    about = {"type": f"/problems/{error.code}", "title": error.title, "status": error.status, "detail": str(error)}
    return {**error.facts, **about}


def fail(error: VoiceIdError, words: Sequence[str]) -> int:
    """One line on standard error, or one document on standard output; the exit code."""
    if "--json" in words:
        print_json({"error": problem(error)})
    else:
        typer.echo(f"voiceid: {' '.join(str(error).split())} [{error.code}]", err=True)
    return 2


def _text(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case dict() | list():
            return json.dumps(value, ensure_ascii=False)
        case float():
            return f"{value:g}"
        case _ if hasattr(value, "isoformat"):
            return str(value.isoformat(timespec="seconds"))
        case _:
            return str(value)


def _columns(rows: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo(line.rstrip())
    sys.stdout.flush()

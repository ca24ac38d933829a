"""All the commands, and the library that reads their words."""

from collections.abc import Sequence
from typing import Any, cast

import typer

from voiceid.errors import InvalidRequest

_MISUSED = cast("type[Exception]", typer.BadParameter.__mro__[2])
"""What typer raises for words that are no command; it gives it no public name."""


def application(*, whole: bool = True) -> typer.Typer:
    """All commands; or `serve` alone, whose process stays and shall not hold what the others need."""
    from voiceid.cli import serve  # noqa: PLC0415 imported only where a command is run

    app = typer.Typer(name="voiceid", add_completion=False, no_args_is_help=True, help="A household's own Voice ID.")
    app.callback()(lambda: None)  # or the one command there is would lose its name
    app.add_typer(serve.commands)
    for part in _others() if whole else ():
        app.add_typer(part)
    return app


def _others() -> list[typer.Typer]:
    from voiceid.cli import (  # noqa: PLC0415 half a second of imports
        consent,
        demo,
        household,
        keeping,
        listening,
        measuring,
        model,
        person,
        proving,
        receipt,
        service,
        voice,
    )

    modules = (service, demo, household, person, consent, voice, listening, receipt, model, measuring, keeping, proving)
    return [module.commands for module in modules]


def run(words: Sequence[str]) -> int:
    """Run one command; its exit code.

    Raises: InvalidRequest, for words that are no command; what the command raises.
    """
    command = typer.main.get_command(application(whole=words[:1] != ["serve"]))
    try:
        return int(command.main(list(words), prog_name="voiceid", standalone_mode=False) or 0)
    except typer.Abort:
        typer.echo("voiceid: nothing was done", err=True)
        return 1
    except _MISUSED as misused:
        raise InvalidRequest(cast("Any", misused).format_message()) from None

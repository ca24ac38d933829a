"""The command line: the words of the design, over HTTP with a token; only serve, retain, doctor and model open files.

Every failure is one line on standard error and exit code 2, with the code that HTTP would carry; `--json` prints
exactly one document on standard output.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any, cast

import typer

from voiceid.errors import InvalidRequest, VoiceIdError

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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = typer.main.get_command(application(whole=words[:1] != ["serve"]))
    try:
        return int(command.main(words, prog_name="voiceid", standalone_mode=False) or 0)
    except VoiceIdError as error:
        return _fail(error, words)
    except typer.Abort:
        typer.echo("voiceid: nothing was done", err=True)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read has gone
        return 1
    except _MISUSED as misused:
        return _fail(InvalidRequest(cast("Any", misused).format_message()), words)


def _fail(error: VoiceIdError, words: Sequence[str]) -> int:
    from voiceid.cli.shell import fail  # noqa: PLC0415 the client comes with it

    return fail(error, words)

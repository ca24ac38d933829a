"""The command line: the words of the design, over HTTP with a token; only serve, retain, doctor and model open files.

Every failure is one line on standard error and exit code 2, with the code that HTTP would carry; `--json` prints
exactly one document on standard output.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any, cast

import typer

from voiceid.cli import (
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
from voiceid.cli.shell import fail, say
from voiceid.errors import InvalidRequest, VoiceIdError

app = typer.Typer(name="voiceid", add_completion=False, no_args_is_help=True, help="A household's own Voice ID.")
for part in (service, demo, household, person, consent, voice, listening, receipt, model, measuring, keeping, proving):
    app.add_typer(part.commands)

_MISUSED = cast("type[Exception]", typer.BadParameter.__mro__[2])
"""What typer raises for words that are no command; it gives it no public name."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return int(typer.main.get_command(app).main(words, prog_name="voiceid", standalone_mode=False) or 0)
    except VoiceIdError as error:
        return fail(error, words)
    except typer.Abort:
        say("voiceid: nothing was done")
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read has gone
        return 1
    except _MISUSED as misused:
        return fail(InvalidRequest(cast("Any", misused).format_message()), words)

"""The command line: the words of the design, over HTTP with a token; only `serve`, `retain` and `doctor` open files.

Every failure is one line on standard error and exit code 2, with the code that HTTP would carry; `--json` prints exactly
one document on standard output.
"""

import sys
from collections.abc import Sequence
from typing import Any, cast

import typer

from voiceid.cli import consent, demo, doctor, household, learn, model, person, receipt, service, voice
from voiceid.cli.shell import fail, say
from voiceid.errors import InvalidRequest, VoiceIdError

app = typer.Typer(name="voiceid", add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
for group in (
    household.households, person.people, consent.consents, voice.recordings, receipt.receipts, household.tokens,
    model.models,
):  # fmt: skip
    app.add_typer(group)

_Misused = typer.BadParameter.__mro__[2]
"""What typer raises for words that are no command; it has no public name of its own."""


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
    except _Misused as misused:
        return fail(InvalidRequest(cast("Any", misused).format_message()), words)

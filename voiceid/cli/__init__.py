"""The command line: the words of the design, over HTTP with a token; only serve, retain, doctor and model open files.

Every failure is one line on standard error and exit code 2, with the code that HTTP would carry; `--json` prints
exactly one document on standard output.
"""

import os
import sys
from collections.abc import Sequence

from voiceid.cli import serving
from voiceid.errors import VoiceIdError

_INTERRUPTED = 130
"""What a shell gives for a program that Ctrl-C ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    asked = serving.read(words)
    try:
        if asked is not None:
            return serving.run(asked)
        from voiceid.cli import commands  # noqa: PLC0415 a running service holds nothing of what reads other words

        return commands.run(words)
    except VoiceIdError as error:
        from voiceid.cli.shell import fail  # noqa: PLC0415 the client comes with it

        return fail(error, words)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read has gone
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED

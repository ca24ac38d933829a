"""Proving that forgetting works, on this machine."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from voiceid.cli.shell import command, say

if TYPE_CHECKING:
    from voiceid.proof import Report

commands = typer.Typer()

Quick = Annotated[bool, typer.Option("--quick", help="In minutes: fewer of everything, nothing left out.")]
Only = Annotated[
    list[str] | None, typer.Option("--only", help="One of them, such as crashes; may be repeated.")
]


def _show(report: "Report") -> None:
    checks = [check for section in report.sections for check in section.checks]
    held = sum(check["ok"] for check in checks)
    typer.echo(f"{held} of {len(checks)} checks held, in {report.seconds:.0f} s.")


@command(commands, "proof", _show)
def proof(quick: Quick = False, only: Only = None) -> "Report":  # noqa: FBT002 options of the command line
    """Attack an installation of its own: search it, kill it, race it, starve it.

    Every check states what was planned, done, expected and found. It needs the extra `proof`.
    """
    from voiceid.proof import FULL, PROOFS, QUICK, run  # noqa: PLC0415 nobody else needs it

    return run(QUICK if quick else FULL, only or PROOFS, _tell)


def _tell(section: str, check: dict[str, Any]) -> None:
    """One line for each check as it is done, where no script reads."""
    word = "held" if check["ok"] else "FAILED"
    say(f"{section}: {check['name']}: {word} ({check['done']} of {check['planned']})")

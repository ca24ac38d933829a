"""The story of a household, on the terminal."""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from voiceid.cli.shell import print_json

if TYPE_CHECKING:
    from voiceid.demo import Step

commands = typer.Typer()

_WIDTH = 110
"""Columns of the picture."""


class Screen:
    """A `Show` on a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def chapter(self, title: str) -> None:
        self._console.print()
        self._console.rule(f"[bold]{escape(title)}")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        shown = Table(*map(escape, columns), header_style="dim", border_style="dim", expand=False)
        for row in rows:
            shown.add_row(*map(escape, row))
        self._console.print(shown)

    def step(self, step: "Step") -> None:
        mark = "[green]✓[/]" if step.ok else "[bold red]✗[/]"
        expected = "" if step.ok else f" [red](expected: {escape(step.expected)})[/]"
        self._console.print(f"{mark} {escape(step.name)}: [bold]{escape(step.found)}[/]{expected}", highlight=False)

    @contextmanager
    def waiting(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        if self._console.record or not self._console.is_terminal:
            yield lambda: None  # a picture or a file holds no bar that moves
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True) as progress:
            task = progress.add_task(escape(what), total=total)
            yield lambda: progress.advance(task)

    def tell(self, text: str) -> None:
        self._console.print(escape(text), highlight=False)

    def ask(self, question: str) -> bool:
        return typer.confirm(question)

    def ask_name(self) -> str:
        return str(typer.prompt("What is your name?")).strip() or "Somebody"


@commands.command()
def demo(
    mic: Annotated[bool, typer.Option("--mic", help="Play it yourself, with a microphone (extra `mic`).")] = False,  # noqa: FBT002 options of the command line
    svg: Annotated[Path | None, typer.Option("--svg", help="Write a picture of what was shown.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Show nothing; print one JSON document.")] = False,  # noqa: FBT002 same
) -> None:
    """Watch a household be asked, enrolled, recognized, answered personally, and forgotten.

    It runs the real server on a free port of this machine, with directories that are gone afterwards. Exits with 1 if
    anything is not as expected.
    """
    from voiceid.demo import Silent, play, play_live  # noqa: PLC0415 the encoder takes a while to import

    signal.signal(signal.SIGTERM, _stop)
    console = Console(record=svg is not None, width=_WIDTH if svg else None, stderr=as_json)
    show = Silent() if as_json and not mic else Screen(console)
    report = (play_live if mic else play)(show)
    if as_json:
        print_json(report)
    else:
        well = sum(step.ok for step in report.steps)
        colour, word = ("green", "as expected") if report.ok else ("red", "NOT as expected")
        console.rule(f"[bold {colour}]{well} of {len(report.steps)} steps as expected: the story went {word}")
    if svg is not None:
        svg.write_text(_picture(console), encoding="utf-8")
    if not report.ok:
        raise typer.Exit(1)


def _picture(console: Console) -> str:
    """What was shown, as SVG that loads nothing from elsewhere."""
    drawn = console.export_svg(title="voiceid demo")
    while "@font-face" in drawn:
        before, _, rest = drawn.partition("@font-face")
        drawn = before + rest.partition("}")[2].lstrip()
    return drawn


def _stop(_signal: int, _frame: object) -> NoReturn:
    """End as after Ctrl-C: the server is stopped, its directories are removed."""
    sys.exit(143)

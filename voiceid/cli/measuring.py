"""How well the product tells the voices of a corpus apart: figures, and a report with pictures."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from voiceid.cli.shell import say
from voiceid.errors import InvalidRequest, MissingExtra
from voiceid.settings import Settings

commands = typer.Typer()

Repeated = Annotated[
    list[str] | None, typer.Option("--channel", help="A condition to measure; may be repeated. `all`: every one.")
]
Sizes = Annotated[str, typer.Option("--sizes", help="Further household sizes, clean speech of 3 s; empty: none.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the figures to this file; `-`: print them.")]
Report = Annotated[Path | None, typer.Option("--report", help="Write report.html and its pictures to this folder.")]


@commands.command("eval")
def evaluate(
    corpus: Annotated[Path, typer.Argument(help="A folder speaker/utterance.*")],
    encoder: Annotated[str, typer.Option("--encoder")] = "campplus",
    policy: Annotated[Literal["convenient", "balanced", "strict"], typer.Option("--policy")] = "balanced",
    protocol: Annotated[
        Literal["household", "verification"], typer.Option("--protocol", help="Among a household, or one to one.")
    ] = "household",
    channel: Repeated = None,
    size: Annotated[int, typer.Option("--size", min=2, help="Members of a household.")] = 4,
    sizes: Sizes = "2,4,6,8,10",
    guests: Annotated[
        Literal["any", "similar"], typer.Option("--guests", help="Guests drawn at random, or most like the members.")
    ] = "any",
    half: Annotated[Literal["a", "b"] | None, typer.Option("--half", help="Only this half of the speakers.")] = None,
    draws: Annotated[int, typer.Option("--draws", min=1, help="Households drawn at random.")] = 200,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    peers: Annotated[bool, typer.Option("--peers/--no-peers", help="Other encoders, where installed.")] = True,  # noqa: FBT002 typer makes the flag of it
    to: Json = None,
    report: Report = None,
) -> None:
    """Measure how well the product, as shipped, tells the voices of a corpus apart, beside plain cosine."""
    try:
        from voiceid.evaluate import evaluate as measure  # noqa: PLC0415 only this command needs it
        from voiceid.evaluate.protocol import Plan  # noqa: PLC0415 same
    except ImportError as missing:
        raise MissingExtra("measuring needs: pip install 'voiceid[eval]'") from missing
    settings = Settings.from_environment()
    chosen: dict[str, Any] = {"channels": tuple(channel)} if channel else {}
    pages = _pages(report) if report else None
    figures = measure(
        corpus, encoder=encoder, models_dir=settings.models_dir, policy=policy, only=half, peers=peers, tell=say,
        plan=Plan(protocol, size, guests, draws, seed), sizes=_numbers(sizes),
        watch=pages.add if pages else lambda _: None, **chosen,
    )  # fmt: skip
    if pages:
        say(f"written to {pages.write(figures)}")
    text = json.dumps(figures, indent=1)
    if to is None:
        _show_figures(figures)
    elif str(to) == "-":
        typer.echo(text)
    else:
        to.write_text(text + "\n")
        say(f"written to {to}")


def _pages(folder: Path) -> Any:
    try:
        from voiceid.evaluate.report import Report as Pages  # noqa: PLC0415 pictures need matplotlib
    except ImportError as missing:
        raise MissingExtra("a report needs: pip install 'voiceid[eval]'") from missing
    return Pages(folder)


def _numbers(sizes: str) -> tuple[int, ...]:
    """`2,4,6` as numbers; at least two members make a household."""
    words = [word.strip() for word in sizes.split(",") if word.strip()]
    if not all(word.isascii() and word.isdigit() and int(word) > 1 for word in words):
        raise InvalidRequest("sizes are whole numbers from 2 on, such as 2,4,6")
    return tuple(map(int, words))


def _show_figures(report: dict[str, Any]) -> None:
    for place in ("corpora", "baseline"):
        for name, figures in report[place].items():
            known = {key: value for key, value in figures.items() if isinstance(value, int | float)}
            typer.echo(f"{place} {name}: " + ", ".join(f"{key} {value:.4g}" for key, value in known.items()))

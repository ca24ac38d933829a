"""Encoders: which there are, how to get one, how to change to one."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from voiceid.cli.shell import command, facts, say, table
from voiceid.errors import NotFound
from voiceid.settings import Settings

commands = typer.Typer()
models = typer.Typer(name="model", help="Encoders: what makes a voiceprint of a voice.")
commands.add_typer(models)

Name = Annotated[str, typer.Argument(help="campplus, campplus-int8, ecapa, or a folder that was vouched for.")]


@dataclass(frozen=True, slots=True)
class Model:
    """An encoder that can be used, or could be."""

    name: str
    here: bool
    in_use: bool


@command(models, "list", table("name", "here", "in_use"))
def list_models() -> list[Model]:
    """List the encoders: which are on this machine, and which is set."""
    from voiceid.encode.pins import PINNED  # noqa: PLC0415 only these commands need it
    from voiceid.encode.pull import installed  # noqa: PLC0415 same

    settings = Settings.from_environment()
    here = {"campplus", "campplus-int8", *installed(settings.models_dir)}
    names = dict.fromkeys(["campplus", "campplus-int8", *PINNED, settings.encoder])
    return [Model(name, name in here or Path(name).is_dir(), name == settings.encoder) for name in names]


@command(models, "pull", facts)
def pull_model(name: Name) -> dict[str, str]:
    """Fetch a pinned model: the one command that connects to another machine, because you say so."""
    from voiceid.encode.pull import pull  # noqa: PLC0415 same

    told: dict[str, int] = {}

    def tell(file: str, here: int, whole: int) -> None:
        percent = 100 * here // whole
        if percent // 10 > told.get(file, -1):
            told[file] = percent // 10
            say(f"{file}: {percent} %")

    folder = pull(name, Settings.from_environment().models_dir, progress=tell)
    return {"model": name, "folder": str(folder)}


@command(models, "trust", facts)
def trust_model(folder: Annotated[Path, typer.Argument(help="A folder in SpeechBrain's format.")]) -> dict[str, str]:
    """Vouch for a folder's checkpoint as it is now. Its weights decide who is taken for whom."""
    from voiceid.encode.ecapa import trust  # noqa: PLC0415 same

    return {"model": trust(folder, Settings.from_environment().models_dir), "folder": str(folder.resolve())}


def _show_carried(done: dict[str, Any]) -> None:
    facts(done)
    say(f"Start the service again with VOICEID_ENCODER set to this model ({done['encoder']}).")
    if done["must_enroll_again"]:
        say("Who must enroll again is not recognized until then: no usable recordings of them were kept.")


@command(models, "use", _show_carried)
def use_model(name: Name) -> dict[str, Any]:
    """Make every voiceprint anew with another encoder, from the recordings that were kept."""
    from voiceid.service import doctor, wiring  # noqa: PLC0415 the service takes a second to import

    settings = Settings.from_environment()
    if not doctor.is_set_up(settings):
        raise NotFound("nothing is set up here")
    return asdict(wiring.use_model(settings, name))

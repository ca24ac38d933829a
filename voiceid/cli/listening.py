"""Who is speaking, while they speak: from a file or a microphone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from voiceid.cli.shell import command, read_file, say
from voiceid.client import Client
from voiceid.errors import InvalidRequest

commands = typer.Typer()

_CHUNK_BYTES = 3200
"""100 ms."""
_MOST_S = 600

MaybeFile = Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A sound file.")]


def _show(decisions: list[dict[str, Any]]) -> None:
    for one in decisions:
        typer.echo(f"{one['start_s']:7.2f} to {one['end_s']:7.2f} s  {_who(one)}: {one['response']['text']}")


@command(commands, "listen", _show)
def listen(
    client: Client,
    file: MaybeFile = None,
    mic: Annotated[bool, typer.Option("--mic", help="Listen to a microphone (extra `mic`) until Ctrl-C.")] = False,  # noqa: FBT002 an option of the command line
    intent: Annotated[str | None, typer.Option("--intent", help="What was asked for, such as weather.")] = None,
    locale: Annotated[str | None, typer.Option("--locale", help="Of the answers.")] = None,
) -> list[dict[str, Any]]:
    """Tell who is speaking while they speak, and decide on every utterance; the decisions are the result."""
    if mic == (file is not None):
        raise InvalidRequest("either a sound file or --mic")
    sound = _microphone() if file is None else _chunks(file)
    wish = {name: value for name, value in (("intent", intent), ("locale", locale)) if value is not None}
    decisions = []
    try:
        for event in client.listen(sound, **wish):
            _tell(event)
            if event["type"] == "decision":
                decisions.append(event)
    except KeyboardInterrupt:
        say("")
    return decisions


def _tell(event: dict[str, Any]) -> None:
    match event["type"]:
        case "speech_started":
            say(f"{event['at_s']:7.2f} s  somebody speaks")
        case "hypothesis" if event["person"]:
            say(f"           {event['person']['display_name']}, I think ({event['confidence']:.0%})")
        case "decision":
            say(f"{event['end_s']:7.2f} s  {_who(event)}, stored: {'yes' if event['stored'] else 'nothing'}")
        case _:
            pass


def _who(decision: dict[str, Any]) -> str:
    person = decision["person"]
    return str(person["display_name"]) if person else f"anonymous ({decision['reason']})"


def _chunks(file: Path) -> Iterator[bytes]:
    from voiceid.decode import decode, to_pcm16  # noqa: PLC0415 numpy and codecs: only who asks needs them

    sound = to_pcm16(decode(read_file(file), max_s=_MOST_S))
    return (sound[at : at + _CHUNK_BYTES] for at in range(0, len(sound), _CHUNK_BYTES))


def _microphone() -> Iterator[bytes]:
    from voiceid.microphone import chunks  # noqa: PLC0415 a device: only who asks needs it

    say("Please speak. Ctrl-C ends.")
    return chunks()

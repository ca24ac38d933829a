"""Enrolling, recognizing, and what was kept of it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from voiceid.cli.shell import Who, Yes, ask, command, facts, person_id, read_file, say, show_receipt, table
from voiceid.client import Client
from voiceid.errors import InvalidRequest
from voiceid.types import PersonId
from voiceid.views import (
    Answer,
    EnrollmentState,
    InteractionView,
    Receipt,
    RecordingView,
    TakeResult,
    Verification,
    VoiceprintView,
)

commands = typer.Typer()
recordings = typer.Typer(name="recordings", help="What was kept of a person's voice; for that person alone.")
commands.add_typer(recordings)

TAKE_S, REQUEST_S = 7.0, 5.0
"""How long a microphone listens."""

Mic = Annotated[bool, typer.Option("--mic", help="Listen to a microphone (extra `mic`).")]
MaybeFile = Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A sound file.")]
Kind = Annotated[
    str | None,
    typer.Option("--type", help="Media type of raw PCM, such as audio/pcm;rate=16000;encoding=s16le;channels=1."),
]
Record = Annotated[str, typer.Argument(metavar="ID", help="An id from the list.")]


def _show_answer(answer: Answer) -> None:
    typer.echo(answer.response.text)
    facts(answer)


@command(commands, "enroll", facts)
def enroll(
    client: Client,
    who: Who,
    files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="One sound file per take.")] = None,
    mic: Mic = False,  # noqa: FBT002 an option of the command line
    locale: Annotated[str, typer.Option("--locale", help="Of the sentences to read.")] = "en",
    kind: Kind = None,
) -> VoiceprintView:
    """Enroll PERSON from sound files or a microphone. They must have agreed, and it takes their own session.

    What is not completed is abandoned, and nothing of it is kept.
    """
    if mic == bool(files):
        raise InvalidRequest("either sound files or --mic")
    person = person_id(client, who)
    started = client.start_enrollment(person, locale)
    try:
        sounds = _spoken(started) if mic else (read_file(path) for path in files or ())
        for number, sound in enumerate(sounds, 1):
            if _add(client, person, started, sound, kind, number).progress.done:
                break
        return client.complete_enrollment(person, started.id)
    except BaseException:
        with contextlib.suppress(Exception):  # the first failure is the one to tell; what is unfinished runs out
            client.abandon_enrollment(person, started.id)
        raise


@command(commands, "recognize", _show_answer)
def recognize(
    client: Client,
    file: MaybeFile = None,
    mic: Mic = False,  # noqa: FBT002 same
    intent: Annotated[str | None, typer.Option("--intent", help="What was asked for, such as weather.")] = None,
    transcript: Annotated[str | None, typer.Option("--transcript", help="What was said.")] = None,
    locale: Annotated[str | None, typer.Option("--locale", help="Of the answer.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="With score, threshold and timing.")] = False,  # noqa: FBT002 same
    kind: Kind = None,
) -> Answer:
    """Answer one request: personally whom the service knows and may know, anonymously everybody else."""
    sound = _heard(file, mic=mic)
    return client.recognize(
        sound, intent=intent, transcript=transcript, locale=locale, explain=explain, content_type=kind
    )


@command(commands, "verify", facts)
def verify(client: Client, who: Who, file: MaybeFile = None, mic: Mic = False, kind: Kind = None) -> Verification:  # noqa: FBT002 same
    """Whether PERSON is speaking. A voice is not a password: never open a door or move money on this alone."""
    return client.verify(person_id(client, who), _heard(file, mic=mic), kind)


@command(recordings, "list", table("id", "kind", "at", "duration_s", "expires_at"))
def list_recordings(client: Client, who: Who) -> list[RecordingView]:
    """List the recordings that were kept of PERSON."""
    return list(client.every(client.recordings, person_id(client, who)))


@command(recordings, "fetch", lambda where: say(f"written to {where['file']}"))
def fetch_recording(
    client: Client, who: Who, recording: Record, to: Annotated[Path, typer.Option("--to", help="Where to write it.")]
) -> dict[str, str]:
    """Write one recording to a file that only you can read."""
    sound = client.hear_recording(person_id(client, who), recording)
    try:
        with os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(sound)
    except OSError as error:
        raise InvalidRequest(f"to: {error.strerror}") from None
    return {"file": str(to)}


@command(recordings, "delete", show_receipt)
def delete_recording(client: Client, who: Who, recording: Record, yes: Yes = False) -> Receipt:  # noqa: FBT002 same
    """Shred one recording; shows the receipt."""
    person = person_id(client, who)
    ask("Shred this recording?", yes=yes)
    return client.delete_recording(person, recording)


@command(recordings, "requests", table("id", "at", "intent", "transcript", "response", "recording"))
def list_requests(client: Client, who: Who) -> list[InteractionView]:
    """List the requests in which PERSON was recognized and something was kept."""
    return list(client.every(client.interactions, person_id(client, who)))


@command(recordings, "forget", show_receipt)
def forget_requests(
    client: Client,
    who: Who,
    request: Annotated[str | None, typer.Argument(metavar="[ID]", help="One request; without it: all.")] = None,
    yes: Yes = False,  # noqa: FBT002 same
) -> Receipt:
    """Erase one request or all, with their text and sound; shows the receipt."""
    person = person_id(client, who)
    ask("Erase this request?" if request else "Erase all requests?", yes=yes)
    return client.delete_interaction(person, request) if request else client.delete_interactions(person)


@command(recordings, "not-me", show_receipt)
def not_me(client: Client, who: Who, request: Record) -> Receipt:
    """Somebody else was taken for PERSON: erase what was kept of it, at once; shows the receipt."""
    return client.not_me(person_id(client, who), request)


def _add(
    client: Client, person: PersonId, started: EnrollmentState, sound: bytes, kind: str | None, number: int
) -> TakeResult:
    take = client.add_take(person, started.id, sound, kind)
    seen = f"{take.progress.takes} of {take.progress.takes_needed} takes, {take.progress.speech_s:.1f} s of speech"
    say(f"take {number}: {'accepted' if take.accepted else 'refused'}, {seen}. {take.advice}")
    return take


def _spoken(started: EnrollmentState) -> Iterator[bytes]:
    """Takes from the microphone, sentence after sentence, for as long as somebody goes on."""
    from voiceid.microphone import record  # noqa: PLC0415 numpy and a device: only who asks needs them

    while True:
        for prompt in started.prompts:
            say("", f"Please read: {prompt}")
            yield record(TAKE_S)


def _heard(file: Path | None, *, mic: bool) -> bytes:
    if mic == (file is not None):
        raise InvalidRequest("either a sound file or --mic")
    if file is not None:
        return read_file(file)
    from voiceid.microphone import record  # noqa: PLC0415 same

    say("Please speak.")
    return record(REQUEST_S)

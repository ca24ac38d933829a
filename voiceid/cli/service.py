"""Running the service, and letting time erase."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from voiceid.cli.shell import command, table
from voiceid.errors import InvalidRequest
from voiceid.settings import Settings
from voiceid.views import Receipt

if TYPE_CHECKING:
    from voiceid.service.run import Ready

Port = Annotated[int | None, typer.Option("--port", min=0, max=65535, help="Instead of VOICEID_PORT; 0: a free one.")]
Host = Annotated[str | None, typer.Option("--host", help="Instead of VOICEID_HOST.")]
Plain = Annotated[
    bool, typer.Option("--unsafe-plain-http", help="Serve off loopback without TLS: only behind a proxy that adds it.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document once the service is ready.")]


def serve(
    port: Port = None, host: Host = None, unsafe_plain_http: Plain = False, as_json: AsJson = False  # noqa: FBT002 options
) -> None:
    """Run the service on this machine; prints one link and, on the first start, the first tokens."""
    from voiceid.service.run import serve as run  # noqa: PLC0415 the service takes a second to import

    settings = Settings.from_environment()
    wanted = {"port": port, "host": host}
    settings = settings.model_copy(update={name: value for name, value in wanted.items() if value is not None})
    run(settings, _as_document if as_json else _as_text, plain_http_anywhere=unsafe_plain_http)


def _as_document(ready: "Ready") -> None:
    shown = asdict(ready)
    del shown["code"]  # the tokens serve a script; the code is for the link
    print(json.dumps(shown), flush=True)  # noqa: T201 the one document


def _as_text(ready: "Ready") -> None:
    lines = [f"voiceid is ready: {ready.url}/#{ready.code}"]
    if ready.household:
        lines += [
            "",
            "This is the first start. Keep these two tokens: they are shown this once.",
            f"  household    {ready.household}",
            f"  admin token  {ready.admin_token}",
            f"  owner token  {ready.owner_token}",
        ]
    print("\n".join(lines), flush=True)  # noqa: T201 what this command is for

"""Running the service."""

from typing import Annotated

import typer

from voiceid.cli import serving

commands = typer.Typer()

Port = Annotated[int | None, typer.Option("--port", min=0, max=65535, help="Instead of VOICEID_PORT; 0: a free one.")]
Host = Annotated[str | None, typer.Option("--host", help="Instead of VOICEID_HOST.")]
Plain = Annotated[
    bool, typer.Option("--unsafe-plain-http", help="Serve off loopback without TLS: only behind a proxy that adds it.")
]
Lan = Annotated[bool, typer.Option("--lan", help="Serve the home network too: HTTPS, with its own certificate.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document once the service is ready.")]


@commands.command()
def serve(
    port: Port = None,
    host: Host = None,
    lan: Lan = False,  # noqa: FBT002 options of the command line
    unsafe_plain_http: Plain = False,  # noqa: FBT002 same
    as_json: AsJson = False,  # noqa: FBT002 same
) -> None:
    """Run the service on this machine. Prints one link and, on the first start, the first tokens."""
    serving.run(serving.Asked(port, host, lan, unsafe_plain_http, as_json))

"""Running the service. Imports nothing that only other commands need: all of it would stay in the service's memory."""

import io
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from voiceid.service.early import Networks, leave_out
from voiceid.settings import Settings

if TYPE_CHECKING:
    from voiceid.service.run import Ready

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
    from voiceid.service.allocator import overwrite_freed_memory  # noqa: PLC0415 before the service is imported

    overwrite_freed_memory()
    settings = Settings.from_environment()
    wanted = {"port": port, "host": host}
    settings = settings.model_copy(update={name: value for name, value in wanted.items() if value is not None})
    leave_out()
    networks = Networks(settings)
    from voiceid.service.run import serve as run  # noqa: PLC0415 the service takes a second to import: load meanwhile

    shown = _as_document if as_json else _as_text
    run(settings, shown, lan=lan, plain_http_anywhere=unsafe_plain_http, networks=networks)


def _as_document(ready: "Ready") -> None:
    shown = asdict(ready)
    del shown["code"]  # a script has the tokens; the code is for the link
    typer.echo(json.dumps(shown))


def _as_text(ready: "Ready") -> None:
    lines = [f"voiceid is ready: {ready.url}/#{ready.code}", *_elsewhere(ready)]
    if ready.household:
        lines += [
            "",
            "This is the first start. Keep these two tokens: they are shown this once.",
            f"  household    {ready.household}",
            f"  admin token  {ready.admin_token}",
            f"  owner token  {ready.owner_token}",
        ]
    typer.echo("\n".join(lines))


def _elsewhere(ready: "Ready") -> list[str]:
    """How to come here from another device: the page that explains the certificate, as a QR code too."""
    if ready.lan_url is None:
        return []
    import segno  # noqa: PLC0415 no other command draws

    explained, drawing = f"{ready.lan_url}/#trust", io.StringIO()
    segno.make_qr(explained).terminal(drawing, compact=True)
    return [
        "",
        f"On a phone or tablet in this home, once for each: {explained}",
        "It warns, because it does not know this household yet; the page says how to change that. Compare there:",
        f"  SHA-256  {ready.fingerprint}",
        drawing.getvalue().rstrip("\n"),
        f"The link above works there as well, once: {ready.lan_url}/#{ready.code}",
    ]

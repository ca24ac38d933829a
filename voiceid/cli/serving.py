"""What `voiceid serve` does. Imports nothing that only other commands need: all of it would stay in its memory."""

import io
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from voiceid.service.run import Ready

_MOST_PORT = 65535
_FLAGS = {"--lan": "lan", "--unsafe-plain-http": "unsafe_plain_http", "--json": "as_json"}


class Asked(NamedTuple):
    """The options of `voiceid serve`."""

    port: int | None = None
    host: str | None = None
    lan: bool = False
    unsafe_plain_http: bool = False
    as_json: bool = False


def read(words: Sequence[str]) -> Asked | None:
    """Read the words of `serve`, each option written as its help shows it.

    None: another command, or words that the command line's library is to read, or to refuse. It reads these as well,
    and gives the same; but a start would wait for its import.
    """
    if list(words[:1]) != ["serve"]:
        return None
    found: dict[str, Any] = {}
    rest = iter(words[1:])
    for word in rest:
        if word in _FLAGS:
            found[_FLAGS[word]] = True
            continue
        value = next(rest, "")
        if word == "--port" and re.fullmatch("[0-9]{1,5}", value) and int(value) <= _MOST_PORT:
            found["port"] = int(value)
        elif word == "--host" and value and not value.startswith("-"):
            found["host"] = value
        else:
            return None
    return Asked(**found)


def run(asked: Asked) -> int:
    """Run the service on this machine until a signal ends it."""
    from voiceid.service.allocator import overwrite_freed_memory  # noqa: PLC0415 before the service is imported

    overwrite_freed_memory()
    from voiceid.service.early import Networks  # noqa: PLC0415 same
    from voiceid.settings import Settings  # noqa: PLC0415 same

    wanted = {"port": asked.port, "host": asked.host}
    settings = Settings.from_environment(**{name: value for name, value in wanted.items() if value is not None})
    networks = Networks(settings)
    from voiceid.service.run import serve  # noqa: PLC0415 the service takes long to import: load meanwhile

    shown = _as_document if asked.as_json else _as_text
    serve(settings, shown, lan=asked.lan, plain_http_anywhere=asked.unsafe_plain_http, networks=networks)
    return 0


def _as_document(ready: "Ready") -> None:
    shown = asdict(ready)
    del shown["code"]  # a script has the tokens; the code is for the link
    _say(json.dumps(shown))


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
    _say("\n".join(lines))


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 says nothing where nobody can read


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

"""Write the generated pages: `make docs`. What is stated once in the code is not stated again by hand.

- docs/settings.md: from the fields of voiceid.settings.Settings
- docs/errors.md: the table of codes, from voiceid.errors; the rest of the page is written by hand
- docs/api.md: from the service's own /openapi.json
- docs/retention.md and docs/privacy/: from the policy, the tables and the registered stores
- docs/accuracy.md: its tables, from docs/accuracy.json, which `voiceid eval --json` writes, and from docs/paired.json
- docs/listen.md: the table of figures, from docs/listen.json, which `python -m benchmarks.live --out` writes
- docs/adapt.md: its figures, from docs/adapt.json, which `python -m voiceid.evaluate.ageing --out` writes
- docs/screens: a picture of a real `voiceid demo` and, where there is a Chromium, of every screen; unless --pages
"""

import argparse
import ast
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, fields
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import privacy_pages
from rich.console import Console
from rich.text import Text

from voiceid.errors import VoiceIdError
from voiceid.evaluate.paired import table as paired_table
from voiceid.evaluate.tables import tables
from voiceid.service.application import create_app
from voiceid.service.wiring import build
from voiceid.settings import NOT_SETTINGS, Settings, allowed, kinds

DOCS = Path(__file__).resolve().parents[1] / "docs"
MADE = "<!-- Made by `make docs`. Do not edit. -->"
BEGIN, END = "<!-- codes: made by `make docs` -->", "<!-- /codes -->"
PICTURE_COLUMNS = 110

OTHER_NAMES = {
    "VOICEID_FAILPOINT": "The step at which a test lets the service die.",
    "VOICEID_PASSPHRASE": "Opens and seals copies of the key store, for `voiceid key`.",
    "VOICEID_SPEECH_DIR": "Recordings of real people for the tests marked `speech`.",
    "VOICEID_TOKEN": "The token that `voiceid` and `voiceid.client` send.",
    "VOICEID_URL": "The service that `voiceid` and `voiceid.client` speak to.",
}
"""What the names in NOT_SETTINGS mean."""


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table; bars inside a cell are escaped."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def meanings() -> dict[str, str]:
    """Every setting's docstring, from the source: nothing reads it at run time."""
    source = (Path(__file__).resolve().parents[1] / "voiceid" / "settings.py").read_text()
    (body,) = (node.body for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    return {
        field.target.id: " ".join(ast.literal_eval(said.value).split())
        for field, said in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        and isinstance(said, ast.Expr) and isinstance(said.value, ast.Constant)
    }  # fmt: skip


def settings_page() -> str:
    """Every setting: name, default, allowed values, meaning."""
    said, rows = meanings(), []
    for one in fields(Settings):
        told = "set at start" if one.default is MISSING else f"`{one.default}`"
        default = "none" if one.default in {None, ""} else told
        rows.append((f"`VOICEID_{one.name.upper()}`", default, allowed(kinds()[one.name]), said[one.name]))
    others = [(f"`{name}`", OTHER_NAMES[name]) for name in sorted(NOT_SETTINGS)]
    return (
        f"{MADE}\n\n# Settings\n\nAll that an operator may change: environment variables, read once at start. An"
        " unknown name that begins with\n`VOICEID_` is refused, so that a typing error cannot pass silently.\n\n"
        + table(("name", "default", "allowed", "meaning"), rows)
        + "\nThese names are read by the client, the tools and the tests; the service ignores them.\n\n"
        + table(("name", "meaning"), others)
    )


def codes_table() -> str:
    """Every kind of failure: status, code, title, meaning."""
    kinds = sorted(VoiceIdError.registry.values(), key=lambda kind: (kind.status, kind.code))
    rows = [
        (str(kind.status), f"`{kind.code}`", kind.title, (kind.__doc__ or "").strip().splitlines()[0]) for kind in kinds
    ]
    return table(("status", "code", "title", "what happened"), rows)


def errors_page(page: str) -> str:
    """The page with its table of codes made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{codes_table()}\n{END}{after}"


def openapi() -> dict[str, Any]:
    """The service's own description of itself, from an app built as `voiceid serve` builds it."""
    with tempfile.TemporaryDirectory() as scratch:
        services = build(Settings(data_dir=Path(scratch) / "data", keys_dir=Path(scratch) / "keys"))
        try:
            return create_app(services).openapi()
        finally:
            services.close()


def operations(description: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of every operation, in the order of the paths."""
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            if method in {"get", "put", "post", "delete", "patch"}:
                yield method.upper(), path, operation


def _kind(schema: dict[str, Any]) -> str:
    """What a value is, in words; a named schema as a link to its fields."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type") or "any value")


def _contents(contents: dict[str, Any]) -> str:
    kinds: dict[str, list[str]] = {}
    for media, body in contents.items():
        kinds.setdefault(_kind(body.get("schema", {})), []).append(f"`{media}`")
    return "; ".join(f"{kind} as {', '.join(media)}" for kind, media in kinds.items())


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"### {method} {path}\n"
    yield " ".join((operation.get("description") or operation.get("summary") or "").split()) + "\n"
    query = [one for one in operation.get("parameters", []) if one["in"] == "query"]
    if query:
        rows = [(f"`{one['name']}`", _kind(one.get("schema", {})), one.get("description", "")) for one in query]
        yield table(("query", "kind", "meaning"), rows)
    body = operation.get("requestBody", {}).get("content", {})
    if body:
        yield f"Body: {_contents(body)}.\n"
    for status, answer in sorted(operation["responses"].items()):
        if status.startswith("2"):
            yield f"{status}: {_contents(answer.get('content', {})) or 'no content'}.\n"


@cache
def attribute_docs() -> dict[tuple[str, str], str]:
    """What stands under the fields of our classes: class and field -> meaning."""
    found = {}
    for path in (DOCS.parent / "voiceid").rglob("*.py"):
        for owner in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)):
            for field, below in pairwise(owner.body):
                match field, below:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                        found[owner.name, name] = " ".join(text.split())
    return found


def _schema(name: str, schema: dict[str, Any]) -> str:
    required, meanings = schema.get("required", []), attribute_docs()
    rows = [
        (f"`{field}`", _kind(one), "yes" if field in required else "", meanings.get((name, field), ""))
        for field, one in schema.get("properties", {}).items()
    ]
    meaning = " ".join(schema.get("description", "").split())
    return f"### {name}\n\n{meaning}\n\n" + table(("field", "kind", "always", "meaning"), rows)


def _problems(description: dict[str, Any]) -> str:
    found = {
        (status, " ".join(answer["description"].split()))
        for _, _, operation in operations(description)
        for status, answer in operation["responses"].items()
        if not status.startswith("2")
    }
    return table(("status", "when"), sorted(found))


def api_page(description: dict[str, Any]) -> str:
    """Every operation: what it does, what it takes, what it answers."""
    grouped: dict[str, list[str]] = {}
    for method, path, operation in operations(description):
        group = (operation.get("tags") or ["service"])[0]
        grouped.setdefault(group, []).extend(_operation(method, path, operation))
    sections = [f"## {group.capitalize()}\n\n" + "\n".join(parts) for group, parts in grouped.items()]
    schemas = [_schema(name, schema) for name, schema in sorted(description["components"]["schemas"].items())]
    head = (
        f"{MADE}\n\n# HTTP interface\n\nThe same as the running service's `/docs` and `/openapi.json`. Whatever fails"
        " is a [Problem](#problem) as\n`application/problem+json`; its codes are in [errors.md](errors.md):\n\n"
    )
    return "\n".join([head + _problems(description), *sections, "## Fields\n", *schemas])


def pages() -> dict[Path, str]:
    """Every generated page and what it should say."""
    return {
        DOCS / "settings.md": settings_page(),
        **{DOCS / name: text for name, text in privacy_pages.pages().items()},
        DOCS / "accuracy.md": _with_figures("accuracy", accuracy_figures),
        DOCS / "listen.md": _with_figures("listen", live_figures),
        DOCS / "adapt.md": _with_figures("adapt", adapt_figures),
        DOCS / "errors.md": errors_page((DOCS / "errors.md").read_text()),
        DOCS / "api.md": api_page(openapi()),
    }


def _with_figures(name: str, write: Callable[[dict[str, Any]], str]) -> str:
    """A page with its table of figures made anew, from the file of the same name."""
    begin, end = "<!-- figures: made by `make docs` -->", "<!-- /figures -->"
    before, _, rest = (DOCS / f"{name}.md").read_text().partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{write(json.loads((DOCS / f'{name}.json').read_text()))}\n{end}{after}"


def accuracy_figures(found: dict[str, Any]) -> str:
    """Every table of the evaluation, and what the accelerated encoder changes, from docs/paired.json."""
    both = json.loads((DOCS / "paired.json").read_text())
    head = f"**The accelerated encoder, request by request** (`{both['command']}`; shares in per cent)"
    return f"{tables(found)}\n\n{head}\n\n{paired_table(both)}"


def adapt_figures(found: dict[str, Any]) -> str:
    """What half a year does to recognition, without adapting, with it, and with it unbounded."""
    parts = (
        ("members missed, first 50 days", "members", "missed_first"), ("last 50 days", "members", "missed_last"),
        ("members taken for another member, last 50 days", "members", "misnamed_last"),
        ("guests named, first 50 days", "members", "named_first"), ("last 50 days", "members", "named_last"),
        ("with the impostor: members missed, last 50 days", "with_impostor", "missed_last"),
        ("impostor named, first 50 days", "with_impostor", "accepted_first"),
        ("last 50 days", "with_impostor", "accepted_last"),
    )  # fmt: skip
    rows = []
    for words, group, part in parts:
        ours = [found[group][mode][part] for mode in ("without", "adapting", "unbounded")]
        told = [f"{100 * one['share']:.1f} ({100 * one['ci95'][0]:.1f} to {100 * one['ci95'][1]:.1f})" for one in ours]
        rows.append((words, str(ours[0]["trials"]), *told))
    made = f"`{found['command']}`, encoder `{found['encoder']}`, policy `{found['policy']}`"
    head = f"{made}, {found['houses']} households of {found['size']}; per cent, with 95 % bootstrap intervals\n"
    head += "over speakers (guests and impostors: over households):"
    return f"{head}\n\n" + table(("what", "requests", "not adapting", "adapting", "unbounded"), rows)


def live_figures(found: dict[str, Any]) -> str:
    """What was measured of live recognition, with exact 95 % intervals."""
    what = {
        "right_at_1.5_s": "members named rightly at 1.5 s of speech",
        "members_misnamed": "members named as somebody else, at any moment",
        "members_retracted": "members whose name the decision took back",
        "guests_named_early": "guests whom any hypothesis named",
        "guests_named": "guests whom the decision named",
        "decisions_as_recognize": "decisions equal to `recognize` on the same sound",
        "named_as_the_whole_clip": "clips of one utterance named as `recognize` names the whole clip",
    }
    rows = []
    for part, words in what.items():
        one = found["shares"][part]
        low, high = (f"{100 * bound:.1f}" for bound in one["ci95"])
        rows.append((words, f"{one['count']} of {one['of']}", f"{100 * one['share']:.1f} %", f"{low} to {high}"))
        keys = [key for key in found if key.startswith(f"{part}_") and key not in what]
        causes = {key.removeprefix(f"{part}_"): found[key] for key in keys}
        rows += [(f"… because of `{cause}`", str(count), "", "") for cause, count in sorted(causes.items())]
    made = f"`{found['command']}`, encoder `{found['encoder']}`, policy `{found['policy']}`"
    head = f"{made}, {found['households']} households:"
    return f"{head}\n\n" + table(("what", "counted", "share", "95 % interval, %"), rows)


def picture(words: list[str], title: str) -> str:
    """Run a command and draw what it prints on a terminal as SVG, with no font from elsewhere.

    Raises: CalledProcessError, when the command fails.
    """
    shell = os.environ | {"FORCE_COLOR": "1", "TTY_INTERACTIVE": "0", "COLUMNS": str(PICTURE_COLUMNS)}
    shown = subprocess.run(words, check=True, env=shell, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603 - ours
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=PICTURE_COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text.from_ansi(shown.rstrip()))
    return re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title=title), flags=re.DOTALL)


def main() -> None:
    """Write all pages, and the picture unless only pages are wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", action="store_true", help="no pictures")
    only_pages = parser.parse_args().pages
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    if not only_pages:
        (DOCS / "screens").mkdir(exist_ok=True)
        svg = picture([str(Path(sys.executable).with_name("voiceid")), "demo"], "voiceid demo")
        (DOCS / "screens" / "demo.svg").write_text(svg)
        import make_screens  # noqa: PLC0415 it needs the tests' tools, and only pictures need it

        if make_screens.browser():
            make_screens.write()
        else:
            print("no Chromium here: the pictures of the page stay as they are")


if __name__ == "__main__":
    main()

"""The rules of the layout as functions from source text to complaints, so that a test can show each one fail."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ORDER = (
    "types", "errors", "failpoint", "memory", "turns", "jws", "settings", "views", "ports", "policy", "onnx",
    "containers", "opus", "decode", "speech", "encode", "voiceprint", "consent", "calibration", "adapt", "match",
    "decide", "respond", "recognize", "listen", "store", "scan", "client", "microphone", "evaluate", "service", "proof",
    "demo", "cli", "__main__",
)  # fmt: skip
"""The modules of `voiceid`, read downwards: each imports only those before it."""

BELOW_ENROLLMENT = frozenset(ORDER[: ORDER.index("client")])
"""What `enrollment` may build on: everything up to the store."""

SOLE_IMPORTERS = {
    "alembic": ("voiceid/store/",),
    "faiss": ("voiceid/match.py",),
    "fastapi": ("voiceid/service/",),
    "httpx": ("voiceid/client.py", "voiceid/client/", "voiceid/encode/pull.py"),
    "hypothesis": ("voiceid/proof/machine.py",),
    "matplotlib": ("voiceid/evaluate/",),
    "onnxruntime": ("voiceid/onnx.py",),
    "scipy": ("voiceid/evaluate/",),
    "sklearn": ("voiceid/evaluate/",),
    "sounddevice": ("voiceid/microphone.py",),
    "soundfile": ("voiceid/decode.py",),
    "soxr": ("voiceid/decode.py",),
    "speechbrain": ("voiceid/encode/ecapa.py",),
    "sqlalchemy": ("voiceid/store/", "enrollment/"),
    "starlette": ("voiceid/service/",),
    "torch": ("voiceid/encode/ecapa.py",),
    "torchaudio": ("voiceid/encode/ecapa.py",),
    "typer": ("voiceid/cli.py", "voiceid/cli/"),
    "uvicorn": ("voiceid/service/",),
}
"""One heavy library, one importing file or folder."""

IMPORTERS_OF_EXTRAS = ("voiceid/encode/ecapa.py", "voiceid/evaluate/")
"""Where an import may have a computed name, so that a missing extra becomes one clear error."""

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


@dataclass(frozen=True)
class Source:
    """One Python file: its path from the root of the repository, with slashes, and its text."""

    path: str
    text: str

    @classmethod
    def read(cls, root: Path, path: Path) -> "Source":
        """Read a file below `root`."""
        return cls(path.relative_to(root).as_posix(), path.read_text())

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed file."""
        return ast.parse(self.text, self.path)

    @property
    def package(self) -> tuple[str, ...]:
        """The dotted package that relative imports count from."""
        return tuple(Path(self.path).parent.parts)

    @property
    def module(self) -> str:
        """Its dotted name: `voiceid.store`, `voiceid.cli`."""
        parts = Path(self.path).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: Source) -> Iterator[tuple[int, str]]:
    """Every module that the file names, anywhere in it: line and dotted name, `from x import y` as `x.y`."""
    for node in ast.walk(source.tree):
        match node:
            case ast.Import():
                yield from ((node.lineno, alias.name) for alias in node.names)
            case ast.ImportFrom(module=module, level=level):
                base = source.package[: len(source.package) - level + 1] if level else ()
                origin = ".".join([*base, *([module] if module else [])])
                yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)
            case ast.Call(func=ast.Name(id="__import__") | ast.Attribute(attr="import_module"), args=[first, *_]):
                yield node.lineno, str(first.value) if isinstance(first, ast.Constant) else "<computed>"


def order_complaints(source: Source) -> Iterator[str]:
    """Imports that go up the layout, past the trust boundary, or from a module that has no place in it."""
    top, _, rest = source.module.partition(".")
    own = rest.partition(".")[0]
    if top == "voiceid" and own and own not in ORDER:
        yield f"{source.path}: {own} has no place in the order"
        return
    for line, name in imports(source):
        where = f"{source.path}:{line}"
        parts = name.split(".")
        if name == "<computed>":
            if not source.path.startswith(IMPORTERS_OF_EXTRAS):
                yield f"{where}: imports a computed name"
        elif parts[0] == "enrollment" and top == "voiceid" and source.path != "voiceid/service/wiring.py":
            yield f"{where}: only service/wiring.py imports enrollment"
        elif parts[:3] == ["voiceid", "store", "biometrics"] and top != "enrollment":
            yield f"{where}: the writers of biometrics are for enrollment alone"
        elif parts[0] == "voiceid" and (why := _out_of_order(top, own, parts)):
            yield f"{where}: {why}"


def _out_of_order(top: str, own: str, target: list[str]) -> str | None:
    if top == "voiceid" and not own:  # the package itself gathers the public names
        return None
    if len(target) == 1 or target[1] not in ORDER:
        return "imports the package voiceid instead of one of its modules"
    if top == "enrollment":
        return None if target[1] in BELOW_ENROLLMENT else f"enrollment may not import {target[1]}"
    if own == target[1] or ORDER.index(target[1]) < ORDER.index(own):
        return None
    return f"{own} stands above {target[1]}"


def heavy_complaints(source: Source) -> Iterator[str]:
    """Heavy libraries outside of the one place that imports them."""
    for line, name in imports(source):
        places = SOLE_IMPORTERS.get(name.split(".")[0])
        if places and not any(source.path == p or (p.endswith("/") and source.path.startswith(p)) for p in places):
            yield f"{source.path}:{line}: {name.split('.')[0]} is imported by {' and '.join(places)} alone"


def length_complaints(source: Source) -> Iterator[str]:
    """Files and functions that have grown past their seams."""
    lines = len(source.text.splitlines())
    if lines > MAX_FILE_LINES:
        yield f"{source.path}: {lines} lines"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield f"{source.path}:{node.lineno}: {node.name} has {length} lines"


_SILENCER = re.compile(r"#\s*(noqa|type:\s*ignore|pragma:\s*no cover|ruff:)")  # what is looked for: silences nothing
_CODED = re.compile(r"#\s*(noqa:\s*[A-Z]+[0-9]+(,\s*[A-Z]+[0-9]+)*|type:\s*ignore\[[a-z0-9, -]+\])(?P<reason>.*)")


def silencer_complaints(source: Source) -> Iterator[str]:
    """Silenced findings without a code, or without a reason beside it."""
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type != tokenize.COMMENT or not _SILENCER.search(token.string):
            continue
        found = _CODED.search(token.string)
        if found is None or not found["reason"].strip(" -#:"):
            yield f"{source.path}:{token.start[0]}: {token.string} needs a code and a reason"


def public_names(source: Source) -> list[str] | None:
    """What `__all__` lists; None for a module without one."""
    for node in source.tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value) | ast.AnnAssign(
                target=ast.Name(id="__all__"), value=ast.expr() as value
            ):
                return [str(name) for name in ast.literal_eval(value)]
    return None

"""What the documentation says, taken apart so that it can be held against the code."""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FENCE = re.compile(r"^```(?:console|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_QUOTED = r"""'[^']*'|"(?:\\.|[^"\\])*\""""
_COMMENT = re.compile(r"(?:^|\s+)#\s.*$")
_START = r"(?:^|\$\(|[|;&{])\s*(?:[A-Z_]+=\S*\s+)*(?:[\w.-]+/)*"
_CURL_FUNCTION = re.compile(r"^(\w+)\(\) \{ curl\b.*\"\$@\"", re.MULTILINE)
_VARIABLE = re.compile(r"^([A-Z_]+)=(\$[A-Z_]+/\S*?)(?:\$\(.*)?$", re.MULTILINE)
SETTING = re.compile(r"\bVOICEID_[A-Z][A-Z_]*[A-Z]\b")
ENDPOINT = re.compile(r"^### (GET|PUT|POST|PATCH|DELETE) (/\S*)$", re.MULTILINE)
CODE_ROW = re.compile(r"^\| (\d{3}) \| `([a-z-]+)` \|", re.MULTILINE)


@dataclass(frozen=True)
class Command:
    """One command that a reader is told to type."""

    page: str
    program: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        """As a test's name."""
        return f"{self.page}: {self.program} {' '.join(self.words)}"


def blocks(text: str) -> list[str]:
    """The fenced shell blocks of a page, continued lines joined, comments and prompts and console output dropped."""
    found = []
    for block in _FENCE.findall(text):
        lines = block.replace("\\\n", " ").splitlines()
        prompted = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        found.append("\n".join(_COMMENT.sub("", line) for line in prompted or lines))
    return found


def commands(page: str, text: str) -> Iterator[Command]:
    """Every use of our own command, of make, and of curl, in the page's shell blocks.

    A function that hands its arguments to curl is curl, and a variable that begins with another one is written out.
    """
    script = "\n".join(blocks(text))
    functions = _CURL_FUNCTION.findall(script)
    variables = {name: value + ("one" if value.endswith("/") else "") for name, value in _VARIABLE.findall(script)}
    programs = "|".join(["voiceid", "make", "curl", *functions])
    for program, rest in re.findall(rf"{_START}({programs})\b(?!\()((?:{_QUOTED}|[^|;&)\n])*)", script, re.MULTILINE):
        words = [_written_out(word, variables) for word in shlex.split(rest)]
        if words[-1:] != ["$@"]:
            yield Command(page, "curl" if program in functions else program, tuple(words))


def _written_out(word: str, variables: Mapping[str, str]) -> str:
    """`$HOME_URL/people` as `$URL/v1/households/$HOUSE/people`."""
    while (found := re.match(r"\$([A-Z_]+)(?=/|$)", word)) and found[1] in variables:
        word = variables[found[1]] + word[found.end() :]
    return word


def voiceid_complaint(words: tuple[str, ...], command: Any) -> str | None:
    """What is wrong with a use of `voiceid`, given its click command; None if it exists as written."""
    rest = list(words)
    while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
        name = rest.pop(0)
        if name not in command.commands:
            return f"no command {name}"
        command = command.commands[name]
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    used = {word.partition("=")[0] for word in rest if word.startswith("--")}
    unknown = sorted(used - options - {"--help"})
    return f"no option {', '.join(unknown)}" if unknown else None


def make_complaint(words: tuple[str, ...], makefile: str) -> str | None:
    """What is wrong with a use of make; None if all its targets exist."""
    targets = set(re.findall(r"^([a-z-]+):.*##", makefile, re.MULTILINE))
    unknown = [word for word in words if "=" not in word and not word.startswith("-") and word not in targets]
    return f"no target {', '.join(unknown)}" if unknown else None


def curl_complaint(words: tuple[str, ...], paths: Mapping[str, Mapping[str, Any]]) -> str | None:
    """What is wrong with a use of curl on the service, given the paths of its OpenAPI description."""
    url = next((word for word in words if "/v1/" in word or word.endswith(("/healthz", "/readyz"))), None)
    if url is None:
        return "no path of the service"
    method = words[words.index("-X") + 1] if "-X" in words else "POST" if _sends(words) else "GET"
    asked = re.sub(r"^\$\w+|^https?://[^/]+", "", url).partition("?")[0].split("/")
    for path, methods in paths.items():
        parts = path.split("/")
        if len(parts) == len(asked) and method.lower() in methods and all(map(_fits, parts, asked)):
            return None
    return f"no operation {method} {'/'.join(asked)}"


def _fits(part: str, asked: str) -> bool:
    return part == asked or (part.startswith("{") and asked != "")


def _sends(words: tuple[str, ...]) -> bool:
    return any(word.startswith(("-d", "--data", "--json", "-F", "--form")) for word in words)


_TRACES = {
    "a path of somebody's machine": re.compile(r"(?<![\w.~$}-])/(?:home|Users|w[o]rk|f[a]rm|mnt)/\w|/t[m]p/w\b"),
    "a package registry's host": re.compile(r"\b(?:p[y]pi\.org|files\.pythonh[o]sted|registry\.npm|deb\.deb[i]an)"),
    "how it came to be": re.compile(r"\b(?:sub[a]gent|before-[s]top|\.libr[a]ry/|f[a]rm-(?:studio|bench))\b|\bC[E]O\b"),
}


def traces(text: str) -> list[str]:
    """What a text tells of the place where it was written."""
    return [f"{kind}: {found[0]}" for kind, pattern in _TRACES.items() if (found := pattern.search(text))]


def text_files(root: Path, skip: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Path and text of every file of the repository that is text."""
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if not path.is_file() or skip & set(relative.parts) or any(part.startswith(".venv") for part in relative.parts):
            continue
        content = path.read_bytes()
        if b"\0" not in content[:8192] and path.suffix not in {".flac", ".onnx"}:
            yield relative.as_posix(), content.decode(errors="replace")

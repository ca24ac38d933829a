"""The documentation names only what exists, and all of it: commands, targets, settings, codes, endpoints."""

import importlib.util
import json
import re
import sys
from functools import cache
from types import ModuleType
from typing import Any

import docs_rules as rules
import pytest
import typer.main
from machine import ROOT

from voiceid.cli import commands
from voiceid.errors import VoiceIdError
from voiceid.settings import NOT_SETTINGS, kinds

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text() for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
}
COMMANDS = [command for page, text in PAGES.items() for command in rules.commands(page, text)]
CACHES = frozenset({".git", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", "dist"})


@cache
def make_docs() -> ModuleType:
    """The tool behind `make docs`."""
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "tools/make_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_docs"] = module
    sys.path.insert(0, str(ROOT / "tools"))
    spec.loader.exec_module(module)
    return module


COMMAND_LINE = typer.main.get_command(commands.application())


@cache
def openapi() -> dict[str, Any]:
    described: dict[str, Any] = make_docs().openapi()
    return described


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_in_the_documentation_exists(command: rules.Command) -> None:
    match command.program:
        case "voiceid":
            complaint = rules.voiceid_complaint(command.words, COMMAND_LINE)
        case "make":
            complaint = rules.make_complaint(command.words, (ROOT / "Makefile").read_text())
        case _:
            complaint = rules.curl_complaint(command.words, openapi()["paths"])
    assert complaint is None


def test_the_readme_shows_the_two_commands_and_a_tour() -> None:
    shown = {(command.program, *command.words[:1]) for command in COMMANDS if command.page == "README.md"}
    assert {("make", "demo"), ("make", "test")} <= shown
    assert sum(program == "curl" for program, *_ in shown) > 0


def test_the_readme_is_honest() -> None:
    assert "A voice is not a password" in PAGES["README.md"]
    assert "unbundled" in PAGES["README.md"]


@pytest.mark.parametrize("page", sorted(PAGES))
def test_links_within_the_repository_lead_somewhere(page: str) -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)[^)]*\)", PAGES[page])
    assert [target for target in targets if not (ROOT / page).parent.joinpath(target).exists()] == []


def test_every_setting_named_anywhere_exists() -> None:
    fields = {f"VOICEID_{name.upper()}" for name in kinds()} | NOT_SETTINGS
    texts = [*PAGES.values(), (ROOT / "Dockerfile").read_text(), (ROOT / "Makefile").read_text()]
    named = {name for text in texts for name in rules.SETTING.findall(text)}
    assert named - fields == set()


def test_the_codes_in_the_documentation_are_those_of_the_code() -> None:
    rows = rules.CODE_ROW.findall(PAGES["docs/errors.md"])
    statuses = {code: kind.status for code, kind in VoiceIdError.registry.items()}
    assert {code: int(status) for status, code in rows} == statuses
    bad_inputs = re.findall(r"^\|[^|]*\| (\d{3}) \| `([a-z-]+)` \|", PAGES["docs/errors.md"], re.MULTILINE)
    assert len(bad_inputs) >= 8
    assert {(code, int(status)) for status, code in bad_inputs} <= statuses.items()


def test_the_endpoints_in_the_documentation_are_those_of_the_service() -> None:
    served = {(method, path) for method, path, _ in make_docs().operations(openapi())}
    assert set(rules.ENDPOINT.findall(PAGES["docs/api.md"])) == served


GENERATED = (
    "settings.md", "errors.md", "api.md", "retention.md", "accuracy.md", "listen.md", "adapt.md",
    "privacy/record-of-processing.md", "privacy/notice.md", "privacy/dpia-template.md",
)  # fmt: skip


@pytest.mark.parametrize("page", GENERATED)
def test_a_generated_page_is_up_to_date(page: str) -> None:
    """If not: make docs."""
    assert make_docs().pages()[ROOT / "docs" / page] == (ROOT / "docs" / page).read_text()


def test_the_picture_is_of_a_run_that_went_well_and_loads_nothing() -> None:
    svg = (ROOT / "docs/screens/demo.svg").read_text()
    assert "Ada" in svg
    assert re.findall(r"url\(\"?https?:|href=\"https?:", svg) == []


def test_nothing_tells_of_the_place_where_it_was_written() -> None:
    found = [f"{path}: {trace}" for path, text in rules.text_files(ROOT, CACHES) for trace in rules.traces(text)]
    assert found == []


PAGE = """
```console
$ voiceid enroll ada --yes \\
    --json
enrolled: voiceid is not a command here
```
```sh
# voiceid comment
TOKEN=$(curl -s "$URL/v1/session" -d '{"code": "a;b"}' | tail) && make demo ARGS="--mic"
```
```json
{"voiceid": "no shell"}
```
"""


def test_commands_are_found_where_a_reader_would_type_them() -> None:
    found = list(rules.commands("page", PAGE))
    assert [command.program for command in found] == ["voiceid", "curl", "make"]
    assert found[0].words == ("enroll", "ada", "--yes", "--json")
    assert found[1].words == ("-s", "$URL/v1/session", "-d", '{"code": "a;b"}')
    assert found[2].words == ("demo", "ARGS=--mic")


@pytest.mark.parametrize("words", [("nonsense",), ("serve", "--nonsense"), ("receipt", "nonsense"), ("--nonsense",)])
def test_a_command_that_does_not_exist_is_found(words: tuple[str, ...]) -> None:
    assert rules.voiceid_complaint(words, COMMAND_LINE) is not None


def test_a_target_that_does_not_exist_is_found() -> None:
    assert rules.make_complaint(("demo", "nonsense"), "demo: x ## Help\n") == "no target nonsense"
    assert rules.make_complaint(("demo", "ARGS=--mic"), "demo: x ## Help\n") is None


PATHS = {"/v1/households/{household}/people": {"get": {}}, "/v1/session": {"post": {}}}


@pytest.mark.parametrize(
    ("line", "exists"),
    [
        ("$URL/v1/households/$HOUSE/people", True),
        ("-X GET $URL/v1/households/h/people?limit=3", True),
        ("http://127.0.0.1:8443/v1/session --json {}", True),
        ("$URL/v1/session", False),
        ("-X DELETE $URL/v1/households/$HOUSE/people", False),
        ("$URL/v1/households//people", False),
        ("$URL/elsewhere", False),
    ],
)
def test_an_operation_that_does_not_exist_is_found(line: str, exists: bool) -> None:  # noqa: FBT001 - a table's column
    assert (rules.curl_complaint(tuple(line.split()), PATHS) is None) is exists


@pytest.mark.parametrize(
    "text", ["see /ho" + "me/ada/x", "in /wo" + "rk/main", "from pypi" + ".org", "a sub" + "agent wrote it"]
)
def test_a_trace_is_found(text: str) -> None:
    assert len(rules.traces(text)) == 1


@pytest.mark.parametrize("text", ["/homework/x", "~/home/x", "the work of a farm", "/v1/households", "GET /home"])
def test_an_ordinary_word_is_no_trace(text: str) -> None:
    assert rules.traces(text) == []


def test_the_documentation_was_looked_at() -> None:
    assert len(COMMANDS) > 10
    assert {"README.md", "docs/settings.md", "docs/errors.md", "docs/api.md"} <= PAGES.keys()
    assert json.dumps(openapi()["paths"]).count("operationId") > 10


def test_every_promise_on_consent_names_a_test_that_exists() -> None:
    promises = [line for line in PAGES["docs/consent.md"].splitlines() if line.startswith("- ")]
    named = [re.findall(r"`(test_\w+)`$", promise) for promise in promises]
    files = "\n".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    tests = set(re.findall(r"^def (test_\w+)", files, re.MULTILINE))

    assert len(promises) > 30
    assert all(named), [promise for promise, found in zip(promises, named, strict=True) if not found]
    assert {name for found in named for name in found} <= tests

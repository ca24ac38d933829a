"""What the page is made of, without a browser: headers, texts, weight."""

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from home import MODEL, Home
from machine import ROOT

from enrollment.purge import SHELVES
from voiceid.service.routes import public
from voiceid.types import Change, Reason, Unusable

STATIC = ROOT / "voiceid/service/static"
MODULES = {path.name: path.read_text() for path in (STATIC / "js").glob("*.js")}
WORDS = {path.stem: json.loads(path.read_text()) for path in (STATIC / "i18n").glob("*.json")}
BLANK = re.compile(r"\{\w+\}")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with Home(tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.mark.parametrize("path", ["/", "/docs", "/static/js/app.js", "/static/style.css", "/static/i18n/de.json"])
def test_nothing_but_our_own_files_may_run_or_be_loaded(home: Home, path: str) -> None:
    answered = home.call("GET", path)
    policy = answered.headers["content-security-policy"]
    assert answered.status_code == 200
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http:" not in policy
    assert answered.headers["x-content-type-options"] == "nosniff"
    assert answered.headers["referrer-policy"] == "no-referrer"


def test_the_page_has_no_code_and_no_style_in_its_markup(home: Home) -> None:
    for path in ("/", "/docs"):
        html = home.call("GET", path).text
        assert re.findall(r"<style|style=|\son\w+=|javascript:|<script(?![^>]*src=)", html) == []
        assert re.findall(r"""(?:src|href)=["'](?!/|#)""", html) == []


def test_every_module_that_is_imported_is_served(home: Home) -> None:
    html = home.call("GET", "/").text
    for name, source in MODULES.items():
        assert home.call("GET", f"/static/js/{name}").headers["content-type"].startswith("text/javascript")
        for imported in re.findall(r'from "\./([^"]+)"', source):
            assert imported in MODULES
            assert f"/static/js/{imported}" in html


def test_a_file_is_sent_once(home: Home) -> None:
    tag = home.call("GET", "/static/style.css").headers["etag"]
    again = home.call("GET", "/static/style.css", headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["nothing.js", "../page.py", "js/../../page.py", "%2e%2e/page.py", ""])
def test_nothing_else_is_served(home: Home, path: str) -> None:
    assert home.call("GET", f"/static/{path}").status_code == 404


def test_the_page_is_light() -> None:
    languages = {path: path.stat().st_size for path in (STATIC / "i18n").iterdir()}
    rest = sum(path.stat().st_size for path in STATIC.rglob("*") if path.is_file() and path not in languages)
    assert rest + max(languages.values()) < 150_000


@pytest.mark.parametrize("language", ["de", "es"])
def test_every_text_is_there_in_every_language_with_the_same_blanks(language: str) -> None:
    assert WORDS[language].keys() == WORDS["en"].keys()
    for key, text in WORDS["en"].items():
        assert sorted(BLANK.findall(WORDS[language][key])) == sorted(BLANK.findall(text)), key
        assert WORDS[language][key].strip()


def test_every_text_that_the_page_asks_for_exists_and_is_asked_for() -> None:
    source = "\n".join(MODULES.values())
    asked = set(re.findall(r"""["'`]([a-z]+(?:[._][a-z_]+)*(?:\.[a-z_]+)*)["'`]""", source))
    literal = set(re.findall(r'\bt\("([^"]+)"', source))
    assert literal <= WORDS["en"].keys()
    families = set(re.findall(r"`([a-z.]+)\$\{", source))
    unused = [key for key in WORDS["en"] if key not in asked | literal and not key.startswith(tuple(families))]
    assert unused == []


def test_whatever_the_service_says_has_words() -> None:
    faults = get_args(get_type_hints(Unusable)["fault"])
    said: dict[str, Any] = {
        "reason": set(get_args(Reason)) - {"recognized"}, "change": get_args(Change), "store": [*SHELVES, "index"],
        "fault": [*faults, "different_voice", "several_voices"],
        "role": ["admin", "owner", "person", "device", "skill", "system"],
    }  # fmt: skip
    keys = {f"{kind}.{word}" for kind, words in said.items() for word in words}
    assert keys - WORDS["en"].keys() == set()


def test_a_qr_code_is_a_drawing_that_says_no_more_than_it_was_told(home: Home) -> None:
    drawn = home.call("POST", "/v1/qr", json={"text": "http://127.0.0.1:8443/#abc"})
    assert drawn.headers["content-type"] == "image/svg+xml"
    assert drawn.text.startswith("<svg")
    assert "abc" not in drawn.text
    assert home.call("POST", "/v1/qr", json={"text": "x" * 301}).status_code == 422


def test_screens_are_pictures_of_every_screen() -> None:
    names = {path.stem.rpartition("-")[0] for path in Path(ROOT / "docs/screens").glob("*.png")}
    shown = {"home", "consent", "takes", "try", "voice", "purge", "household", "guardian", "proof", "welcome", "trust"}
    assert shown <= names


def test_what_to_expect_is_told_for_the_encoder_and_policy_it_was_measured_with(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Somebody else's figures are no promise for this household."""
    monkeypatch.setattr(public, "_EXPECTED", tmp_path / "expected.json")
    for encoder, chosen, told in ((MODEL, "balanced", True), (MODEL, "strict", False), ("other@2", "balanced", False)):
        clean = {"2": {"fnir_shipped": 0.03, "fpir_shipped": 0.004}}
        figures = {"encoder": encoder, "policy": chosen, "corpus": "test", "protocol": {"size": 4},
                   "pooled": {"corpora": {"clean": clean}}}  # fmt: skip
        (tmp_path / "expected.json").write_text(json.dumps(make_expected().expected(figures, "clean")))
        public._expected.cache_clear()
        measured = home.ok("GET", "/v1/policy")["recognition"]["measured"]
        assert (measured is not None) is told
        if told:
            assert measured["by_speech_s"] == {"2": {"members_named": 0.97, "guests_named": 0.004}}
    public._expected.cache_clear()


def make_expected() -> Any:
    """The generator of the file that the page reads."""
    spec = importlib.util.spec_from_file_location("make_expected", ROOT / "tools/make_expected.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

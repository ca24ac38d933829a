"""The layout holds: import order, trust boundary, sole importers, lengths, codes, public names. Each rule can fail."""

import ast
import importlib
from collections import Counter
from collections.abc import Callable, Iterator

import layout_rules as rules
import pytest
from layout_rules import Source
from machine import ROOT

from voiceid import errors

FOLDERS = ("voiceid", "enrollment", "tests", "tools", "benchmarks", "docs")
Complaints = Callable[[Source], Iterator[str]]


def sources(*folders: str) -> list[Source]:
    return [Source.read(ROOT, path) for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


PRODUCT = sources("voiceid", "enrollment")
EVERYTHING = sources(*FOLDERS)


@pytest.mark.parametrize("complaints", [rules.order_complaints, rules.heavy_complaints], ids=lambda f: f.__name__)
def test_the_product_keeps_the_order(complaints: Complaints) -> None:
    assert [line for source in PRODUCT for line in complaints(source)] == []


@pytest.mark.parametrize("complaints", [rules.length_complaints, rules.silencer_complaints], ids=lambda f: f.__name__)
def test_every_file_keeps_the_habits(complaints: Complaints) -> None:
    assert [line for source in EVERYTHING for line in complaints(source)] == []


def test_both_packages_were_looked_at() -> None:
    """A rule that sees no files would hold for ever."""
    modules = {source.module for source in PRODUCT}
    assert {"voiceid", "voiceid.types", "voiceid.errors", "enrollment"} <= modules


ORDER_BROKEN = {
    "up the layout": ("voiceid/decode.py", "from voiceid.recognize import Recognizer"),
    "up, as a module": ("voiceid/types.py", "import voiceid.errors"),
    "up, by name": ("voiceid/types.py", "from voiceid import errors"),
    "up, relative": ("voiceid/encode/campplus.py", "from ..match import Index"),
    "up, inside a function": ("voiceid/speech.py", "def f():\n    from voiceid.cli import main\n"),
    "up, for types only": ("voiceid/speech.py", "if TYPE_CHECKING:\n    from voiceid.store import tables\n"),
    "up, dynamically": ("voiceid/speech.py", "importlib.import_module('voiceid.cli')"),
    "a computed name": ("voiceid/speech.py", "importlib.import_module(name)"),
    "the package itself": ("voiceid/speech.py", "from voiceid import Client"),
    "no place": ("voiceid/helpers.py", "import os"),
    "recognition reaches for enrollment": ("voiceid/recognize.py", "from enrollment import take"),
    "routes reach for enrollment": ("voiceid/service/routes/people.py", "import enrollment.take"),
    "the command line reaches for enrollment": ("voiceid/cli.py", "from enrollment.retain import retain"),
    "recognition reaches for the writers": ("voiceid/recognize.py", "from voiceid.store.biometrics import save"),
    "wiring reaches for the writers": ("voiceid/service/wiring.py", "from voiceid.store import biometrics"),
    "the store reaches for its writers": ("voiceid/store/readers.py", "from .biometrics import save"),
    "enrollment reaches for the service": ("enrollment/take.py", "from voiceid.service import problems"),
}

ORDER_KEPT = {
    "down the layout": ("voiceid/recognize.py", "from voiceid.match import Index"),
    "within a package": ("voiceid/encode/__init__.py", "from voiceid.encode.campplus import CamPlusPlus"),
    "the builder": ("voiceid/service/wiring.py", "from enrollment import purge"),
    "the public names": ("voiceid/__init__.py", "from voiceid.client import Client"),
    "enrollment writes": ("enrollment/template.py", "from voiceid.store.biometrics import save"),
    "enrollment within itself": ("enrollment/revoke.py", "from enrollment.purge import purge"),
}


@pytest.mark.parametrize(("path", "text"), ORDER_BROKEN.values(), ids=ORDER_BROKEN)
def test_a_broken_order_is_found(path: str, text: str) -> None:
    assert len(list(rules.order_complaints(Source(path, text)))) == 1


@pytest.mark.parametrize(("path", "text"), ORDER_KEPT.values(), ids=ORDER_KEPT)
def test_a_kept_order_is_left_alone(path: str, text: str) -> None:
    assert list(rules.order_complaints(Source(path, text))) == []


@pytest.mark.parametrize("library", rules.SOLE_IMPORTERS)
def test_a_heavy_library_in_the_wrong_place_is_found(library: str) -> None:
    text = f"def f():\n    import {library}.inner\n"
    (home, *_) = rules.SOLE_IMPORTERS[library]
    assert len(list(rules.heavy_complaints(Source("voiceid/types.py", text)))) == 1
    assert list(rules.heavy_complaints(Source(home + "x.py" * home.endswith("/"), text))) == []


LENGTHS = {
    "file of 401 lines": ("x = 1\n" * 401, 1),
    "file of 400 lines": ("x = 1\n" * 400, 0),
    "function of 61 lines": ("def f():\n" + "    x = 1\n" * 60, 1),
    "function of 60 lines": ("async def f():\n" + "    x = 1\n" * 59, 0),
    "method of 61 lines": ("class C:\n    def f(self):\n" + "        x = 1\n" * 60, 1),
}


@pytest.mark.parametrize(("text", "complaints"), LENGTHS.values(), ids=LENGTHS)
def test_lengths_are_counted(text: str, complaints: int) -> None:
    assert len(list(rules.length_complaints(Source("voiceid/x.py", text)))) == complaints


SILENCERS = {
    "x = 1  # no" + "qa": 1,
    "x = 1  # no" + "qa: S603": 1,
    "x = 1  # no" + "qa: S603 - our own arguments": 0,
    "x = 1  # no" + "qa: S603, S607  # our own arguments": 0,
    "x = 1  # type: " + "ignore": 1,
    "x = 1  # type: " + "ignore[arg-type]": 1,
    "x = 1  # type: " + "ignore[arg-type]  # the stubs refuse arrays": 0,
    "x = 1  # pragma: " + "no cover": 1,
    "x = 1  # fmt: " + "skip": 0,
    "x = 'the words # no" + "qa in a string'": 0,
}


@pytest.mark.parametrize(("text", "complaints"), SILENCERS.items(), ids=SILENCERS)
def test_silenced_findings_need_a_code_and_a_reason(text: str, complaints: int) -> None:
    assert len(list(rules.silencer_complaints(Source("voiceid/x.py", text + "\n")))) == complaints


def kinds_of_failure() -> list[type[errors.VoiceIdError]]:
    """Every error class, from the classes themselves: the registry would hide a code used twice."""
    found = [errors.VoiceIdError]
    for kind in found:
        found.extend(kind.__subclasses__())
    return [kind for kind in found if kind.__module__.startswith(("voiceid.", "enrollment."))]


def test_every_error_has_a_code_of_its_own() -> None:
    for source in PRODUCT:
        if "VoiceIdError" in source.text and not source.path.startswith("voiceid/cli"):
            importlib.import_module(source.module)
    twice = [code for code, times in Counter(kind.code for kind in kinds_of_failure()).items() if times > 1]
    assert twice == []
    assert {kind.code for kind in kinds_of_failure()} == set(errors.VoiceIdError.registry)


def test_errors_live_in_one_file() -> None:
    """So that its docstring can draw the whole tree, and does."""
    defined = [node.name for node in ast.walk(ast.parse((ROOT / "voiceid/errors.py").read_text()))
               if isinstance(node, ast.ClassDef)]  # fmt: skip
    assert {kind.__name__ for kind in kinds_of_failure()} == set(defined)
    drawn = errors.__doc__ or ""
    assert [name for name in defined if name not in drawn] == []


@pytest.mark.parametrize("source", [s for s in PRODUCT if rules.public_names(s) is not None], ids=lambda s: s.path)
def test_public_names_exist(source: Source) -> None:
    module = importlib.import_module(source.module)
    names = rules.public_names(source) or []
    assert [name for name in names if not hasattr(module, name)] == []
    assert len(names) == len(set(names))


def test_public_names_are_read_from_the_source() -> None:
    assert rules.public_names(Source("voiceid/x.py", "__all__ = ['b', 'a']")) == ["b", "a"]
    assert rules.public_names(Source("voiceid/x.py", "x = 1")) is None

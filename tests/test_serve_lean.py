"""A service that runs holds nothing in memory that only other commands need."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import typer
from machine import ROOT

from voiceid import cli
from voiceid.cli import commands, serving
from voiceid.memory import _as_in_its_file
from voiceid.service.run import Ready
from voiceid.store.database import Database

NOT_OURS = {"alembic", "httpx", "psycopg", "pydantic.v1", "pyrage", "rich", "segno", "typer", "voiceid.client"}
AFTERWARDS = {
    "faiss", "fastapi", "jinja2", "prometheus_client", "pydantic", "voiceid.service.application", "websockets",
}  # fmt: skip
STARTED = (
    "import voiceid.cli, sys; from voiceid.service.early import Networks, slim; assert 'numpy' not in sys.modules;"
    " import voiceid.service.run; {} print(*sorted(name for name, one in sys.modules.items() if one))"
)


def loaded(before: str) -> set[str]:
    code = STARTED.format(before)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_what_the_service_does_not_use_stays_out() -> None:
    found = loaded("")
    assert {"voiceid.service.wiring", "onnxruntime"} <= found
    assert (NOT_OURS | AFTERWARDS) & found == set()
    found = loaded("slim(); import voiceid.service.application;")
    assert {"fastapi", "pydantic"} <= found
    assert NOT_OURS & found == set()


def test_a_library_would_load_what_is_left_out() -> None:
    """Should this fail, `slim` has become needless."""
    assert "pydantic.v1" in loaded("import voiceid.service.application;")


def test_serve_alone_is_called_as_among_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for app in (commands.application(), commands.application(whole=False)):
        assert "serve" in typer.main.get_command(app).commands
    assert cli.main(["serve", "--help"]) == 0
    assert "Usage: voiceid serve" in capsys.readouterr().out
    assert cli.main(["serve", "--nonsense"]) == 2
    assert "--nonsense [invalid-request]" in capsys.readouterr().err


def test_the_networks_load_before_the_service_is_imported() -> None:
    """By a thread, once all that it needs is imported, under the settings that have to come first."""
    script = """
import os, sys
from voiceid.service.early import Networks
from voiceid.settings import Settings
settings = Settings()
assert not {"numpy", "onnxruntime", "sqlalchemy", "uvicorn"} & set(sys.modules)
networks = Networks(settings)
imported = set(sys.modules)
assert {"numpy", "onnxruntime"} <= imported
assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
assert networks.encoder().dim == 192
networks.voice_activity()
assert {name for name in set(sys.modules) - imported if name.startswith("voiceid")} == set()
assert "sqlalchemy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


MAPPED = b"""\
00400000-00452000 r-xp 00000000 08:02 173521 /usr/lib/one.so
Size:                328 kB
Anonymous:             0 kB
AnonHugePages:         0 kB
Swap:                  0 kB
SwapPss:               0 kB
VmFlags: rd ex mr mw me
00452000-00460000 r--p 00052000 08:02 173521 /usr/lib/one.so
Anonymous:             8 kB
Swap:                  0 kB
00460000-00470000 r--p 00060000 08:02 173521 /a folder/with words\xff.so
Anonymous:             0 kB
Swap:                  0 kB
00470000-00480000 rw-p 00070000 08:02 173521 /usr/lib/one.so
Anonymous:             0 kB
Swap:                  0 kB
00480000-00490000 r-xp 00000000 00:00 0
Anonymous:             0 kB
Swap:                  0 kB
00490000-004a0000 r--p 00080000 08:02 173521 /usr/lib/two.so
Anonymous:             0 kB
Swap:                  4 kB
004a0000-004b0000 r--p 00080000 08:02 173521 /usr/lib/three.so
Anonymous:             0 kB
7ffd0000-7ffd2000 r-xp 00000000 00:00 0 [vdso]
Anonymous:             0 kB
Swap:                  0 kB
"""


def test_only_what_equals_its_file_is_given_back() -> None:
    """Not what was written to, could be, was swapped out, has no file to come back from, or is not told in full."""
    assert list(_as_in_its_file(MAPPED)) == [(0x400000, 0x452000), (0x460000, 0x470000)]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process's memory holds")
def test_code_that_was_given_back_still_runs() -> None:
    """Half of what the libraries' files take is gone, and the same sound becomes the same embedding."""
    script = """
import numpy as np
from voiceid.encode.campplus import CamPlusPlus
from voiceid.memory import give_back_code
from voiceid.types import Quality, Speech
encoder = CamPlusPlus.shipped()
speech = Speech(np.random.default_rng(1).normal(0, 0.1, 16_000).astype(np.float32), Quality(1.0, 1.0, -20.0, 30.0, 0.0))
def of_files():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssFile"))
before, held = encoder.embed(speech), of_files()
give_back_code()
left = of_files()
assert left < held / 2, (held, left)
assert np.array_equal(encoder.embed(speech).vector, before.vector)
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


PLAIN = ["", "--json", "--port 0 --json", "--host ::1 --lan", "--unsafe-plain-http --port 65535 --port 7", "--host a"]
LEFT = [
    "--port=0", "--port 65536", "--port -1", "--port", "--port x", "--port " + 5000 * "1", "--port \u0663", "--host",
    "--host --json", "x", "--help", "--js",
]  # fmt: skip


@pytest.mark.parametrize("line", PLAIN)
def test_both_readers_of_serve_understand_the_same(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[serving.Asked] = []
    words = ["serve", *line.split()]
    monkeypatch.setattr(serving, "run", asked.append)
    assert commands.run(words) == 0
    assert [serving.read(words)] == asked


@pytest.mark.parametrize("line", LEFT)
def test_what_the_short_reader_does_not_know_is_left_to_the_other(line: str) -> None:
    assert serving.read(["serve", *line.split()]) is None


def test_other_commands_are_left_to_the_other_reader() -> None:
    assert serving.read([]) is None
    assert serving.read(["demo"]) is None


def test_loading_the_rest_holds_nothing_of_the_requests_meanwhile() -> None:
    """What is set aside from garbage collection is never collected, nor what refers to it in a circle."""
    script = """
import gc, weakref
from voiceid.service import early
class Request: pass
gc.disable()
request = Request()
request.itself, seen = request, weakref.ref(request)
del request
early.rest()
gc.collect()
assert seen() is None
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_a_service_whose_output_is_closed_still_serves(capsys: pytest.CaptureFixture[str]) -> None:
    ready = Ready("http://127.0.0.1:1", "code")
    with capsys.disabled(), pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "stdout", None)
        serving._as_text(ready)
        serving._as_document(ready)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process holds open")
@pytest.mark.parametrize("filled", [True, False], ids=["filled", "control"])
def test_the_files_held_open_do_not_grow_with_who_comes_at_once(filled: bool, tmp_path: Path) -> None:  # noqa: FBT001 a parameter
    def held_open() -> int:
        return sum(path.exists() and tmp_path in path.resolve().parents for path in Path("/proc/self/fd").iterdir())

    database = Database.in_directory(tmp_path)
    if filled:
        database.fill()
    before = held_open()
    with ExitStack() as at_once:
        for _ in range(5):
            at_once.enter_context(database.reader())
        assert (held_open() == before) is filled
    database.close()

"""A service that runs holds nothing in memory that only other commands need."""

import subprocess
import sys

import pytest
import typer
from machine import ROOT

from voiceid import cli
from voiceid.memory import _as_in_its_file

NOT_OURS = {"alembic", "httpx", "psycopg", "pydantic.v1", "pyrage", "rich", "segno", "voiceid.client"}
STARTED = (
    "import voiceid.cli.serve, sys; from voiceid.service.early import leave_out; assert 'numpy' not in sys.modules; {}"
    " import voiceid.service.run; print(*sorted(name for name, one in sys.modules.items() if one))"
)


def loaded(before: str) -> set[str]:
    code = STARTED.format(before)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_what_the_service_does_not_use_stays_out() -> None:
    found = loaded("leave_out();")
    assert {"voiceid.service.wiring", "faiss", "onnxruntime"} <= found
    assert NOT_OURS & found == set()


def test_a_library_would_load_what_is_left_out() -> None:
    """Should this fail, `leave_out` has become needless."""
    assert "pydantic.v1" in loaded("")


def test_serve_alone_is_called_as_among_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for app in (cli.application(), cli.application(whole=False)):
        assert "serve" in typer.main.get_command(app).commands
    assert cli.main(["serve", "--help"]) == 0
    assert "Usage: voiceid serve" in capsys.readouterr().out
    assert cli.main(["serve", "--nonsense"]) == 2
    assert "--nonsense [invalid-request]" in capsys.readouterr().err


def test_the_runtime_is_loaded_before_anything_else_asks_for_it() -> None:
    """By a thread, under the settings that have to come first."""
    script = """
import os, sys, threading
from voiceid.service.early import begin
assert not {"numpy", "onnxruntime", "pydantic"} & set(sys.modules)
begin()
for thread in threading.enumerate():
    if thread is not threading.main_thread():
        thread.join()
assert "onnxruntime" in sys.modules
assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
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

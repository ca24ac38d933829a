"""A service that runs holds nothing in memory that only other commands need."""

import subprocess
import sys

import pytest
import typer
from machine import ROOT

from voiceid import cli

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

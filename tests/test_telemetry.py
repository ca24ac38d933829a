"""No library reports anything to its maker: none writes an id of this machine, a queue of events, or a log."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from machine import ROOT

EVERYTHING = "voiceid.service.run, voiceid.cli.commands, voiceid.demo, voiceid.evaluate"


@pytest.mark.parametrize("code", [
    f"import {EVERYTHING}; voiceid.cli.commands.application()",
    "from voiceid.onnx import Network; Network.shipped('silero_vad')",
    "from pathlib import Path; from voiceid.encode import open_encoder; open_encoder('campplus', Path())",
])  # fmt: skip
def test_nothing_is_written_beside_what_we_write(code: str, tmp_path: Path) -> None:
    """ONNX Runtime does, unless it is told not to before it is imported; it also keeps quiet where CI is set."""
    home = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | home
    subprocess.run([sys.executable, "-B", "-c", code], cwd=ROOT, env=environment, check=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


WATCHED = """
import sys
from fastapi import FastAPI
from fastapi.testclient import TestClient
from opentelemetry import trace

began = []

class Tracer(trace.NoOpTracer):
    def start_span(self, name, *_, **__):
        began.append(name)
        return trace.INVALID_SPAN

class Watching(trace.TracerProvider):
    def get_tracer(self, *_, **__):
        return Tracer()

trace.set_tracer_provider(Watching())
{}
with TestClient(app) as client:
    client.get("/healthz")
print(len(began))
"""
OURS = """
from pathlib import Path
from voiceid.service import wiring
from voiceid.service.application import create_app
from voiceid.settings import Settings
app = create_app(wiring.build(Settings(data_dir=Path(sys.argv[1], "data"), keys_dir=Path(sys.argv[1], "keys"))))
"""


@pytest.mark.parametrize(("make", "reports"), [("app = FastAPI()", True), (OURS, False)], ids=["control", "ours"])
def test_whoever_collects_traces_of_requests_gets_none_of_ours(make: str, reports: bool, tmp_path: Path) -> None:  # noqa: FBT001 a parameter
    """The web framework reports paths and errors by itself to what its process names; a path holds people's ids."""
    words = [sys.executable, "-W", "ignore", "-c", WATCHED.format(make), str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
    assert (int(done.stdout) > 0) is reports

"""No library reports anything to its maker: none writes an id of this machine, a queue of events, or a log."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from machine import ROOT

EVERYTHING = "voiceid.service.run, voiceid.cli, voiceid.demo, voiceid.evaluate"


@pytest.mark.parametrize("code", [
    f"import {EVERYTHING}; voiceid.cli.application()",
    "from voiceid.onnx import Network; Network.shipped('silero_vad')",
    "from pathlib import Path; from voiceid.encode import open_encoder; open_encoder('campplus', Path())",
])  # fmt: skip
def test_nothing_is_written_beside_what_we_write(code: str, tmp_path: Path) -> None:
    """ONNX Runtime does, unless it is told not to before it is imported; it also keeps quiet where CI is set."""
    home = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | home
    subprocess.run([sys.executable, "-B", "-c", code], cwd=ROOT, env=environment, check=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

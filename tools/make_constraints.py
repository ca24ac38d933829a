"""Resolve every dependency of voiceid, all extras included, into a constraints file: `make constraints`.

torch, torchaudio and the libraries that only they bring are left out: their builds differ by processor and accelerator,
so pip chooses them. So is setuptools: what torch brings is newer than what Resemblyzer can do with.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

EXTRAS = "dev,mic,peers,speechbrain"
LEFT_TO_PIP = re.compile(r"voiceid|setuptools|torch(audio|vision)?|triton|(nvidia|cuda)-.*")
HEADER = """\
# Every dependency of every extra at the version that was tested. Made by `make constraints`; do not edit.
# Use: pip install -c constraints.txt '.[speechbrain]'
# torch and torchaudio are left to pip, their builds differ by machine, and setuptools, for the extra `peers`.
"""


def resolve(requirement: str) -> list[dict[str, Any]]:
    """Ask pip what it would install into an empty environment.

    Raises: CalledProcessError, when the requirements contradict each other.
    """
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        subprocess.run([*pip, "--report", str(report), requirement], check=True)  # noqa: S603 - our own arguments
        found: list[dict[str, Any]] = json.loads(report.read_text())["install"]
    return found


def constraints(installs: list[dict[str, Any]]) -> str:
    """Name and version of each distribution, sorted, without those that are left to pip."""
    versions = {
        re.sub(r"[-_.]+", "-", entry["metadata"]["name"]).lower(): entry["metadata"]["version"] for entry in installs
    }
    pinned = [f"{name}=={versions[name]}" for name in sorted(versions) if not LEFT_TO_PIP.fullmatch(name)]
    return HEADER + "\n".join(pinned) + "\n"


def main() -> None:
    """Write the file named on the command line."""
    (target,) = sys.argv[1:]
    Path(target).write_text(constraints(resolve(f".[{EXTRAS}]")))


if __name__ == "__main__":
    main()

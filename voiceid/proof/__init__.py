"""Forgetting, proven by attack: search everywhere, kill anywhere, any order, eight against one, and trouble.

    from voiceid.proof import FULL, run
    report = run(FULL)

Each proof says what was planned, done, expected and found, and shows that it would fail: with a protection taken out it
must find something. Nothing here can be reached from the service; what is taken out is taken out of the proof's own
processes. It talks to 127.0.0.1 alone, and writes below one temporary directory that it removes.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from voiceid.errors import InvalidRequest, MissingExtra
from voiceid.proof.report import FULL, QUICK, Report, Section, Sizes

PROOFS = ("race", "canaries", "speech-race", "crashes", "model", "trouble")
"""The longest first: two run at a time."""
_AT_A_TIME = 2
_GIVE_UP_S = 1800
"""A proof that takes longer than this hangs."""
_ROOM = 1 << 30
Watch = Callable[[str, dict[str, Any]], object]


def run(sizes: Sizes, only: Sequence[str] = PROOFS, watch: Watch = lambda _proof, _check: None) -> Report:
    """Run the proofs, two at a time, each in a process of its own; `watch` hears of each check when it is done.

    Raises: MissingExtra, without Hypothesis; InvalidRequest, for a proof that there is not.
    """
    if not set(only) <= set(PROOFS):
        raise InvalidRequest("proof: one of " + ", ".join(sorted(PROOFS)))
    if "model" in only and find_spec("hypothesis") is None:
        raise MissingExtra("the model test needs Hypothesis: pip install 'voiceid[proof]'")
    began = time.monotonic()
    root = Path(tempfile.mkdtemp(prefix="voiceid-proof-", dir=_in_memory()))
    try:
        with ThreadPoolExecutor(_AT_A_TIME) as lanes:
            wanted = [proof for proof in PROOFS if proof in only]
            running = [lanes.submit(_section, proof, root / proof, sizes, watch) for proof in wanted]
            sections = [done.result() for done in as_completed(running)]
    finally:
        shutil.rmtree(root, ignore_errors=True)
    sections.sort(key=lambda section: section.proof)
    ok = bool(sections) and all(section.ok for section in sections)
    return Report(ok, round(time.monotonic() - began, 1), os.cpu_count() or 1, sections)


def _in_memory() -> Path | None:
    """Where files need no disk, if there is such a place: what is killed here is a process, never the machine."""
    there = Path("/dev/shm")  # noqa: S108 a folder of our own is made below it
    free = shutil.disk_usage(there).free if there.is_dir() and os.access(there, os.W_OK) else 0
    return there if free > _ROOM else None


def _section(proof: str, root: Path, sizes: Sizes, watch: Watch) -> Section:
    """One proof in a process of its own. One that breaks off, or takes too long, is a check that failed."""
    root.mkdir()
    began, checks = time.monotonic(), []
    for check in _checks(proof, root, sizes):
        watch(proof, check)
        checks.append(check)
    ok = bool(checks) and all(check["ok"] for check in checks)
    return Section(proof, ok, round(time.monotonic() - began, 1), checks)


def _checks(proof: str, root: Path, sizes: Sizes) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "voiceid.proof.lane", proof, str(root), json.dumps(asdict(sizes))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (root / "said.txt").open("wb+") as said:
        process = subprocess.Popen(  # noqa: S603 our own module
            command, stdout=subprocess.PIPE, stderr=said, env=environment, start_new_session=True
        )
        deadline = _Deadline(process)
        with process:
            for line in process.stdout or ():
                yield json.loads(line)
        code = process.returncode
        deadline.lift()
        said.seek(0)
        last = (said.read().decode(errors="replace").strip().splitlines() or [""])[-1]
    if code:
        end = {"expected": 0, "found": f"{code} {last}", "ok": False}
        yield {"name": "comes to its end", "planned": 1, "done": 0, **end}


class _Deadline:
    """Ends a proof, and what it started, when its time is over."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._timer = threading.Timer(_GIVE_UP_S, self._end)
        self._timer.daemon = True
        self._timer.start()

    def lift(self) -> None:
        self._timer.cancel()

    def _end(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, 9)  # its own session: nothing else is in it


__all__ = ["FULL", "PROOFS", "QUICK", "Report", "Section", "Sizes", "run"]

"""Crashes: kill -9 at every named step of what changes anything, then look at what is there.

One process imports everything and stays without threads; for each run it forks a child that opens a copy of the same
installation, does one thing and is killed on the way, and another child that opens what is left.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from voiceid import failpoint
from voiceid.proof import sabotage
from voiceid.proof.attempts import OPERATIONS, Operation, furnish, state_of
from voiceid.proof.installation import Voices
from voiceid.proof.report import Check, Sizes
from voiceid.proof.server import Place, environment

_GIVE_UP_S = 900
_ONE_S = 60
_FOR_A_CONTROL = 3
Plan = list[tuple[str, str]]


def prove(root: Path, sizes: Sizes) -> Iterator[Check]:
    """Kill with made-up voices, then with the real encoder on real speech."""
    place = Place(root / "crashes")
    for voices, runs in (("made-up", sizes.crashes), ("real", sizes.crashes_real)):
        if runs:
            yield from _checks(voices, runs, _in_a_process_of_its_own(place, voices, runs))
    if sizes.controls:
        results = _in_a_process_of_its_own(place, "made-up", _FOR_A_CONTROL, "resuming")
        noticed = any(one["wrong"] for one in results)
        yield Check("crashes", "control, without resuming: found out", 1, 1, expected=True, found=noticed)


def plan(runs: int) -> Plan:
    """Which operation dies where: every pair once before any twice, in an order that quick runs also spread over."""
    pairs = [(name, point) for name, operation in OPERATIONS.items() for point in operation.points]
    random.Random(len(pairs)).shuffle(pairs)
    first: dict[str, tuple[str, str]] = {}
    for pair in pairs:
        first.setdefault(pair[1], pair)
    order = [*first.values(), *(pair for pair in pairs if pair not in first.values())]
    return [order[number % len(order)] for number in range(runs)]


def _checks(voices: str, runs: int, results: list[dict[str, Any]]) -> Iterator[Check]:
    done = [one for one in results if "killed" in one]
    failed = [one for one in results if one.get("wrong")]
    yield Check("crashes", f"{voices}: killed", runs, len(done), runs, sum(one["killed"] for one in done))
    yield Check(
        "crashes", f"{voices}: state before or after, no one misnamed, nothing pending, chains verify",
        runs, len(done), [], [f"{one['operation']} at {one['point']}: {one['wrong']}" for one in failed],
    )  # fmt: skip
    planned = sorted({point for _, point in plan(runs)})
    hit = Counter(one["point"] for one in done if one["killed"])
    yield Check("crashes", f"{voices}: failpoints hit", len(planned), len(hit), planned, sorted(hit))
    if runs >= len(failpoint.NAMES):
        every = sorted(failpoint.NAMES)
        yield Check("crashes", f"{voices}: every failpoint there is", len(every), len(hit), every, sorted(hit))


def _in_a_process_of_its_own(place: Place, voices: str, runs: int, without: str = "") -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "voiceid.proof.crashes", str(place.root), voices, str(runs), without]
    out = subprocess.run(  # noqa: S603 our own module
        command, env=environment(place, OPENBLAS_NUM_THREADS="1"), stdout=subprocess.PIPE, timeout=_GIVE_UP_S,
        check=True, cwd=Path.cwd(),
    )  # fmt: skip
    return [json.loads(line) for line in out.stdout.splitlines()]


class Killer:
    """Runs in the process that forks."""

    def __init__(self, root: Path, voices: str) -> None:
        self._root = root
        self._voices: Voices = "real" if voices == "real" else "made-up"
        self._template = Place(root / f"template {voices}")
        furnish(self._template, self._voices)  # in this process: what is compiled once need not be in every child
        state_of(self._template, self._voices)
        self._states: dict[str, tuple[Any, Any]] = {}
        self._visits: dict[tuple[str, str], int] = {}

    def run(self, number: int, name: str, point: str) -> dict[str, Any]:
        """One kill; what was wrong afterwards, if anything."""
        operation = OPERATIONS[name]
        before, after = self._before_and_after(name, operation)
        visits = self._visits_of(name, operation, point)
        if not visits:
            return {"operation": name, "point": point, "killed": False, "wrong": "never comes here"}
        visit = random.Random(number).randint(1, visits)
        place = self._copy(f"run {number}")

        def attempted() -> str:
            operation.do(place, self._voices)
            return "it lives"

        killed = _in_child(attempted, f"{point}:{visit}") is None
        between = _in_child(lambda: state_of(place, self._voices, operation.later, resuming=False))
        left = _in_child(lambda: operation.settle(place, self._voices))
        shutil.rmtree(place.root)
        wrong = _faults(between, left, before, after)
        return {"operation": name, "point": f"{point}", "visit": visit, "killed": killed, "wrong": wrong}

    def _before_and_after(self, name: str, operation: Operation) -> tuple[Any, Any]:
        if name not in self._states:
            place = self._copy(f"{name} before")
            before = _in_child(lambda: operation.before(place, self._voices))
            shutil.rmtree(place.root)
            place = self._copy(f"{name} after")
            _in_child(lambda: operation.do(place, self._voices))
            after = _in_child(lambda: operation.settle(place, self._voices))
            shutil.rmtree(place.root)
            self._states[name] = before, after
        return self._states[name]

    def _visits_of(self, name: str, operation: Operation, point: str) -> int:
        """How often the operation comes past this point when nothing stops it."""
        if not operation.often:
            return 1
        if (name, point) not in self._visits:
            place = self._copy(f"{name} counted")

            def counted() -> int:
                operation.do(place, self._voices)
                return failpoint.visits(point)

            self._visits[name, point] = _in_child(counted, f"{point}:0") or 0
            shutil.rmtree(place.root)
        return self._visits[name, point]

    def _copy(self, name: str) -> Place:
        place = Place(self._root / name)
        shutil.copytree(self._template.root, place.root, dirs_exist_ok=True)
        return place


def _faults(between: Any, left: Any, before: Any, after: Any) -> list[str]:
    """What should not be: in between, and once everything has started again."""
    if left is None or between is None:
        return ["it cannot be opened any more"]
    if any("broke" in one for one in (between, left)):
        return [str(one["broke"]) for one in (between, left) if "broke" in one]
    found = [f"in between: {one}" for one in between["misnamed"]]
    found += [f"afterwards: {one}" for one in left["misnamed"]]
    if left["pending"]:
        found.append(f"{left['pending']} purges pending")
    if left["without_key"]:
        found.append(f"{left['without_key']} rows without a key")
    state = {part: left[part] for part in ("granted", "rows", "heard")}
    if not any(state == {part: known[part] for part in state} for known in (before, after)):
        found.append(f"neither before nor after: {state}")
    return found


def _in_child(work: Callable[[], Any], failpoint_at: str | None = None) -> Any:
    """Do this in a forked child: what it returns, as JSON carries it; None if it was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _be_the_child(work, failpoint_at, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return None
    return json.loads(said) if said else {"broke": "ended without a word"}


def _be_the_child(work: Callable[[], Any], failpoint_at: str | None, writing: int) -> None:
    signal.alarm(_ONE_S)
    if failpoint_at is not None:
        os.environ["VOICEID_FAILPOINT"] = failpoint_at
    try:
        said = json.dumps(work())
    except BaseException as error:  # noqa: BLE001 the parent is told
        said = json.dumps({"broke": f"{type(error).__name__}: {error} at {traceback.format_exc()[-300:]}"})
    os.write(writing, said.encode()) if len(said) < 60_000 else None  # noqa: PLR2004 what a pipe takes at once
    os._exit(0)


def main(words: list[str]) -> None:
    """`python -m voiceid.proof.crashes ROOT VOICES RUNS WITHOUT`: one JSON line for each run."""
    root, voices, runs, without = Path(words[0]), words[1], int(words[2]), words[3]
    killer = Killer(root / (without or "whole"), voices)
    chosen = plan(runs)
    if without:
        sabotage.take_out(without)
        chosen = [("withdraw", point) for point in ("purge.begun", "purge.destroyed", "purge.buried")][:runs]
    for number, (name, point) in enumerate(chosen):
        print(json.dumps(killer.run(number, name, point)), flush=True)  # noqa: T201 read by the parent


if __name__ == "__main__":
    main(sys.argv[1:])

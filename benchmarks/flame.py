"""Where the processor's time of a recognize request goes, function by function.

    python -m benchmarks.flame docs/performance-request.svg

Every call is counted in both threads that a request goes through, in processor time: what others do to the machine does
not count, and waiting does not either. Counting costs the many small functions of an HTTP server most, so that what
is drawn for them is the most they can take.
"""

import os

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # as in a whole run

import argparse
import html
import socket
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from benchmarks import voices
from benchmarks.bench import Bench
from benchmarks.rows import Goal, Row, plain_row
from benchmarks.server import Caller
from voiceid.service import wiring
from voiceid.service.application import create_app
from voiceid.service.front import Front
from voiceid.service.problems import Net
from voiceid.settings import Settings

Stack = tuple[str, ...]
Stacks = dict[Stack, int]
"""Nanoseconds spent in the last function of a stack itself, over all requests."""
REQUESTS = 30
LARGEST = 0.05
"""Share of a request that one function outside the encoder may take."""
_ENCODER = "campplus.embed"
_OURS = frozenset({"answering.work", "answering.answered", "front._recognize"})
"""Where a request begins to be ours."""
_IDLE = frozenset({"poll", "select", "acquire", "get"})
"""Built-in functions that wait."""
_THINNEST = 0.002


class Tracer:
    """Counts processor time by stack, in every thread that starts while it is set."""

    def __init__(self) -> None:
        self.stacks: Stacks = defaultdict(int)
        self.on = False
        self._local = threading.local()

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        now = time.thread_time_ns()
        stack: list[str] = self._local.__dict__.setdefault("stack", [])
        if self.on and stack:
            self.stacks[tuple(stack)] += now - self._local.since
        if event == "call":
            stack.append(_name(frame))
        elif event == "c_call":
            stack.append(str(getattr(arg, "__name__", arg)))
        elif stack:
            stack.pop()
        self._local.since = time.thread_time_ns()


def measure(folder: Path, requests: int = REQUESTS) -> Stacks:
    """Ask a service in this process for 3 s of a guest's speech; what its threads did."""
    tracer = Tracer()
    sound = voices.wav(voices.seconds_of(voices.GUEST, 3))
    threading.setprofile(tracer)
    try:
        with _serving(folder) as (address, household, token):
            ask = Caller(address, token)
            for number in range(requests + 3):
                tracer.on = number >= 3  # noqa: PLR2004 the first pay for what is only paid once
                ask("POST", f"/v1/households/{household}/recognize", sound, "audio/wav")
            tracer.on = False
    finally:
        threading.setprofile(None)
    found: Stacks = defaultdict(int)
    for stack, spent in sorted(tracer.stacks.items()):
        if stack[-1] not in _IDLE:
            found[_shortened(stack)] += spent
    return found


def flame(bench: Bench) -> Iterator[Row]:
    """The function outside of the encoder that takes most of a request."""
    stacks = measure(bench.folder("flame"), 10 if bench.quick else REQUESTS)
    whole = sum(stacks.values())
    alone: dict[str, int] = defaultdict(int)
    for stack, spent in stacks.items():
        if _ENCODER not in stack:
            alone[" of ".join(reversed(stack[-2:]))] += spent
    inside = sum(spent for stack, spent in stacks.items() if _ENCODER in stack)
    if inside < whole / 2:
        raise RuntimeError(f"the encoder is not found as {_ENCODER} under one of {', '.join(sorted(_OURS))}")
    yield plain_row("request: encoder with its features", 100 * inside / whole, "%", "processor time of a request")
    for place, name in enumerate(sorted(alone, key=lambda one: -alone[one])[:3]):
        goal = Goal("figure", 100 * LARGEST) if place == 0 else None
        yield plain_row(f"request: {name}", 100 * alone[name] / whole, "%", "processor time of a request", goal=goal)


@contextmanager
def _serving(folder: Path) -> Iterator[tuple[str, str, str]]:
    settings = Settings(data_dir=folder / "data", keys_dir=folder / "keys")
    services = wiring.build(settings)
    first = wiring.first_start(services)
    if first is None:
        raise RuntimeError("not a fresh installation")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(
            Net(Front(services, create_app(services))), log_config=None, access_log=False, ws="none"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}", first.household, first.owner_token
        finally:
            server.should_exit = True
            thread.join()


def _name(frame: FrameType) -> str:
    return f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}"


def _shortened(stack: Stack) -> Stack:
    """Without what every request of a web service goes through before it is ours."""
    ours = [at for at, name in enumerate(stack) if name in _OURS]
    return ("request", *stack[ours[-1] :]) if ours else ("request", "HTTP", stack[-1])


def draw(stacks: Stacks) -> str:
    """The stacks as an SVG, widest first; a bar's width is its share of the processor's time."""
    whole, width, height = sum(stacks.values()), 1200, 18
    rows: list[str] = []

    def bar(prefix: Stack, left: float, depth: int) -> int:
        below: Stacks = defaultdict(int)
        for stack, spent in stacks.items():
            if stack[:depth] == prefix:
                below[stack[: depth + 1]] += spent
        at, deepest = left, depth
        for path, spent in sorted(below.items(), key=lambda one: -one[1]):
            if len(path) == depth + 1 and spent / whole >= _THINNEST:
                _box(rows, path[-1], at, depth, spent / whole, width, height)
                deepest = max(deepest, bar(path, at, depth + 1))
                at += spent / whole * width
        return deepest

    deep = bar((), 0.0, 0)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {deep * height}" font-family="monospace"'
    return "\n".join([f'{head} font-size="11">', *rows, "</svg>", ""])


def _box(rows: list[str], name: str, at: float, depth: int, share: float, width: int, height: int) -> None:
    wide = share * width
    shown = html.escape(name[: max(0, int(wide / 7) - 1)])
    colour = f"hsl({20 + sum(map(ord, name)) % 40} 85% 65%)"
    rows.append(
        f'<g><title>{html.escape(name)}: {share:.1%}</title><rect x="{at:.1f}" y="{depth * height}" width="{wide:.1f}"'
        f' height="{height - 1}" fill="{colour}"/><text x="{at + 3:.1f}" y="{depth * height + 13}">{shown}</text></g>'
    )


def main() -> None:
    """Measure and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("svg", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="voiceid-flame-") as scratch:
        stacks = measure(Path(scratch))
    asked.svg.write_text(draw(stacks))
    sys.stdout.write(f"{asked.svg}: {sum(stacks.values()) / REQUESTS / 1e6:.1f} ms of processor time per request\n")


if __name__ == "__main__":
    main()

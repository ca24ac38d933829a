"""Ask a household for minutes on end at 80 % of what it can do: does anything grow, does anything get slower?

    python -m benchmarks.soak [--minutes 10] [--load 0.8] [--json]

Requests come when they come, whether or not the one before has been answered: waiting is part of what is measured. The
first tenth, a minute of ten, is for warming up; what follows must not hold more memory, handles or threads than that.
With --json exactly one document goes to standard output; the exit code is 1 when a goal is missed.
"""

import os

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # as in a whole run

import argparse
import json
import queue
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import machine, voices
from benchmarks.rows import Goal, Row, plain_row
from benchmarks.server import Household, Server

CLIENTS = 16
EVERY_S = 1.0
CAPACITY_S = 10.0
SLOWER = 1.2
"""p99 of the last part to that of the first, at most."""
GROWTH = 1.01
"""Memory at the end to that after the first part, at most: a hundredth is how much it moves up and down."""
MEMBERS = {"ada": "none", "ben": "none"}


@dataclass(frozen=True, slots=True)
class Seen:
    """The server at one moment."""

    at_s: float
    resident_mb: float
    handles: int
    threads: int


@dataclass
class Soak:
    """Requests as they arrive, and what became of them."""

    server: Server
    home: Household
    asked: list[tuple[float, float]] = field(default_factory=list)
    """When a request was due, and how long after that its answer was there; seconds."""
    failed: list[str] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._callers = [self.server.caller(self.home.token) for _ in range(CLIENTS)]

    def capacity(self, seconds: float) -> float:
        """Answers per second when everybody asks again at once."""
        end = time.perf_counter() + seconds
        counts = [0] * CLIENTS

        def ask(number: int, one: Callable[[], object]) -> None:
            while time.perf_counter() < end:
                one()
                counts[number] += 1

        self._together(ask)
        return sum(counts) / seconds

    def run(self, rate: float, seconds: float) -> None:
        """Ask so many times a second, at random moments."""
        chance, due = random.Random(5), queue.Queue[float | None]()
        began = time.perf_counter()

        def ask(_: int, one: Callable[[], object]) -> None:
            while (moment := due.get()) is not None:
                try:
                    one()
                except RuntimeError as refused:
                    self.failed.append(str(refused))
                self.asked.append((moment, time.perf_counter() - began - moment))

        asking = threading.Thread(target=self._together, args=(ask,))
        asking.start()
        moment, next_look = 0.0, 0.0
        while moment < seconds:
            time.sleep(max(0.0, began + moment - time.perf_counter()))
            due.put(moment)
            if moment >= next_look:
                self.seen.append(self._look(moment))
                next_look = moment + EVERY_S
            moment += chance.expovariate(rate)
        for _ in range(CLIENTS):
            due.put(None)
        asking.join()

    def _look(self, at_s: float) -> Seen:
        pid = self.server.pid
        return Seen(at_s, machine.resident_mb(pid), machine.handles(pid), machine.threads(pid))

    def _together(self, ask: Callable[[int, Callable[[], object]], None]) -> None:
        sounds = [voices.wav(voices.seconds_of(who, 3)) for who in (*MEMBERS, voices.GUEST)]

        def client(number: int) -> None:
            caller, sound = self._callers[number], sounds[number % len(sounds)]
            ask(number, lambda: self.home.recognize(sound, by=caller))

        clients = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
        for one in clients:
            one.start()
        for one in clients:
            one.join()


def judge(soak: Soak, seconds: float) -> list[Row]:
    """First part against last."""
    part = seconds / 10
    first = [one for one in soak.seen if one.at_s < part]
    last = [one for one in soak.seen if one.at_s >= seconds - part]
    peer = "the most of the first tenth"
    rows = []
    for name, unit, bound in (("resident_mb", "MB", GROWTH), ("handles", "", 1.0), ("threads", "", 1.0)):
        end = statistics.median(float(getattr(one, name)) for one in last)
        most = max(float(getattr(one, name)) for one in first)
        rows.append(plain_row(f"soak: {name.partition('_')[0]}", end, unit, peer, most, Goal("ratio", bound)))
    p99 = [_p99([took for at, took in soak.asked if low <= at < low + part]) for low in (seconds - part, 0.0)]
    rows.append(
        plain_row("soak: p99 at the end", p99[0] * 1000, "ms", "p99 of the first tenth", p99[1] * 1000,
                  Goal("ratio", SLOWER))
    )  # fmt: skip
    rows.append(plain_row("soak: requests", len(soak.asked), "", "-"))
    rows.append(plain_row("soak: failed", len(soak.failed), "", "-", goal=Goal("figure", 0)))
    return rows


def _p99(taken: list[float]) -> float:
    ordered = sorted(taken)
    return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]


def main() -> None:
    """Soak, then print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--load", type=float, default=0.8, help="share of what the service can do")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    asked = parser.parse_args()
    seconds, noise = 60 * asked.minutes, machine.Noise()
    with tempfile.TemporaryDirectory(prefix="voiceid-soak-") as scratch, Server(Path(scratch)) as server:
        home = Household(server)
        for who, retention in MEMBERS.items():
            home.enroll(who, retention)
        soak = Soak(server, home)
        rate = asked.load * soak.capacity(min(CAPACITY_S, seconds / 6))
        soak.run(rate, seconds)
    noise.listen()
    rows = judge(soak, seconds)
    about: dict[str, Any] = machine.describe(noise, minutes=asked.minutes, load=asked.load, rate=round(rate, 2))
    if asked.json:
        print(json.dumps({"machine": about, "rows": [asdict(row) for row in rows]}, indent=1))
    else:
        for row in rows:
            verdict = {True: "met", False: "missed", None: ""}[row.ok]
            against = f"{row.ratio:.2f} of {row.peer}" if row.ratio else "-"
            print(f"{row.name}: {row.figure:g} {row.unit}, {against}, {row.goal or ''} {verdict}")
    sys.exit(any(row.ok is False for row in rows))


if __name__ == "__main__":
    main()

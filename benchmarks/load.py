"""Under load, and past it: how long the slowest wait at 80 %, and whether those who find no room hear so at once."""

import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from benchmarks import voices
from benchmarks.bench import Bench
from benchmarks.machine import timed
from benchmarks.rows import Goal, Row, plain_row
from benchmarks.server import Household, Refused, Server
from voiceid.settings import Settings

CLIENTS, LOAD, P99 = 8, 0.8, 3.0
AT_ONCE = 0.1
"""What a refusal may take, of what an answer takes meanwhile."""
_BESIDE = 1.4
"""An answer at that load takes so many times what it takes alone, on two cores; it only has to hit the load nearly."""
_TOO_MANY = 14
"""Clients beyond those who can be served or wait."""
_PAUSE_S = 0.1
"""Before a client who was refused asks again; a polite one would wait longer."""


def under_load(bench: Bench, home: Household, server: Server) -> Iterator[Row]:
    """Eight clients who pause in between, so that the service works at 80 %; then more than it has room for."""
    sound = voices.wav(voices.seconds_of(voices.GUEST, 3))
    most, alone_s = _rate(home, server, sound, max(1.5, bench.seconds(5, 1.5))), _alone(home, sound)
    pause_s = CLIENTS / (LOAD * most) - _BESIDE * alone_s
    waits: list[float] = []
    began, until = time.perf_counter(), time.perf_counter() + max(2.5, bench.seconds(25, 2.5))
    _together(CLIENTS, partial(_pausing, home, server, sound, pause_s, until, waits))
    share = len(waits) / (time.perf_counter() - began) / most
    waits.sort()
    p50, p99 = (1000 * waits[int(part * len(waits))] for part in (0.5, 0.99))
    name = f"{CLIENTS} clients who pause, {share:.0%} load: p99 (p50 {p50:.0f} ms)"
    yield plain_row(name, p99, "ms", "its own p50", p50, Goal("ratio", P99))
    yield from _past(bench, home, server)


def _rate(home: Household, server: Server, sound: bytes, seconds: float) -> float:
    """Answers per second when everybody asks again at once."""
    end, answered = time.perf_counter() + seconds, []

    def client(_: int) -> None:
        caller = server.caller(home.token)
        while time.perf_counter() < end:
            home.recognize(sound, by=caller)
            answered.append(time.perf_counter())

    began = time.perf_counter()
    _together(CLIENTS, client)
    return len(answered) / (max(answered) - began)


def _alone(home: Household, sound: bytes) -> float:
    """What one answer takes, nobody else asking; seconds."""
    return statistics.median(timed(partial(home.recognize, sound)) for _ in range(9))


def _pausing(
    home: Household, server: Server, sound: bytes, pause_s: float, until: float, waits: list[float], number: int
) -> None:
    caller, chance = server.caller(home.token), random.Random(number)
    while time.perf_counter() < until:
        time.sleep(chance.expovariate(1 / pause_s))
        waits.append(timed(partial(home.recognize, sound, by=caller)))


def _together(count: int, client: Callable[[int], None]) -> None:
    clients = [threading.Thread(target=client, args=(number,)) for number in range(count)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()


@dataclass(frozen=True, slots=True)
class _Told:
    """What became of requests; seconds."""

    answered_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    told_when: list[bool] = field(default_factory=list)
    """Whether a refusal was 503 and said when to come again."""


def _past(bench: Bench, home: Household, server: Server) -> Iterator[Row]:
    settings = Settings()
    room = settings.encoders + settings.queue
    sound, told = voices.wav(voices.seconds_of(voices.GUEST, 3)), _Told()
    end = time.perf_counter() + max(2.5, bench.seconds(8, 2.5))

    def client(_: int) -> None:
        caller = server.caller(home.token)
        while (began := time.perf_counter()) < end:
            try:
                home.recognize(sound, by=caller)
                told.answered_s.append(time.perf_counter() - began)
            except Refused as refused:
                told.refused_s.append(time.perf_counter() - began)
                told.told_when.append(refused.status == 503 and refused.retry_after is not None)  # noqa: PLR2004 busy
                time.sleep(_PAUSE_S)

    _together(room + _TOO_MANY, client)
    name = f"{room + _TOO_MANY} clients where {room} have room"
    if not told.refused_s:
        raise RuntimeError("nobody was refused: a queue without end")
    yield plain_row(
        f"{name}: refusal", 1000 * statistics.median(told.refused_s), "ms", "an answer meanwhile",
        1000 * statistics.median(told.answered_s), Goal("ratio", AT_ONCE),
    )  # fmt: skip
    share = 100 * statistics.mean(told.told_when)
    yield plain_row(f"{name}: 503 with Retry-After", share, "%", "all refusals", 100, Goal("ratio", 1, at_least=True))

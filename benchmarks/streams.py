"""Live recognition as it is heard: sound sent as it would be spoken, and how long after its end the decision comes."""

import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from benchmarks import machine, voices
from benchmarks.bench import Bench
from benchmarks.rows import Goal, Row, plain_row
from benchmarks.server import Household, Server
from voiceid.client import Client
from voiceid.listen import HANG_S
from voiceid.types import SAMPLE_RATE_HZ

DELAY_MS, OF_A_CORE = 250.0, 0.1
STREAMS = (1, 4, 8)
_CHUNK_S = 0.1
_SPEECH_S, _PAUSE_S = 3.0, 1.6
"""One utterance and the quiet after it, in which the decision must come."""


def live(bench: Bench) -> Iterator[Row]:
    """So many connections at once, each with one utterance after the other, in real time."""
    with Server(bench.folder("live")) as server:
        home = Household(server)
        home.enroll("ada", "none")
        home.recognize(voices.wav(voices.seconds_of("ada", _SPEECH_S)))  # the first pays for what is only paid once
        for count in STREAMS:
            room_s = bench.seconds(15)
            utterances = max(1, round(room_s / (_SPEECH_S + _PAUSE_S)))
            for row in _together(home, server, count, utterances):
                yield row if bench.noise.quiet or row.ok else replace(row, ok=None)


def _together(home: Household, server: Server, count: int, utterances: int) -> Iterator[Row]:
    delays: list[float] = []
    ears = [
        threading.Thread(target=_listen, args=(home, server, utterances, at * _CHUNK_S / count, delays))
        for at in range(count)
    ]
    before_s, began = machine.processor_s(server.pid), time.perf_counter()
    for ear in ears:
        ear.start()
    for ear in ears:
        ear.join()
    took_s = time.perf_counter() - began
    share = (machine.processor_s(server.pid) - before_s) / took_s / count
    name = f"live, {count} at once"
    after_ms = sorted(1000 * (delay - HANG_S) for delay in delays)
    if len(after_ms) < count * utterances:
        raise RuntimeError("an utterance was not decided on")
    worst = after_ms[-1]
    yield plain_row(
        f"{name}: from the end of speech to the decision, beyond {HANG_S:g} s (worst {worst:.0f} ms)",
        statistics.median(after_ms), "ms", "-", goal=Goal("figure", DELAY_MS) if count == 1 else None,
    )  # fmt: skip
    yield plain_row(f"{name}: processor of each", 100 * share, "%", "one core", 100, Goal("ratio", OF_A_CORE))


def _listen(home: Household, server: Server, utterances: int, late_s: float, delays: list[float]) -> None:
    """One connection; appends how long each decision came after its speech had ended."""
    time.sleep(late_s)
    ended: list[float] = []
    with Client(f"http://{server.address}", home.token, server.household) as client:
        for event in client.listen(_spoken(utterances, ended)):
            if event["type"] != "decision":
                continue
            delays.append(time.perf_counter() - ended[event["utterance"] - 1])


def _spoken(utterances: int, ended: list[float]) -> Iterator[bytes]:
    """Chunks, each when it would have been heard; notes when each utterance's speech was over."""
    speech = voices.seconds_of("ada", _SPEECH_S)
    quiet = np.random.default_rng(6).normal(0, 1e-4, round(_PAUSE_S * SAMPLE_RATE_HZ)).astype(np.float32)
    size = round(_CHUNK_S * SAMPLE_RATE_HZ)
    began, sent = time.perf_counter(), 0
    for _ in range(utterances):
        for sound, last in ((speech, True), (quiet, False)):
            for at in range(0, len(sound), size):
                chunk = sound[at : at + size]
                sent += len(chunk)
                time.sleep(max(0.0, began + sent / SAMPLE_RATE_HZ - time.perf_counter()))
                yield np.clip(np.round(chunk * 2**15), -(2**15), 2**15 - 1).astype("<i2").tobytes()
            if last:
                ended.append(time.perf_counter())

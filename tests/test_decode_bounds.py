"""Long files and lying ones cost little: in time, in what Python allocates, in what the process holds."""

import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from machine import ROOT
from sounds import FLAC, Form, flac_that_says, ogg_that_says, tone, wav

from voiceid.decode import decode
from voiceid.errors import AudioTooLong, LyingHeader
from voiceid.types import SAMPLE_RATE_HZ

MAX_S = 60.0
ELEVEN_MINUTES_S = 660
QUICK_S = 4.0
"""Processor time, on a machine that is doing other things; eight channels at 192 kHz take a second of it."""


@cache
def long(container: str, coding: str | None, rate_hz: int = 8_000) -> bytes:
    return Form("", container, coding, rate_hz).silence(ELEVEN_MINUTES_S)


LONG: dict[str, Callable[[], bytes]] = {
    "flac": lambda: long("FLAC", "PCM_16"),
    "flac that says one second": lambda: flac_that_says(long("FLAC", "PCM_16"), 8_000),
    "flac that says nothing": lambda: flac_that_says(long("FLAC", "PCM_16"), 0),
    "flac that says for ever": lambda: flac_that_says(FLAC.encode(tone(16_000)), 2**36 - 1),
    "flac of 8 channels at 192 kHz": lambda: flac_that_says(Form("", "FLAC", "PCM_16", 192_000).silence(61, 8), 0),
    "mp3": lambda: long("MP3", None),
    "ogg opus": lambda: long("OGG", "OPUS"),
    "ogg vorbis": lambda: long("OGG", "VORBIS"),
    "ogg that says twenty seconds": lambda: ogg_that_says(long("OGG", "VORBIS"), 160_000),
    "wav": lambda: wav(bytes(2 * 16_000 * ELEVEN_MINUTES_S)),
    "wav of unknown length": lambda: wav(bytes(2 * 16_000 * ELEVEN_MINUTES_S), data=0xFFFF_FFFF),
}


@pytest.mark.parametrize("name", LONG)
def test_eleven_minutes_are_refused_quickly_in_bounded_memory(name: str) -> None:
    body = LONG[name]()
    tracemalloc.start()
    try:
        began = time.process_time()
        with pytest.raises((AudioTooLong, LyingHeader)):
            decode(body, max_s=MAX_S)
        took_s = time.process_time() - began
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 12 * SAMPLE_RATE_HZ * MAX_S + len(body)  # three times the longest clip that is allowed
    assert took_s < QUICK_S


def test_long_and_lying_files_do_not_grow_the_process(tmp_path: Path) -> None:
    """What libsndfile allocates itself counts too: so measured from outside."""
    for number, body in enumerate(LONG.values()):
        (tmp_path / f"{number}").write_bytes(body())
    script = f"""
import resource
from pathlib import Path
from voiceid.decode import decode
from voiceid.errors import VoiceIdError
paths = list(Path({str(tmp_path)!r}).iterdir())
largest = max(path.stat().st_size for path in paths)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in paths:
    try:
        decode(path.read_bytes(), max_s={MAX_S})
    except VoiceIdError:
        continue
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before - largest // 1024)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20 * 1024

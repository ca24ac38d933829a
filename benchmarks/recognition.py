"""Whole requests through the real server, against the encoder's own time for the same speech."""

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import cycle

from benchmarks import voices
from benchmarks.bare import Bare
from benchmarks.bench import Bench
from benchmarks.load import under_load
from benchmarks.rows import Goal, Row, missing_row, paired, plain_row, timed_row
from benchmarks.server import Household, Server, environment
from benchmarks.sound import FORMS
from benchmarks.start import LIBRARIES
from voiceid.decode import decode
from voiceid.encode.campplus import CamPlusPlus
from voiceid.types import Speech

Connect = Callable[[], Callable[[], object]]
"""Makes a client: a connection, and a call that asks over it."""
P50 = 1.5
P50_WAV, P50_CODED = 1.25, 1.35
RESIDENT_MB = 200.0
THROUGHPUT = 0.92
CLIENTS = (1, 2, 4, 8, 16)
_STATED = 8
"""Clients of whom the goal speaks."""
_WHOLE = ": time per answer"
_BARE_ROW = " of bare FastAPI around the encoder"
_APART_ROW = " of as many services as cores, an encoder each"
"""How the rows are called, behind the number of clients."""
_PEER = "encoder alone on the same speech"
_REQUESTS, _REQUESTS_QUICK = 100, 30
_ENROLLED = {"ada": "none", "ben": "18_months"}
"""Who is enrolled, and how long their recordings are kept."""
_BARE = (
    sys.executable, "-c",
    "import " + ", ".join(LIBRARIES) + "\n"
    "from voiceid.encode.campplus import CamPlusPlus\n"
    "from voiceid.speech import SpeechCheck\n"
    "from benchmarks import machine, voices\n"
    "check, encoder = SpeechCheck.shipped(), CamPlusPlus.shipped()\n"
    "encoder.embed(voices.speech(voices.seconds_of(voices.GUEST, 3)))\n"
    "print(machine.resident_mb('self'))\n",
)  # fmt: skip


def recognition(bench: Bench) -> Iterator[Row]:
    """3 s of speech: one client, the memory after 100 requests, more and more clients at once, and too many."""
    encoder = CamPlusPlus.shipped()
    with Server(bench.folder("recognition")) as server:
        home = Household(server)
        yield _enrollment(home, encoder)
        yield _one(bench, home, encoder, "a guest, WAV", voices.GUEST, P50_WAV)
        yield _one(bench, home, encoder, "a member, nothing kept, WAV", "ada", P50_WAV)
        yield _one(bench, home, encoder, "a member, recording kept, WAV", "ben", P50)
        for form in () if bench.quick else ("MP3", "Opus"):
            yield _one(bench, home, encoder, f"a guest, {form}", voices.GUEST, P50_CODED, form)
        yield from _resident(bench, home, server)
        for count in (_STATED,) if bench.quick else CLIENTS:
            if bench.left_s <= 0:
                yield missing_row(f"{count} clients: time per answer", "ms", "not measured: the time was up")
                continue
            yield from _together(bench, home, server, encoder, count)
        yield from under_load(bench, home, server)


def _enrollment(home: Household, encoder: CamPlusPlus) -> Row:
    """Four takes each, from the invitation to the voiceprint, consents and all."""
    taken, alone = [], []
    for who, retention in _ENROLLED.items():
        heard = [voices.check()(decode(voices.take(who, number), max_s=60)) for number in range(1, voices.TAKES + 1)]
        takes = [one for one in heard if isinstance(one, Speech)]
        alone.append(sum(_timed(partial(encoder.embed, one)) for one in takes))
        taken.append(_timed(partial(home.enroll, who, retention)))
    figures = (statistics.mean(series) * 1000 for series in (taken, alone))
    return plain_row("enrollment of four takes", next(figures), "ms", "encoder alone on these takes", next(figures))


def _resident(bench: Bench, home: Household, server: Server) -> Iterator[Row]:
    most = _REQUESTS_QUICK if bench.quick else _REQUESTS
    bare = subprocess.run(_BARE, env=environment(bench.scratch), check=True, capture_output=True, text=True)
    peer = "its libraries and networks alone"
    _ask_on(home, most)
    yield plain_row(
        f"resident after {home.asked} recognitions", server.resident_mb, "MB", peer, float(bare.stdout),
        Goal("figure", RESIDENT_MB),
    )  # fmt: skip
    if bench.quick:
        return
    with Server(bench.folder("int8"), VOICEID_ENCODER="campplus-int8") as fast:
        other = Household(fast)
        for who, retention in _ENROLLED.items():
            other.enroll(who, retention)
        _ask_on(other, most)
        yield plain_row(f"resident after {other.asked} recognitions, campplus-int8", fast.resident_mb, "MB")


def _ask_on(home: Household, most: int) -> None:
    sound = voices.wav(voices.seconds_of("ben", 3))
    while home.asked < most:
        home.recognize(sound)


def _together(bench: Bench, home: Household, server: Server, encoder: CamPlusPlus, count: int) -> Iterator[Row]:
    """So many clients, in turns with the encoder alone, which tells the capacity; and with what else may be asked."""
    speech, busy = voices.speech(voices.seconds_of(voices.GUEST, 3)), min(bench.cores, count)
    sound = voices.wav(speech.samples)
    heard, stated = _found(sound), count == _STATED
    times, seconds = (11, 1.5) if stated else (3, 2.5)
    with ExitStack() as running:
        asked: dict[str, Connect] = {_WHOLE: lambda: partial(home.recognize, sound, by=server.caller(home.token))}
        if stated:
            bare = running.enter_context(Bare())
            asked[_BARE_ROW] = lambda: partial(bare.caller(), sound)
        if stated and not bench.quick:
            asked[_APART_ROW] = _apart(bench, busy, running, sound)
        rounds = [
            _round(asked, count, busy, bench.seconds(seconds, 1.5), encoder, speech, heard)
            for _ in range(2 if bench.quick else times)
        ]
    alone, took = [one.encoder_s / busy for one in rounds], [one.took_s[_WHOLE] for one in rounds]
    goal, peer = Goal("ratio", round(1 / THROUGHPUT, 3)), f"encoder alone on {busy} of {bench.cores} cores"
    name = f"{count} clients{_WHOLE}"
    yield timed_row(name, paired(took, alone), peer, goal if stated else None)
    if stated:
        found, at_once = [one.found_s / busy for one in rounds], [one.at_once_s for one in rounds]
        yield timed_row(name, paired(took, found), "encoder alone on the speech found in it")
        yield timed_row(name, paired(took, at_once), f"encoders on {busy} cores at once")
        bare_s = [one.took_s[_BARE_ROW] for one in rounds]
        yield timed_row(name, paired(took, bare_s), "bare FastAPI around the encoder")
    for other in [one for one in asked if one != _WHOLE]:
        yield timed_row(f"{count} clients{other}", paired([one.took_s[other] for one in rounds], alone), peer)
    waits = sorted(wait for one in rounds for wait in one.waits_s)
    p50, p90, p99 = (waits[min(len(waits) - 1, int(len(waits) * part))] * 1000 for part in (0.5, 0.9, 0.99))
    yield plain_row(f"{count} clients: p99 (p50 {p50:.0f}, p90 {p90:.0f} ms)", p99, "ms", "its own p50", p50)


def _apart(bench: Bench, services: int, running: ExitStack, sound: bytes) -> Connect:
    """As many services of one encoder each, who share the clients: what is lost where encoders share a process."""
    homes = []
    for _ in range(services):
        server = running.enter_context(Server(bench.folder("apart"), VOICEID_ENCODERS="1"))
        homes.append((server, Household(server)))
        for who, retention in _ENROLLED.items():
            homes[-1][1].enroll(who, retention)
    turn = cycle(homes)

    def connect() -> Callable[[], object]:
        server, home = next(turn)
        return partial(home.recognize, sound, by=server.caller(home.token))

    return connect


@dataclass(frozen=True, slots=True)
class _Round:
    """Some seconds with so many clients."""

    took_s: dict[str, float]
    """Seconds per answer of each who was asked, while everybody asks."""
    waits_s: list[float]
    """How long each waited for the whole service."""
    encoder_s: float
    """Seconds of one encoder for all that is sent, with the machine to itself."""
    found_s: float
    """The same for what the speech check leaves of it, which is what the service encodes."""
    at_once_s: float
    """Seconds per embedding of as many encoders at once as there are cores to use."""


def _round(
    asked: dict[str, Connect], count: int, busy: int, seconds: float, encoder: CamPlusPlus, speech: Speech,
    found: Speech,
) -> _Round:
    encoder_s = statistics.median(_timed(lambda: encoder.embed(speech)) for _ in range(7))
    found_s = statistics.median(_timed(lambda: encoder.embed(found)) for _ in range(5))
    at_once_s = _at_once(encoder, speech, busy)
    seconds = max(seconds, 3 * count * encoder_s)
    all_of_it = {name: _asked(count, seconds, connect) for name, connect in asked.items()}
    took_s = {name: each_s for name, (each_s, _) in all_of_it.items()}
    return _Round(took_s, all_of_it[_WHOLE][1], encoder_s, found_s, at_once_s)


def _asked(count: int, seconds: float, connect: Connect) -> tuple[float, list[float]]:
    """Seconds per answer while so many clients ask again at once, and how long each waited.

    From the first answer to the last before the end: afterwards fewer and fewer ask, and processors idle.
    """
    answered: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds

    def client() -> None:
        ask = connect()
        while time.perf_counter() < end:
            wait = _timed(ask)
            answered.append((time.perf_counter(), wait))

    _all(count, client)
    when = sorted(at for at, _ in answered if at <= end)
    return (when[-1] - when[0]) / (len(when) - 1), [wait for _, wait in answered]


def _at_once(encoder: CamPlusPlus, speech: Speech, busy: int, times: int = 7) -> float:
    """Seconds per embedding when so many threads compute one after the other; the median of each, while all do."""
    taken: list[tuple[float, float]] = []
    ended: list[float] = []

    def several() -> None:
        for _ in range(times):
            took_s = _timed(partial(encoder.embed, speech))
            taken.append((time.perf_counter(), took_s))
        ended.append(time.perf_counter())

    _all(busy, several)
    return statistics.median(took_s for at, took_s in taken if at <= min(ended)) / busy


def _all(count: int, work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _one(
    bench: Bench, home: Household, encoder: CamPlusPlus, name: str, who: str, most: float, form: str = "WAV"
) -> Row:
    sound, kind = FORMS[form](voices.seconds_of(who, 3))
    heard = _found(sound, kind)
    both = bench.alternate(lambda: home.recognize(sound, kind), lambda: encoder.embed(heard), 10, 1.0)
    return timed_row(f"recognize {name}", both, _PEER, Goal("ratio", most))


def _found(sound: bytes, kind: str = "audio/wav") -> Speech:
    """What the speech check leaves of a clip."""
    heard = voices.check()(decode(sound, kind, max_s=60))
    if not isinstance(heard, Speech):
        raise TypeError(f"speech that cannot be judged: {heard.reason}")
    return heard


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began

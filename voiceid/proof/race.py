"""The race: eight recognize without pause while a ninth withdraws, and whatever is in flight lands or does not.

Two replicas share one installation in this process: the eight ask one, the withdrawal goes to the other. Threads take
turns fifty times as often as usual, so that withdrawals fall between any two steps of a request.
"""

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from voiceid.errors import StoreUnavailable, VoiceIdError
from voiceid.proof import sabotage
from voiceid.proof.installation import Home, Voices
from voiceid.proof.report import Check, Sizes
from voiceid.proof.server import Place
from voiceid.types import ADAPT, SAVE_RECORDINGS, TRANSCRIPTS, VOICE_ID

CLIENTS = 8
_ALL = (SAVE_RECORDINGS, VOICE_ID, TRANSCRIPTS, ADAPT)
_SWITCH_S = 1e-4
_ROUND_S = 60.0
_COMPLETES_EVERY = 3
_GRANTS_AGAIN_EVERY = 4
_TRIES = 10
_LEFT = frozenset({"voiceprint", "adaptation", "take", "recording", "interaction", "transcript", "enrollment"})
CONTROLS = {"consent at search": 20, "consent at writing": 60, "epoch check": 5}
"""What is taken out, and within how many rounds it must be noticed."""
_REAL = ("ada", "ben", "cleo", "dan")


@dataclass
class Found:
    """What went wrong in all rounds."""

    rounds: int = 0
    named_after: int = 0
    """Requests that were sent after the withdrawal was answered, and named the person."""
    left: int = 0
    """Rounds after which something of the person was there."""
    named_again: int = 0
    """Rounds after which a new yes brought the erased voice back."""
    asked_after: int = 0
    in_flight: int = 0
    """Requests that were sent before the withdrawal was answered, and answered later."""

    @property
    def wrong(self) -> dict[str, int]:
        return {"named after": self.named_after, "left": self.left, "named again": self.named_again}


def prove(root: Path, sizes: Sizes) -> Iterator[Check]:
    """Rounds with made-up voices, and with each recheck taken out."""
    yield from _checks("race", run(root / "rounds", "made-up", sizes.rounds), sizes.rounds)
    if sizes.controls:
        for part, rounds in CONTROLS.items():
            with sabotage.taken_out(part):
                found = run(root / f"without {part}", "made-up", rounds, until_wrong=True)
            noticed = found.wrong != Found().wrong
            yield Check("race", f"control, without {part}: found out", 1, 1, expected=True, found=noticed)


def prove_on_speech(root: Path, sizes: Sizes) -> Iterator[Check]:
    """Rounds with the shipped encoder, on the speech of the shipped voices."""
    yield from _checks("speech-race", run(root / "rounds", "real", sizes.rounds_real), sizes.rounds_real)


def _checks(proof: str, found: Found, rounds: int) -> Iterator[Check]:
    name = "withdrawn is withdrawn, nothing lands later"
    yield Check(proof, name, rounds, found.rounds, Found().wrong, found.wrong)
    least, name = CLIENTS * found.rounds, "every client asked afterwards, some were in flight"
    yield Check(proof, name, least, min(least, found.asked_after), expected=True, found=found.in_flight > 0)


def run(root: Path, voices: Voices, rounds: int, *, until_wrong: bool = False) -> Found:
    """So many rounds on a fresh installation."""
    place, found = Place(root), Found()
    with Home(place, voices) as here, _switching_often():
        here.joins(*_REAL)
        with Home(place, voices) as there:
            for number in range(rounds):
                Round(here, there, _REAL[number % len(_REAL)], number, found).run()
                found.rounds += 1
                if until_wrong and found.wrong != Found().wrong:
                    break
    return found


@dataclass
class Round:
    """One withdrawal."""

    here: Home
    """The replica that is asked."""
    there: Home
    """The replica that withdraws."""
    name: str
    number: int
    found: Found
    answered: threading.Event = field(default_factory=threading.Event)
    warm: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        """Enroll, let eight ask and a complete be under way, withdraw, look."""
        _patiently(lambda: self.there.grants(self.name, *_ALL))
        _patiently(lambda: self.there.enrolls(self.name))
        threads = [threading.Thread(target=self._ask, args=(clip,)) for clip in range(1, CLIENTS + 1)]
        if self.number % _COMPLETES_EVERY == 0:
            again = self.there.starts(self.name)
            self.there.reads(self.name, again)
            threads.append(threading.Thread(target=self._complete, args=(again,)))
        for thread in threads:
            thread.start()
        self.warm.wait(_ROUND_S)
        time.sleep(random.Random(self.number).random() * 0.01)
        try:
            _patiently(lambda: self.there.withdraws(self.name, *_ALL))
        finally:
            self.answered.set()
            for thread in threads:
                thread.join(_ROUND_S)
        self._look()

    def _ask(self, clip: int) -> None:
        """Recognize without pause, until one request was sent after the answer."""
        sent_after = False
        while not sent_after:
            sent_after = self.answered.is_set()
            named = self.here.hears(self.name, 1 + clip % 6, "words in flight", long=clip == 1)
            with self.lock:
                if named == self.name:
                    self.warm.set()
                    self.found.named_after += sent_after
                self.found.asked_after += sent_after
                self.found.in_flight += self.answered.is_set() and not sent_after

    def _complete(self, enrollment: str) -> None:
        """About when the withdrawal comes."""
        self.warm.wait(_ROUND_S)
        time.sleep(random.Random(-self.number).random() * 0.02)
        with suppress(VoiceIdError):  # refused, if it comes too late
            self.there.completes(self.name, enrollment)

    def _look(self) -> None:
        """Nothing is left of them; and a new yes alone does not bring the voice back."""
        self.found.left += bool(_LEFT & set(self.there.rows(self.name)[self.name]))
        if self.number % _GRANTS_AGAIN_EVERY:
            return
        self.there.grants(self.name, SAVE_RECORDINGS, VOICE_ID)
        self.found.named_again += self.here.hears(self.name, keeping=False) is not None
        self.there.withdraws(self.name, SAVE_RECORDINGS, VOICE_ID)


def _patiently(work: Callable[[], object]) -> None:
    """As a client does that is told "not right now": try again."""
    for _ in range(_TRIES):
        try:
            work()
        except StoreUnavailable:
            continue
        return
    raise StoreUnavailable("tried in vain")


@contextmanager
def _switching_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)

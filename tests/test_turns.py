"""Short work in many steps takes turns: what two threads do at once, and who waits for whom, how long."""

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from home import clip, voice

from voiceid import turns
from voiceid.decode import decode
from voiceid.encode.campplus import CamPlusPlus
from voiceid.speech import VoiceActivity, judge
from voiceid.store import people
from voiceid.store.database import Database
from voiceid.turns import by_turns
from voiceid.types import Pcm, Quality, Speech

SOON_S, LONG_S = 0.2, 10.0


@pytest.fixture(autouse=True)
def turn(monkeypatch: pytest.MonkeyPatch) -> threading.Lock:
    """A lock for this test alone: one that keeps it must not stop the next."""
    fresh = threading.Lock()
    monkeypatch.setattr(turns, "_turn", fresh)
    return fresh


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a turn waits as long as it takes."""
    monkeypatch.setattr(turns, "PATIENCE_S", LONG_S)


def together(work: Callable[[threading.Barrier], bool]) -> list[bool]:
    """Two threads do this at once; whether each met the other."""
    meeting = threading.Barrier(2)
    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(work, [meeting] * 2))


def met(meeting: threading.Barrier) -> bool:
    try:
        meeting.wait(SOON_S)
    except threading.BrokenBarrierError:
        return False
    return True


@pytest.mark.usefixtures("patient")
def test_two_threads_work_one_after_the_other() -> None:
    assert together(met) == [True, True]
    assert together(by_turns(met)) == [False, False]


def test_whoever_has_waited_for_long_begins(turn: threading.Lock) -> None:
    """What turns are taken at cannot keep anybody waiting, itself included; and the next take turns again."""
    assert together(by_turns(met)) == [True, True]
    inner = by_turns(lambda: "done")
    assert by_turns(inner)() == "done"
    assert not turn.locked()


def test_a_turn_ends_with_a_failure_too(turn: threading.Lock) -> None:
    @by_turns
    def fails() -> None:
        raise ValueError("no number")

    with pytest.raises(ValueError, match="no number"):
        fails()
    assert not turn.locked()


def test_whoever_begins_out_of_turn_ends_nobodys(turn: threading.Lock) -> None:
    with turn:
        assert by_turns(lambda: "done")() == "done"
        assert turn.locked()


@pytest.mark.usefixtures("patient")
def test_judging_features_and_questions_take_turns_and_the_networks_do_not(tmp_path: Path) -> None:
    encoder, activity = CamPlusPlus.shipped(), VoiceActivity.shipped()
    pcm = decode(clip(voice("ada")), "audio/wav", max_s=60)
    heard = activity(pcm.samples)
    speech = Speech(pcm.samples, Quality(2.5, 2.5, -20.0, 60.0, 0.0, 0.0))
    holds, done = threading.Event(), threading.Event()

    @by_turns
    def holding() -> None:
        holds.set()
        assert done.wait(LONG_S)

    with ThreadPoolExecutor(5) as threads, closing(Database.in_directory(tmp_path)) as database:
        first = threads.submit(holding)
        assert holds.wait(LONG_S)
        judged, embedded = threads.submit(judge, pcm, heard), threads.submit(encoder.embed, speech)
        asked = threads.submit(database.ask, people._ONE_HOME, household="a")
        with database.at_once():
            assert database.ask(people._ONE_HOME, household="a") == []
        found = threads.submit(activity, Pcm(np.zeros(16_000, np.float32)).samples).result(LONG_S)
        assert len(found) == 32
        waiting: list[Future[Any]] = [judged, embedded, asked]
        assert not wait(waiting, SOON_S, FIRST_COMPLETED).done
        done.set()
        assert first.result(LONG_S) is None
        assert judged.result(LONG_S) is not None
        assert asked.result(LONG_S) == []
        assert embedded.result(LONG_S).vector.shape == (192,)

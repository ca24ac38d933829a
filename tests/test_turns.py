"""Work on numbers takes turns: what two threads do at once, and who waits for whom."""

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import numpy as np
import pytest
from home import clip, voice

from voiceid.decode import decode
from voiceid.encode.campplus import CamPlusPlus
from voiceid.speech import VoiceActivity, judge
from voiceid.turns import by_turns
from voiceid.types import Pcm, Quality, Speech

SOON_S, LONG_S = 0.2, 10.0


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


def test_two_threads_work_one_after_the_other() -> None:
    assert together(met) == [True, True]
    assert together(by_turns(met)) == [False, False]


def test_a_turn_ends_with_a_failure_too() -> None:
    @by_turns
    def fails() -> None:
        raise ValueError("no number")

    for _ in range(2):
        with pytest.raises(ValueError, match="no number"):
            fails()


def test_judging_and_features_wait_for_each_others_turn_and_the_networks_do_not() -> None:
    encoder, activity = CamPlusPlus.shipped(), VoiceActivity.shipped()
    pcm = decode(clip(voice("ada")), "audio/wav", max_s=60)
    heard = activity(pcm.samples)
    speech = Speech(pcm.samples, Quality(2.5, 2.5, -20.0, 60.0, 0.0, 0.0))
    holds, done = threading.Event(), threading.Event()

    @by_turns
    def holding() -> None:
        holds.set()
        assert done.wait(LONG_S)

    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(holding)
        assert holds.wait(LONG_S)
        judged, embedded = threads.submit(judge, pcm, heard), threads.submit(encoder.embed, speech)
        found = threads.submit(activity, Pcm(np.zeros(16_000, np.float32)).samples).result(LONG_S)
        assert len(found) == 32
        assert not wait((judged, embedded), SOON_S, FIRST_COMPLETED).done
        done.set()
        assert first.result(LONG_S) is None
        assert judged.result(LONG_S) is not None
        assert embedded.result(LONG_S).vector.shape == (192,)

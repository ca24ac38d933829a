"""More work than processors: a bounded queue, and beyond it "not right now" at once."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from home import FixedEncoder
from running import running, spoken

from voiceid.errors import Busy
from voiceid.service.pool import EncoderPool
from voiceid.types import Embedding, Speech

ENCODERS, QUEUE = 1, 2


@pytest.fixture
def pool() -> Iterator[EncoderPool]:
    made = EncoderPool(ENCODERS, QUEUE)
    yield made
    made.close()


async def _starts(pool: EncoderPool, gate: threading.Event, count: int) -> list[asyncio.Task[bool]]:
    """So many requests that wait for the gate, inside the pool."""
    tasks = [asyncio.create_task(pool.run(lambda: gate.wait(5))) for _ in range(count)]
    await asyncio.sleep(0.01)
    return tasks


def test_a_full_queue_refuses_at_once_and_has_room_again(pool: EncoderPool) -> None:
    async def story() -> None:
        gate = threading.Event()
        inside = await _starts(pool, gate, ENCODERS + QUEUE)
        began = time.perf_counter()
        with pytest.raises(Busy) as refused:
            await pool.run(lambda: True)
        assert time.perf_counter() - began < 0.5
        assert refused.value.facts["retry_after_s"] == 1
        gate.set()
        assert all(await asyncio.gather(*inside))
        assert await pool.run(lambda: 7) == 7

    asyncio.run(story())


def test_what_fails_leaves_its_place(pool: EncoderPool) -> None:
    async def story() -> None:
        for _ in range(2 * (ENCODERS + QUEUE)):
            with pytest.raises(ZeroDivisionError):
                await pool.run(lambda: 1 // 0)

    asyncio.run(story())


def test_who_hangs_up_in_the_queue_leaves_it_and_who_is_served_holds_a_place(pool: EncoderPool) -> None:
    """Else a client that hangs up again and again would have more done at a time than there is room for."""

    async def story() -> None:
        gate = threading.Event()
        served, *waiting = await _starts(pool, gate, ENCODERS + QUEUE)
        for one in (served, *waiting):
            one.cancel()
        await asyncio.gather(served, *waiting, return_exceptions=True)
        again = await _starts(pool, gate, QUEUE)
        with pytest.raises(Busy):
            await pool.run(lambda: True)
        gate.set()
        assert all(await asyncio.gather(*again))

    asyncio.run(story())


def test_too_many_at_once_are_told_when_to_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over HTTP: those with room are answered, all others get 503 before any of the first is done."""
    gate, embed = threading.Event(), FixedEncoder.embed

    def slow(self: FixedEncoder, speech: Speech, /) -> Embedding:
        assert gate.wait(10)
        return embed(self, speech)

    monkeypatch.setattr(FixedEncoder, "embed", slow)
    one_for_all = httpx2.Client(timeout=20)
    with running(tmp_path, encoders=ENCODERS, queue=QUEUE) as service, one_for_all, ThreadPoolExecutor(8) as clients:
        headers = {"authorization": f"Bearer {service.owner}", "content-type": "audio/wav"}
        url = f"{service.url}/v1/households/{service.household}/recognize"

        def asks(_: int) -> httpx2.Response:
            answered = one_for_all.post(url, headers=headers, content=spoken("ada"))
            if answered.status_code == 503:
                refused.release()
            return answered

        refused = threading.Semaphore(0)
        answers = clients.map(asks, range(8))
        for _ in range(8 - ENCODERS - QUEUE):
            assert refused.acquire(timeout=10)
        gate.set()
        found = list(answers)
    assert sorted(one.status_code for one in found) == [200] * (ENCODERS + QUEUE) + [503] * (8 - ENCODERS - QUEUE)
    late = [one for one in found if one.status_code == 503]
    assert {one.headers["retry-after"] for one in late} == {"1"}
    assert {one.json()["type"].rpartition("/")[2] for one in late} == {"busy"}

"""The application that is loaded after the service is ready: whoever asks for it before has it, a little later."""

import asyncio
import threading

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from voiceid.service.later import Later
from voiceid.service.problems import Net

HERE = PlainTextResponse("here")


async def asked(app: ASGIApp, times: int = 1) -> list[httpx.Response]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await asyncio.gather(*(client.get("/late") for _ in range(times)))


def test_first_requests_have_it_loaded_once() -> None:
    loads: list[int] = []

    def load() -> ASGIApp:
        loads.append(1)
        return HERE

    later = Later(load)
    assert [answer.text for answer in asyncio.run(asked(later, 3))] == ["here"] * 3
    asyncio.run(later.complete())
    assert loads == [1]


def test_who_waits_for_one_failure_does_not_wait_for_another() -> None:
    loads: list[int] = []

    def load() -> ASGIApp:
        loads.append(1)
        raise OSError

    answers = asyncio.run(asked(Net(Later(load)), 3))
    assert [answer.status_code for answer in answers] == [500] * 3
    assert loads == [1]


def test_whoever_hangs_up_while_it_loads_does_not_end_it_for_the_others() -> None:
    begun, goes_on, loads = threading.Event(), threading.Event(), []

    def load() -> ASGIApp:
        loads.append(1)
        begun.set()
        goes_on.wait(10)
        return HERE

    async def hang_up() -> list[httpx.Response]:
        later = Later(load)
        first = asyncio.create_task(asked(later))
        await asyncio.to_thread(begun.wait, 10)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        second = asyncio.create_task(asked(later))
        await asyncio.sleep(0.05)
        goes_on.set()
        return await second

    assert asyncio.run(hang_up())[0].text == "here"
    assert loads == [1]


def test_it_is_tried_again_after_a_failure() -> None:
    found = [HERE, None]

    def load() -> ASGIApp:
        one = found.pop()
        if one is None:
            raise OSError
        return one

    later = Later(load)
    with pytest.raises(OSError):  # noqa: PT011 ours
        asyncio.run(later.complete())
    assert asyncio.run(asked(later))[0].status_code == 200


def test_whoever_is_there_when_loading_fails_hears_it_as_of_any_failure(caplog: pytest.LogCaptureFixture) -> None:
    def load() -> ASGIApp:
        raise OSError("a secret")

    (answer,) = asyncio.run(asked(Net(Later(load))))
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "a secret" not in answer.text + caplog.text

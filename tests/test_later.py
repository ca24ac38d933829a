"""Routes that are loaded after the service is ready: whoever asks for one before has it, a little later."""

import asyncio
from collections.abc import Iterable

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from voiceid.service.later import Later
from voiceid.service.problems import Net


def routers(*paths: str) -> list[APIRouter]:
    router = APIRouter()
    for path in paths:
        router.get(path)(lambda: "here")
    return [router]


def first(*paths: str) -> FastAPI:
    app = FastAPI()
    for router in routers(*paths):
        app.include_router(router)
    return app


async def asked(later: Later, *requests: tuple[str, str]) -> list[int]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(later), base_url="http://test") as client:
        return [one.status_code for one in await asyncio.gather(*(client.request(*words) for words in requests))]


def test_a_first_request_has_the_rest_loaded_once() -> None:
    loads: list[int] = []

    def rest() -> Iterable[APIRouter]:
        loads.append(1)
        return routers("/late")

    later = Later(first("/early"), rest)
    assert asyncio.run(asked(later, ("GET", "/early"), ("POST", "/early"))) == [200, 405]
    assert loads == []
    assert asyncio.run(asked(later, ("GET", "/late"), ("GET", "/nowhere"), ("GET", "/late"))) == [200, 404, 200]
    assert asyncio.run(asked(later, ("POST", "/late"), ("GET", "/early"))) == [405, 200]
    assert loads == [1]


def test_it_is_tried_again_after_a_failure() -> None:
    found = [routers("/late"), None]

    def rest() -> Iterable[APIRouter]:
        one = found.pop()
        if one is None:
            raise OSError
        return one

    later = Later(first(), rest)
    with pytest.raises(OSError):  # noqa: PT011 ours
        asyncio.run(later.complete())
    assert asyncio.run(asked(later, ("GET", "/late"))) == [200]


def test_whoever_is_there_when_loading_fails_hears_it_as_of_any_failure(caplog: pytest.LogCaptureFixture) -> None:
    def rest() -> Iterable[APIRouter]:
        raise OSError("a secret")

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(Net(Later(first(), rest)))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get("/late")

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "a secret" not in answer.text + caplog.text

"""The front door says what the whole application would say, of its own requests and of those that it hands on."""

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from home import Home, clip, voice
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voiceid.errors import KeysUnavailable, NotFound
from voiceid.service.application import create_app
from voiceid.service.front import Front
from voiceid.service.problems import Net, answer
from voiceid.types import HouseholdId

WAV = {"content-type": "audio/wav"}
Sound = dict[str, Any]


def spoken(name: str, alike: float = 0.78) -> Sound:
    """A clip in this voice, not so alike that anything of it is kept."""
    return {"content": clip(voice(name, alike)), "headers": WAV}


def form(**fields: str) -> Sound:
    return {"files": {"audio": ("a.wav", clip(voice("ada", 0.78)), "audio/wav")}, "data": fields}


PLAIN: dict[str, tuple[str, Sound]] = {
    "a member": ("", spoken("ada")),
    "a guest": ("", spoken("cleo")),
    "with its reasons": ("?explain=1", spoken("ada")),
    "about something, in a language": ("?intent=weather&locale=de", spoken("ada")),
    "an empty text": ("?intent=", spoken("ada")),
    "empty texts, in the form": ("", form(intent="", transcript="", locale="")),
    "a form": ("", form(intent="weather", transcript="will it rain", locale="de-AT")),
    "a form goes before the address": ("?locale=es&intent=music", form(locale="de", intent="weather")),
    "no sound": ("", {"content": b"", "headers": WAV}),
    "no sound that we read": ("", {"content": b"x" * 2000, "headers": WAV}),
    "of no kind": ("", {"content": b"x" * 2000}),
    "of another kind": ("", {"content": b"{}", "headers": {"content-type": "application/json"}}),
    "a form without sound": ("", {"files": {"other": ("a", b"b")}}),
    "a transcript too long": ("", form(transcript="x" * 4001)),
    "a locale that is none, in the form": ("", form(locale="x_y")),
    "more than fits": ("", {"content": bytes(2_000_000), "headers": WAV}),
    "more than fits of anything": ("", {"content": bytes(300_000), "headers": {"content-type": "text/plain"}}),
}
ANSWERED = {"a member", "a guest", "with its reasons", "about something, in a language", "an empty text", "a form",
            "empty texts, in the form", "a form goes before the address", "of no kind"}  # fmt: skip
HANDED_ON: dict[str, tuple[str, Sound]] = {
    "an intent too long": ("?intent=" + "x" * 65, spoken("ada")),
    "a nought in it": ("?intent=%00", spoken("ada")),
    "a locale that is none": ("?locale=x_y", spoken("ada")),
    "no locale": ("?locale=", spoken("ada")),
    "a number that is not one of two": ("?explain=2", spoken("ada")),
    "no number": ("?explain=x", spoken("ada")),
    "a word twice": ("?locale=de&locale=es", spoken("ada")),
    "a word that nobody knows": ("?sound=loud", spoken("ada")),
}


class Asked:
    """The whole application, and what reached it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.paths: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        await self._app(scope, receive, send)


class Both:
    """One household, behind the front door and without it."""

    def __init__(self, home: Home) -> None:
        self.home = home
        whole = create_app(home.services)
        self.rest = Asked(whole)
        self._front = TestClient(Net(Front(home.services, self.rest)), raise_server_exceptions=False)
        self._whole = TestClient(whole, raise_server_exceptions=False)

    def ask(self, method: str, path: str, by: dict[str, str], **more: Any) -> httpx2.Response:
        """The front door's answer, which is the whole application's."""
        headers = by | more.pop("headers", {})
        front, whole = (client.request(method, path, headers=headers, **more) for client in (self._front, self._whole))
        assert front.status_code == whole.status_code
        assert told(front) == told(whole)
        ours, theirs = (set(answer.headers.items()) - {size(answer)} for answer in (front, whole))
        assert ours == theirs
        return front


def size(answer: httpx2.Response) -> tuple[str, str]:
    return "content-length", answer.headers.get("content-length", "")


def told(answer: httpx2.Response) -> Any:
    found = answer.json() if answer.content else None
    return {**found, "timing_ms": list(found["timing_ms"])} if found and "timing_ms" in found else found


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    with Home(tmp_path_factory.mktemp("front"), max_body_mb=1) as home:
        yield Both(home.enrolls("ada", "ben"))


@pytest.mark.parametrize(("query", "sound"), PLAIN.values(), ids=PLAIN)
def test_a_plain_request_is_answered_alike_without_the_whole(both: Both, query: str, sound: Sound) -> None:
    both.rest.paths.clear()
    both.ask("POST", f"{both.home.path}/recognize{query}", both.home.owner, **sound)
    assert both.rest.paths == []


@pytest.mark.parametrize(("query", "sound"), HANDED_ON.values(), ids=HANDED_ON)
def test_a_request_that_is_not_plain_is_handed_on(both: Both, query: str, sound: Sound) -> None:
    both.rest.paths.clear()
    both.ask("POST", f"{both.home.path}/recognize{query}", both.home.owner, **sound)
    assert both.rest.paths == [f"{both.home.path}/recognize"]


def test_somebody_is_named_and_somebody_is_not(both: Both) -> None:
    """That the two agree would mean little if both said nothing."""
    path = f"{both.home.path}/recognize"
    named = both.ask("POST", path, both.home.owner, **spoken("ada")).json()
    assert named["person"]["display_name"] == "Ada"
    assert set(named) == {"mode", "reason", "person", "confidence", "speech_s", "response", "stored", "encoder"}
    guest = both.ask("POST", path, both.home.owner, **spoken("cleo")).json()
    assert (guest["mode"], guest["person"]) == ("anonymous", None)


CALLERS: dict[str, Callable[[Home], dict[str, str]]] = {
    "the owner": lambda home: home.owner,
    "a member": lambda home: home["ada"].headers,
    "a device": lambda home: home.token("device"),
    "a skill": lambda home: home.token("skill", "music"),
    "the administrator": lambda home: home.admin,
    "nobody": lambda _: {},
    "a token that is none": lambda _: {"Authorization": "Bearer vid_x"},
    "no bearer": lambda _: {"Authorization": "Basic eDp5"},
    "a page of ours without a session": lambda _: {"voiceid-session": "owner", "origin": "http://testserver"},
    "another site": lambda _: {"voiceid-session": "owner", "origin": "https://elsewhere.example"},
}


@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS)
@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_each_caller_hears_the_same(both: Both, caller: Callable[[Home], dict[str, str]], where: str) -> None:
    household = both.home.path if where == "here" else f"/v1/households/{'a' * 24}"
    both.ask("POST", f"{household}/recognize", caller(both.home), **spoken("ada"))


@pytest.mark.parametrize(("method", "path"), [
    ("GET", "/healthz"), ("GET", "/readyz"), ("HEAD", "/healthz"), ("POST", "/healthz"), ("GET", "/healthz/"),
    ("GET", "{}/recognize"), ("PUT", "{}/recognize"), ("OPTIONS", "{}/recognize"), ("POST", "{}/recognize/"),
    ("POST", "/v1/households/short/recognize"), ("POST", "/v1/households//recognize"), ("GET", "{}"),
    ("GET", "/v1/policy"), ("GET", "/nowhere"), ("GET", "{}/listen"),
])  # fmt: skip
def test_every_way_leads_to_the_same(both: Both, method: str, path: str) -> None:
    both.ask(method, path.format(both.home.path), both.home.owner, follow_redirects=False)


def test_health_needs_nothing_but_the_front(both: Both) -> None:
    both.rest.paths.clear()
    assert both.ask("GET", "/healthz", {}).json() == {"status": "ok"}
    assert both.ask("GET", "/readyz", {}).json() == {"status": "ok"}
    assert both.rest.paths == []


def test_what_is_not_there_is_told_alike(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> None:
        raise KeysUnavailable

    monkeypatch.setattr(both.home.services.store.keys, "signing_key", gone)
    assert both.ask("GET", "/readyz", {}).status_code == 503


def test_nobody_waits_for_a_full_queue(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(both.home.services.pool._room, "acquire", lambda **_: False)
    busy = both.ask("POST", f"{both.home.path}/recognize", both.home.owner, **spoken("ada"))
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")


def test_what_nobody_foresaw_is_told_alike(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ArithmeticError("a voice")

    monkeypatch.setattr(type(both.home.services.recognizer), "recognize", fails)
    failed = both.ask("POST", f"{both.home.path}/recognize", both.home.owner, **spoken("ada"))
    assert (failed.status_code, "a voice" in failed.text) == (500, False)


def test_live_recognition_needs_nothing_but_the_front(both: Both) -> None:
    both.rest.paths.clear()
    for client in (both._front, both._whole):
        with client.websocket_connect(f"{both.home.path}/listen", headers=both.home.owner) as socket:
            assert socket.receive_json()["type"] == "listening"
    assert both.rest.paths == []


def test_its_lifespan_keeps_time_and_closes(tmp_path: Path) -> None:
    """The whole application's own is never begun: both would close what the other needs. Many may wait at once."""
    home = Home(tmp_path)
    closed: list[bool] = []
    close, spans = home.services.pool.close, []

    async def whole(scope: Scope, _receive: Receive, _send: Send) -> None:
        spans.append(scope["type"])

    async def live() -> None:
        told: list[Message] = []
        turns = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def receive() -> Message:
            return next(turns)

        async def send(message: Message) -> None:
            told.append(message)
            if message["type"].endswith("startup.complete"):
                assert len(asyncio.all_tasks()) == 3  # this one, and two clocks
                at_once = threading.Barrier(20)
                await asyncio.gather(*(asyncio.to_thread(at_once.wait, 10) for _ in range(20)))

        await Front(home.services, whole)({"type": "lifespan", "state": {}}, receive, send)
        assert [message["type"] for message in told] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

    object.__setattr__(home.services.pool, "close", lambda: (closed.append(True), close()))
    asyncio.run(live())
    assert (closed, spans) == ([True], [])
    home.services.store.keys.close()  # type: ignore[attr-defined]  # the file key store's own


REFUSED: dict[str, tuple[str, Sound, Callable[[Home], dict[str, str]]]] = {
    name: (query, sound, CALLERS["the owner"]) for name, (query, sound) in PLAIN.items() if name not in ANSWERED
} | {name: ("", spoken("ada"), CALLERS[name]) for name in ("the administrator", "nobody", "another site")}


@pytest.mark.parametrize(("query", "sound", "caller"), REFUSED.values(), ids=REFUSED)
def test_nothing_of_a_refused_request_is_left_to_the_garbage_collector(
    both: Both, query: str, sound: Sound, caller: Callable[[Home], dict[str, str]]
) -> None:
    """A failure refers to all that was being done, the sound too: either goes at once, or nobody knows when."""
    address = f"http://test{both.home.path}/recognize{query}"
    request = httpx2.Request("POST", address, **{**sound, "headers": sound.get("headers", {}) | caller(both.home)})
    assert refused_s_garbage(Net(Front(both.home.services, both.rest)), request) == []


def test_a_circle_would_be_noticed(both: Both) -> None:
    async def careless(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            both.home.services.tokens.mint(HouseholdId("none"), "owner", "nobody")
        except NotFound as error:
            kept = error
            await answer(kept)(scope, receive, send)

    request = httpx2.Request("POST", f"http://test{both.home.path}/recognize")
    assert refused_s_garbage(careless, request) != []


def refused_s_garbage(app: ASGIApp, request: httpx2.Request) -> list[object]:
    """What only the garbage collector would find of a request that was refused."""
    scope = {
        "type": "http", "method": request.method, "path": request.url.path, "query_string": request.url.query,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
    }  # fmt: skip
    body = request.read()
    statuses: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    async def send(message: Message) -> None:
        statuses.append(message.get("status", 0))

    async def ask() -> None:
        await app(dict(scope), receive, send)
        gc.collect()  # the thread pool's own, of the first time
        await app(dict(scope), receive, send)
        await asyncio.sleep(0.05)  # threads let go a little later
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()

    gc.disable()
    try:
        asyncio.run(ask())
        assert statuses[0] >= 400
        return [one for one in gc.garbage if isinstance(one, BaseException | TracebackType | FrameType | Request)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()

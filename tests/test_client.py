"""The client covers the whole service, says the same awaited or not, and raises what the service raised."""

import asyncio
import inspect
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from home import clip, voice
from running import Running, joined, running, spoken

from voiceid import jws
from voiceid.client import AsyncClient, Client
from voiceid.client.call import Call, Operation, type_of
from voiceid.errors import (
    CodeSpent,
    ConsentMissing,
    InvalidRequest,
    NotAllowed,
    NotAuthenticated,
    NotEnoughTakes,
    NotFound,
    ServiceUnreachable,
    StalePolicy,
    VoiceIdError,
)
from voiceid.views import ConsentDecision

_PIN = "/v1/households/{household}/people/{person}/pin"
OF_THE_PAGE = {
    ("GET", "/v1/session"), ("GET", "/v1/lan"), ("POST", "/v1/session/pin"),
    ("GET", _PIN), ("PUT", _PIN), ("DELETE", _PIN),
}  # fmt: skip
"""What serves a browser at home: cookies, PINs on a shared screen, the household's certificate."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("service")) as started:
        yield started


@pytest.fixture
def owner(service: Running) -> Iterator[Client]:
    with Client(service.url, service.owner) as client:
        yield client


def yes(client: Client, **more: Any) -> ConsentDecision:
    return ConsentDecision("granted", client.policy()["version"], "en", "api", **more)


def calls(client: Client) -> dict[str, Call[Any]]:
    """The request of every operation, with something in each place that must be given."""
    examples: dict[Any, Any] = {bytes: b"", str: "x", ConsentDecision: ConsentDecision("denied", "1", "en", "api")}
    found = {}
    for name, operation in inspect.getmembers_static(Client, lambda member: isinstance(member, Operation)):
        _, *parameters = inspect.signature(operation._build).parameters.values()
        needed = [one for one in parameters if one.default is one.empty]
        found[name] = operation._build(client, *(examples.get(one.annotation, []) for one in needed))
    return found


def test_every_operation_of_the_service_is_there(service: Running, owner: Client) -> None:
    described = httpx.get(f"{service.url}/openapi.json", trust_env=False).json()["paths"]
    served = {(method.upper(), path) for path, methods in described.items() for method in methods}
    made = {(call.method, call.path) for call in calls(owner).values()}
    patterns = {served_as: re.compile(re.sub(r"\{\w+\}", "[^/]+", served_as[1])) for served_as in served - OF_THE_PAGE}
    missing = {
        (method, path)
        for (method, path), pattern in patterns.items()
        if not any(method == asked and pattern.fullmatch(where) for asked, where in made)
    }
    assert missing == set()
    assert len(made) == len(calls(owner)), "two operations make the same request"


def test_a_person_from_the_first_yes_to_the_last_receipt(service: Running, owner: Client) -> None:
    ada, token = joined(service, "Ada")
    with Client(service.url, token) as me:
        for purpose in ("save_recordings", "voice_id", "transcripts"):
            assert me.decide(ada, purpose, yes(me)).change == "granted"
        assert next(state.purpose for state in me.consents(ada).purposes if state.granted) == "save_recordings"
        started = me.start_enrollment(ada)
        takes = [me.add_take(ada, started.id, spoken("ada")) for _ in range(4)]
        assert [take.progress.done for take in takes] == [False, False, False, True]
        made = me.complete_enrollment(ada, started.id)
        assert (made.takes, me.person(ada).voiceprint) == (4, made)
        me.change_person(ada, preferences={"city": "Lisbon"})

        answer = owner.recognize(spoken("ada"), intent="weather", transcript="is it raining?", explain=True)
        assert answer.person is not None
        assert (answer.person.id, answer.stored) == (ada, True)
        assert answer.response.text == "Ada, here is the weather in Lisbon."
        assert answer.score is not None
        assert me.verify(ada, spoken("ada")).accepted
        assert not me.verify(ada, spoken("ben")).accepted

        (request,) = me.interactions(ada).items
        assert request.transcript == "is it raining?"
        kept = list(me.every(me.recordings, ada))
        assert len(kept) == 5
        assert all(me.hear_recording(ada, one.id).startswith(b"fLaC") for one in kept)
        assert me.delete_recording(ada, kept[0].id).state == "complete"
        assert me.not_me(ada, request.id).state == "complete"
        assert me.export(ada).startswith(b"PK")
        assert "recording heard" in [one.action for one in me.every(me.activity, ada)]

        receipt = me.withdraw_all(ada)
        assert receipt.state == "complete"
        assert jws.verify(receipt.jws or "", me.keys()["keys"])["id"] == receipt.id
        assert owner.receipt(receipt.id) == receipt
        assert owner.verify_receipt(receipt.jws or "").valid
        me.sign_out()
        with pytest.raises(NotAuthenticated):
            me.consents(ada)
    assert owner.recognize(spoken("ada")).mode == "anonymous"
    assert owner.delete_person(ada).state == "complete"


def test_the_owner_keeps_house(service: Running, owner: Client) -> None:
    assert owner.show_household().id == service.household
    assert owner.change_household(name="Our home").name == "Our home"
    minted = owner.mint_token("device", "kitchen")
    with Client(service.url, minted.token) as device:
        assert device.recognize(spoken("gwen")).reason == "unknown_voice"
        with pytest.raises(NotAllowed):
            device.people()
        owner.revoke_token(minted.id)
        with pytest.raises(NotAuthenticated):
            device.recognize(spoken("gwen"))
    assert minted.id not in [one.id for one in owner.every(owner.tokens)]
    assert owner.write_responses("tea", "Tea for {{ name }}.", "Tea.").personal == "Tea for {{ name }}."
    assert owner.responses("tea").anonymous == "Tea."
    grown = owner.add_person("Mia")
    child = owner.add_person("Noa", kind="child", guardians=[grown.id])
    with pytest.raises(NotAllowed):
        owner.guardians(child.id)


def test_the_administrator_names_the_household(service: Running) -> None:
    with Client(service.url, service.admin) as admin:
        made = admin.create_household("Next door", "de-DE")
        assert made in list(admin.every(partial(admin.households, limit=1)))
        assert "voiceid_answers" in admin.metrics()
        with pytest.raises(InvalidRequest, match="household"):
            admin.show_household()
    with Client(service.url, service.admin, made.id) as admin:
        assert admin.show_household() == made
        assert admin.delete_household().state == "complete"


def test_lists_go_on_to_the_last_page(owner: Client) -> None:
    names = {f"Person {number}" for number in range(5)}
    for name in names:
        owner.add_person(name)
    assert owner.people(limit=2).next is not None
    found = [one.display_name for one in owner.every(partial(owner.people, limit=2))]
    assert names <= set(found)
    assert len(found) == len(set(found))


def test_awaiting_gives_the_same_answers(service: Running, owner: Client) -> None:
    async def ask() -> tuple[Any, ...]:
        async with AsyncClient(service.url, service.owner) as client:
            people = [one async for one in client.every(partial(client.people, limit=1))]
            with pytest.raises(NotFound):
                await client.person("a" * 24)
            return people, await client.policy("de"), await client.healthy(), await client.recognize(spoken("finn"))

    people, policy, healthy, answer = asyncio.run(ask())
    assert people == list(owner.every(owner.people))
    assert (policy, healthy) == (owner.policy("de"), {"status": "ok"})
    assert answer == owner.recognize(spoken("finn"))


def test_what_the_service_refuses_is_raised_as_it_raised_it(service: Running, owner: Client) -> None:
    dan, token = joined(service, "Dan")
    with Client(service.url, token) as me:
        with pytest.raises(ConsentMissing) as missing:
            me.start_enrollment(dan)
        assert missing.value.facts["missing"] == ["save_recordings", "voice_id"]
        with pytest.raises(StalePolicy):
            me.decide(dan, "voice_id", ConsentDecision("granted", "old", "en", "api"))
        later = datetime.now(UTC) + timedelta(days=1)
        assert me.decide(dan, "voice_id", yes(me, expires_at=later)).expires_at == later
        me.decide(dan, "save_recordings", yes(me))
        started = me.start_enrollment(dan)
        with pytest.raises(NotEnoughTakes) as few:
            me.complete_enrollment(dan, started.id)
        assert few.value.facts["takes_needed"] == 4
        me.abandon_enrollment(dan, started.id)
    with pytest.raises(CodeSpent):
        owner.sign_in("x" * 48)
    with Client(service.url) as nobody, pytest.raises(NotAuthenticated, match="token"):
        nobody.people()


def answering(status: int, content: bytes, kind: str = "application/problem+json") -> httpx.MockTransport:
    return httpx.MockTransport(lambda _: httpx.Response(status, content=content, headers={"Content-Type": kind}))


def test_a_code_from_the_future_is_still_an_error() -> None:
    body = b'{"type": "/problems/moon-too-full", "title": "x", "status": 418, "detail": "wait", "until": 3}'
    with Client(transport=answering(418, body)) as client, pytest.raises(VoiceIdError, match="wait") as error:
        client.healthy()
    assert type(error.value) is VoiceIdError
    assert error.value.facts == {"code": "moon-too-full", "status": 418, "until": 3}


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'{"status": 500}'])
def test_something_else_in_between_is_an_error_too(body: bytes) -> None:
    with Client(transport=answering(502, body)) as client, pytest.raises(VoiceIdError, match="502"):
        client.healthy()


def test_an_answer_of_another_shape_is_an_error() -> None:
    with Client(transport=answering(200, b'{"status": {}}')) as client, pytest.raises(VoiceIdError, match="version"):
        client.healthy()


def test_nobody_there_says_how_to_start_the_service() -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(ServiceUnreachable, match="voiceid serve"):
        client.healthy()


@pytest.mark.parametrize("kind", [httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError])
def test_a_broken_connection_is_one_error(kind: type[httpx.TransportError]) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise kind("x", request=request)

    with Client(transport=httpx.MockTransport(fail)) as client, pytest.raises(ServiceUnreachable):
        client.healthy()


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "127.0.0.1:8443", "http://127.0.0.1:x"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match="url"), Client(url) as client:
        client.healthy()


def test_no_proxy_of_the_environment_hears_a_voice(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with Client(service.url, service.owner) as client:
        assert client.recognize(spoken("eve")).mode == "anonymous"


def test_a_transcript_never_travels_in_an_address() -> None:
    seen: list[httpx.Request] = []

    def note(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(401, json={"type": "/problems/not-authenticated", "detail": ""})

    with Client(household="h" * 24, transport=httpx.MockTransport(note)) as client, pytest.raises(NotAuthenticated):
        client.recognize(clip(voice("ada")), intent="weather", transcript="secret words")
    assert "secret" not in str(seen[0].url)
    assert b"secret words" in seen[0].content


def test_sound_is_sent_as_what_it_is(voices: Path) -> None:
    assert type_of((voices / "ada" / "enroll_1.flac").read_bytes()) == "audio/flac"
    assert type_of(spoken("ada")) == "audio/wav"
    assert type_of(b"OggS....") == "audio/ogg"
    assert type_of(b"ID3") == "audio/mpeg"

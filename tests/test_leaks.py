"""What came in wrong never goes out again, in no problem and no log: every operation, every place for a value."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from home import Home, bearer, clip, voice
from make_app import operations

from voiceid.errors import VoiceIdError

SECRET = "QuiteSecretWords"
PATHS = {
    "household": "{home}", "person": "{ada}", "purpose": "voice_id", "intent": "greeting",
    "receipt": "a" * 48, "recording": "a" * 24, "interaction": "a" * 24, "enrollment": "a" * 24, "token": "a" * 24,
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with Home(tmp_path_factory.mktemp("home")) as home:
        yield home.enrolls("ada")


def _filled(home: Home, path: str, **wrong: str) -> str:
    ids = {name: value.format(home=home.id, ada=home["ada"].id) for name, value in PATHS.items()}
    return path.format(**{**ids, **wrong})


def _callers(home: Home, path: str) -> tuple[dict[str, str], ...]:
    """Whoever gets far enough for their values to be looked at."""
    return (home["ada"].headers, home.owner) if "{household}" in path else (home.admin,)


def _told(answered: Any) -> None:
    """A refusal is a problem with one of our codes, and repeats nothing."""
    assert answered.status_code < 500, answered.text
    if answered.is_success:
        return
    assert SECRET.lower() not in (answered.text + repr(answered.headers)).lower()
    assert answered.headers["content-type"] == "application/problem+json"
    problem = answered.json()
    assert {"type", "title", "status", "detail"} <= set(problem)
    known = VoiceIdError.registry[problem["type"].removeprefix("/problems/")]
    assert (problem["status"], problem["title"]) == (answered.status_code, known.title)


JSON_BODIES: dict[str, Any] = {
    "an unknown field": {SECRET: 1},
    "an unknown field in an unknown field": {SECRET: {SECRET: [SECRET]}},
    "a list": [SECRET, {SECRET: SECRET}],
    "a text": SECRET,
    "half of it": '{"display_name": "' + SECRET,
    "no JSON at all": SECRET.encode("utf-16"),
    "a bottomless list": "[" * 100_000 + f'"{SECRET}"',
    "a number without end": '{"name": 1' + "0" * 5000 + "}",
}
FIELDS = ("name", "display_name", "role", "label", "skill", "kind", "guardians", "locale", "preferences", "decision",
          "policy_version", "language", "method", "retention", "expires_at", "code", "jws", "personal", "anonymous",
          "recording", "reviewer", "reason", "of_age_on")  # fmt: skip


@pytest.fixture(autouse=True)
def _silent(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a test does, no log may hold the secret."""
    caplog.set_level(logging.DEBUG)
    yield
    assert SECRET.lower() not in caplog.text.lower()


@pytest.mark.parametrize(("method", "path"), operations())
def test_no_operation_repeats_what_it_refuses(home: Home, method: str, path: str) -> None:
    """Secrets in the path, the query, the headers and the body."""
    plain = _filled(home, path)
    query = dict.fromkeys(("limit", "cursor", "since", "until", "explain", "intent", "locale", "language", SECRET),
                          SECRET * 20)  # fmt: skip
    for by in _callers(home, path):
        for name in PATHS:
            if "{" + name + "}" in path:
                _told(home.call(method, _filled(home, path, **{name: SECRET}), by))
        if method == "DELETE":
            continue
        _told(home.call(method, plain, by, params=query))
        for body in JSON_BODIES.values():
            content = body if isinstance(body, str | bytes) else json.dumps(body)
            _told(home.call(method, plain, {**by, "content-type": "application/json"}, content=content))
    _told(home.call(method, plain, bearer(SECRET)))
    _told(home.call(method, plain, {"Authorization": SECRET, "Cookie": f"voiceid_person={SECRET}"}))


@pytest.mark.parametrize(("method", "path"), [one for one in operations() if one[0] in {"POST", "PUT", "PATCH"}])
def test_no_field_is_repeated_when_its_value_is_wrong(home: Home, method: str, path: str) -> None:
    address = _filled(home, path)
    for wrong in ({SECRET: SECRET}, [[SECRET]], SECRET * 400, f"\x00{SECRET}"):
        for by in _callers(home, path):
            _told(home.call(method, address, by, json=dict.fromkeys(FIELDS, wrong)))
    for field in FIELDS:
        _told(home.call(method, address, home.owner, json={field: {SECRET: SECRET}}))


def _typed(content_type: str, content: bytes = SECRET.encode()) -> dict[str, Any]:
    return {"content": content, "headers": {"content-type": content_type}}


def _form(data: dict[str, str], **files: Any) -> dict[str, Any]:
    return {"files": {"audio": ("a", clip(voice("ada"))), **files}, "data": data}


SOUNDS: dict[str, dict[str, Any]] = {
    "text as sound": _typed("audio/wav", SECRET.encode() * 100),
    "a made-up type": _typed(f"audio/{SECRET}"),
    "made-up parameters": _typed(f"audio/pcm;rate={SECRET};x={SECRET}"),
    "a made-up boundary": _typed(f"multipart/form-data; boundary={SECRET}"),
    "no boundary": _typed(f"multipart/form-data; x={SECRET}"),
    "a made-up field": {"files": {SECRET: (SECRET, SECRET.encode(), f"audio/{SECRET}")}},
    "a made-up file": {"files": {"audio": (SECRET, SECRET.encode(), f"audio/{SECRET}")}},
    "a long text": _form({"transcript": SECRET * 400}),
    "a long intent": _form({"intent": SECRET * 10}),
    "a wrong locale": _form({"locale": SECRET}),
    "a text that is none": _form({}, transcript=(None, b"\xff" + SECRET.encode())),
    "a text with a hole": _form({"intent": f"\x00{SECRET}"}),
}


@pytest.mark.parametrize("sound", SOUNDS.values(), ids=SOUNDS)
@pytest.mark.parametrize("path", ["recognize", "people/{ada}/verify", "people/{ada}/enrollments/{enrollment}/takes"])
def test_no_sound_is_repeated(home: Home, path: str, sound: dict[str, Any]) -> None:
    who = home["ada"]
    place = path.format(ada=who.id, enrollment="a" * 24)
    answered = home.call("POST", place, who.headers, **sound)
    assert not answered.is_success or "verify" in path
    _told(answered)


def test_what_is_kept_is_not_logged(home: Home) -> None:
    """The whole good way, with the secret in every place where content belongs."""
    who = home["ada"]
    home.grants("ada", "transcripts")
    home.ok("PATCH", who.path, who.headers, json={"display_name": SECRET, "preferences": {SECRET: SECRET}})
    home.ok("PUT", "responses/tea", home.owner, json={"personal": SECRET, "anonymous": SECRET})
    form = {"files": {"audio": (SECRET, clip(voice("ada")), "audio/wav")}}
    home.clock.forward(minutes=1)
    heard = home.ok("POST", "recognize", home.owner, data={"transcript": SECRET, "intent": "tea"}, **form)
    assert heard["person"]["display_name"] == heard["response"]["text"] == SECRET
    assert home.ok("GET", f"{who.path}/interactions", who.headers)["items"][0]["transcript"] == SECRET
    assert SECRET.encode() not in b"".join(
        content for name, content in home.bytes_on_disk().items() if name.startswith("keys")
    )
    shown = home.ok("GET", f"{who.path}/activity", who.headers)
    assert SECRET not in json.dumps(shown)
    assert SECRET not in home.call("GET", "/metrics", home.admin).text


def test_an_unforeseen_failure_tells_where_and_never_what(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(home.services.people, "page", fails)
    answered = home.call("GET", "people", home.owner)
    assert (answered.status_code, answered.json()["type"]) == (500, "/problems/internal")
    assert SECRET not in answered.text
    assert "RuntimeError" in caplog.text


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", [f"/{SECRET}", f"/v1/{SECRET}", "/v1/households/", "/v1/policy"])
def test_what_does_not_exist_is_a_problem_too(home: Home, method: str, path: str) -> None:
    answered = home.call(method, path, home.owner, follow_redirects=False)
    if not answered.is_redirect:
        _told(answered)

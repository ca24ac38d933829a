"""Live recognition: the same answers as for a recording, sooner, and not a moment longer than people agree to."""

import json
from collections.abc import Iterator
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

import numpy as np
import pytest
from home import Home, Member
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import WebSocketTestSession

from voiceid.decode import decode
from voiceid.errors import InvalidRequest
from voiceid.listen import HANG_S, Listener, _Sound
from voiceid.ports import Actor, Request
from voiceid.service import stream
from voiceid.speech import FRAME, VoiceActivity, find_stretches
from voiceid.store import tables
from voiceid.types import SAMPLE_RATE_HZ
from voiceid.views import Decided

PCM = "audio/pcm;rate=16000;encoding=s16le;channels=1"
CHUNK = 3200
PAUSE = bytes(2 * SAMPLE_RATE_HZ)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, voices: Path) -> Iterator[Home]:
    """Ada and Ben are enrolled with their synthetic voices; Eve is a guest."""
    with Home(tmp_path_factory.mktemp("home"), real=voices) as made:
        yield made.enrolls("ada", "ben")


@pytest.fixture(scope="module")
def activity() -> VoiceActivity:
    return VoiceActivity.shipped()


def spoken(voices: Path, *clips: str) -> bytes:
    """Clips one after the other as PCM16; `-` is a second of silence."""
    return b"".join(PAUSE if clip == "-" else _pcm(voices / f"{clip}.flac") for clip in clips)


def _pcm(path: Path) -> bytes:
    samples = decode(path.read_bytes(), max_s=60).samples
    return np.round(samples * 2**15).clip(-(2**15), 2**15 - 1).astype("<i2").tobytes()


def chunks(sound: bytes, size: int = CHUNK) -> Iterator[bytes]:
    return (sound[at : at + size] for at in range(0, len(sound), size))


class Live:
    """A connection, and what came over it."""

    def __init__(self, socket: WebSocketTestSession) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []
        assert self.next()["type"] == "listening"

    def next(self) -> dict[str, Any]:
        self.events.append(json.loads(self.socket.receive_text()))
        return self.events[-1]

    def until(self, kind: str) -> dict[str, Any]:
        while (event := self.next())["type"] != kind:
            assert event["type"] != "error", event
        return event

    def say(self, sound: bytes) -> None:
        for chunk in chunks(sound):
            self.socket.send_bytes(chunk)

    def end(self) -> dict[str, Any]:
        """Say that nothing more comes; the decision."""
        self.socket.send_text('{"type": "end"}')
        return self.until("decision")


def connect(home: Home, by: dict[str, str] | None = None, query: str = "") -> WebSocketTestSession:
    return home.client.websocket_connect(f"{home.path}/listen{query}", headers=by or home.owner)


def name(event: dict[str, Any]) -> str | None:
    return event["person"] and str(event["person"]["display_name"])


def problem(socket: WebSocketTestSession) -> str:
    """The code of the problem that ends the connection; whatever comes before is passed over."""
    while (event := json.loads(socket.receive_text()))["type"] != "error":
        pass
    closed = socket.receive()
    assert closed["type"] == "websocket.close"
    assert closed["code"] in {1008, 1011, 1013}
    return str(event["problem"]["type"]).removeprefix("/problems/")


def test_several_people_in_one_connection_are_named_or_not_each_for_themselves(home: Home, voices: Path) -> None:
    with connect(home) as socket:
        live = Live(socket)
        live.say(spoken(voices, "-", "ada/request_1", "-", "guest_eve/request_1", "-", "ben/request_1", "-"))
        decisions = [live.until("decision") for _ in range(3)]

    assert [name(one) for one in decisions] == ["Ada", None, "Ben"]
    assert [one["mode"] for one in decisions] == ["personalized", "anonymous", "personalized"]
    assert [one["retracted"] for one in decisions] == [False] * 3
    kinds = [event["type"] for event in live.events if event["utterance" if "utterance" in event else "type"] == 1]
    assert kinds[0] == "speech_started"
    assert set(kinds[1:-2]) == {"hypothesis"}
    assert kinds[-2:] == ["speech_ended", "decision"]


def test_a_member_is_named_while_they_speak_and_a_guest_never(home: Home, voices: Path) -> None:
    with connect(home) as socket:
        live = Live(socket)
        live.say(spoken(voices, "ada/request_1", "-", "guest_eve/request_2", "guest_eve/request_3", "-"))
        live.until("decision")
        live.until("decision")

    first, second = ([e for e in live.events if e["type"] == "hypothesis" and e["utterance"] == n] for n in (1, 2))
    assert name(first[0]) == "Ada"
    assert first[0]["speech_s"] < 1.2
    assert 0.9 < first[0]["confidence"] <= 1
    assert {(name(one), one["confidence"]) for one in second} == {(None, 0.0)}
    assert [one["speech_s"] for one in second] == sorted(one["speech_s"] for one in second)


@pytest.mark.parametrize("clip", ["ada/request_2", "ben/request_4", "guest_finn/request_1"])
def test_the_decision_is_what_recognize_answers_to_the_same_sound(home: Home, voices: Path, clip: str) -> None:
    sound = spoken(voices, "-", clip)
    with connect(home, query="?intent=weather&locale=de-DE") as socket:
        live = Live(socket)
        live.say(sound)
        decision = live.end()

    heard = sound[round(decision["start_s"] * SAMPLE_RATE_HZ) * 2 : round(decision["end_s"] * SAMPLE_RATE_HZ) * 2]
    answer = home.ok(
        "POST", "recognize?intent=weather&locale=de-DE", home.owner, content=heard, headers={"content-type": PCM}
    )
    assert {member: decision.get(member) for member in answer} == answer


def test_somebody_who_goes_on_without_a_pause_gets_an_utterance_of_their_own(home: Home, voices: Path) -> None:
    with connect(home) as socket:
        live = Live(socket)
        live.say(spoken(voices, "ada/request_1", "ben/request_1", "ben/request_2"))
        first, second = live.until("decision"), live.end()

    assert (name(first), name(second)) == ("Ada", "Ben")
    assert next(e["cause"] for e in live.events if e["type"] == "speech_ended") == "other_speaker"
    for number in (1, 2):
        named = {name(e) for e in live.events if e["type"] == "hypothesis" and e["utterance"] == number}
        assert len(named - {None}) <= 1


def test_consent_withdrawn_in_mid_sentence_takes_the_name_back(voices: Path, tmp_path: Path) -> None:
    with Home(tmp_path, real=voices).enrolls("ada") as home, connect(home) as socket:
        live = Live(socket)
        sound = spoken(voices, "ada/request_1", "ada/request_2", "ada/request_3")
        half = SAMPLE_RATE_HZ * 2 * 2
        live.say(sound[:half])
        assert name(live.until("hypothesis")) == "Ada"
        home.withdraws("ada")
        live.say(sound[half:])
        taken_back = live.until("hypothesis")
        decision = live.end()
        later = [event for event in live.events if event["type"] == "hypothesis"][2:]

        assert (name(taken_back), taken_back["retracted"]) == (None, True)
        assert {name(event) for event in later} <= {None}
        assert (decision["mode"], decision["retracted"], decision["stored"]) == ("anonymous", True, False)
        assert home.count(tables.recording) == 0


def test_what_a_guest_says_is_not_kept(home: Home, voices: Path) -> None:
    before = home.bytes_on_disk().keys(), home.count(tables.recording), home.count(tables.interaction)
    with connect(home) as socket:
        live = Live(socket)
        live.say(spoken(voices, "guest_gwen/request_1"))
        assert live.end()["stored"] is False
    assert (home.bytes_on_disk().keys(), home.count(tables.recording), home.count(tables.interaction)) == before


def test_what_a_member_says_is_kept_as_far_as_they_agreed(home: Home, voices: Path) -> None:
    before = home.count(tables.recording, "ada")
    with connect(home) as socket:
        live = Live(socket)
        live.say(spoken(voices, "ada/request_5"))
        assert live.end()["stored"] is True
    assert home.count(tables.recording, "ada") == before + 1


def test_a_name_given_early_can_be_withheld_but_not_exchanged(home: Home, voices: Path) -> None:
    pcm = decode((voices / "ben/request_1.flac").read_bytes(), max_s=60)
    kept = home.count(tables.recording)
    owner = Actor("owner", "test", home.id)
    answer = home.services.recognizer.recognize(Request(pcm), home.id, owner, named=home["ada"].id)
    assert (answer.mode, answer.reason, answer.stored) == ("anonymous", "ambiguous", False)
    assert home.count(tables.recording) == kept
    assert home.services.recognizer.recognize(Request(pcm), home.id, owner, named=home["ben"].id).mode == "personalized"


def test_a_pause_shorter_than_the_hang_time_does_not_end_an_utterance(home: Home, voices: Path) -> None:
    breath = bytes(2 * int(0.3 * SAMPLE_RATE_HZ))
    sound = _trimmed(voices / "ada/request_1.flac") + breath + _trimmed(voices / "ada/request_2.flac")
    with connect(home) as socket:
        live = Live(socket)
        live.say(sound)
        decision = live.end()
        assert live.next()["type"] == "listening"
    assert decision["utterance"] == 1
    assert decision["speech_s"] > 5
    assert live.events[0]["hang_s"] == HANG_S


def _trimmed(path: Path) -> bytes:
    """A clip without the silence around it."""
    sound = _pcm(path)
    samples = np.frombuffer(sound, "<i2").astype(np.float32) / 2**15
    stretches = find_stretches(VoiceActivity.shipped()(samples), len(samples))
    return sound[stretches[0].start * 2 : stretches[-1].stop * 2]


def test_the_connection_goes_on_after_an_end(home: Home, voices: Path) -> None:
    with connect(home) as socket:
        live = Live(socket)
        for number, who in enumerate(("ada", "ben"), 1):
            live.say(spoken(voices, f"{who}/request_3")[: -CHUNK // 3 // 2 * 2])
            decision = live.end()
            assert (decision["utterance"], name(decision)) == (number, who.title())
    assert decision["start_s"] > 2


def test_an_utterance_ends_at_the_longest_time(voices: Path, tmp_path: Path) -> None:
    with Home(tmp_path, real=voices, max_audio_s=5) as home, connect(home) as socket:
        live = Live(socket)
        live.say(b"".join(_trimmed(voices / f"guest_eve/request_{n}.flac") for n in (1, 2, 3, 4)))
        live.until("decision")
        assert next(e["cause"] for e in live.events if e["type"] == "speech_ended") == "too_long"


@pytest.mark.parametrize("bad", [b"", b"\0" * 3201, b"\0" * 3202, b"\0" * 641], ids=["none", "odd", "long", "half"])
def test_a_chunk_of_another_size_is_refused(home: Home, bad: bytes) -> None:
    with connect(home) as socket:
        Live(socket)
        socket.send_bytes(bad)
        assert problem(socket) == "invalid-request"


def test_only_the_last_chunk_may_be_short(home: Home) -> None:
    with connect(home) as socket:
        Live(socket)
        socket.send_bytes(b"\0" * 100)
        socket.send_bytes(b"\0" * 640)
        assert problem(socket) == "invalid-request"


@pytest.mark.parametrize("text", ['{"type": "start"}', "end", "[]", "[" * 50_000], ids=["start", "end", "list", "deep"])
def test_a_text_that_is_no_word_of_ours_is_refused(home: Home, text: str) -> None:
    with connect(home) as socket:
        Live(socket)
        socket.send_text(text)
        assert problem(socket) == "invalid-request"


def test_a_connection_on_which_nothing_comes_is_closed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "IDLE_S", 0.05)
    with connect(home) as socket:
        assert problem(socket) == "idle"


def test_when_every_encoder_is_taken_for_too_long_the_connection_is_given_up(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BUSY_S", 0.1)
    monkeypatch.setattr(home.services.pool, "_room", BoundedSemaphore(1))
    assert home.services.pool._room.acquire(blocking=False)
    with connect(home) as socket:
        socket.send_bytes(bytes(CHUNK))
        assert problem(socket) == "busy"


def test_only_who_may_recognize_may_listen(home: Home) -> None:
    other = home.ok("POST", "/v1/households", home.admin, json={"name": "Next door"})["id"]
    for by, path, code in (
        ({"Authorization": "Bearer nonsense"}, home.path, "not-authenticated"),
        (home.admin, home.path, "not-allowed"),
        (home.owner, f"/v1/households/{other}", "not-found"),
    ):
        with home.client.websocket_connect(f"{path}/listen", headers=by) as socket:
            assert problem(socket) == code
    for by in (home.owner, home["ada"].headers, home.token("device"), home.token("skill", "radio")):
        with connect(home, by) as socket:
            Live(socket)


def test_a_revoked_token_ends_the_connection_before_the_next_event(home: Home, voices: Path) -> None:
    minted = home.ok("POST", "tokens", home.owner, json={"role": "device", "label": "hall"})
    with connect(home, {"Authorization": f"Bearer {minted['token']}"}) as socket:
        live = Live(socket)
        live.say(spoken(voices, "ada/request_1")[: 2 * SAMPLE_RATE_HZ * 2])
        live.until("hypothesis")
        home.ok("DELETE", f"tokens/{minted['id']}", home.owner)
        live.say(spoken(voices, "ada/request_1"))
        assert problem(socket) == "not-authenticated"


def test_a_skill_hears_a_pseudonym_of_who_agreed_and_nobody_else(voices: Path, tmp_path: Path) -> None:
    with Home(tmp_path, real=voices).enrolls("ada", "ben").grants("ada", "share:radio") as home:
        with connect(home, home.token("skill", "radio")) as socket:
            live = Live(socket)
            live.say(spoken(voices, "ada/request_1", "-", "ben/request_1", "-"))
            ada, ben = live.until("decision"), live.until("decision")
        assert name(ada) == "Ada"
        assert home["ada"].id not in json.dumps(live.events)
        assert (ben["mode"], ben["reason"]) == ("anonymous", "unknown_voice")
        assert "Ben" not in json.dumps(live.events)


def test_the_cookie_serves_its_own_page_alone(home: Home) -> None:
    code = home.ok("POST", f"{home['ada'].path}/invitations", home.owner)["code"]
    answered = home.call("POST", "/v1/session", json={"code": code, "cookie": True})
    cookie = answered.headers["set-cookie"].partition(";")[0]
    home.members["ada"] = Member(home["ada"].id, {"cookie": cookie, "voiceid-session": "person"}, home["ada"].path)
    for origin, outcome in (("http://testserver", "listening"), ("http://evil.example", "error"), ("null", "error")):
        with connect(home, {"cookie": cookie, "origin": origin}, "?session=person") as socket:
            assert json.loads(socket.receive_text())["type"] == outcome
    with connect(home, {"cookie": cookie}, "?session=person") as socket:
        assert problem(socket) == "not-authenticated"


def test_the_decision_names_whom_the_hypothesis_named_or_nobody(
    home: Home, activity: VoiceActivity, voices: Path
) -> None:
    owner = Actor("owner", "test", home.id)
    listener = Listener(home.services.recognizer, activity, home.id, owner, longest_s=60)
    for chunk in chunks(spoken(voices, "ada/request_1")):
        list(listener.hear(chunk))
    assert listener._open is not None
    assert listener._open.named == home["ada"].id
    listener._open.named = home["ben"].id
    (decision,) = [event for event in listener.end() if isinstance(event, Decided)]
    assert (decision.answer.mode, decision.answer.stored, decision.retracted) == ("anonymous", False, True)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 3200), min_size=1, max_size=12))
def test_voice_activity_chunk_by_chunk_is_that_of_the_whole(sizes: list[int]) -> None:
    activity = VoiceActivity.shipped()
    samples = np.random.default_rng(len(sizes)).normal(0, 0.1, sum(sizes)).astype(np.float32)
    running, at, found = activity.begin(), 0, []
    for size in sizes:
        found.append(running(samples[at : at + size]))
        at += size
    whole = activity(samples)[: len(samples) // FRAME]
    np.testing.assert_allclose(np.concatenate(found), whole, atol=1e-6)


@given(st.lists(st.floats(0, 1, width=32), max_size=80))
def test_speech_is_counted_as_in_a_whole_clip(probabilities: list[float]) -> None:
    sound = _Sound()
    for probability in probabilities:
        sound.add(bytes(2 * FRAME), probability)
    stretches = find_stretches(np.array(probabilities, dtype=np.float32), len(probabilities) * FRAME)
    assert sound.speech * FRAME == sum(stretch.stop - stretch.start for stretch in stretches)


def test_the_sound_before_an_utterance_is_bounded(home: Home, activity: VoiceActivity) -> None:
    listener = Listener(
        home.services.recognizer, activity, home.id, Actor("owner", "test", home.id), longest_s=60
    )
    for _ in range(100):
        assert list(listener.hear(bytes(CHUNK))) == []
    assert len(listener._sound.content) <= 2 * SAMPLE_RATE_HZ
    with pytest.raises(InvalidRequest):
        list(listener.hear(b"\0"))

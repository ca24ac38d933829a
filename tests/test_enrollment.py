"""The guided enrollment: what each take is told, what is kept of it, and when it is over."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from home import BARS, DIM, Home, clip, voice, wav

from enrollment.take import SPEECH_NEEDED_S, TAKES_AT_MOST, TAKES_NEEDED
from voiceid.decode import to_flac
from voiceid.store import tables
from voiceid.types import ModelId, Pcm


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Ada is enrolled; Ben and Cleo agreed and are not."""
    with Home(tmp_path_factory.mktemp("home")) as home:
        yield home.enrolls("ada").agrees("ben", "cleo")


@pytest.fixture
def home(prepared: Home, tmp_path: Path) -> Iterator[Home]:
    with prepared.twin(tmp_path) as home:
        yield home


def _start(home: Home, name: str = "ben", **body: Any) -> Any:
    return home.ok("POST", f"{home[name].path}/enrollments", home[name].headers, json=body)


def _take(home: Home, enrollment: str, sound: bytes, name: str = "ben") -> Any:
    path = f"{home[name].path}/enrollments/{enrollment}/takes"
    home.clock.forward(seconds=5)
    return home.call("POST", path, {**home[name].headers, "content-type": "audio/wav"}, content=sound)


def test_it_begins_with_sentences_to_read(home: Home) -> None:
    started = _start(home)
    assert len(started["prompts"]) >= TAKES_AT_MOST
    assert (started["state"], started["expires_at"]) == ("open", "2026-03-02T09:30:20Z")
    expected = {"takes": 0, "takes_needed": 4, "speech_s": 0.0, "speech_needed_s": 8.0}
    assert started["progress"] == expected
    assert started["needs"] == "Read the next sentence; 4 more to go."


def test_the_sentences_are_in_the_persons_language_and_in_an_order_of_their_own(home: Home) -> None:
    spoken = {locale: _start(home, locale=locale)["prompts"] for locale in ("en-GB", "de-AT", "es", "fr")}
    assert len({frozenset(prompts) for prompts in spoken.values()}) == 3  # French is shown English
    again = _start(home, locale="de")["prompts"]
    assert again != spoken["de-AT"]
    assert sorted(again) == sorted(spoken["de-AT"])


def test_each_take_tells_how_far_it_is(home: Home) -> None:
    enrollment = _start(home)["id"]
    told = [_take(home, enrollment, clip(voice("ben"))).json() for _ in range(4)]
    assert [one["accepted"] for one in told] == [True] * 4
    assert [one["progress"]["takes"] for one in told] == [1, 2, 3, 4]
    assert told[-1]["progress"]["speech_s"] == 10.0
    assert told[-1]["next_prompt"] is None
    assert len({one["next_prompt"] for one in told[:3]}) == 3
    done = home.completes("ben", enrollment)["voiceprint"]
    assert (done["takes"], done["encoder"], done["cohesion"]) == (4, "fixed@1", 1.0)
    assert home.names("ben") == "ben"


def test_a_bad_take_is_told_what_to_do_and_not_kept(home: Home) -> None:
    enrollment = _start(home)["id"]
    before = home.bytes_on_disk()
    told = _take(home, enrollment, clip(voice("ben"), seconds=0.5)).json()
    assert (told["accepted"], told["reasons"]) == (False, ["too_short"])
    assert told["advice"] == "Please read the whole sentence: 0.5 s of speech, 1.0 s needed."
    assert told["progress"]["takes"] == 0
    assert home.bytes_on_disk() == before


def test_another_voice_is_refused_and_not_kept(home: Home) -> None:
    enrollment = _start(home)["id"]
    _take(home, enrollment, clip(voice("ben")))
    told = _take(home, enrollment, clip(voice("eve"))).json()
    assert (told["accepted"], told["reasons"]) == (False, ["different_voice"])
    assert home.count(tables.take, "ben") == home.count(tables.recording, "ben") == 1
    assert _take(home, enrollment, clip(voice("ben", 0.8))).json()["accepted"]
    assert BARS.same_voice == 0.5


@pytest.mark.parametrize(("takes", "seconds"), [(3, 5.0), (4, 1.9)])
def test_too_little_makes_no_voiceprint(home: Home, takes: int, seconds: float) -> None:
    """Three takes of 15 seconds are too few; four of 7.6 seconds too short."""
    enrollment = _start(home)["id"]
    for _ in range(takes):
        _take(home, enrollment, clip(voice("ben"), seconds))
    path = f"{home['ben'].path}/enrollments/{enrollment}"
    answered = home.call("POST", f"{path}/complete", home["ben"].headers)
    problem = answered.json()
    assert (answered.status_code, problem["takes"], problem["takes_needed"]) == (409, takes, TAKES_NEEDED)
    assert problem["speech_needed_s"] == SPEECH_NEEDED_S
    assert home.count(tables.voiceprint, "ben") == 0
    _take(home, enrollment, clip(voice("ben"), seconds))
    assert home.call("POST", f"{path}/complete", home["ben"].headers).status_code == 200


def test_a_voice_belongs_to_one_person(home: Home) -> None:
    """Ben reads in Ada's voice: he would be answered with her name, or she with his."""
    enrollment = _start(home)["id"]
    for _ in range(4):
        _take(home, enrollment, clip(voice("ada")))
    answered = home.call("POST", f"{home['ben'].path}/enrollments/{enrollment}/complete", home["ben"].headers)
    assert (answered.status_code, answered.json()["type"]) == (409, "/problems/voice-already-enrolled")
    assert "Ada" not in answered.text
    assert home["ada"].id not in answered.text
    assert home.names("ada") == "ada"


def test_an_enrollment_holds_so_many_takes(home: Home) -> None:
    enrollment = _start(home)["id"]
    for _ in range(TAKES_AT_MOST):
        assert _take(home, enrollment, clip(voice("ben"), 1.0)).json()["accepted"]
    assert _take(home, enrollment, clip(voice("ben"), 1.0)).status_code == 409
    assert home.completes("ben", enrollment)["voiceprint"]["takes"] == TAKES_AT_MOST


def test_completing_spends_the_takes_and_keeps_the_recordings(home: Home) -> None:
    enrollment = home.reads("ben")
    spent = {row.key_id for row in home.rows(tables.take)}
    home.completes("ben", enrollment)
    assert home.count(tables.take) == home.count(tables.enrollment) == 0
    assert not spent & home.keys()
    assert home.count(tables.recording, "ben") == 4


def test_enrolling_again_replaces_the_voiceprint(home: Home) -> None:
    (old,) = home.rows(tables.voiceprint)
    home.completes("ada", home.reads("ada"))
    (new,) = home.rows(tables.voiceprint)
    assert new.voiceprint_id != old.voiceprint_id
    assert not {old.key_id} & home.keys()
    assert home.names("ada") == "ada"


Ending = Callable[[Home, str], None]


def _abandon(home: Home, enrollment: str) -> None:
    home.ok("DELETE", f"{home['ben'].path}/enrollments/{enrollment}", home["ben"].headers)


def _time_runs_out(home: Home, enrollment: str) -> None:
    home.clock.forward(minutes=31)
    home.services.retention.run()


def _start_another(home: Home, enrollment: str) -> None:
    assert _start(home)["id"] != enrollment


def _another_encoder(home: Home, enrollment: str) -> None:
    home.encoder.model_id = ModelId("fixed@2")


ENDINGS = {
    "it is abandoned": _abandon,
    "its time runs out": _time_runs_out,
    "another one is started": _start_another,
    "the encoder is another one": _another_encoder,
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_it_is_over_when(home: Home, ending: Ending) -> None:
    enrollment = home.reads("ben")
    keys = {row.key_id for table in (tables.take, tables.recording) for row in home.rows(table)
            if row.person_id == home["ben"].id}  # fmt: skip
    ending(home, enrollment)
    path = f"{home['ben'].path}/enrollments/{enrollment}"
    assert _take(home, enrollment, clip(voice("ben"))).status_code == 409
    assert home.call("POST", f"{path}/complete", home["ben"].headers).status_code == 409
    assert home.count(tables.voiceprint, "ben") == 0
    if ending is not _another_encoder:
        assert home.count(tables.take, "ben") == home.count(tables.recording, "ben") == 0
        assert not keys & home.keys()


def test_it_is_shut_before_the_clock_comes_by(home: Home) -> None:
    enrollment = home.reads("ben")
    home.clock.forward(minutes=31)
    answered = home.call("POST", f"{home['ben'].path}/enrollments/{enrollment}/complete", home["ben"].headers)
    assert (answered.status_code, answered.json()["type"]) == (409, "/problems/enrollment-closed")


def test_nobody_completes_what_another_began(home: Home) -> None:
    enrollment = home.reads("ben")
    for method, ending in (("POST", "/complete"), ("DELETE", "")):
        answered = home.call(method, f"{home['cleo'].path}/enrollments/{enrollment}{ending}", home["cleo"].headers)
        assert answered.status_code == 409
    home.completes("ben", enrollment)


def test_the_index_sees_a_new_voice_at_once(home: Home) -> None:
    assert home.names("ben") is None
    home.enrolls("ben")
    assert (home.names("ben"), home.names("ada")) == ("ben", "ada")


def test_deleting_the_voiceprint_leaves_the_consents(home: Home) -> None:
    receipt = home.ok("DELETE", f"{home['ada'].path}/voiceprint", home["ada"].headers)
    assert receipt["why"] == "voiceprint deleted"
    assert home.names("ada") is None
    listed = home.ok("GET", f"{home['ada'].path}/consents", home["ada"].headers)["purposes"]
    assert {one["purpose"] for one in listed if one["granted"]} == {"save_recordings", "voice_id"}
    assert home.call("DELETE", f"{home['ada'].path}/voiceprint", home["ada"].headers).status_code == 409


def test_what_is_kept_of_a_voice_is_nowhere_in_the_clear(home: Home) -> None:
    """Neither the sound nor the embedding nor the name, in any file of data and keys."""
    name = "Benjamin Bartholomew"  # a short one stands in sealed bytes by chance
    home.ok("PATCH", home["ben"].path, home["ben"].headers, json={"display_name": name})
    noise = np.random.default_rng(7).uniform(-0.9, 0.9, 40_000).astype(np.float32)
    noise[:DIM] = voice("ben") * 0.9
    enrollment = _start(home)["id"]
    for _ in range(4):
        assert _take(home, enrollment, wav(noise)).json()["accepted"]
    home.completes("ben", enrollment)
    recording = to_flac(Pcm(noise))[:12]  # how every recording begins
    pieces = [wav(noise)[2000:2016], noise[1000:1004].tobytes(), voice("ben").astype("<f4").tobytes()]
    marks = [*pieces, recording, name.encode()]
    for path, content in home.bytes_on_disk().items():
        assert [mark for mark in marks if mark in content] == [], path


def test_the_shipped_encoder_knows_the_synthetic_household(tmp_path: Path, voices: Path) -> None:
    """The whole way with the real parts: members by name, guests by nobody's."""
    with Home(tmp_path, real=voices) as home:
        home.enrolls("ada", "ben")
        heard = {speaker: home.names(speaker) for speaker in ("ada", "ben", "guest_eve", "guest_finn")}
        assert heard == {"ada": "ada", "ben": "ben", "guest_eve": None, "guest_finn": None}
        silence = home.ok("POST", "recognize", home.owner, content=wav(np.zeros(32_000, np.float32)),
                          headers={"content-type": "audio/wav"})  # fmt: skip
        assert (silence["reason"], silence["measured"]) == ("too_short", 0.0)
        assert silence["needed"] > 0


def test_two_close_voices_are_told_of_it_and_nobody_else(home: Home) -> None:
    """Cleo sounds like Ada, not enough to be her: the two see it in their activity, Ben does not."""
    home.enrolls("ben").agrees("cleo")
    enrollment = home.ok("POST", f"{home['cleo'].path}/enrollments", home["cleo"].headers)["id"]
    close = 0.85 * voice("ada") + np.sqrt(1 - 0.85**2) * voice("cleo")
    path = f"{home['cleo'].path}/enrollments/{enrollment}/takes"
    for _ in range(4):
        home.ok("POST", path, home["cleo"].headers, content=clip(close), headers={"content-type": "audio/wav"})
    home.completes("cleo", enrollment)

    told = {
        name: [one["action"] for one in home.ok("GET", f"{home[name].path}/activity", home[name].headers)["items"]]
        for name in ("ada", "ben", "cleo")
    }
    assert [told[name].count("close voice") for name in ("ada", "ben", "cleo")] == [1, 0, 1]

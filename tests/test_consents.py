"""Consent: off until said yes, by whoever may, to the wording that was shown; and what a yes allows to be kept."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from home import GATE, Home, clip, decision, voice

from voiceid import policy
from voiceid.errors import KeysUnavailable
from voiceid.store import tables
from voiceid.types import PURPOSES, Purpose


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Ada is enrolled; Ben was never asked; Mia is Ada's child, and her mother has said yes for her."""
    with Home(tmp_path_factory.mktemp("home")) as home:
        home.enrolls("ada").joins("ben").joins("mia", kind="child", guardians=("ada",))
        yield home.grants("mia", *GATE, by="ada")


@pytest.fixture
def home(prepared: Home, tmp_path: Path) -> Iterator[Home]:
    with prepared.twin(tmp_path) as home:
        yield home


@pytest.fixture(scope="module")
def unbundled_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Ada said yes to voice ID alone, where the household lets her."""
    with Home(tmp_path_factory.mktemp("unbundled"), consent_rule="unbundled") as home:
        home.joins("ada").grants("ada", "voice_id")
        home.completes("ada", home.reads("ada"))
        yield home


@pytest.fixture
def unbundled(unbundled_home: Home, tmp_path: Path) -> Iterator[Home]:
    with unbundled_home.twin(tmp_path / "unbundled") as home:
        yield home


def _says(home: Home, name: str, purpose: str, by: str | None = None, **more: Any) -> Any:
    path = f"{home[name].path}/consents/{purpose}"
    return home.call("PUT", path, home[by or name].headers, json=decision(**more))


def _state(home: Home, name: str) -> dict[str, Any]:
    listed = home.ok("GET", f"{home[name].path}/consents", home[name].headers)["purposes"]
    return {one["purpose"]: one for one in listed}


def test_every_purpose_starts_off(home: Home) -> None:
    state = _state(home, "ben")
    assert set(state) == set(PURPOSES)
    assert not any(one["granted"] or one["history"] for one in state.values())


@pytest.mark.parametrize("language", policy.LANGUAGES)
def test_the_wording_that_was_shown_is_on_record(home: Home, language: str) -> None:
    shown = home.ok("GET", f"/v1/policy?language={language}")
    said = _says(home, "ben", "voice_id", language=language, policy_version=shown["version"]).json()
    wording = {one["purpose"]: one["wording"] for one in shown["purposes"]}
    assert said["wording"] == wording["voice_id"]
    assert (said["language"], said["given_by"], said["method"]) == (language, "self", "screen")
    assert home.rows(tables.ledger)[-1].wording == wording["voice_id"]


def test_the_wordings_differ_by_language_and_purpose() -> None:
    digests = [policy.wording(purpose, language).digest for purpose in PURPOSES for language in policy.LANGUAGES]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize(("language", "answered"), [("en", "answered"), ("de", "geantwortet"), ("es", "respondió")])
def test_who_agrees_is_told_that_the_action_is_kept_too(home: Home, language: str, answered: str) -> None:
    """What `_write` keeps beside sound or text, for either purpose: the moment, the intent, the response."""
    shown = home.ok("GET", "/v1/policy", params={"language": language})["purposes"]
    told = {one["purpose"] for one in shown if answered in one["collected"]}
    assert told == {"save_recordings", "transcripts"}


def test_a_stale_policy_is_refused_and_nothing_is_recorded(home: Home) -> None:
    before = home.bytes_on_disk()
    answered = _says(home, "ben", "voice_id", policy_version="0123456789ab")
    assert (answered.status_code, answered.json()["current"]) == (409, policy.version())
    assert answered.json()["type"] == "/problems/stale-policy"
    assert home.bytes_on_disk() == before


def test_history_keeps_every_word(home: Home) -> None:
    for word in ("denied", "granted", "denied"):
        home.clock.forward(minutes=1)
        _says(home, "ben", "adapt", decision=word)
    changes = [one["change"] for one in _state(home, "ben")["adapt"]["history"]]
    assert changes == ["denied", "granted", "withdrawn"]


BAD = {
    "a language that we do not speak": {"language": "xx"},
    "an unknown decision": {"decision": "perhaps"},
    "an unknown method": {"method": "telepathy"},
    "a retention that does not exist": {"retention": "forever"},
    "a retention of no days": {"retention": "days:0"},
    "an end in the past": {"expires_at": "2020-01-01T00:00:00Z"},
    "an end without a zone": {"expires_at": "2030-01-01T00:00:00"},
    "an end before the calendar": {"expires_at": "0001-01-01T00:00:00+14:00"},
    "an end after the calendar": {"expires_at": "9999-12-31T23:59:59-14:00"},
    "a field that nobody knows": {"granted": True},
}


@pytest.mark.parametrize("wrong", BAD.values(), ids=BAD)
def test_a_malformed_decision_is_no_decision(home: Home, wrong: dict[str, Any]) -> None:
    answered = _says(home, "ben", "voice_id", **wrong)
    assert answered.status_code == 422
    assert not _state(home, "ben")["voice_id"]["history"]


@pytest.mark.parametrize("purpose", ["everything", "share:", "share:A B", "share:" + "x" * 41, "VOICE_ID"])
def test_an_unknown_purpose_cannot_be_agreed_to(home: Home, purpose: str) -> None:
    assert _says(home, "ben", purpose).status_code == 422


@pytest.mark.parametrize("purpose", ["voice_id", "human_review", "share:lights"])
def test_a_time_that_nothing_would_keep_to_is_refused(home: Home, purpose: str) -> None:
    """Rather than entered in the ledger: a voiceprint ends with use, age or consent."""
    assert _says(home, "ben", purpose, retention="days:30").status_code == 422
    assert _state(home, "ben").get(purpose, {"history": []})["history"] == []


def test_a_no_is_remembered_so_that_nobody_asks_again_at_once(home: Home) -> None:
    _says(home, "ben", "voice_id", decision="denied")
    assert _state(home, "ben")["voice_id"]["ask_again_at"] == "2026-04-01T09:00:20Z"
    assert _says(home, "ben", "voice_id").status_code == 200  # one may always change one's mind


# Children.


def test_a_child_alone_agrees_to_nothing(home: Home) -> None:
    for purpose in ("transcripts", *GATE):
        assert _says(home, "mia", purpose).status_code == 403
    assert _says(home, "mia", "transcripts", by="ben").status_code == 403
    assert _says(home, "mia", "transcripts", by="ada").json()["given_by"] == "guardian"


@pytest.mark.parametrize("purpose", ["human_review", "share:lights"])
def test_some_purposes_are_not_for_children(home: Home, purpose: str) -> None:
    answered = _says(home, "mia", purpose, by="ada")
    assert (answered.status_code, answered.json()["type"]) == (409, "/problems/not-for-children")
    assert _says(home, "ada", purpose).status_code == 200


@pytest.mark.parametrize("who", ["mia", "ada"])
def test_a_child_and_any_guardian_may_withdraw(home: Home, who: str) -> None:
    home.completes("mia", home.reads("mia", by="ada"), by="ada")
    assert home.names("mia") == "mia"
    home.ok("DELETE", f"{home['mia'].path}/consents/voice_id", home[who].headers)
    assert home.names("mia") is None


def test_without_a_guardian_everything_lapses(home: Home) -> None:
    """Until somebody entitled decides. With another guardian left, nothing does."""
    home.completes("mia", home.reads("mia", by="ada"), by="ada")
    both = {"guardians": [home["ada"].id, home["ben"].id]}
    home.ok("PUT", f"{home['mia'].path}/guardians", home["ada"].headers, json=both)
    home.ok("DELETE", home["ada"].path, home["ada"].headers)
    assert home.names("mia") == "mia"
    home.ok("DELETE", home["ben"].path, home.owner)
    assert home.names("mia") is None
    assert home.count(tables.voiceprint, "mia") == home.count(tables.recording, "mia") == 0
    assert not any(one["granted"] for one in _state(home, "mia").values())


@pytest.mark.parametrize("guardians", [[], ["mia"], ["nobody"], ["ada", "nobody"]], ids=str)
def test_a_child_needs_an_adult_of_the_household(home: Home, guardians: list[str]) -> None:
    chosen = [home[name].id if name in home.members else "a" * 24 for name in guardians]
    body = {"display_name": "Noa", "kind": "child", "guardians": chosen}
    answered = home.call("POST", "people", home.owner, json=body)
    assert (answered.status_code, answered.json()["type"]) == (409, "/problems/guardian-needed")


def test_a_childs_data_ends_after_ninety_days_whatever_was_chosen(home: Home) -> None:
    home.grants("mia", *GATE, by="ada").grants("mia", GATE[0], by="ada", retention="until_deleted")
    home.reads("mia", takes=1, by="ada")
    (kept,) = home.ok("GET", f"{home['mia'].path}/recordings", home["mia"].headers)["items"]
    assert kept["expires_at"] == (home.clock() - timedelta(seconds=5) + timedelta(days=90)).isoformat()[:19] + "Z"


# Taking back.


def test_withdrawing_works_when_keys_cannot_be_made(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int = 1) -> Any:
        raise KeysUnavailable("no space left")

    monkeypatch.setattr(home.services.store.keys, "create", full)
    assert _says(home, "ben", "voice_id").status_code == 503
    assert not _state(home, "ben")["voice_id"]["granted"]
    assert home.withdraws("ada")["state"] == "complete"
    assert home.names("ada") is None
    assert _state(home, "ada")["voice_id"]["history"][-1]["change"] == "withdrawn"


@pytest.mark.parametrize("way", ["deny it", "take all back", "let the clock"])
def test_what_an_expired_yes_allowed_is_erased(home: Home, way: str) -> None:
    """An expired consent is no consent; saying no to it must still erase what it left."""
    home.grants("ada", "voice_id", expires_at=(home.clock() + timedelta(days=1)).isoformat())
    home.clock.forward(days=2)
    assert home.count(tables.voiceprint, "ada") == 1
    match way:
        case "deny it":
            _says(home, "ada", "voice_id", decision="denied")
        case "take all back":
            home.withdraws("ada")
        case _:
            home.services.retention.run()
    assert home.count(tables.voiceprint, "ada") == 0
    assert _state(home, "ada")["voice_id"]["history"][-1]["change"] in {"withdrawn", "expired"}


def test_nothing_granted_is_nothing_to_take_back(home: Home) -> None:
    assert home.call("DELETE", f"{home['ben'].path}/consents", home["ben"].headers).status_code == 404
    home.ok("DELETE", f"{home['ben'].path}/consents/voice_id", home["ben"].headers)


# What a request leaves behind.

LEFT = {
    (): (False, False, False),
    ("save_recordings",): (True, False, True),
    ("transcripts",): (False, True, True),
    ("save_recordings", "transcripts"): (True, True, True),
}
"""Granted beside `voice_id` -> is there sound, text, an action record?"""


def _asks(home: Home, alike: float = 1.0) -> Any:
    form = {"audio": ("a.wav", clip(voice("ada", alike)), "audio/wav")}
    said = {"transcript": "call my mother", "intent": "call"}
    home.clock.forward(minutes=1)
    return home.ok("POST", "recognize", home.owner, files=form, data=said)


def _left(home: Home) -> tuple[bool, ...]:
    kept = (tables.recording, tables.transcript, tables.interaction)
    return tuple(home.count(table, "ada") > 0 for table in kept)


@pytest.mark.parametrize("purposes", LEFT, ids="+".join)
def test_a_request_leaves_what_was_agreed_to(unbundled: Home, purposes: tuple[str, ...]) -> None:
    unbundled.grants("ada", *purposes)
    answer = _asks(unbundled)
    assert (answer["mode"], answer["stored"]) == ("personalized", bool(purposes))
    assert _left(unbundled) == LEFT[purposes]


def test_below_the_storage_bar_nothing_is_stored(unbundled: Home) -> None:
    """Named, and yet not certain enough to keep: a guest may pass the naming bar more often."""
    unbundled.grants("ada", "save_recordings", "transcripts", "adapt")
    before = unbundled.bytes_on_disk()
    answer = _asks(unbundled, alike=0.7)
    assert (answer["mode"], answer["stored"]) == ("personalized", False)
    assert _left(unbundled) == (False, False, False)
    assert unbundled.bytes_on_disk() == before


@pytest.mark.parametrize("purpose", ["save_recordings", "transcripts"])
def test_a_retention_of_none_keeps_nothing(unbundled: Home, purpose: str) -> None:
    unbundled.grants("ada", purpose, retention="none")
    assert _asks(unbundled)["stored"] is False
    assert _left(unbundled) == (False, False, False)


def test_a_retention_of_none_keeps_no_take_either(home: Home) -> None:
    home.grants("ben", "voice_id").grants("ben", "save_recordings", retention="none")
    home.completes("ben", home.reads("ben"))
    assert home.names("ben") == "ben"
    assert home.count(tables.recording, "ben") == 0


def test_a_shorter_time_holds_for_what_is_kept_already(home: Home) -> None:
    """And a longer one does not revive what was to go sooner."""
    assert home.hears("ada")["stored"]
    for retention, days in (("days:7", 7), ("18_months", 7), ("days:2", 2)):
        home.grants("ada", "save_recordings", retention=retention)
        for table in (tables.recording, tables.interaction):
            rows = [row for row in home.rows(table) if row.person_id == home["ada"].id]
            assert {row.expires_at - row.created_at for row in rows} == {timedelta(days=days)}


@pytest.mark.parametrize("gone", ["save_recordings", "transcripts"])
def test_what_two_purposes_allowed_ends_with_the_one_that_is_left(home: Home, gone: str) -> None:
    """The action record was kept for as long as the longer of both; that one is taken back."""
    left = ({"save_recordings", "transcripts"} - {gone}).pop()
    home.grants("ada", gone, retention="until_deleted").grants("ada", left, retention="days:30")
    assert home.asks("ada")["stored"]
    assert max(home.rows(tables.interaction), key=lambda row: row.created_at).expires_at is None
    home.withdraws("ada", gone)
    (row,) = (row for row in home.rows(tables.interaction) if row.created_at == home.clock())
    assert row.expires_at == row.created_at + timedelta(days=30)


# Unbundled: voice ID without recordings.


def test_unbundled_voice_id_stands_alone_and_writes_no_sound(unbundled: Home) -> None:
    assert unbundled.names("ada") == "ada"
    assert unbundled.count(tables.recording) == unbundled.count(tables.take) == 0
    assert unbundled.ok("GET", "/v1/policy")["needed_for_voice_id"] == ["voice_id"]


def test_unbundled_enrollment_audio_is_not_even_kept_with_consent(unbundled: Home) -> None:
    unbundled.grants("ada", "save_recordings")
    unbundled.completes("ada", unbundled.reads("ada"))
    assert unbundled.count(tables.recording) == 0


def test_unbundled_recordings_go_alone(unbundled: Home) -> None:
    unbundled.grants("ada", "save_recordings")
    assert _asks(unbundled)["stored"]
    unbundled.withdraws("ada", "save_recordings")
    assert unbundled.count(tables.recording) == 0
    assert unbundled.names("ada") == "ada"


def test_the_default_rule_needs_both(home: Home) -> None:
    assert home.ok("GET", "/v1/policy")["needed_for_voice_id"] == ["save_recordings", "voice_id"]


# Skills.


def test_skills_know_a_person_by_names_that_nothing_links(home: Home) -> None:
    home.grants("ada", "share:lights", "share:music")
    skills = {name: home.token("skill", name) for name in ("lights", "music", "door")}
    seen = {name: home.hears("ada", by=token)["person"] for name, token in skills.items()}
    assert seen["door"] is None
    ids = {seen["lights"]["id"], seen["music"]["id"], home["ada"].id}
    assert len(ids) == 3
    assert set(seen["lights"]) == {"id", "display_name", "preferences"}
    assert home.hears("ada", by=skills["lights"])["person"]["id"] == seen["lights"]["id"]
    second = home.token("skill", "lights")
    assert home.hears("ada", by=second)["person"]["id"] == seen["lights"]["id"]


def test_a_pseudonym_is_another_one_after_withdrawing(home: Home) -> None:
    home.grants("ada", "share:lights", "share:music")
    lights, music = home.token("skill", "lights"), home.token("skill", "music")
    first, kept = (home.hears("ada", by=skill)["person"]["id"] for skill in (lights, music))
    home.withdraws("ada", "share:lights")
    assert home.hears("ada", by=lights)["person"] is None
    home.clock.forward(minutes=1)
    home.grants("ada", "share:lights")
    assert home.hears("ada", by=lights)["person"]["id"] != first
    assert home.hears("ada", by=music)["person"]["id"] == kept


def test_an_old_pseudonym_is_not_given_while_it_is_being_erased(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.grants("ada", "share:lights")
    lights = home.token("skill", "lights")
    first = home.hears("ada", by=lights)["person"]["id"]
    with monkeypatch.context() as stuck:
        stuck.setattr("enrollment.purge.Purge.run", lambda self, where, purge: self.receipt(where, purge))
        home.call("DELETE", f"{home['ada'].path}/consents/share:lights", home["ada"].headers)
        home.clock.forward(minutes=1)
        home.grants("ada", "share:lights")
        assert home.hears("ada", by=lights)["person"] is None
    home.services.forgetting.resume()
    assert home.hears("ada", by=lights)["person"]["id"] != first


def test_purposes_are_five_and_one_for_each_skill() -> None:
    assert list(chain(PURPOSES, [Purpose("share:lights")])) == [
        "save_recordings", "voice_id", "transcripts", "adapt", "human_review", "share:lights",
    ]  # fmt: skip

"""The public contract: each endpoint answers as DESIGN says, and devices and skills learn nothing but a name."""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from home import GATE, Home, bearer, clip, voice

from voiceid import policy
from voiceid.store import tables

ID = re.compile(r"[a-z2-7]{24}")
ANSWER = {"mode", "reason", "person", "confidence", "speech_s", "response", "stored", "encoder"}
RECEIPT = {"id", "state", "why", "person", "requested_at", "completed_at", "due_at", "stores", "keys_destroyed",
           "ledger_head", "jws"}  # fmt: skip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Ada is enrolled and something of hers is kept; Ben lives here."""
    with Home(tmp_path_factory.mktemp("home")) as home:
        home.enrolls("ada").grants("ada", "transcripts").joins("ben")
        assert home.hears("ada", intent="weather")["stored"]
        yield home


@pytest.fixture
def home(prepared: Home, tmp_path: Path) -> Iterator[Home]:
    with prepared.twin(tmp_path) as home:
        yield home


def _utc(moment: str) -> bool:
    """RFC 3339, in UTC."""
    return moment.endswith("Z") and datetime.fromisoformat(moment).utcoffset() is not None


# Shapes.


def test_households(home: Home) -> None:
    made = home.ok("POST", "/v1/households", home.admin, json={"name": "Next door", "locale": "de-CH"})
    assert (made["name"], made["locale"]) == ("Next door", "de-CH")
    assert ID.fullmatch(made["id"])
    assert _utc(made["created_at"])
    path = f"/v1/households/{made['id']}"
    assert home.ok("GET", path, home.admin) == made
    assert home.ok("PATCH", path, home.admin, json={"locale": "es"})["locale"] == "es"
    assert home.ok("GET", path, home.admin)["name"] == "Next door"
    assert set(home.ok("DELETE", path, home.admin)) == RECEIPT
    assert home.call("GET", path, home.admin).status_code == 404


def test_people(home: Home) -> None:
    made = home.ok("POST", "people", home.owner, json={"display_name": " Cleo ", "locale": "es"})
    assert set(made) == {"id", "display_name", "kind", "voice_id", "locale", "created_at"}
    assert (made["display_name"], made["kind"], made["voice_id"], made["locale"]) == ("Cleo", "adult", False, "es")
    ada = home["ada"]
    home.ok("PATCH", ada.path, ada.headers, json={"preferences": {"units": "metric"}, "verify_by_device": True})
    shown = home.ok("GET", ada.path, ada.headers)
    assert shown["entry"]["voice_id"] is True
    assert (shown["preferences"], shown["verify_by_device"]) == ({"units": "metric"}, True)
    assert set(shown["voiceprint"]) == {"id", "encoder", "takes", "cohesion", "created_at"}
    assert home.hears("ada")["person"]["preferences"] == {"units": "metric"}


ODD = {
    "not a number": b'{"preferences": {"a": NaN}}',
    "infinite": b'{"preferences": {"a": 1e999}}',
    "half a character": b'{"preferences": {"a": "\\ud800"}}',
    "half a character as a name": b'{"preferences": {"\\udfff": 1}}',
    "too large": b'{"preferences": {"a": "' + b"x" * 4096 + b'"}}',
    "too deep": b'{"preferences": {"a": ' + b"[" * 900 + b"]" * 900 + b"}}",
    "a little too deep": b'{"preferences": {"a": ' + b"[" * 8 + b"1" + b"]" * 8 + b"}}",
    "a list": b'{"preferences": []}',
    "an empty name": b'{"display_name": "  "}',
    "half a name": b'{"display_name": "\\ud800"}',
    "no language": b'{"locale": "x"}',
}


@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
def test_what_could_not_be_answered_again_is_not_taken_in(home: Home, body: bytes) -> None:
    ada = home["ada"]
    typed = {**ada.headers, "content-type": "application/json"}
    answered = home.call("PATCH", ada.path, typed, content=body)
    assert answered.status_code == 422
    shown = home.ok("GET", ada.path, ada.headers)
    assert (shown["entry"]["display_name"], shown["preferences"]) == ("Ada", {})
    assert home.hears("ada")["person"]["display_name"] == "Ada"


def test_tokens_are_shown_once_and_stored_as_digests(home: Home) -> None:
    made = home.ok("POST", "tokens", home.owner, json={"role": "skill", "label": "Lights", "skill": "lights"})
    assert set(made) == {"id", "role", "label", "token"}
    listed = {one["id"]: one for one in home.ok("GET", "tokens", home.owner)["items"]}
    assert set(listed[made["id"]]) == {"id", "role", "label", "created_at", "expires_at"}
    assert {one["role"] for one in listed.values()} == {"owner", "skill"}  # a session is nobody else's business
    secret = made["token"].rsplit("_", 1)[1].encode()
    assert not any(secret in content for content in home.bytes_on_disk().values())
    home.ok("DELETE", f"tokens/{made['id']}", home.owner)
    assert home.call("GET", "people", bearer(made["token"])).status_code == 401
    assert home.call("DELETE", f"tokens/{made['id']}", home.owner).status_code == 404


@pytest.mark.parametrize("body", [
    {"role": "person", "label": "x"}, {"role": "admin", "label": "x"}, {"role": "skill", "label": "x"},
    {"role": "device", "label": "x", "skill": "lights"}, {"role": "skill", "label": "x", "skill": "A B"},
], ids=str)  # fmt: skip
def test_tokens_that_are_not_minted(home: Home, body: dict[str, str]) -> None:
    assert home.call("POST", "tokens", home.owner, json=body).status_code == 422


def test_an_invitation_works_once_and_for_a_while(home: Home) -> None:
    ben = home["ben"]
    path = f"{ben.path}/invitations"
    void, good = (home.ok("POST", path, home.owner) for _ in range(2))
    assert set(good) == {"id", "code", "expires_at"}
    session = home.ok("POST", "/v1/session", json={"code": good["code"]})
    assert home.call("POST", "/v1/session", json={"code": good["code"]}).status_code == 401
    assert set(session) == {"token", "household", "person", "expires_at"}
    assert (session["household"], session["person"]) == (home.id, ben.id)
    assert home.call("GET", "people", ben.headers).status_code == 401  # the first session is signed out
    told = home.ok("GET", f"{ben.path}/activity", bearer(session["token"]))["items"]
    assert any(one["action"] == "signed in" and "earlier session" in one["why"] for one in told)
    late = home.ok("POST", path, home.owner)
    home.clock.forward(hours=49)
    for code in (void["code"], good["code"], late["code"], "nonsense", "a" * 48):
        answered = home.call("POST", "/v1/session", json={"code": code})
        assert (answered.status_code, answered.json()["type"]) == (401, "/problems/code-spent")


def test_an_answer(home: Home) -> None:
    answer = home.hears("ada", intent="weather", locale="de")
    assert set(answer) == ANSWER
    assert (answer["mode"], answer["reason"], answer["stored"]) == ("personalized", "recognized", True)
    assert answer["person"] == {"id": home["ada"].id, "display_name": "Ada", "preferences": {}}
    assert (answer["speech_s"], answer["encoder"], answer["response"]["locale"]) == (2.5, "fixed@1", "de")
    assert 0.9 < answer["confidence"] <= 1
    nobody = home.hears("eve")
    assert set(nobody) == ANSWER
    assert (nobody["mode"], nobody["person"], nobody["stored"], nobody["confidence"]) == ("anonymous", None, False, 0)


def test_an_answer_to_too_little_says_what_was_needed(home: Home) -> None:
    short = {"content": clip(voice("ada"), 0.4), "headers": {"content-type": "audio/wav"}}
    answer = home.ok("POST", "recognize", home.owner, **short)
    assert (answer["reason"], answer["measured"], answer["needed"]) == ("too_short", 0.4, 1.0)


def test_a_voice_is_verified_against_one_person(home: Home) -> None:
    ada = home["ada"]
    said = home.ok("POST", f"{ada.path}/verify", ada.headers, **home.sound("ada"))
    assert (said["accepted"], said["reason"]) == (True, "recognized")
    said = home.ok("POST", f"{ada.path}/verify", ada.headers, **home.sound("eve"))
    assert said == {"accepted": False, "confidence": 0.0, "reason": "unknown_voice"}
    answered = home.call("POST", f"{home['ben'].path}/verify", home["ben"].headers, **home.sound("ben"))
    assert (answered.status_code, answered.json()["type"]) == (409, "/problems/not-enrolled")
    home.enrolls("ben")
    said = home.ok("POST", f"{ada.path}/verify", ada.headers, **home.sound("ben"))
    assert said == {"accepted": False, "confidence": 0.0, "reason": "unknown_voice"}


def test_recordings_are_listed_heard_and_shredded(home: Home) -> None:
    ada = home["ada"]
    listed = home.ok("GET", f"{ada.path}/recordings", ada.headers)["items"]
    assert [one["kind"] for one in sorted(listed, key=lambda one: one["at"])] == ["take"] * 4 + ["utterance"]
    assert all(_utc(one["at"]) and _utc(one["expires_at"]) for one in listed)
    heard = home.call("GET", f"{ada.path}/recordings/{listed[0]['id']}", ada.headers)
    assert (heard.headers["content-type"], heard.content[:4]) == ("audio/flac", b"fLaC")
    assert heard.headers["cache-control"] == "no-store"
    assert home.ok("DELETE", f"{ada.path}/recordings/{listed[0]['id']}", ada.headers)["state"] == "complete"
    for method in ("GET", "DELETE"):
        assert home.call(method, f"{ada.path}/recordings/{listed[0]['id']}", ada.headers).status_code == 404


def test_interactions_are_listed_and_erased(home: Home) -> None:
    ada = home["ada"]
    (kept,) = home.ok("GET", f"{ada.path}/interactions", ada.headers)["items"]
    assert set(kept) == {"id", "at", "intent", "transcript", "response", "confidence", "recording"}
    assert kept["intent"] == "weather"
    before = (home.clock().isoformat()[:19]) + "Z"
    for span, left in (({"since": "2027-01-01T00:00:00Z"}, 1), ({"until": before}, 1), ({"since": before}, 0)):
        home.ok("DELETE", f"{ada.path}/interactions", ada.headers, params=span)
        assert home.count(tables.interaction, "ada") == left
    assert home.count(tables.recording, "ada") == 4
    assert home.hears("ada")["stored"]
    (kept,) = home.ok("GET", f"{ada.path}/interactions", ada.headers)["items"]
    receipt = home.ok("POST", f"{ada.path}/interactions/{kept['id']}/not-me", ada.headers)
    assert (receipt["state"], home.count(tables.recording, "ada")) == ("complete", 4)
    assert home.call("POST", f"{ada.path}/interactions/{kept['id']}/not-me", ada.headers).status_code == 404


def test_activity_tells_who_did_what_and_when(home: Home) -> None:
    ada = home["ada"]
    listed = home.ok("GET", f"{ada.path}/recordings", ada.headers)["items"]
    home.call("GET", f"{ada.path}/recordings/{listed[0]['id']}", ada.headers)
    home.ok("GET", f"{ada.path}/interactions", ada.headers)
    home.ok("PATCH", ada.path, home.owner, json={"display_name": "Ada"})
    told = home.ok("GET", f"{ada.path}/activity", ada.headers)["items"]
    assert [one["action"] for one in told[:4]] == [
        "profile changed", "interactions read", "recording heard", "recordings listed",
    ]  # fmt: skip
    assert [one["who"].split(":")[0] for one in told[:2]] == ["owner", "person"]
    assert all(_utc(one["at"]) for one in told)
    assert home.ok("GET", f"{ada.path}/activity", ada.headers)["items"][0]["action"] == "activity read"


def test_a_recognition_is_told_by_whom_and_goes_with_what_it_left(home: Home) -> None:
    """Erased with the interaction: no list of moments at which somebody spoke outlives their withdrawal."""
    ada, kitchen = home["ada"], home.token("device")
    (device,) = [one["id"] for one in home.ok("GET", "tokens", home.owner)["items"] if one["role"] == "device"]

    def heard() -> list[str]:
        told = home.ok("GET", f"{ada.path}/activity", ada.headers)["items"]
        return [one["who"] for one in told if one["action"] == "recognized"]

    before = heard()
    home.clock.forward(seconds=1)
    assert home.hears("ada", kitchen)["stored"]
    home.clock.forward(seconds=1)
    assert not home.hears("ada", kitchen, alike=0.78)["stored"]
    assert heard() == [f"device:{device}", *before]
    home.ok("DELETE", f"{ada.path}/interactions", ada.headers)
    assert heard() == []


def test_a_reviewer_hears_one_recording_and_nothing_else(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a grant that names them, for a day, and not a moment after the person has thought better of it."""
    ada = home["ada"]
    one, other = (one["id"] for one in home.ok("GET", f"{ada.path}/recordings", ada.headers)["items"][:2])
    wanted = {"recording": one, "reviewer": "Support", "reason": "I am not recognized"}
    assert home.call("POST", f"{ada.path}/reviews", ada.headers, json=wanted).status_code == 409
    home.grants("ada", "human_review")
    first, second = (bearer(home.ok("POST", f"{ada.path}/reviews", ada.headers, json=wanted)["token"]) for _ in "12")
    assert home.count(tables.review) == 1
    assert home.call("GET", f"{ada.path}/recordings/{one}", first).status_code == 401
    assert home.call("GET", f"{ada.path}/recordings/{one}", second).content[:4] == b"fLaC"
    for path in (f"{ada.path}/recordings/{other}", f"{ada.path}/recordings", ada.path, "people", "tokens"):
        assert home.call("GET", path, second).status_code == 403
    told = home.ok("GET", f"{ada.path}/activity", ada.headers)["items"]
    told_why = "Support: I am not recognized"
    assert next(one["why"] for one in told if one["action"] == "review granted") == told_why
    assert [one["why"] for one in told if one["who"].startswith("reviewer:")] == [told_why]
    monkeypatch.setattr("enrollment.purge.Purge.run", lambda self, where, purge: self.receipt(where, purge))
    home.call("DELETE", f"{ada.path}/consents/human_review", ada.headers)
    assert home.call("GET", f"{ada.path}/recordings/{one}", second).status_code == 401


def test_receipts_are_read_and_verified_by_anyone_who_holds_them(home: Home) -> None:
    receipt = home.withdraws("ada")
    assert set(receipt) == RECEIPT
    assert home.ok("GET", f"/v1/receipts/{receipt['id']}") == receipt
    home.ok("DELETE", home["ada"].path, home.owner)
    said = home.ok("POST", "/v1/receipts/verify", json={"jws": receipt["jws"]})
    assert (said["valid"], said["receipt"]["id"]) == (True, receipt["id"])
    assert said["receipt"]["stores"] == receipt["stores"]
    head, body, signature = receipt["jws"].split(".")
    for forged in (f"{head}.{body[:-2]}AA.{signature}", f"{head}.{body}.{signature[::-1]}", body, "a.b.c", "",
                   f"W10.{body}.{signature}", "W1" * 3000 + ".." ):  # fmt: skip
        answered = home.call("POST", "/v1/receipts/verify", json={"jws": forged})
        assert (answered.status_code, answered.json()["type"]) == (422, "/problems/receipt-invalid")
    for unknown in ("a" * 48, "nonsense", f"{home.id}{'a' * 24}"):
        assert home.call("GET", f"/v1/receipts/{unknown}").status_code == 404


def test_a_receipt_holds_no_name_and_nothing_of_a_voice(home: Home) -> None:
    receipt = home.withdraws("ada")
    signed = str(home.ok("POST", "/v1/receipts/verify", json={"jws": receipt["jws"]})["receipt"])
    for content in ("Ada", "weather", voice("ada").astype("<f4").tobytes().hex()):
        assert content not in signed + str(receipt)


def test_the_keys_are_public_and_only_that(home: Home) -> None:
    (key,) = home.ok("GET", "/.well-known/voiceid-keys.json")["keys"]
    assert (key["kty"], key["crv"], key["alg"]) == ("OKP", "Ed25519", "EdDSA")
    assert "d" not in key


@pytest.mark.parametrize("language", policy.LANGUAGES)
def test_the_policy_tells_everything_before_anybody_decides(home: Home, language: str) -> None:
    shown = home.ok("GET", f"/v1/policy?language={language}")
    assert (shown["version"], shown["language"]) == (policy.version(), language)
    for one in shown["purposes"]:
        assert one["title"]
        assert one["text"]
        assert one["collected"]
    assert {row["what"] for row in shown["retention"]} >= {"recordings", "transcripts", "voiceprint"}
    assert shown["withdraw"]
    assert shown["where"]
    assert home.call("GET", "/v1/policy?language=xx").status_code == 422


def test_health_and_metrics(home: Home) -> None:
    home.hears("ada")
    assert home.ok("GET", "/healthz") == home.ok("GET", "/readyz") == {"status": "ok"}
    told = home.call("GET", "/metrics", home.admin).text
    assert 'voiceid_answers_total{mode="personalized",reason="recognized"} 1.0' in told
    for word in (home.id, home["ada"].id, "Ada", "household", "person="):
        assert word not in told
    (home.root / "keys/signing.key").unlink()
    assert home.call("GET", "/readyz").status_code == 503


# Pages.


@pytest.mark.parametrize("path", ["/v1/households", "people", "tokens", "recordings", "interactions", "activity"])
def test_lists_are_paged_by_cursor(home: Home, path: str) -> None:
    ada = home["ada"]
    for number in range(4):
        home.ok("POST", "people", home.owner, json={"display_name": f"P{number}"})
        home.ok("POST", "/v1/households", home.admin, json={"name": f"H{number}"})
        home.token("device")
        home.hears("ada")
    mine = path in {"recordings", "interactions", "activity"}
    by = ada.headers if mine else home.admin if path.startswith("/") else home.owner
    address = f"{ada.path}/{path}" if mine else path
    whole = home.ok("GET", address, by, params={"limit": 200})
    assert whole["next"] is None
    found, cursor, pages = [], "", 0
    while cursor is not None and pages < 100:
        page = home.ok("GET", address, by, params={"limit": 2, "cursor": cursor})
        assert len(page["items"]) <= 2
        found, cursor, pages = found + page["items"], page["next"], pages + 1
    kept = [one for one in found if one.get("action") != "activity read"]
    assert kept == [one for one in whole["items"] if one.get("action") != "activity read"]
    assert len(kept) >= 5
    for wrong in ({"limit": 0}, {"limit": 201}, {"limit": "x"}, {"cursor": "../"}):
        assert home.call("GET", address, by, params=wrong).status_code == 422
    home.ok("GET", address, by, params={"cursor": "9" * 64})


def test_a_cursor_with_a_number_that_no_column_holds_is_none(home: Home) -> None:
    """PostgreSQL would refuse the comparison."""
    ada = home["ada"]
    forged = home.ok("GET", f"{ada.path}/activity", ada.headers, params={"cursor": f"0x{10**9}x"})["items"]
    assert [one["action"] for one in forged[1:]] == [
        one["action"] for one in home.ok("GET", f"{ada.path}/activity", ada.headers)["items"][2:]
    ]
    assert len(forged) > 1


# What devices and skills learn.


@pytest.mark.parametrize("column", ["device", "skill"])
def test_nothing_but_the_name_tells_a_device_why(home: Home, column: str) -> None:
    """Nobody enrolled, consent withheld, a voice not known: one and the same answer, and the encoder runs for each."""
    token = home.token(column, "lights" if column == "skill" else None)
    seen, reasons = [], []
    ada = home["ada"]
    for change in (None, f"{ada.path}/consents", ada.path):
        if change:
            home.ok("DELETE", change, ada.headers)
        heard = home.encoder.heard
        seen.append(home.hears("eve", by=token, explain=1))
        assert home.encoder.heard == heard + 1
        reasons.append(home.hears("eve", by=home.owner)["reason"])
    assert reasons == ["unknown_voice", "consent_withheld", "nobody_enrolled"]
    assert seen[0] == seen[1] == seen[2]
    assert set(seen[0]) == ANSWER


def test_explanations_are_for_owner_and_person(home: Home) -> None:
    for by in (home.owner, home["ada"].headers):
        told = home.hears("ada", by=by, explain=1)
        assert set(told) == ANSWER | {"score", "threshold", "timing_ms"}
        assert told["score"] > told["threshold"]
        assert "score" not in home.hears("ada", by=by)
    for role, skill in (("device", None), ("skill", "lights")):
        assert set(home.hears("ada", by=home.token(role, skill), explain=1)) == ANSWER


def test_an_unshared_name_looks_like_no_name(home: Home) -> None:
    skill = home.token("skill", "lights")
    assert home.hears("ada", by=skill) == home.hears("eve", by=skill)
    assert home.count(tables.interaction, "ada") == 1  # and nothing more was kept


def test_who_has_voice_id_on_is_whoever_can_be_recognized(home: Home) -> None:
    listed = {one["display_name"]: one["voice_id"] for one in home.ok("GET", "people", home["ben"].headers)["items"]}
    assert listed == {"Ada": True, "Ben": False}
    home.withdraws("ada", GATE[0])
    assert not any(one["voice_id"] for one in home.ok("GET", "people", home["ben"].headers)["items"])

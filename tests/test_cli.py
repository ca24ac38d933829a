"""The command line does what the API does, in one line of error or one document, with the same codes."""

import importlib.util
import io
import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer.main
from home import Clock, Home
from machine import ROOT
from running import Running, joined, running, spoken

from voiceid import cli
from voiceid.client import Client
from voiceid.service import run as service_run
from voiceid.settings import Settings
from voiceid.views import ConsentDecision

Say = Callable[..., Any]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("service")) as started:
        yield started


@pytest.fixture
def say(service: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """One command with `--json`; its document. The owner says it unless another token is given."""
    monkeypatch.setenv("VOICEID_URL", service.url)

    def run(*words: str, token: str = service.owner, code: int = 0) -> Any:
        monkeypatch.setenv("VOICEID_TOKEN", token)
        capsys.readouterr()
        ended = cli.main([*words, "--json"])
        out, err = capsys.readouterr()
        assert ended == code, out + err
        return json.loads(out)

    return run


@pytest.fixture
def sound(tmp_path: Path) -> Callable[[str], str]:
    """A sound file in a made-up voice."""

    def write(name: str) -> str:
        path = tmp_path / f"{name}.wav"
        path.write_bytes(spoken(name))
        return str(path)

    return write


def test_the_way_of_a_person(service: Running, say: Say, sound: Callable[[str], str], tmp_path: Path) -> None:
    """Invited by the owner, agreeing herself, enrolled, recognized, forgotten; the receipt verifies offline."""
    ada = say("person", "add", "Ada")["id"]
    assert [one["display_name"] for one in say("person", "list")] == ["Ada"]
    me = say("person", "join", say("person", "invite", "ada")["code"])["token"]
    missing = say("enroll", "ada", sound("ada"), token=me, code=2)["error"]
    assert (missing["type"], missing["missing"]) == ("/problems/consent-missing", ["save_recordings", "voice_id"])
    for purpose in ("save_recordings", "voice_id", "transcripts"):
        assert say("consent", "grant", "Ada", purpose, "--yes", token=me)["change"] == "granted"
    few = say("enroll", ada, sound("ada"), token=me, code=2)["error"]
    assert few["type"] == "/problems/not-enough-takes"
    assert say("enroll", "ADA", *[sound("ada")] * 4, token=me)["takes"] == 4
    assert say("person", "change", "ada", "--preferences", '{"city": "Lisbon"}', token=me)["display_name"] == "Ada"
    assert say("person", "show", "ada", token=me)["preferences"] == {"city": "Lisbon"}

    answer = say("recognize", sound("ada"), "--intent", "weather", "--transcript", "rain?", "--explain")
    assert answer["response"]["text"] == "Ada, here is the weather in Lisbon."
    assert answer["score"] > answer["threshold"]
    assert say("verify", "ada", sound("ada"), token=me)["accepted"]

    kept = say("recordings", "list", "ada", token=me)
    target = tmp_path / "one.flac"
    say("recordings", "fetch", "ada", kept[0]["id"], "--to", str(target), token=me)
    assert target.read_bytes().startswith(b"fLaC")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    twice = say("recordings", "fetch", "ada", kept[0]["id"], "--to", str(target), token=me, code=2)["error"]
    assert twice["detail"].startswith("to:")
    assert say("recordings", "delete", "ada", kept[0]["id"], "--yes", token=me)["state"] == "complete"
    (request,) = say("recordings", "requests", "ada", token=me)
    assert request["transcript"] == "rain?"
    assert say("recordings", "not-me", "ada", request["id"], token=me)["state"] == "complete"
    assert say("recordings", "forget", "ada", "--yes", token=me)["state"] == "complete"
    assert "recording heard" in {one["action"] for one in say("person", "activity", "ada", token=me)}
    granted = {one["purpose"] for one in say("consent", "show", "ada", token=me) if one["granted"]}
    assert granted == {"save_recordings", "voice_id", "transcripts"}

    receipt = say("revoke", "ada", "--yes", token=me)
    assert receipt["state"] == "complete"
    assert say("recognize", sound("ada"))["mode"] == "anonymous"
    assert say("receipt", "show", receipt["id"]) == receipt
    _verifies_offline(service, say, receipt, tmp_path)
    say("person", "leave", token=me)
    assert say("person", "show", "ada", token=me, code=2)["error"]["status"] == 401
    assert say("person", "remove", "ada", "--yes")["state"] == "complete"


def _verifies_offline(service: Running, say: Say, receipt: dict[str, Any], tmp_path: Path) -> None:
    with Client(service.url) as client:
        keys = client.keys()
    files = {"keys.json": keys, "no-keys.json": {"keys": []}, "receipt.json": receipt, "pending.json": {"jws": None}}
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "bare.jws").write_text(receipt["jws"] + "\n")
    (tmp_path / "changed.jws").write_text(receipt["jws"][:-4] + "AAAA")

    def verify(file: str, keys: str, code: int = 0) -> Any:
        nowhere = ("--url", "http://127.0.0.1:1")
        return say("receipt", "verify", str(tmp_path / file), "--keys", str(tmp_path / keys), *nowhere, code=code)

    for file in ("receipt.json", "bare.jws"):
        assert verify(file, "keys.json")["id"] == receipt["id"]
        assert say("receipt", "verify", str(tmp_path / file))["valid"]
    for file, trusted in (
        ("changed.jws", "keys.json"), ("pending.json", "keys.json"), ("bare.jws", "no-keys.json"),
        ("keys.json", "keys.json"), ("bare.jws", "bare.jws"),
    ):  # fmt: skip
        assert verify(file, trusted, code=2)["error"]["type"] == "/problems/receipt-invalid", (file, trusted)


def test_the_household_and_its_tokens(service: Running, say: Say) -> None:
    assert say("household", "show")["id"] == service.household
    assert say("household", "change", "--name", "The burrow")["name"] == "The burrow"
    minted = say("token", "mint", "skill", "weather", "--skill", "weather")
    assert minted["token"].startswith("vid_")
    assert minted["id"] in {one["id"] for one in say("token", "list")}
    assert say("token", "revoke", minted["id"]) is None
    made = say("household", "add", "Next door", "--locale", "de-DE", token=service.admin)
    assert made in say("household", "list", token=service.admin)
    elsewhere = ("--household", made["id"])
    assert say("household", "show", *elsewhere, token=service.admin) == made
    assert say("household", "remove", "--yes", *elsewhere, token=service.admin)["state"] == "complete"
    mia = say("person", "add", "Mia")["id"]
    child = say("person", "add", "Noa", "--kind", "child", "--guardian", "mia")
    assert child["kind"] == "child"
    me = say("person", "join", say("person", "invite", "mia")["code"])["token"]
    assert [one["id"] for one in say("person", "guardians", "noa", token=me)] == [mia]
    assert [one["id"] for one in say("person", "guardians", "noa", "--guardian", mia, token=me)] == [mia]


def test_a_name_must_mean_one_person(say: Say) -> None:
    for _ in range(2):
        say("person", "add", "Sam")
    assert "2 people" in say("person", "show", "sam", code=2)["error"]["detail"]
    nobody = say("person", "show", "Nobody At All", code=2)["error"]
    assert nobody["type"] == "/problems/not-found"
    assert "At All" not in nobody["detail"]


WRONG = {
    "no such command": (["lisst"], "invalid-request"),
    "no such option": (["person", "list", "--nonsense"], "invalid-request"),
    "a missing argument": (["person", "add"], "invalid-request"),
    "a bad token": (["person", "list", "--token", "vid_x"], "invalid-request"),
    "no token": (["person", "list", "--token", ""], "not-authenticated"),
    "nobody there": (["policy", "--url", "http://127.0.0.1:1"], "service-unreachable"),
    "no such file": (["recognize", "no-such-file"], "not-found"),
    "no file and no microphone": (["recognize"], "invalid-request"),
    "a file that is no sound": (["recognize", __file__], "not-audio"),
    "no such purpose": (["consent", "grant", "a" * 24, "nonsense"], "invalid-request"),
    "preferences that are no object": (["person", "change", "a" * 24, "--preferences", "[1]"], "invalid-request"),
    "another household's person": (["person", "show", "a" * 24], "not-found"),
    "retain without its word": (["retain"], "invalid-request"),
    "a model that nobody pinned": (["model", "pull", "nonsense"], "unpinned-model"),
    "a corpus that is none": (["eval", "no-such-folder"], "invalid-request"),
}


@pytest.mark.parametrize(("words", "code"), WRONG.values(), ids=WRONG)
def test_a_failure_is_one_line_and_exit_code_2(
    words: list[str], code: str, say: Say, service: Running, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("VOICEID_TOKEN", service.owner)
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(rf"(.*\n)*voiceid: [^\n]+ \[{code}\]\n", err), err
    assert len([line for line in err.splitlines() if line.startswith("voiceid:")]) == 1


def test_where_nobody_can_be_asked_nothing_is_done(
    say: Say, service: Running, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICEID_TOKEN", service.owner)
    person = say("person", "add", "Kim")["id"]
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert cli.main(["person", "remove", person]) == 1
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert cli.main(["person", "remove", person]) == 1
    assert "nothing was done" in capsys.readouterr().err
    assert say("person", "show", person)["entry"]["display_name"] == "Kim"


def test_a_yes_is_given_to_the_wording_that_was_shown(
    service: Running, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, token = joined(service, "Ada B")
    monkeypatch.setenv("VOICEID_TOKEN", token)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert cli.main(["consent", "grant", ada, "share:weather", "--url", service.url, "--language", "de", "--json"]) == 0
    out, err = capsys.readouterr()
    record = json.loads(out)
    assert (record["method"], record["language"]) == ("screen", "de")
    assert "weather" in err
    with Client(service.url, token) as me:
        words = next(one for one in me.policy("de")["purposes"] if one["purpose"] == "share:example")
        assert words["text"].replace("example", "weather") in err
        assert me.consents(ada).purposes


def test_every_command_shows_something_readable(service: Running, capsys: pytest.CaptureFixture[str]) -> None:
    with Client(service.url, service.owner) as owner:
        owner.add_person("[bold]Zed")
    for words in (["person", "list"], ["household", "show"], ["policy"], ["token", "list"], ["model", "list"]):
        where = [] if words[0] == "model" else ["--url", service.url, "--token", service.owner]
        assert cli.main([*words, *where]) == 0
    shown = capsys.readouterr().out
    assert "[bold]Zed" in shown
    assert "Save recordings of my voice" in shown


def _commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, part in getattr(command, "commands", {}).items():
        yield from _commands(part, (*words, name))
    if not hasattr(command, "commands"):
        yield words, command


COMMANDS = dict(_commands(typer.main.get_command(cli.app)))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_says_what_it_is_for_and_prints_json(words: tuple[str, ...]) -> None:
    command = COMMANDS[words]
    assert command.help, words
    options = {name for parameter in command.params for name in parameter.opts}
    assert "--json" in options
    assert cli.main([*words, "--help"]) == 0


def serve(folder: Path, *options: str, **settings: str) -> subprocess.Popen[str]:
    environment = {"VOICEID_DATA_DIR": str(folder / "data"), "VOICEID_KEYS_DIR": str(folder / "keys"), **settings}
    return subprocess.Popen(
        [sys.executable, "-m", "voiceid", "serve", *options], cwd=ROOT, text=True, env={**os.environ, **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.slow
def test_the_service_tells_its_first_tokens_once_and_logs_nothing_of_anybody(tmp_path: Path, voices: Path) -> None:
    first = serve(tmp_path, "--json", "--port", "0")
    assert first.stdout is not None
    ready = json.loads(first.stdout.readline())
    assert set(ready) == {"url", "household", "admin_token", "owner_token"}
    with Client(ready["url"], ready["owner_token"]) as owner:
        assert owner.show_household().id == ready["household"]
        owner.add_person("Somebody Unforgettable")
        owner.recognize((voices / "ada" / "request_1.flac").read_bytes(), transcript="something unforgettable")
    first.send_signal(signal.SIGTERM)
    rest, log = first.communicate(timeout=30)
    assert rest == ""
    assert "nforgettable" not in log
    assert ready["owner_token"] not in log

    again = serve(tmp_path, VOICEID_PORT="0")
    assert again.stdout is not None
    link = again.stdout.readline()
    found = re.fullmatch(r"voiceid is ready: (http://127\.0\.0\.1:\d+)/#(\w+)\n", link)
    assert found is not None, link
    with Client(found[1]) as door:
        session = door.sign_in(found[2])
        assert (session.household, session.person) == (ready["household"], None)
    again.send_signal(signal.SIGINT)
    rest, _ = again.communicate(timeout=30)
    assert rest == ""


def refused(folder: Path, *options: str, **settings: str) -> str:
    ended = serve(folder, *options, **settings)
    out, err = ended.communicate(timeout=60)
    assert (ended.returncode, out) == (2, "")
    assert not (folder / "data").exists()
    return err.splitlines()[-1]


def test_plain_http_stays_on_this_machine(tmp_path: Path) -> None:
    assert "not loopback" in refused(tmp_path, "--host", "0.0.0.0", "--port", "0")
    assert service_run.is_loopback("127.9.9.9")
    assert service_run.is_loopback("::1")
    assert service_run.is_loopback("localhost")
    assert not any(map(service_run.is_loopback, ("192.168.1.5", "::", "home.example", "localhost.example")))


def test_a_service_that_cannot_start_says_why_and_makes_nothing(tmp_path: Path, service: Running) -> None:
    port = service.url.rsplit(":", 1)[1]
    assert refused(tmp_path, "--port", port).endswith(f"port {port} is taken by another program; 0 finds a free one "
                                                      "[invalid-settings]")  # fmt: skip
    assert "VOICEID_PROT" in refused(tmp_path, VOICEID_PROT="1")
    assert "VOICEID_PORT" in refused(tmp_path, VOICEID_PORT="many")


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which commands that open files look for data and keys."""
    monkeypatch.setenv("VOICEID_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("VOICEID_KEYS_DIR", str(tmp_path / "keys"))
    return tmp_path


def examined(capsys: pytest.CaptureFixture[str], code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert cli.main(["doctor", "--json"]) == code
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert report["ok"] == (code == 0)
    return report | {check["name"]: check for check in report["checks"]}


def test_the_doctor_is_content_where_nothing_is_set_up_yet(
    installation: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = examined(capsys)
    assert report["torch"] is (importlib.util.find_spec("torch") is not None)
    assert "nothing is set up" in report["installation"]["detail"]
    assert "GDPR" in report["consent rule"]["detail"]
    assert list(installation.iterdir()) == []


def test_the_doctor_finds_what_is_wrong_and_says_how_to_mend_it(
    installation: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(installation) as started:
        joined(started, "Ada")
        assert "rows" in examined(capsys)["ledger and activity"]["detail"]
    database = installation / "data" / "voiceid.db"

    database.chmod(0o644)
    wrong = examined(capsys, 1)["modes of data"]
    assert ("voiceid.db" in wrong["detail"], "chmod" in wrong["mend"]) == (True, True)
    database.chmod(0o600)

    monkeypatch.setenv("VOICEID_KEYS_DIR", str(installation / "data" / "keys"))
    assert "VOICEID_KEYS_DIR" in examined(capsys, 1)["key store apart"]["mend"]
    monkeypatch.setenv("VOICEID_KEYS_DIR", str(installation / "other"))
    assert "keys-unavailable" in examined(capsys, 1)["database and key store"]["detail"]
    monkeypatch.setenv("VOICEID_KEYS_DIR", str(installation / "keys"))
    monkeypatch.setenv("VOICEID_ENCODER", "no-such-folder")
    assert not examined(capsys, 1)["encoder"]["ok"]
    monkeypatch.delenv("VOICEID_ENCODER")
    monkeypatch.setenv("VOICEID_PROT", "1")
    assert "VOICEID_PROT" in examined(capsys, 1)["settings"]["detail"]
    monkeypatch.delenv("VOICEID_PROT")
    assert examined(capsys)["ok"]

    connection = sqlite3.connect(database)
    with connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE activity SET action = 'nothing at all' WHERE seq = 1")
    connection.close()
    assert "ledger-broken" in examined(capsys, 1)["ledger and activity"]["detail"]


def test_what_has_run_out_is_erased_at_once(installation: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["retain", "--now"]) == 2
    assert "nothing is set up" in capsys.readouterr().err
    assert list(installation.iterdir()) == []
    with running(installation) as started:
        ada, token = joined(started, "Ada")
        with Client(started.url, token) as me:
            policy = me.policy()["version"]
            soon = datetime.now(UTC) + timedelta(seconds=1)
            for purpose, ends in (("save_recordings", None), ("voice_id", soon)):
                me.decide(ada, purpose, ConsentDecision("granted", policy, "en", "api", expires_at=ends))
            enrollment = me.start_enrollment(ada)
            me.add_take(ada, enrollment.id, spoken("ada"))
    time.sleep(1.1)
    assert cli.main(["retain", "--now", "--json"]) == 0
    receipts = json.loads(capsys.readouterr().out)
    assert receipts
    assert all(receipt["state"] == "complete" and receipt["person"] == ada for receipt in receipts)


@pytest.mark.slow
def test_another_encoder_carries_over_whoever_kept_recordings(
    installation: Path, voices: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Home(installation, real=voices) as home:
        home.clock = Clock()
        home.enrolls("ada", "ben")
        for take in home.ok("GET", f"{home['ben'].path}/recordings", home["ben"].headers)["items"]:
            home.ok("DELETE", f"{home['ben'].path}/recordings/{take['id']}", home["ben"].headers)
        ada, ben = home["ada"].id, home["ben"].id
    connection = sqlite3.connect(installation / "data" / "voiceid.db")
    with connection:
        connection.execute("UPDATE voiceprint SET encoder = 'another@1'")
    connection.close()
    assert cli.main(["model", "use", "campplus", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["carried"], done["must_enroll_again"]) == ([ada], [ben])
    assert cli.main(["model", "use", "campplus", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["already"] == 1


def test_models_are_listed_with_the_one_in_use(installation: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["model", "list", "--json"]) == 0
    listed = {model["name"]: model for model in json.loads(capsys.readouterr().out)}
    assert listed["campplus"] == {"name": "campplus", "here": True, "in_use": True}
    assert listed["ecapa"]["here"] is False


@pytest.mark.slow
def test_the_corpus_of_somebody_is_measured(
    voices: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for who in ("ada", "ben", "cleo", "dan"):
        (tmp_path / "corpus" / f"home_{who}").mkdir(parents=True)
        for clip in sorted((voices / who).glob("*.flac")):  # the 4 that are enrolled from, and 6 requests
            (tmp_path / "corpus" / f"home_{who}" / clip.name).symlink_to(clip)
    words = ["eval", "corpus", "--size", "2", "--draws", "2", "--channel", "clean"]
    assert cli.main([*words, "--json", "figures.json"]) == 0
    report = json.loads((tmp_path / "figures.json").read_text())
    assert "home" in report["corpora"]
    assert cli.main([*words, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out) == report


def test_settings_are_those_of_the_shell(installation: Path) -> None:
    assert Settings.from_environment().data_dir == installation / "data"

"""The command line does what the API does, in one line of error or one document, with the same codes."""

import io
import json
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from running import Running, joined, running, spoken

from voiceid import cli
from voiceid.cli import commands
from voiceid.client import Client

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


COMMANDS = dict(_commands(typer.main.get_command(commands.application())))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_says_what_it_is_for_and_prints_json(words: tuple[str, ...]) -> None:
    command = COMMANDS[words]
    assert command.help, words
    options = {name for parameter in command.params for name in parameter.opts}
    assert "--json" in options
    assert cli.main([*words, "--help"]) == 0

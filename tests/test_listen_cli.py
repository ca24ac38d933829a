"""`voiceid listen` and the client's live connection, over a real socket."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import PageServer, microphone

from voiceid.cli import main
from voiceid.client import Client
from voiceid.errors import InvalidRequest, NotAuthenticated, ServiceUnreachable


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, voices: Path) -> Iterator[PageServer]:
    started = PageServer(tmp_path_factory.mktemp("home"))
    started.enroll(voices, "ada")
    yield started
    started.stop()


@pytest.fixture
def sound(tmp_path: Path, voices: Path) -> Path:
    return microphone(tmp_path / "said.wav", voices, (0.5, "ada/request_1", 1.2, "guest_eve/request_1"))


def run(server: PageServer, *words: str) -> int:
    return main(["listen", *words, "--url", server.url, "--token", server.owner_token])


def test_a_file_is_listened_to_as_if_it_were_spoken(
    server: PageServer, sound: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(server, str(sound), "--json", "--intent", "weather") == 0
    told = capsys.readouterr()
    decisions = json.loads(told.out)
    assert [one["person"] and one["person"]["display_name"] for one in decisions] == ["Ada", None]
    assert "weather" in decisions[0]["response"]["text"]
    assert "Ada, I think" in told.err
    assert "stored: nothing" in told.err


def test_what_is_shown_to_people_names_each_utterance(
    server: PageServer, sound: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(server, str(sound)) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "Ada: " in first
    assert "anonymous (unknown_voice): " in second


def test_silence_ends_without_a_decision(server: PageServer, tmp_path: Path, voices: Path) -> None:
    with Client(server.url, server.owner_token) as client:
        quiet = microphone(tmp_path / "quiet.wav", voices, (1.0,)).read_bytes()[44:]
        events = list(client.listen(quiet[at : at + 3200] for at in range(0, len(quiet), 3200)))
    assert [event["type"] for event in events] == ["listening"]


def test_a_refusal_is_raised_as_the_error_of_the_service(server: PageServer) -> None:
    with Client(server.url, f"vid_{server.household}_{'a' * 52}") as client, pytest.raises(NotAuthenticated):
        list(client.listen([bytes(3200)]))
    with Client(server.url, server.owner_token) as client, pytest.raises(InvalidRequest):
        list(client.listen([bytes(7)] * 2))
    with Client("http://127.0.0.1:9", server.owner_token) as client, pytest.raises(ServiceUnreachable):
        list(client.listen([]))


def test_either_a_file_or_a_microphone(server: PageServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(server) == 2
    assert "either a sound file or --mic" in capsys.readouterr().err

"""The demo goes well, notices every protection that is taken out, and leaves nothing behind."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from machine import ROOT, absent
from rich.console import Console

from voiceid import cli
from voiceid.cli.demo import Screen
from voiceid.decode import decode
from voiceid.demo import Report, Silent, Step, play, play_live
from voiceid.demo.cast import GUESTS, MEMBERS, REQUESTS
from voiceid.demo.server import new_home
from voiceid.errors import MissingExtra, NotFound, ServiceUnreachable
from voiceid.microphone import record

DEMO = (sys.executable, "-m", "voiceid", "demo")


def sabotaged(control: str) -> Sequence[str]:
    return (sys.executable, str(ROOT / "tests/sabotaged_server.py"), control, "serve", "--json")


def wrong(report: Report) -> set[str]:
    return {step.name for step in report.steps if not step.ok}


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the demo makes its directories, so that a test sees whether they are gone."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@pytest.mark.slow
def test_the_demo_goes_well_and_prints_one_document(scratch: Path) -> None:
    """Without any network but loopback, where this machine lets a test take it away."""
    alone = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    may = subprocess.run([*alone, "true"], check=False, capture_output=True).returncode == 0
    done = subprocess.run(
        [*(alone if may else []), *DEMO, "--json"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"]) == (0, True), report
    assert all(set(step) == {"name", "expected", "found", "ok"} for step in report["steps"])
    assert len(report["steps"]) > 30
    assert list(scratch.iterdir()) == []
    if not may:
        absent("needs root, to take the network away; without it the demo went well")


@pytest.mark.slow
def test_the_demo_can_be_watched_and_drawn(scratch: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    picture = tmp_path_factory.mktemp("picture") / "demo.svg"
    done = subprocess.run([*DEMO, "--svg", str(picture)], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ben takes everything back" in done.stdout
    svg = picture.read_text()
    assert "Ada" in svg
    assert re.findall(r"url\(\"?https?:|href=\"https?:", svg) == []


EXPECTED_TO_FAIL = {
    "gate": {"Cleo is no longer named"},
    "purge": {
        "Nothing of his voice or words is left, the copy included", "Nothing of him is left, not even his name",
    },
    "keys": {"Nothing of his voice or words is left, the copy included", "Nothing of him is left, not even his name"},
    "encryption": {
        "Nothing of his voice or words is left, the copy included", "Nothing of him is left, not even his name",
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("control", EXPECTED_TO_FAIL)
def test_the_demo_notices_what_was_taken_out(control: str, scratch: Path) -> None:
    report = play(Silent(), sabotaged(control))
    assert not report.ok
    assert wrong(report) >= EXPECTED_TO_FAIL[control]
    if control != "purge":  # without a purge no receipt is complete either
        assert wrong(report) == EXPECTED_TO_FAIL[control]
    assert list(scratch.iterdir()) == []


def test_the_command_exits_with_1_when_something_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("voiceid.demo.play", lambda _show: Report(ok=False, steps=[Step("a", "1", "2", ok=False)]))
    assert cli.main(["demo", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "ok": False, "steps": [{"name": "a", "expected": "1", "found": "2", "ok": False}],
    }  # fmt: skip
    assert cli.main(["demo"]) == 1
    assert "NOT as expected" in capsys.readouterr().out


def test_a_server_that_does_not_start_is_told(scratch: Path) -> None:
    command = (sys.executable, "-c", "import sys; print('hello'); sys.exit('the reason')")
    with pytest.raises(ServiceUnreachable, match="the reason"), new_home(command):
        pass
    report = play(Silent(), command)
    assert [(step.name, step.ok) for step in report.steps] == [("The story goes on", False)]
    assert list(scratch.iterdir()) == []


def test_settings_of_the_shell_do_not_reach_the_server(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEID_DATABASE_URL", "postgresql://elsewhere")
    told = "import json, os; print(json.dumps(dict(url='', household='', owner_token=str(sorted(os.environ)))))"
    with new_home((sys.executable, "-c", told)) as home:
        assert "VOICEID_DATABASE_URL" not in home.owner_token
        assert "VOICEID_DATA_DIR" in home.owner_token


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_demo_leaves_nothing_behind(how: signal.Signals, scratch: Path) -> None:
    demo = subprocess.Popen([*DEMO, "--json"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not list(scratch.glob("voiceid-demo-*/data/voiceid.db")):
        time.sleep(0.05)
        assert demo.poll() is None
    demo.send_signal(how)
    out, _ = demo.communicate(timeout=60)
    assert demo.returncode not in (0, None)
    assert out == b""
    assert list(scratch.iterdir()) == []
    assert _servers_of(scratch) == []


def _servers_of(folder: Path) -> list[int]:
    """Processes that still work in this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder) in (process / "environ").read_text(errors="replace") and int(process.name) != os.getpid():
                found.append(int(process.name))
        except OSError:
            continue
    return found


class Visitor(Silent):
    """Somebody before the microphone who answers every question alike."""

    def __init__(self, says: bool) -> None:  # noqa: FBT001 - the one thing it is about
        self._says = says
        self.heard: list[str] = []

    def ask(self, question: str) -> bool:
        return self._says

    def tell(self, text: str) -> None:
        self.heard.append(text)


def microphone(voices: Path, *clips: str) -> Callable[[float], bytes]:
    """Hears the clips one after the other."""
    sounds: Iterator[bytes] = iter([(voices / "ben" / f"{clip}.flac").read_bytes() for clip in clips])
    return lambda _seconds: next(sounds)


@pytest.mark.slow
def test_a_visitor_is_enrolled_known_and_forgotten(voices: Path, scratch: Path) -> None:
    takes = [f"enroll_{number}" for number in range(1, 5)]
    listen = microphone(voices, "request_1", *takes, "request_2", "request_3")
    visitor = Visitor(says=True)
    report = play_live(visitor, listen=listen)
    assert report.ok, report
    assert "You are answered personally" in {step.name for step in report.steps}
    assert "Somebody, here is the weather." in visitor.heard
    assert list(scratch.iterdir()) == []


@pytest.mark.slow
def test_a_visitor_who_says_no_is_left_alone(voices: Path) -> None:
    report = play_live(Visitor(says=False), listen=microphone(voices, "request_1"))
    assert report.ok, report
    assert report.steps[-1].name == "You said no, and nothing of your voice is kept"


def test_without_the_extra_the_microphone_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingExtra, match=r"voiceid\[mic\]"):
        play_live(Silent())


def test_a_microphone_is_recorded_as_flac(monkeypatch: pytest.MonkeyPatch) -> None:
    class Device:
        """The part of sounddevice that is used."""

        class PortAudioError(Exception): ...

        broken = False

        def rec(self, frames: int, **options: object) -> object:
            if self.broken:
                raise self.PortAudioError("no device")
            assert options == {"samplerate": 16_000, "channels": 1, "dtype": "float32"}
            return np.zeros((frames, 1), np.float32)

        def wait(self) -> None: ...

    device = Device()
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    assert decode(record(2.0), max_s=10).duration_s == 2.0
    device.broken = True
    with pytest.raises(NotFound, match="no device"):
        record(1.0)


def test_everybody_says_something_of_their_own() -> None:
    words = [voice.words(clip) for voice in (*MEMBERS, *GUESTS) for clip in REQUESTS]
    assert len(set(words)) == len(words) == 42


def test_the_screen_shows_what_was_expected_where_it_was_not_found() -> None:
    shown = io.StringIO()
    screen = Screen(Console(file=shown, width=100))
    screen.step(Step("The answer", "[bold]42", "41", ok=False))
    with screen.waiting("a while", 2) as tick:
        tick()
    assert "✗ The answer: 41 (expected: [bold]42)" in shown.getvalue()


"""The commands that open files: serve, doctor, retain, model, eval. They say what is wrong and make nothing else."""

import importlib.util
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from home import Home
from machine import ROOT
from running import Running, joined, running, spoken

from voiceid import cli
from voiceid.client import Client
from voiceid.service import run as service_run
from voiceid.views import ConsentDecision


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("service")) as started:
        yield started


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
    assert set(ready) == {"url", "household", "admin_token", "owner_token", "lan_url", "fingerprint"}
    assert ready["lan_url"] is ready["fingerprint"] is None
    with Client(ready["url"], ready["owner_token"]) as owner:
        assert owner.show_household().id == ready["household"]
        owner.add_person("Somebody Unforgettable")
        owner.recognize((voices / "ada" / "request_1.flac").read_bytes(), transcript="something unforgettable")
    first.send_signal(signal.SIGTERM)
    rest, log = first.communicate(timeout=30)
    assert (rest, log) == ("", "")

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
    words = ["eval", "corpus", "--size", "2", "--sizes", "2", "--draws", "2", "--channel", "clean"]
    assert cli.main([*words, "--json", "figures.json", "--report", "report"]) == 0
    report = json.loads((tmp_path / "figures.json").read_text())
    assert "home" in report["corpora"]
    assert report["pooled"]["corpora"]["clean"]["3"]["trials"]["speakers"] == 4
    assert "voiceid model pull ecapa" in report["peers"]["ecapa"]["missing"]
    assert "data:image/png" in (tmp_path / "report" / "report.html").read_text()
    assert report.pop("timing_ms")["all"] > 0
    assert cli.main([*words, "--json", "-"]) == 0
    again = json.loads(capsys.readouterr().out)
    again.pop("timing_ms")
    assert again == report
    assert cli.main([*words, "--protocol", "verification", "--json", "-"]) == 0
    assert "fnmr_at_fmr_1" in json.loads(capsys.readouterr().out)["corpora"]["home"]


def test_sizes_of_households_are_numbers(voices: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for sizes in ("1", "two", "2,-4"):
        assert cli.main(["eval", str(voices), "--sizes", sizes]) == 2
        assert "invalid-request" in capsys.readouterr().err

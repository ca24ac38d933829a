"""An export is everything of one person, for that person: readable, complete, nobody else's; and children grow up."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyrage
import pytest
from home import DIM, GATE, Home, decision, voice

from voiceid.decode import decode
from voiceid.errors import KeysUnavailable, PurgeIncomplete
from voiceid.service import keeping
from voiceid.store import tables

PASSPHRASE = "correct horse battery"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Ada and Ben are enrolled and were heard; Mia is Ada's child and will be of age on 20 March."""
    with Home(tmp_path_factory.mktemp("home")) as home:
        home.enrolls("ada", "ben")
        for name in ("ada", "ben"):
            home.grants(name, "transcripts", "adapt")
            assert home.asks(name)["stored"]
        home.withdraws("ada", "adapt")
        home.grants("ada", "share:lights").hears("ada", home.token("skill", "lights"), alike=0.78)
        home.joins("mia", kind="child", guardians=("ada",))
        home.ok("PATCH", home["mia"].path, home["ada"].headers, json={"of_age_on": "2026-03-20"})
        home.grants("mia", *GATE, "transcripts", by="ada").completes("mia", home.reads("mia", by="ada"), by="ada")
        yield home


@pytest.fixture
def home(prepared: Home, tmp_path: Path) -> Iterator[Home]:
    with prepared.twin(tmp_path) as home:
        yield home


def opened(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def exported(home: Home, name: str) -> dict[str, bytes]:
    return opened(home.call("GET", f"{home[name].path}/export", home[name].headers).content)


def test_it_holds_everything_that_is_kept(home: Home) -> None:
    files = exported(home, "ada")
    told: dict[str, Any] = {name: json.loads(files[name]) for name in files if name.endswith(("json", "jsonld"))}
    assert told["profile.json"]["display_name"] == "Ada"
    assert [one["transcript"] for one in told["interactions.json"]] == ["will it rain today"]
    numbers = np.frombuffer(bytes.fromhex(told["voiceprint.json"][0]["float32_little_endian_hex"]), "<f4")
    assert float(numbers[:DIM] @ voice("ada")) > 0.99
    sounds = [content for name, content in files.items() if name.startswith("recordings/")]
    assert len(sounds) == home.count(tables.recording, "ada") == 5
    assert all(decode(content, max_s=60).duration_s == 2.5 for content in sounds)
    assert [(one["skill"], len(one["pseudonym"])) for one in told["pseudonyms.json"]] == [("lights", 24)]
    assert len(told["ledger.json"]) == len([row for row in home.rows(tables.ledger) if row.person_id == home["ada"].id])
    receipts = [one for name, one in told.items() if name.startswith("receipts/")]
    assert "withdrawn:adapt" in {one["why"] for one in receipts}
    assert {one["action"] for one in told["activity.json"]} >= {"enrolled", "exported", "consent withdrawn"}
    assert json.loads(exported(home, "mia")["profile.json"])["guardians"] == [home["ada"].id]
    assert {"consents/iso-27560.json", "consents/dpv.jsonld", "consents/kantara.json"} <= set(files)
    assert b"<html" in files["index.html"]
    assert b"will it rain today" in files["index.html"]


def test_it_holds_nothing_of_anybody_else(home: Home) -> None:
    names = {"ben": "Benjamin Bartholomew", "mia": "Mia Magdalena"}  # a signature spells a short one by chance
    for name, long in names.items():
        home.ok("PATCH", home[name].path, home["ada" if name == "mia" else name].headers, json={"display_name": long})
    files = exported(home, "ada")
    others = {text.encode() for name, long in names.items() for text in (home[name].id, long)}
    assert [name for name, content in files.items() if any(other in content for other in others)] == []


def test_with_a_passphrase_it_opens_with_that_alone(home: Home) -> None:
    headers = {"Voiceid-Passphrase": PASSPHRASE}
    sealed = home.call("GET", f"{home['ada'].path}/export", home["ada"].headers, headers=headers).content
    assert sealed.startswith(b"age-encryption.org/v1")
    assert "profile.json" in opened(pyrage.passphrase.decrypt(sealed, PASSPHRASE))
    with pytest.raises(pyrage.DecryptError):
        pyrage.passphrase.decrypt(sealed, "another passphrase")


def test_what_is_erased_meanwhile_is_left_out_and_the_rest_arrives(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    traces, hear = home.services.exports._traces, home.services.exports._traces.hear
    gone: list[str] = []

    def late(*which: Any) -> bytes:
        if not gone:
            gone.append(which[-1])
            home.ok("DELETE", f"{home['ada'].path}/recordings/{which[-1]}", home["ada"].headers)
        return hear(*which)

    monkeypatch.setattr(traces, "hear", late)
    files = exported(home, "ada")
    assert f"recordings/{gone[0]}.flac" not in files
    assert sum(name.startswith("recordings/") for name in files) == 4
    assert any(name.startswith("receipts/") for name in files)


# Children.


def test_a_child_is_told_when_a_guardian_listens(home: Home) -> None:
    recording = next(row.recording_id for row in home.rows(tables.recording) if row.person_id == home["mia"].id)
    assert home.call("GET", f"{home['mia'].path}/recordings/{recording}", home["ada"].headers).is_success
    home.ok("GET", f"{home['mia'].path}/consents", home["ada"].headers)
    home.ok("GET", home["mia"].path, home["ada"].headers)
    told = home.ok("GET", f"{home['mia'].path}/activity", home["mia"].headers)["items"]
    mine = [one["action"] for one in told if home["ada"].id in one["who"]]
    assert mine[:3] == ["profile read", "consents read", "recording heard"]


def test_on_the_birthday_that_was_set_everything_lapses_until_they_decide(home: Home) -> None:
    home.clock.time = home.clock.time.replace(day=19)
    assert home.services.retention.run() == []
    home.clock.forward(days=1)
    (receipt,) = home.services.retention.run()
    assert (receipt.person, receipt.why.split(":")[0]) == (home["mia"].id, "expired")
    assert receipt.due_at is not None
    assert receipt.due_at.isoformat() == "2026-03-20T00:00:00+00:00"
    assert (home.count(tables.voiceprint, "mia"), home.count(tables.recording, "mia")) == (0, 0)
    mine = home["mia"]
    assert home.ok("PUT", f"{mine.path}/consents/voice_id", mine.headers, json=decision())["given_by"] == "self"


# A restored backup whose purges cannot be carried out again.


def test_a_backup_that_cannot_forget_again_is_refused_and_never_reveals(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping.backup(home.settings, tmp_path / "old.db")
    home.withdraws("ada")
    home.close()

    def refuse(*_: Any) -> None:
        raise KeysUnavailable("read-only")

    with monkeypatch.context() as patch:
        patch.setattr("voiceid.store.keys.FileKeyStore.destroy", refuse)
        with pytest.raises(PurgeIncomplete):
            keeping.restore(home.settings, tmp_path / "old.db")
        home._open()  # from here on it is pending, as anywhere else: every reader refuses
        assert (home.names("ada"), home.names("ben")) == (None, "ben")
        home.close()
    home._open()
    assert home.names("ada") is None
    assert home.count(tables.voiceprint, "ada") == 0

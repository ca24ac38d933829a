"""Every copy is reached: in the memory of another process, on PostgreSQL and in old dumps of it; every access shows."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from home import Home, voice, wav
from machine import ROOT
from postgres import PostgresServer
from sqlalchemy import create_engine, insert, select, update

from voiceid import respond
from voiceid.decode import decode
from voiceid.scan import Clip, Scanner, Text
from voiceid.service import doctor, wiring
from voiceid.store import tables
from voiceid.store.vault import Vault


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with Home(tmp_path_factory.mktemp("home")) as home:
        home.enrolls("ada", "ben").grants("ada", "transcripts", "human_review")
        assert home.asks("ada")["stored"]
        yield home


@pytest.fixture
def home(prepared: Home, tmp_path: Path) -> Iterator[Home]:
    with prepared.twin(tmp_path) as home:
        yield home


# Memory of other processes.


def test_another_process_lets_go_of_a_voice_that_was_withdrawn_here(home: Home) -> None:
    """Its index is never searched again; nor does it stay in memory until somebody asks."""
    with home.beside() as other:
        assert (home.names("ben"), other.names("ada")) == ("ben", "ada")
        home.withdraws("ada")
        index = other.services.recognizer.indexes
        assert index.count(home.id, home["ada"].id) == 1
        assert wiring.drop_stale(other.services) == 1
        assert index.held() == {}
        assert wiring.drop_stale(other.services) == 0


def test_a_current_index_stays_and_one_of_a_deleted_household_goes(home: Home) -> None:
    with home.beside() as other:
        assert other.names("ben") == "ben"
        assert wiring.drop_stale(other.services) == 0
        home.ok("DELETE", "", home.owner)
        assert wiring.drop_stale(other.services) == 1


# What a damaged row costs.


def test_a_row_that_names_no_key_keeps_nobody_from_being_forgotten(home: Home) -> None:
    with home.services.store.database.writer() as tx:
        tx.execute(update(tables.transcript).values(key_id="no key at all"))
    assert home.withdraws("ada")["state"] == "complete"
    assert home.count(tables.transcript) == 0
    home.restarts()


# Activity.


def test_no_path_reaches_a_recording_without_an_entry(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever opens one has entered it before; a review and an export too."""
    opened: list[tuple[str, int]] = []
    entered = [home.count(tables.activity)]
    really = Vault.open

    def watched(self: Vault, place: Any, key_id: str, sealed: bytes) -> bytes:
        if place.kind == "recording":
            opened.append((place.record, home.count(tables.activity)))
            assert home.count(tables.activity) > entered[-1]
            entered.append(home.count(tables.activity))
        return really(self, place, key_id, sealed)

    monkeypatch.setattr(Vault, "open", watched)
    ada = home["ada"]
    one = home.kept("ada")["recording"]
    home.call("GET", f"{ada.path}/recordings/{one}", ada.headers)
    home.call("GET", f"{ada.path}/export", ada.headers)
    body = {"recording": one, "reviewer": "Vera", "reason": "a wrong name"}
    review = home.ok("POST", f"{ada.path}/reviews", ada.headers, json=body)
    home.call("GET", f"{ada.path}/recordings/{one}", {"Authorization": f"Bearer {review['token']}"})
    assert [record for record, _ in opened].count(one) == 3
    shown = home.ok("GET", f"{ada.path}/activity", ada.headers, params={"limit": 100})["items"]
    heard = [entry for entry in shown if entry["action"] == "recording heard"]
    assert len(heard) == len(opened)


def test_recordings_are_opened_in_two_places_alone() -> None:
    """Both are watched: `hear`, which every route takes, and the change to another encoder."""
    sources = [path for name in ("voiceid", "enrollment") for path in (ROOT / name).rglob("*.py")]
    users = {path.name for path in sources if "vault.open(" in (text := path.read_text()) and '"recording"' in text}
    assert users <= {"traces.py", "reembed.py"}


# A household's own texts are in no cache.


def test_a_households_own_text_stays_in_no_cache(home: Home) -> None:
    text = "Good evening from Quellwort Lane"
    body = {"personal": text, "anonymous": text}
    home.ok("PUT", "responses/greeting", home.owner, json=body)
    before = respond._kept.cache_info().currsize
    for who in ("ada", "eve"):
        assert home.hears(who)["response"]["text"] == text
    assert respond._kept.cache_info().currsize == before


# An export is kept nowhere.


def test_what_is_being_erased_is_not_exported_either(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enrollment.purge.Purge.run", lambda self, where, purge: self.receipt(where, purge))
    home.call("DELETE", f"{home['ada'].path}/voiceprint", home["ada"].headers)
    told = home.services.exports._voiceprints(home.id, home["ada"].id)
    assert (told, home.count(tables.voiceprint, "ada")) == ([], 1)


def test_an_export_leaves_no_file(home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any) -> None:
    scratch = tmp_path_factory.mktemp("scratch")
    monkeypatch.setenv("TMPDIR", str(scratch))
    before = {path for path in home.root.rglob("*") if path.suffix != ".db-shm"}
    for headers in ({}, {"Voiceid-Passphrase": "correct horse battery"}):
        assert home.call("GET", f"{home['ada'].path}/export", home["ada"].headers, headers=headers).is_success
    assert list(scratch.iterdir()) == []
    assert {path for path in home.root.rglob("*") if path.suffix != ".db-shm"} == before


# PostgreSQL.


def _dumped(url: str, file: Path) -> Path:
    """Every row, as a dump of the database would carry it away."""
    here, there = create_engine(url), create_engine(f"sqlite:///{file}")
    tables.metadata.create_all(there)
    with here.connect() as source, there.begin() as target:
        for table in tables.metadata.sorted_tables:
            if rows := source.execute(select(table)).mappings().all():
                target.execute(insert(table), [dict(row) for row in rows])
    here.dispose()
    there.dispose()
    return file


def _said() -> bytes:
    """In Ada's voice, and like nothing else."""
    samples = np.random.default_rng(11).uniform(-0.5, 0.5, 40_000).astype(np.float32)
    samples[: len(voice("ada"))] = voice("ada") * 0.9
    return wav(samples)


def test_nothing_is_left_on_postgres_nor_in_a_dump_of_it_from_before(
    tmp_path: Path, postgres: PostgresServer, postgres_url: str
) -> None:
    """The server's own files, its log included, hold nothing in the clear; a dump opens with no key that is left."""
    sound = Clip("sound", decode(_said(), max_s=60).samples)
    scanner = Scanner([Text("name", "Zyxandra Quellwort"), Text("words", "the violet lighthouse hums"), sound])
    with Home(tmp_path / "home", database_url=postgres_url) as home:
        home.enrolls("ada").grants("ada", "transcripts")
        home.ok("PATCH", home["ada"].path, home["ada"].headers, json={"display_name": "Zyxandra Quellwort"})
        form = {"audio": ("a.wav", _said(), "audio/wav")}
        said = {"transcript": "the violet lighthouse hums at noon"}
        assert home.ok("POST", "recognize", home.owner, files=form, data=said)["stored"]
        (tmp_path / "dumps").mkdir()
        looked = [tmp_path / "dumps", tmp_path / "home" / "keys"]
        _dumped(postgres_url, tmp_path / "dumps" / "before.db")
        assert {found.marker for found in scanner.scan(looked)} == {"name", "words", "sound"}
        assert scanner.scan([postgres.socket_dir]) == []
        home.withdraws("ada")
        home.ok("DELETE", home["ada"].path, home.owner)
        home.hears("eve")
        _dumped(postgres_url, tmp_path / "dumps" / "after.db")
        assert scanner.scan(looked) == []
        assert scanner.scan([postgres.socket_dir]) == []
        with sqlite3.connect(tmp_path / "dumps" / "before.db") as before:
            assert before.execute("SELECT count(*) FROM recording").fetchone() == (5,)
        assert json.dumps(home.ok("GET", "people", home.owner)).count("Quellwort") == 0
        assert [check for check in doctor._installation(home.settings, deep=True) if not check.ok] == []

"""The gate: off until said yes, read again at search time, and nothing of anybody who did not say it."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from home import BARS, GATE, MODEL, Home, clip, decision, voice
from sqlalchemy import text, update

from voiceid.consent import Permit, permit
from voiceid.decode import decode
from voiceid.errors import NoPurpose, StoreUnavailable
from voiceid.match import Index
from voiceid.ports import Actor, Gate, Request
from voiceid.store import tables
from voiceid.types import VOICE_ID, Embedding, PersonId


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Ada and Ben are enrolled; Cleo said yes and has not enrolled; Dan lives here and was never asked."""
    with Home(tmp_path_factory.mktemp("home")) as home:
        yield home.enrolls("ada", "ben").agrees("cleo").joins("dan")


@pytest.fixture
def home(prepared: Home, tmp_path: Path) -> Iterator[Home]:
    with prepared.twin(tmp_path) as home:
        yield home


def test_members_are_named_and_nobody_else(home: Home) -> None:
    assert [home.names(speaker) for speaker in ("ada", "ben", "cleo", "dan", "eve")] == ["ada", "ben", None, None, None]


def test_a_permit_for_nothing_is_refused(home: Home) -> None:
    gate = Gate(home.id, 1, {PersonId("ada"): frozenset()}, withheld=False)
    with pytest.raises(NoPurpose):
        permit(gate, frozenset())


GRANTED = [purposes for size in range(3) for purposes in combinations(GATE, size)]


@pytest.mark.parametrize("purposes", GRANTED, ids=lambda granted: "+".join(granted) or "nothing")
def test_nothing_is_written_before_consent(home: Home, purposes: tuple[str, ...]) -> None:
    """Under the default rule it takes both. Without them not a byte of any file changes."""
    home.grants("dan", *purposes)
    before = home.bytes_on_disk()
    started = home.call("POST", f"{home['dan'].path}/enrollments", home["dan"].headers)
    if set(purposes) == set(GATE):
        assert started.status_code == 201
        return
    assert started.status_code == 409
    assert started.json()["missing"] == sorted(set(GATE) - set(purposes))
    takes = home.call("POST", f"{home['dan'].path}/enrollments/{'a' * 24}/takes", home["dan"].headers,
                      **home.sound("dan"))  # fmt: skip
    assert takes.status_code == 409
    assert home.bytes_on_disk() == before


@pytest.mark.parametrize("speaker", ["eve", "dan", "cleo"])
def test_a_stranger_leaves_not_one_byte(home: Home, speaker: str) -> None:
    """A guest, a member who was not asked, one who agreed and is not enrolled."""
    home.hears("ada")
    before = home.bytes_on_disk()
    for alike in (1.0, 0.6, 0.3):
        answer = home.hears(speaker, alike=alike)
        assert (answer["person"], answer["stored"], answer["mode"]) == (None, False, "anonymous")
    assert home.bytes_on_disk() == before


@pytest.mark.parametrize("purpose", GATE)
def test_a_shut_gate_hides_a_voice_still_in_the_index(
    home: Home, monkeypatch: pytest.MonkeyPatch, purpose: str
) -> None:
    """Consent is read at search time, so a purge that comes late names no one."""
    assert home.names("ada") == "ada"
    monkeypatch.setattr("enrollment.purge.Purge.run", lambda self, household, purge: self.receipt(household, purge))
    home.ok("DELETE", f"{home['ada'].path}/consents/{purpose}", home["ada"].headers)
    indexes = home.services.recognizer.indexes
    assert indexes.count(home.id, home["ada"].id) == 1
    assert home.count(tables.voiceprint, "ada") == 1
    assert home.names("ada") is None
    assert home.names("ben") == "ben"


def test_the_index_scores_only_whom_the_permit_names(home: Home) -> None:
    home.names("ada")
    indexes, gate = home.services.recognizer.indexes, home.services.recognizer.consents.gate(home.id)
    whole = permit(gate, frozenset({VOICE_ID}))
    probe = Embedding(voice("ada"), MODEL)
    assert set(indexes.nearest(probe, among=whole).people) == {home["ada"].id, home["ben"].id}
    ben_alone = replace(whole, people=frozenset({home["ben"].id}))
    assert indexes.nearest(probe, among=ben_alone).people == (home["ben"].id,)
    assert len(indexes.nearest(probe, among=replace(whole, people=frozenset()))) == 0
    assert indexes.count(home.id, home["ada"].id) == 1


def test_scores_of_whoever_is_not_permitted_name_nobody(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets of people are told apart by their hash: should two ever share one, a name is looked up all the same."""
    ada = home["ada"]
    home.names("ada")

    def without_ada(gate: Gate, purposes: frozenset[str]) -> Permit:
        found = permit(gate, purposes)
        return replace(found, people=found.people - {ada.id})

    monkeypatch.setattr("voiceid.recognize.permit", without_ada)
    monkeypatch.setattr(Index, "_permitted", lambda index, _among: np.arange(len(index.people)))
    assert home.names("ada") is None
    assert home.call("POST", f"{ada.path}/verify", ada.headers, **home.sound("ada")).status_code == 409
    assert home.names("ben") == "ben"


def test_a_stricter_rule_shuts_the_gate_of_whoever_agreed_under_a_looser_one(tmp_path: Path) -> None:
    """Ada enrolled where voice ID needs no recordings; then the operator changes the rule."""
    with Home(tmp_path, consent_rule="unbundled") as home:
        home.joins("ada").grants("ada", "voice_id").enrolls_here("ada")
        assert home.names("ada") == "ada"
        home.settings = replace(home.settings, consent_rule="recordings")
        assert home.restarts().names("ada") is None
        home.grants("ada", "save_recordings")
        assert home.names("ada") == "ada"


def test_an_old_index_is_never_searched(home: Home) -> None:
    """The epoch is raised with every change of who may be found; an index of another epoch is built anew."""
    home.names("ada")
    indexes = home.services.recognizer.indexes
    held = indexes._held[home.id]
    home.grants("dan", *GATE)
    assert home.names("ada") == "ada"
    assert indexes._held[home.id].epoch > held.epoch
    assert not held.faiss_index.index.reconstruct(0).any()  # the old memory is overwritten


def test_a_withdrawal_elsewhere_is_seen_by_the_next_search(home: Home) -> None:
    """Another process withdraws: this one's index still holds the voice, and names nobody."""
    home.names("ada")
    with home.beside() as other:
        other.withdraws("ada", "voice_id")
    assert home.services.recognizer.indexes.count(home.id, home["ada"].id) == 1
    assert home.names("ada") is None


def test_a_deleted_voiceprint_is_gone_for_every_process_at_once(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Consent stands, so the gate alone would not help: the row must be out of reach before its key is destroyed."""
    assert home.names("ada") == "ada"
    monkeypatch.setattr("enrollment.purge.Purge.run", lambda self, household, purge: self.receipt(household, purge))
    home.ok("DELETE", f"{home['ada'].path}/voiceprint", home["ada"].headers)
    assert home.count(tables.voiceprint, "ada") == 1
    assert home.names("ada") is None
    assert home.services.recognizer.indexes.count(home.id, home["ada"].id) == 0


class ConsentGoes:
    """`ConsentRecords` that somebody withdraws from between the search and the use of the profile."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._book = home.services.recognizer.consents
        self.reads = 0

    def gate(self, household: Any, /) -> Gate:
        self.reads += 1
        if self.reads == 2:
            self._home.withdraws("ada", "voice_id")
        return self._book.gate(household)


def test_consent_is_read_again_before_a_profile_is_used(home: Home) -> None:
    going = ConsentGoes(home)
    recognizer = replace(home.services.recognizer, consents=going)
    asked = Request(decode(clip(voice("ada")), max_s=60))
    answer = recognizer.recognize(asked, home.id, Actor("owner", "x", home.id))
    assert going.reads == 2
    assert (answer.mode, answer.reason, answer.person, answer.stored) == ("anonymous", "unknown_voice", None, False)
    assert "Ada" not in answer.response.text


def test_expired_means_no(home: Home) -> None:
    soon = (home.clock.time.replace(hour=23)).isoformat()
    home.grants("ada", "voice_id", expires_at=soon)
    assert home.names("ada") == "ada"
    home.clock.forward(days=1)
    assert home.names("ada") is None
    (ada,) = [one for one in home.ok("GET", f"{home['ada'].path}/consents", home["ada"].headers)["purposes"]
              if one["purpose"] == "voice_id"]  # fmt: skip
    assert ada["granted"] is False


def test_an_unreadable_word_means_no_and_hurts_nobody_else(home: Home) -> None:
    """Somebody writes nonsense into the ledger, after the triggers were dropped: that person is anonymous."""
    with home.services.store.database.writer() as tx:
        tx.execute(text("DROP TRIGGER ledger_no_update"))
        tx.execute(
            update(tables.ledger)
            .where(tables.ledger.c.person_id == home["ada"].id, tables.ledger.c.purpose == "voice_id")
            .values(purpose="nonsense")
        )
    assert (home.names("ada"), home.names("ben")) == (None, "ben")


@pytest.mark.parametrize(
    "damage",
    [{"sealed": b""}, {"sealed": b"\0" * 60}, {"key_id": "nonsense"}, {"key_id": "0" * 40}, {"takes": 8}, {"takes": 0}],
    ids=str,
)  # fmt: skip
def test_a_damaged_voiceprint_names_nobody_and_hides_nobody(home: Home, damage: dict[str, Any]) -> None:
    with home.services.store.database.writer() as tx:
        mine = tables.voiceprint.c.person_id == home["ada"].id
        tx.execute(update(tables.voiceprint).where(mine).values(**damage))
    home.grants("dan", *GATE)  # raises the epoch
    assert (home.names("ada"), home.names("ben")) == (None, "ben")


def test_a_moved_voiceprint_names_nobody(home: Home) -> None:
    """Ben's row is given Ada's voice, key and all: it does not open there."""
    ada = next(row for row in home.rows(tables.voiceprint) if row.person_id == home["ada"].id)
    with home.services.store.database.writer() as tx:
        bens = tables.voiceprint.c.person_id == home["ben"].id
        tx.execute(update(tables.voiceprint).where(bens).values(key_id=ada.key_id, sealed=ada.sealed))
    home.grants("dan", *GATE)
    assert [home.names(speaker) for speaker in ("ada", "ben")] == ["ada", None]


def test_a_damaged_profile_is_anonymous(home: Home) -> None:
    with home.services.store.database.writer() as tx:
        tx.execute(update(tables.person).where(tables.person.c.person_id == home["ada"].id).values(sealed=b"short"))
    assert (home.names("ada"), home.names("ben")) == (None, "ben")
    assert "" in {one["display_name"] for one in home.ok("GET", "people", home.owner)["items"]}


def test_a_stopped_database_is_a_clear_error(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise StoreUnavailable

    for way in ("reader", "ask"):
        monkeypatch.setattr(home.services.store.database, way, stopped)
    answered = home.call("POST", "recognize", home.owner, **home.sound("ada"))
    assert answered.status_code == 503
    assert answered.headers["Retry-After"]


def test_an_encoder_never_meets_anothers_voiceprints(home: Home) -> None:
    with home.services.store.database.writer() as tx:
        mine = tables.voiceprint.c.person_id == home["ada"].id
        tx.execute(update(tables.voiceprint).where(mine).values(encoder="other@1"))
    home.grants("dan", *GATE)
    assert (home.names("ada"), home.names("ben")) == (None, "ben")


def test_two_who_are_too_close_are_ambiguous(home: Home) -> None:
    between = (voice("ada") + voice("ben")) / np.sqrt(2)
    answer = home.ok("POST", "recognize", home.owner, content=clip(between), headers={"content-type": "audio/wav"})
    assert answer["person"] is None
    assert BARS.apart > 0


def test_no_household_reaches_into_another(home: Home) -> None:
    """The same voice next door is a stranger there."""
    away = home.ok("POST", "/v1/households", home.admin, json={"name": "Next door"})["id"]
    minted = home.ok("POST", f"/v1/households/{away}/tokens", home.admin, json={"role": "owner", "label": "x"})
    theirs = {"Authorization": f"Bearer {minted['token']}"}
    answer = home.ok("POST", f"/v1/households/{away}/recognize", theirs, **home.sound("ada"))
    assert (answer["person"], answer["reason"]) == (None, "nobody_enrolled")


def test_a_denial_shuts_the_gate_like_a_withdrawal(home: Home) -> None:
    said = home.ok("PUT", f"{home['ada'].path}/consents/voice_id", home["ada"].headers, json=decision("denied"))
    assert home.ok("GET", f"/v1/receipts/{said['receipt']}")["state"] == "complete"
    assert home.names("ada") is None
    assert home.count(tables.voiceprint, "ada") == 0

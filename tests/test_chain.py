"""Ledger and activity: append-only, chained, and whatever is done to them shows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from home import Home
from sqlalchemy import Column, MetaData, String, Table, delete, func, select, text, update
from sqlalchemy.exc import DBAPIError

from voiceid.errors import LedgerBroken
from voiceid.ports import Actor
from voiceid.store import chain, tables
from voiceid.store.store import Store

CHAINED = [tables.ledger, tables.activity]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with Home(tmp_path_factory.mktemp("home")) as home:
        yield home.enrolls("ada").agrees("ben")


@pytest.fixture
def home(prepared: Home, tmp_path: Path) -> Iterator[Home]:
    with prepared.twin(tmp_path) as home:
        yield home


def _verified(home: Home, table: Table) -> int:
    with home.services.store.database.reader() as tx:
        return chain.verify(tx, table, home.id)


def _unguarded(home: Home, *statements: Any) -> None:
    """What somebody can do who holds the database's file: the triggers go first."""
    with home.services.store.database.writer() as tx:
        for table in CHAINED:
            for change in ("update", "delete"):
                tx.execute(text(f"DROP TRIGGER {table.name}_no_{change}"))
        for statement in statements:
            tx.execute(statement)


@pytest.mark.parametrize("table", CHAINED, ids=lambda table: table.name)
def test_every_row_follows_from_the_one_before(home: Home, table: Table) -> None:
    before = _verified(home, table)
    assert before == home.count(table) > 0
    home.withdraws("ada", "voice_id")
    assert _verified(home, table) > before


@pytest.mark.parametrize("change", ["UPDATE", "DELETE"])
@pytest.mark.parametrize("table", CHAINED, ids=lambda table: table.name)
def test_nothing_can_be_changed_or_taken_away(home: Home, table: Table, change: str) -> None:
    statement = f"UPDATE {table.name} SET seq = seq" if change == "UPDATE" else f"DELETE FROM {table.name}"
    with pytest.raises(DBAPIError, match="append-only"), home.services.store.database.writer() as tx:
        tx.execute(text(statement))
    assert _verified(home, table) > 0


def _of(home: Home, table: Table, seq: int) -> Any:
    return (table.c.household_id == home.id) & (table.c.seq == seq)


def _swap(home: Home, table: Table) -> list[Any]:
    moved = [(2, -2), (3, 2), (-2, 3)]
    return [update(table).where(_of(home, table, old)).values(seq=new) for old, new in moved]


def _forge(home: Home, table: Table) -> list[Any]:
    """Change a row and give it the link that fits: then the next one does not."""
    first, second = home.rows(table)[:2]
    changed = {**second._mapping, "person_id": "somebody"}
    link = chain._link(first.chain, table, changed)
    return [update(table).where(_of(home, table, 2)).values(person_id="somebody", chain=link)]


TAMPERINGS = {
    "a word changed": lambda home, table: [update(table).where(_of(home, table, 2)).values(person_id="somebody")],
    "a time changed": lambda home, table: [update(table).where(_of(home, table, 2)).values(at=home.clock())],
    "a row taken out": lambda home, table: [delete(table).where(_of(home, table, 3))],
    "the first row taken out": lambda home, table: [delete(table).where(_of(home, table, 1))],
    "two rows swapped": _swap,
    "a row forged": _forge,
    "a link replaced": lambda home, table: [update(table).where(_of(home, table, 2)).values(chain=bytes(32))],
}


@pytest.mark.parametrize("tampering", TAMPERINGS.values(), ids=TAMPERINGS)
@pytest.mark.parametrize("table", CHAINED, ids=lambda table: table.name)
def test_tampering_shows(home: Home, table: Table, tampering: Any) -> None:
    home.clock.forward(days=1)
    _unguarded(home, *tampering(home, table))
    with pytest.raises(LedgerBroken) as found:
        _verified(home, table)
    assert found.value.facts["table"] == table.name
    assert found.value.facts["row"] in {1, 2, 3}


def test_a_tail_that_was_cut_off_shows_against_the_receipt(home: Home) -> None:
    receipt = home.withdraws("ada", "voice_id")
    heads = {row.chain.hex() for row in home.rows(tables.ledger)}
    assert receipt["ledger_head"] in heads
    last = select(func.max(tables.ledger.c.seq)).scalar_subquery()
    _unguarded(home, delete(tables.ledger).where(tables.ledger.c.seq == last))
    assert _verified(home, tables.ledger) > 0  # what is left fits together
    assert receipt["ledger_head"] not in {row.chain.hex() for row in home.rows(tables.ledger)}


def test_households_have_chains_of_their_own(home: Home) -> None:
    away = home.ok("POST", "/v1/households", home.admin, json={"name": "Next door"})["id"]
    token = home.ok("POST", f"/v1/households/{away}/tokens", home.admin, json={"role": "owner", "label": "x"})
    theirs = {"Authorization": f"Bearer {token['token']}"}
    before = _verified(home, tables.activity)
    home.ok("POST", f"/v1/households/{away}/people", theirs, json={"display_name": "Zoe"})
    assert _verified(home, tables.activity) == before
    with home.services.store.database.reader() as tx:
        assert chain.verify(tx, tables.activity, away) == 1
        assert chain.head(tx, tables.ledger, away) is None


def test_a_column_that_comes_later_breaks_no_old_link() -> None:
    """Else the first migration of the ledger would make every older chain look tampered with."""
    grown = tables.ledger.to_metadata(MetaData())
    grown.append_column(Column("later", String, nullable=True))
    row = {"household_id": "h", "seq": 1, "event": "granted", "person_id": "p"}
    assert chain._link(chain.GENESIS, grown, row) == chain._link(chain.GENESIS, tables.ledger, row)
    assert chain._link(chain.GENESIS, grown, {**row, "later": "x"}) != chain._link(chain.GENESIS, grown, row)


def test_an_entry_and_what_it_tells_of_are_one(home: Home) -> None:
    """A read whose entry cannot be written hands nothing out."""

    class MuteStore(Store):
        def note(self, *_: Any, **__: Any) -> None:
            raise LedgerBroken

    real = home.services.store
    home.services.traces._store = MuteStore(real.database, real.vault, real.now)
    kept = home.rows(tables.recording)[0].recording_id
    answered = home.call("GET", f"{home['ada'].path}/recordings/{kept}", home["ada"].headers)
    assert answered.status_code == 500
    assert b"fLaC" not in answered.content


def test_the_ledger_holds_no_content(home: Home) -> None:
    """Names, texts, languages and methods are sealed elsewhere; here stand ids, words and digests."""
    with home.services.store.database.writer(home.id) as tx:
        home.services.store.note(tx, Actor("owner", "x", home.id), home.id, "said", None)
    told = repr([home.rows(table) for table in CHAINED])
    for content in ("Ada", "screen", "en-US"):
        assert content not in told

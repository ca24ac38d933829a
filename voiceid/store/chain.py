"""Append-only tables, each row sealed to the one before it: a change or a gap shows.

A tail that was cut off shows against the head that every later receipt states, signed.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Table, select

from voiceid.errors import LedgerBroken
from voiceid.types import HouseholdId

GENESIS = bytes(32)


def append(tx: Connection, table: Table, household: HouseholdId, row: Mapping[str, Any]) -> int:
    """Append one row within the household's write transaction; its place in the chain, from 1."""
    last = select(table.c.seq, table.c.chain).where(table.c.household_id == household)
    found = tx.execute(last.order_by(table.c.seq.desc()).limit(1)).first()
    seq, before = (found.seq + 1, found.chain) if found else (1, GENESIS)
    whole = {"household_id": household, "seq": seq, **row}
    tx.execute(table.insert().values(**whole, chain=_link(before, table, whole)))
    return int(seq)


def head(tx: Connection, table: Table, household: HouseholdId) -> str | None:
    """The newest link, hex; None for an empty chain."""
    last = select(table.c.chain).where(table.c.household_id == household).order_by(table.c.seq.desc()).limit(1)
    found = tx.execute(last).scalar()
    return found.hex() if found else None


def verify(tx: Connection, table: Table, household: HouseholdId) -> int:
    """Recompute every link; the number of rows.

    Raises: LedgerBroken, naming the first row that does not fit.
    """
    before, expected = GENESIS, 1
    for row in tx.execute(select(table).where(table.c.household_id == household).order_by(table.c.seq)).mappings():
        if row["seq"] != expected or _link(before, table, dict(row)) != row["chain"]:
            raise LedgerBroken(f"{table.name}: row {expected} does not fit", table=table.name, row=expected)
        before, expected = row["chain"], expected + 1
    return expected - 1


def _link(before: bytes, table: Table, row: Mapping[str, Any]) -> bytes:
    """Hash what a row says. What it leaves open does not count, so that a later column changes no old link."""
    said = {column.name: _plain(row.get(column.name)) for column in table.columns if column.name != "chain"}
    content = [[name, value] for name, value in said.items() if value is not None]
    return hashlib.sha256(before + json.dumps(content, separators=(",", ":")).encode()).digest()


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds")
        case bytes() | memoryview():
            return bytes(value).hex()
        case _:
            return value

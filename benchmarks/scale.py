"""A growing house: more households beside this one, more voices within one group."""

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.bench import Bench
from benchmarks.rows import Goal, Row, alternate, timed_row
from voiceid.consent import OPENS_THE_GATE, Permit, permit
from voiceid.match import Index, Indexes
from voiceid.service.wiring import open_store
from voiceid.settings import Settings
from voiceid.store import ids, tables
from voiceid.store.consents import ConsentBook
from voiceid.store.store import Store
from voiceid.store.vault import Place
from voiceid.store.voiceprints import VoiceprintShelf
from voiceid.types import Embedding, HouseholdId, ModelId, PersonId, Voiceprint

_MODEL = ModelId("benchmark@0")
_DIM, _TAKES, _MEMBERS = 192, 4, 4
_NEEDED = OPENS_THE_GATE["recordings"]
_BATCH = 2500
"""Households in one transaction."""
OF_PRODUCT = 1.3
_LARGEST = 100_000


def lookup(bench: Bench) -> Iterator[Row]:
    """Consents, epoch, index and scores of one household out of many, against the only one of another database."""
    alone = _Street(bench.folder("one"), 1)
    for count in (100,) if bench.quick else (100, 10_000):
        street = _Street(bench.folder("many"), count)
        for name, which in (("at random", street.anyone), ("asked again", street.the_same)):
            both = alternate(_asking(street, which), _asking(alone, alone.the_same), bench.seconds(6, 1), most=2000)
            yield timed_row(f"lookup in {count} households, {name}", both, "lookup in one household")


def search(bench: Bench) -> Iterator[Row]:
    """Scores of everybody in one group, against the bare matrix-vector product."""
    for count in (10, 1000) if bench.quick else (10, 1000, _LARGEST):
        people = [PersonId(f"{number:06d}") for number in range(count)]
        vectors = _unit(np.random.default_rng(1), count)
        index = Index.build(
            [Voiceprint(who, _MODEL, vector[np.newaxis]) for who, vector in zip(people, vectors, strict=True)],
            _MODEL, _DIM, 0,
        )  # fmt: skip
        leave = Permit(HouseholdId("group"), 0, frozenset(people), _NEEDED)
        probe = Embedding(vectors[count // 2], _MODEL)
        both = alternate(
            partial(index.nearest, probe, among=leave), partial(np.matmul, vectors, probe.vector), bench.seconds(8, 1)
        )
        goal = Goal("ratio", OF_PRODUCT) if count == _LARGEST else None
        yield timed_row(f"search among {count} voices", both, "matrix-vector product", goal)


@dataclass
class _Street:
    """A database with so many households, four members each, who have all agreed and enrolled with random voices."""

    folder: Path
    count: int

    def __post_init__(self) -> None:
        store = open_store(Settings(data_dir=self.folder / "data", keys_dir=self.folder / "keys"))
        self.homes = [HouseholdId(ids.new_id()) for _ in range(self.count)]
        for at in range(0, self.count, _BATCH):
            fill(store, self.homes[at : at + _BATCH])
        self.book = ConsentBook(store)
        self.indexes = Indexes(VoiceprintShelf(store), _MODEL, _DIM, at_most=Settings().index_cache)
        self._chance = random.Random(2)

    def anyone(self) -> HouseholdId:
        return self._chance.choice(self.homes)

    def the_same(self) -> HouseholdId:
        return self.homes[0]


def _asking(street: _Street, which: Callable[[], HouseholdId]) -> Callable[[], object]:
    probe = Embedding(_unit(np.random.default_rng(3), 1)[0], _MODEL)

    def ask() -> object:
        return street.indexes.nearest(probe, among=permit(street.book.gate(which()), _NEEDED))

    return ask


def fill(store: Store, homes: list[HouseholdId]) -> None:
    """Write households with their people, consents and voiceprints, many rows at a time."""
    now, chance = datetime.now(UTC), np.random.default_rng(4)
    people = [(home, PersonId(ids.new_id()), ids.new_id()) for home in homes for _ in range(_MEMBERS)]
    nobody = store.vault.seal_json(Place("", "", "household", ""), {})
    prints = store.vault.seal_all(
        [(Place(home, who, "voiceprint", name), _unit(chance, _TAKES).tobytes()) for home, who, name in people]
    )
    blank = {"key_id": nobody.key_id, "sealed": nobody.sealed, "created_at": now}
    households = [{"household_id": home, "epoch": 1, **blank} for home in homes]
    members = [
        {"household_id": home, "person_id": who, "kind": "adult", "verify_by_device": 0, **blank}
        for home, who, _ in people
    ]
    shelf = [
        {"household_id": home, "person_id": who, "voiceprint_id": name, "encoder": _MODEL, "key_id": one.key_id,
         "sealed": one.sealed, "takes": _TAKES, "cohesion": 0.9, "created_at": now, "last_used_on": now}
        for (home, who, name), one in zip(people, prints, strict=True)
    ]  # fmt: skip
    rows: list[tuple[Any, list[dict[str, Any]]]] = [
        (tables.household, households), (tables.person, members), (tables.voiceprint, shelf),
        (tables.ledger, list(_words(people, now))),
    ]  # fmt: skip
    with store.database.writer() as tx:
        for table, content in rows:
            tx.execute(table.insert(), content)


def _words(people: list[tuple[HouseholdId, PersonId, str]], now: datetime) -> Iterator[dict[str, Any]]:
    """What everybody has granted, as the ledger holds it; the chain is not read by a lookup and stays empty."""
    for _, members in itertools.groupby(people, key=lambda one: one[0]):
        granted = itertools.product(members, sorted(_NEEDED))
        for seq, ((home, who, _), purpose) in enumerate(granted, 1):
            yield {"household_id": home, "seq": seq, "at": now, "event": "granted", "person_id": who,
                   "purpose": purpose, "chain": bytes(32)}  # fmt: skip


def _unit(chance: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Random directions, shape (count, 192)."""
    vectors = chance.standard_normal((count, _DIM), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors

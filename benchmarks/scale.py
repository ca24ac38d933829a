"""A growing house: more voices within one group; and what fills a database with other households."""

import itertools
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.bench import Bench
from benchmarks.machine import timed
from benchmarks.rows import Goal, Row, paired, timed_row
from voiceid.consent import OPENS_THE_GATE, Permit
from voiceid.match import Index, Indexes
from voiceid.ports import Match
from voiceid.store import ids, tables
from voiceid.store.store import Store
from voiceid.store.vault import Place
from voiceid.types import Embedding, HouseholdId, ModelId, PersonId, Voiceprint

_CARD = json.loads((files("voiceid") / "encode" / "models" / "campplus.json").read_bytes())
MODEL = ModelId(f"campplus@{_CARD['sha256'][:12]}")
DIM, VIEWS, TAKES, MEMBERS = 192, 2, 1, 4
"""A voiceprint holds both views of each take; of one take here, or 100,000 households would fill gigabytes."""
NEEDED = OPENS_THE_GATE["recordings"]
BATCH = 2500
"""Households in one transaction."""
OF_PRODUCT, OF_A_SEARCH = 1.3, 1.0
_LARGEST = 100_000
_REMOVALS = 3
_NAMED = json.dumps({"name": "Home", "locale": "en-US"}).encode()


class _Group:
    """`Voiceprints` of one large group, out of memory."""

    def __init__(self, count: int) -> None:
        self.vectors = unit(np.random.default_rng(1), count)
        people = [PersonId(f"{number:06d}") for number in range(count)]
        self.permit = Permit(HouseholdId("group"), 0, frozenset(people), NEEDED)
        self.probe = Embedding(self.vectors[count // 2], MODEL)
        self.prints = [Voiceprint(who, MODEL, one[np.newaxis]) for who, one in zip(people, self.vectors, strict=True)]

    def of(self, household: HouseholdId, model_id: ModelId, people: frozenset[PersonId]) -> Sequence[Voiceprint]:  # noqa: ARG002 the port's
        return self.prints

    def removal(self) -> tuple[float, float]:
        """What it takes to overwrite and drop the index, as every withdrawal does, and to search it; seconds."""
        indexes = Indexes(self, MODEL, DIM, at_most=1, bars=None)
        searched = partial(_best, indexes, self)
        searched()  # builds it
        search_s = timed(searched)
        return timed(partial(indexes.forget, self.permit.household)), search_s


def _best(searched: Index | Indexes, group: _Group) -> Match:
    """Who is nearest, the scores in order and in words: what a decision looks at."""
    return searched.nearest(group.probe, among=group.permit)[0]


def search(bench: Bench) -> Iterator[Row]:
    """Scores of everybody in one group, against the bare matrix-vector product; and one person's removal."""
    for count in (10, 1000) if bench.quick else (10, 1000, _LARGEST):
        group = _Group(count)
        index = Index.build(group.prints, MODEL, DIM, 0)
        searched = partial(_best, index, group)
        both = bench.alternate(searched, partial(np.matmul, group.vectors, group.probe.vector), 6, 0.5)
        largest = count == _LARGEST
        goal = Goal("ratio", OF_PRODUCT) if largest else None
        yield timed_row(f"search among {count} voices", both, "matrix-vector product", goal)
        removals = [group.removal() for _ in range(_REMOVALS)]
        goal = Goal("ratio", OF_A_SEARCH) if largest else None
        removed = paired([one for one, _ in removals], [other for _, other in removals])
        yield timed_row(f"removal among {count} voices", removed, "search among them", goal)


def fill(store: Store, homes: list[HouseholdId]) -> None:
    """Write households with their people, consents and voiceprints, many rows at a time."""
    now, chance = datetime.now(UTC), np.random.default_rng(4)
    people = [(home, PersonId(ids.new_id()), ids.new_id()) for home in homes for _ in range(MEMBERS)]
    nobody = store.vault.seal_json(Place("", "", "household", ""), {})
    prints = store.vault.seal_all(
        [(Place(home, who, "voiceprint", name), unit(chance, TAKES * VIEWS).tobytes()) for home, who, name in people]
    )
    named = store.vault.seal_all([(Place(home, "", "household", home), _NAMED) for home in homes])
    blank = {"key_id": nobody.key_id, "sealed": nobody.sealed, "created_at": now}
    households = [
        {"household_id": home, "epoch": 1, "key_id": one.key_id, "sealed": one.sealed, "created_at": now}
        for home, one in zip(homes, named, strict=True)
    ]
    members = [
        {"household_id": home, "person_id": who, "kind": "adult", "verify_by_device": 0, **blank}
        for home, who, _ in people
    ]
    shelf = [
        {"household_id": home, "person_id": who, "voiceprint_id": name, "encoder": MODEL, "key_id": one.key_id,
         "sealed": one.sealed, "takes": TAKES, "cohesion": 0.9, "created_at": now, "last_used_on": now}
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
        granted = itertools.product(members, sorted(NEEDED))
        for seq, ((home, who, _), purpose) in enumerate(granted, 1):
            yield {"household_id": home, "seq": seq, "at": now, "event": "granted", "person_id": who,
                   "purpose": purpose, "chain": bytes(32)}  # fmt: skip


def unit(chance: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Random directions, shape (count, 192)."""
    vectors = chance.standard_normal((count, DIM), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors

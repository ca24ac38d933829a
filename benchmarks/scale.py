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
from benchmarks.rows import Compared, Goal, Row, paired, timed_row
from voiceid.calibration import Bars
from voiceid.consent import OPENS_THE_GATE, Permit
from voiceid.decide import decide
from voiceid.match import Index, Indexes
from voiceid.store import ids, tables
from voiceid.store.store import Store
from voiceid.store.vault import Place
from voiceid.types import Embedding, HouseholdId, ModelId, PersonId, Quality, Voiceprint

_CARD = json.loads((files("voiceid") / "encode" / "models" / "campplus.json").read_bytes())
MODEL = ModelId(f"campplus@{_CARD['sha256'][:12]}")
DIM, VIEWS, TAKES, MEMBERS = 192, 2, 1, 4
"""A voiceprint holds both views of each take; of one take here, or 100,000 households would fill gigabytes."""
NEEDED = OPENS_THE_GATE["recordings"]
BATCH = 2500
"""Households in one transaction."""
OF_PRODUCT, OF_A_SEARCH = 1.3, 1.0
_LARGEST = 100_000
_SEARCHES, _REMOVALS = 40, 3
_HOME, _GOOD = HouseholdId("group"), Quality(3.0, 3.0, -20.0, 30.0, 0.0)
_NAMED = json.dumps({"name": "Home", "locale": "en-US"}).encode()


class _Group:
    """`Voiceprints` of one large group, out of memory."""

    def __init__(self, count: int) -> None:
        self.vectors = unit(np.random.default_rng(1), count)
        self.people = [PersonId(f"{number:06d}") for number in range(count)]
        self.probe = Embedding(self.vectors[count // 2], MODEL)
        everyone = zip(self.people, self.vectors, strict=True)
        self.prints = [Voiceprint(who, MODEL, one[np.newaxis]) for who, one in everyone]
        self._bars = Bars.shipped(MODEL, "balanced")

    def of(self, household: HouseholdId, model_id: ModelId, people: frozenset[PersonId]) -> Sequence[Voiceprint]:  # noqa: ARG002 the port's
        return self.prints

    def search_s(self, index: Index | Indexes) -> float:
        """Score everybody and find who is nearest, by a permit of its own, as in every request."""
        among = Permit(_HOME, 0, frozenset(self.people), NEEDED)
        return timed(lambda: int(index.nearest(self.probe, among=among).scores.argmax()))

    def product_s(self) -> float:
        return timed(partial(np.matmul, self.vectors, self.probe.vector))

    def decision_s(self, index: Index) -> float:
        """What so many scores mean."""
        matches = index.nearest(self.probe, among=Permit(_HOME, 0, frozenset(self.people), NEEDED))
        return timed(lambda: decide(matches, _GOOD, self._bars))

    def removal_s(self, indexes: Indexes) -> float:
        """Overwrite one person's vectors, as every withdrawal does."""
        self.search_s(indexes)  # builds it
        return timed(partial(indexes.forget, _HOME, self.people[len(self.people) // 3]))


def search(bench: Bench) -> Iterator[Row]:
    """Everybody in one group scored, against the bare matrix-vector product; decided on; one person removed."""
    for count in (10, 1000) if bench.quick else (10, 1000, _LARGEST):
        group = _Group(count)
        index, indexes = Index.build(group.prints, MODEL, DIM, 0), Indexes(group, MODEL, DIM, at_most=1, bars=None)
        largest = count == _LARGEST
        group.search_s(index)  # the first works out where those stand who are permitted
        both = [(group.search_s(index), group.product_s()) for _ in range(_SEARCHES)]
        goal = Goal("ratio", OF_PRODUCT) if largest else None
        yield timed_row(f"search among {count} voices", _pairs(both), "matrix-vector product", goal)
        both = [(group.decision_s(index), group.product_s()) for _ in range(_SEARCHES)]
        yield timed_row(f"decision among {count} voices", _pairs(both), "matrix-vector product")
        both = [(group.removal_s(indexes), group.search_s(index)) for _ in range(_REMOVALS)]
        goal = Goal("ratio", OF_A_SEARCH) if largest else None
        yield timed_row(f"removal among {count} voices", _pairs(both), "search among them", goal)


def _pairs(both: Sequence[tuple[float, float]]) -> Compared:
    return paired([one for one, _ in both], [other for _, other in both])


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

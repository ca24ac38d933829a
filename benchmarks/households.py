"""More and more households beside this one: what a look-up costs, what a request costs, what the service holds."""

import itertools
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import voices
from benchmarks.bench import Bench
from benchmarks.rows import Goal, Row, missing_row, plain_row, timed_row
from benchmarks.scale import BATCH, DIM, MODEL, NEEDED, fill, unit
from benchmarks.server import Caller, Server
from voiceid.consent import permit
from voiceid.match import Indexes
from voiceid.service.wiring import open_store
from voiceid.settings import Settings
from voiceid.store import ids, tables
from voiceid.store.consents import ConsentBook
from voiceid.store.voiceprints import VoiceprintShelf
from voiceid.types import Embedding, HouseholdId

OF_ONE, MORE_MB = 1.05, 100.0
_FILLING = 0.8
"""Share of the time left that making households may take."""
_COUNTS = (100, 10_000, 100_000)
_ASKED = 120
"""Households that are asked through HTTP: each request goes to another one."""


def households(bench: Bench) -> Iterator[Row]:
    """One household out of so many, against the only one of another database."""
    alone = _Street(bench.folder("one"), 1)
    street = alone
    each_s = 0.0
    for count in _COUNTS:
        if each_s * count > _FILLING * bench.left_s:
            yield missing_row(f"lookup in {count} households", "ms", "not measured: the time was up")
            break
        began = time.monotonic()
        street = _Street(bench.folder("many"), count)
        each_s = (time.monotonic() - began) / count
        for name, which in (("at random", street.anyone), ("asked again", street.the_same)):
            both = bench.alternate(street.asking(which), alone.asking(alone.the_same), 2.5, most=2000)
            yield timed_row(f"lookup in {count} households, {name}", both, "lookup in one household")
    yield from _through_http(bench, street, alone)


def _through_http(bench: Bench, street: "_Street", alone: "_Street") -> Iterator[Row]:
    """The same sound to two services at once: one knows a single household, the other all of the street."""
    with Server(street.folder) as many, Server(alone.folder) as one:
        for server, place in ((many, street), (one, alone)):
            place.guest(server)()  # the first pays for what is only paid once
        both = bench.alternate(street.guest(many), alone.guest(one), 20, most=_ASKED - 2)
        what = f"recognize in {street.count} households, each time another"
        yield timed_row(what, both, "recognize in the only one", Goal("ratio", OF_ONE))
        more = many.resident_mb - one.resident_mb
        yield plain_row(
            f"resident beyond that of one household, {street.count} households", more, "MB", "-",
            goal=Goal("figure", MORE_MB),
        )  # fmt: skip


@dataclass
class _Street:
    """A database with so many households, four members each, who have all agreed and enrolled with random voices."""

    folder: Path
    count: int

    def __post_init__(self) -> None:
        store = open_store(Settings(data_dir=self.folder / "data", keys_dir=self.folder / "keys"))
        self.homes = [HouseholdId(ids.new_id()) for _ in range(self.count)]
        for at in range(0, self.count, BATCH):
            fill(store, self.homes[at : at + BATCH])
        self._chance = random.Random(2)
        asked = self._chance.sample(self.homes, min(_ASKED, self.count))
        self._secrets = {home: ids.new_secret() for home in asked}
        now = datetime.now(UTC)
        rows = [
            {"household_id": home, "token_id": ids.new_id(), "role": "device", "digest": ids.digest(secret),
             "label": "benchmark", "created_at": now} for home, secret in self._secrets.items()
        ]  # fmt: skip
        with store.database.writer() as tx:
            tx.execute(tables.token.insert(), rows)
        self._book = ConsentBook(store)
        self._indexes = Indexes(VoiceprintShelf(store), MODEL, DIM, at_most=Settings().index_cache, bars=None)

    def anyone(self) -> HouseholdId:
        return self._chance.choice(self.homes)

    def the_same(self) -> HouseholdId:
        return self.homes[0]

    def asking(self, which: Callable[[], HouseholdId]) -> Callable[[], object]:
        """Consents, epoch, index and scores of one household."""
        probe = Embedding(unit(np.random.default_rng(3), 1)[0], MODEL)

        def ask() -> object:
            return self._indexes.nearest(probe, among=permit(self._book.gate(which()), NEEDED))

        return ask

    def guest(self, server: Server) -> Callable[[], object]:
        """A guest is heard in one household after the other."""
        sound = voices.wav(voices.seconds_of(voices.GUEST, 3))
        callers: Iterator[tuple[HouseholdId, Caller]] = itertools.cycle(
            [(home, server.caller(ids.token(home, secret))) for home, secret in self._secrets.items()]
        )

        def ask() -> object:
            home, caller = next(callers)
            return caller("POST", f"/v1/households/{home}/recognize", sound)

        return partial(ask)

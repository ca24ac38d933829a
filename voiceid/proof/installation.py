"""One installation in this process, without HTTP: what the proofs kill, race and turn the clock of."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from importlib.resources import files
from typing import Any, Literal, Self

from voiceid import policy
from voiceid.decode import decode
from voiceid.ports import Actor, Clock, Request
from voiceid.proof import serving
from voiceid.proof.server import Place
from voiceid.proof.voices import SECONDS, utter
from voiceid.service import wiring
from voiceid.service.services import Services
from voiceid.settings import Settings
from voiceid.store import chain, tables
from voiceid.store.store import utc_now
from voiceid.types import HouseholdId, Pcm, PersonId, Purpose
from voiceid.views import ConsentDecision, Receipt

Voices = Literal["made-up", "real"]
_REQUEST_S = 0.8
_OUTLIVES_A_PERSON = frozenset({"ledger", "activity", "purge"})


class Home:
    """One household, driven through the same objects that the routes drive."""

    def __init__(self, place: Place, voices: Voices = "made-up", now: Clock = utc_now) -> None:
        """Open the installation, or make it with a household."""
        self.place = place
        self.settings = Settings(data_dir=place.data, keys_dir=place.keys)
        self._voices = voices
        wire = serving.build if voices == "made-up" else serving.build_with_real_ears
        self.services: Services = wire(self.settings, now=now)
        self._book = place.root / "people.json"
        first = wiring.first_start(self.services)
        if first is not None:
            self._book.write_text(json.dumps({"household": first.household, "people": {}}))
        known = json.loads(self._book.read_text())
        self.id = HouseholdId(known["household"])
        self.people: dict[str, PersonId] = known["people"]
        self.owner = Actor("owner", "proof", self.id)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.services.close()

    def actor(self, name: str) -> Actor:
        """This person, signed in."""
        return Actor("person", "proof", self.id, self.people[name])

    def joins(self, *names: str) -> Self:
        for name in names:
            entry = self.services.people.create(self.owner, self.id, name.title(), "adult", None, [])
            self.people[name] = entry.id
        self._book.write_text(json.dumps({"household": self.id, "people": self.people}))
        return self

    def decides(self, name: str, purpose: Purpose, word: Literal["granted", "denied"] = "granted", **more: Any) -> None:
        decision = ConsentDecision(word, policy.version(), "en", "screen", **more)
        self.services.consents.put(self.actor(name), self.id, self.people[name], purpose, decision)

    def grants(self, name: str, *purposes: Purpose, **more: Any) -> None:
        for purpose in purposes:
            self.decides(name, purpose, **more)

    def withdraws(self, name: str, *purposes: Purpose) -> Receipt:
        return self.services.forgetting.withdraw(self.actor(name), self.id, self.people[name], purposes)

    def starts(self, name: str) -> str:
        return self.services.enrollments.start(self.actor(name), self.id, self.people[name], "en").id

    def reads(self, name: str, enrollment: str, clips: Sequence[int] = (1, 2, 3, 4)) -> None:
        for clip in clips:
            self.services.enrollments.add_take(
                self.actor(name), self.id, self.people[name], enrollment, self.sound(name, clip, "enroll")
            )

    def completes(self, name: str, enrollment: str) -> None:
        self.services.enrollments.complete(self.actor(name), self.id, self.people[name], enrollment)

    def enrolls(self, name: str) -> None:
        started = self.starts(name)
        self.reads(name, started)
        self.completes(name, started)

    def sound(self, speaker: str, clip: int, kind: Literal["enroll", "request", "long"] = "request") -> Pcm:
        """What this speaker says; `long`: a request that is long enough to be adapted to."""
        if self._voices == "made-up":
            seconds = _REQUEST_S if kind == "request" else SECONDS
            return Pcm(utter(speaker, clip if kind == "enroll" else 100 + clip, seconds))
        kind = "request" if kind == "long" else kind
        content = files("voiceid").joinpath(f"demo/voices/{speaker}/{kind}_{clip}.flac").read_bytes()
        return decode(content, max_s=60)

    def hears(
        self, speaker: str, clip: int = 1, transcript: str | None = None, *, keeping: bool = True, long: bool = False
    ) -> str | None:
        """Whom the household hears; None: nobody. `keeping`: with whatever the request may leave behind."""
        recognizer = self.services.recognizer
        if not keeping:
            recognizer = replace(recognizer, keeper=_KeepsNothing())
        request = Request(self.sound(speaker, clip, "long" if long else "request"), "greeting", transcript)
        named = recognizer.recognize(request, self.id, self.owner).person
        return next((name for name, person in self.people.items() if named and person == named.id), None)

    def verify_chains(self) -> int:
        """The number of rows in both chains.

        Raises: LedgerBroken.
        """
        with self.services.store.database.reader() as tx:
            return sum(chain.verify(tx, table, self.id) for table in (tables.ledger, tables.activity))

    def granted(self) -> dict[str, list[str]]:
        """What each person has granted, as the gate reads it."""
        agreed = self.services.recognizer.consents.gate(self.id).agreed
        return {name: sorted(agreed.get(person, ())) for name, person in self.people.items()}

    def rows(self, *names: str) -> dict[str, dict[str, int]]:
        """How many rows each table holds of these people, or of all; tables that may outlive a person aside."""
        with closing(self._read_only()) as database:
            return {
                name: {table: count for table in self._personal if (count := self._count(database, table, name))}
                for name in names or self.people
            }

    @cached_property
    def _personal(self) -> list[str]:
        with closing(self._read_only()) as database:
            return _tables_of_people(database)

    def _count(self, database: sqlite3.Connection, table: str, name: str) -> int:
        query = f'SELECT count(*) FROM "{table}" WHERE household_id = ? AND person_id = ?'  # noqa: S608 our own tables' names
        return int(database.execute(query, [self.id, self.people[name]]).fetchone()[0])

    def rows_of_table(self, table: str, name: str) -> list[str]:
        """The ids of one person's rows of a table, oldest first."""
        query = f'SELECT "{table}_id" FROM "{table}" WHERE person_id = ? ORDER BY created_at'  # noqa: S608 our own tables' names
        with closing(self._read_only()) as database:
            return [row for (row,) in database.execute(query, [self.people[name]])]

    def without_key(self) -> int:
        """How many sealed rows have no key any more."""
        alive = set(self.services.store.keys.alive())
        with closing(self._read_only()) as database:
            sealed = [table for table in _tables(database) if "key_id" in _columns(database, table)]
            keys = [key for table in sealed for (key,) in database.execute(f'SELECT key_id FROM "{table}"')]  # noqa: S608 our own tables' names
        return sum(key not in alive for key in keys)

    def pending(self) -> int:
        """How many purges are not complete."""
        with closing(self._read_only()) as database:
            return int(database.execute("SELECT count(*) FROM purge WHERE state <> 'complete'").fetchone()[0])

    def _read_only(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{self.place.data / 'voiceid.db'}?mode=ro", uri=True)


class _KeepsNothing:
    """`Keeper`."""

    def keep(
        self, actor: Any, household: HouseholdId, request: Request, decision: Any,  # noqa: ARG002 the port's
        said: Any, heard: Any = None,  # noqa: ARG002 the port's
    ) -> bool:
        return False


def shifted(by: Any) -> Clock:
    """The real clock, so much later."""

    def now() -> datetime:
        later: datetime = utc_now() + by
        return later

    return now


def _tables(database: sqlite3.Connection) -> list[str]:
    return [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


def _columns(database: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in database.execute(f'PRAGMA table_info("{table}")')}


def _tables_of_people(database: sqlite3.Connection) -> list[str]:
    found = [name for name in _tables(database) if "person_id" in _columns(database, name)]
    return sorted(set(found) - _OUTLIVES_A_PERSON)

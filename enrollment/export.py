"""Everything held about one person, as a zip that a person can read and a machine can take in; streamed.

What it holds: `index.html` to begin with, the profile, a child's guardians, the consents in three standard forms, the
voiceprint's numbers, the names that skills know the person by, recordings as FLAC, interactions, activity, the person's
part of the ledger, and every receipt.
"""

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from sqlalchemy import select

from enrollment import record as standard
from enrollment.purge import Purge
from voiceid.errors import NotFound, Unreadable
from voiceid.ports import Actor
from voiceid.store import tables
from voiceid.store.consents import ConsentBook
from voiceid.store.people import Households, People
from voiceid.store.store import Store
from voiceid.store.traces import Traces
from voiceid.store.vault import Place
from voiceid.types import HouseholdId, PersonId
from voiceid.views import ConsentRecord

_PAGE = 200
_NUMBERS = "float32_little_endian_hex"


class Exporter:
    """Hands a person everything of theirs."""

    def __init__(self, store: Store, purge: Purge, jurisdiction: str) -> None:
        self._store = store
        self._purge = purge
        self._jurisdiction = jurisdiction
        self._book, self._people, self._traces = ConsentBook(store), People(store), Traces(store)
        self._homes = Households(store)

    def export(self, actor: Actor, household: HouseholdId, person: PersonId, why: str = "") -> Iterator[bytes]:
        """The zip, in chunks; memory holds one recording at a time. The export enters the activity first.

        Raises: NotFound, before the first chunk.
        """
        profile = self._people.profile(household, person)
        with self._store.database.writer(household) as tx:
            self._store.note(tx, actor, household, "exported", person, why)
        return self._chunks(actor, household, person, asdict(profile))

    def _chunks(
        self, actor: Actor, household: HouseholdId, person: PersonId, profile: dict[str, Any]
    ) -> Iterator[bytes]:
        pipe = _Pipe()
        with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in self._files(actor, household, person, profile):
                archive.writestr(name, content)
                yield pipe.taken()
        yield pipe.taken()

    def _files(
        self, actor: Actor, household: HouseholdId, person: PersonId, profile: dict[str, Any]
    ) -> Iterator[tuple[str, str | bytes]]:
        consents = self._book.history(household, person)
        interactions = [asdict(one) for one in self._interactions(actor, household, person)]
        activity = [asdict(one) for one in self._activity(actor, household, person)]
        recordings = self._recordings(actor, household, person)
        from jinja2 import Environment, PackageLoader, select_autoescape  # noqa: PLC0415 few ever ask

        pages = Environment(loader=PackageLoader("voiceid", "data/export"), autoescape=select_autoescape())
        yield "index.html", pages.get_template("index.html").render(
            profile=profile, consents=[asdict(one) for one in consents], interactions=interactions,
            recordings=recordings, activity=activity,
        )
        yield "profile.json", _json({**profile, "guardians": self._people.guardians(household, person)})
        yield from self._consent_files(household, person, consents)
        yield "voiceprint.json", _json(self._voiceprints(household, person))
        yield "pseudonyms.json", _json(self._pseudonyms(household, person))
        yield "interactions.json", _json(interactions)
        yield "activity.json", _json(activity)
        yield "ledger.json", _json(self._ledger(household, person))
        for one in recordings:
            try:
                yield f"recordings/{one['id']}.flac", self._traces.hear(actor, household, person, one["id"])
            except (NotFound, Unreadable):  # erased since it was listed; damaged
                continue
        for receipt in self._receipts(household, person):
            yield f"receipts/{receipt['id']}.json", _json(receipt)

    def _consent_files(
        self, household: HouseholdId, person: PersonId, consents: list[ConsentRecord]
    ) -> Iterator[tuple[str, str]]:
        context = standard.Context(self._homes.get(household), person, self._jurisdiction)
        yield "consents/iso-27560.json", _json([standard.iso_27560(one, context) for one in consents])
        yield "consents/dpv.jsonld", _json(standard.data_privacy_vocabulary(consents, context))
        grants = [one for one in consents if one.change == "granted"]
        yield "consents/kantara.json", _json([standard.kantara_receipt(one, context) for one in grants])

    def _recordings(self, actor: Actor, household: HouseholdId, person: PersonId) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while page := self._traces.recordings(actor, household, person, found[-1]["id"] if found else "", _PAGE):
            found += [asdict(one) for one in page]
        return found

    def _interactions(self, actor: Actor, household: HouseholdId, person: PersonId) -> Iterator[Any]:
        after = ""
        while page := self._traces.interactions(actor, household, person, after, _PAGE):
            yield from page
            after = page[-1].id

    def _activity(self, actor: Actor, household: HouseholdId, person: PersonId) -> Iterator[Any]:
        cursor = ""
        while page := self._traces.activity(actor, household, person, cursor, _PAGE):
            yield from (entry for _, entry in page)
            cursor = page[-1][0]

    def _voiceprints(self, household: HouseholdId, person: PersonId) -> list[dict[str, Any]]:
        table = tables.voiceprint
        with self._store.database.reader() as tx:
            mine = select(table).where(table.c.household_id == household, table.c.person_id == person)
            rows = tx.execute(mine.where(tables.spared(table))).all()
        found = []
        for row in rows:
            place = Place(household, person, "voiceprint", row.voiceprint_id)
            numbers = self._opened(place, row)
            about = {"id": row.voiceprint_id, "encoder": row.encoder, "takes": row.takes, "cohesion": row.cohesion}
            added = self._adaptations(household, person, row.voiceprint_id)
            told = {**about, "created_at": row.created_at, _NUMBERS: numbers and numbers.hex(), "adapted": added}
            found.append(told)
        return found

    def _adaptations(self, household: HouseholdId, person: PersonId, voiceprint: str) -> list[dict[str, Any]]:
        """What later requests added to a voiceprint, oldest first."""
        table = tables.adaptation
        mine = select(table).where(
            table.c.household_id == household, table.c.person_id == person, table.c.voiceprint_id == voiceprint,
            tables.spared(table),
        )
        with self._store.database.reader() as tx:
            rows = tx.execute(mine.order_by(table.c.created_at)).all()
        found = []
        for row in rows:
            place = Place(household, person, "adaptation", row.adaptation_id)
            numbers = self._opened(place, row)
            about = {"id": row.adaptation_id, "created_at": row.created_at, "expires_at": row.expires_at}
            found.append({**about, _NUMBERS: numbers and numbers.hex()})
        return found

    def _pseudonyms(self, household: HouseholdId, person: PersonId) -> list[dict[str, Any]]:
        """What each skill calls this person, as far as they agreed to share something with it."""
        table = tables.pseudonym
        mine = select(table).where(table.c.household_id == household, table.c.person_id == person)
        with self._store.database.reader() as tx:
            rows = tx.execute(mine.where(tables.spared(table)).order_by(table.c.skill)).all()
        found = []
        for row in rows:
            place = Place(household, person, "pseudonym", row.pseudonym_id)
            name = self._opened(place, row)
            found.append({"skill": row.skill, "pseudonym": name and name.decode(), "created_at": row.created_at})
        return found

    def _opened(self, place: Place, row: Any) -> bytes | None:
        """What a row holds; None if it is damaged: one such row must not keep the rest from its person."""
        try:
            return self._store.vault.open(place, row.key_id, row.sealed)
        except Unreadable:
            return None

    def _ledger(self, household: HouseholdId, person: PersonId) -> list[dict[str, Any]]:
        table = tables.ledger
        mine = select(table).where(table.c.household_id == household, table.c.person_id == person)
        with self._store.database.reader() as tx:
            rows = tx.execute(mine.order_by(table.c.seq)).mappings().all()
        return [{name: _readable(value) for name, value in row.items()} for row in rows]

    def _receipts(self, household: HouseholdId, person: PersonId) -> list[dict[str, Any]]:
        table = tables.purge
        with self._store.database.reader() as tx:
            mine = select(table.c.purge_id).where(table.c.household_id == household, table.c.person_id == person)
            purges = tx.execute(mine.order_by(table.c.requested_at)).scalars().all()
        return [asdict(self._purge.receipt(household, purge)) for purge in purges]


class _Pipe(io.RawIOBase):
    """Takes what a zip writer writes and gives it away; nothing is ever on disk."""

    def __init__(self) -> None:
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held += data
        return len(data)

    def taken(self) -> bytes:
        """What was written since the last time."""
        out = bytes(self._held)
        self._held.clear()
        return out


def _readable(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, default=str)

"""Households and their people: names and preferences, each sealed under its own key."""

from datetime import date
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, and_, bindparam, exists, select, update

from voiceid.errors import GuardianNeeded, NotFound, Unreadable
from voiceid.ports import Actor
from voiceid.store import ids, tables
from voiceid.store.store import Store
from voiceid.store.tables import spared
from voiceid.store.vault import Place
from voiceid.types import HouseholdId, Kind, PersonId, Profile
from voiceid.views import HouseholdView, PersonEntry

_H, _P, _G = tables.household, tables.person, tables.guardian
_HOUSEHOLD: BindParameter[Any] = bindparam("household")
_ONE_HOME = select(_H).where(_H.c.household_id == _HOUSEHOLD, spared(_H))
_ONE_PERSON = select(_P).where(
    _P.c.household_id == _HOUSEHOLD, _P.c.person_id == bindparam("person"), spared(_P)
)  # fmt: skip
"""Built once, as every request reads them: building takes SQLAlchemy longer than SQLite takes to answer."""


class Households:
    """Makes, shows and renames households."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, name: str, locale: str) -> HouseholdView:
        household = HouseholdId(ids.new_id())
        sealed = self._store.vault.seal_json(_home(household), {"name": name, "locale": locale})
        now = self._store.now()
        with self._store.discarding(sealed.key_id), self._store.database.writer() as tx:
            row = {"household_id": household, "epoch": 1, "created_at": now}
            tx.execute(_H.insert().values(**row, key_id=sealed.key_id, sealed=sealed.sealed))
        return HouseholdView(household, name, locale, now)

    def get(self, household: HouseholdId) -> HouseholdView:
        """Read one household.

        Raises: NotFound.
        """
        rows = self._store.database.ask(_ONE_HOME, household=household)
        if not rows:
            raise NotFound("no such household")
        return self._view(rows[0])

    def page(self, after: str, limit: int) -> list[HouseholdView]:
        """The next households by id; for the administrator."""
        with self._store.database.reader() as tx:
            mine = select(_H).where(_H.c.household_id > after, spared(_H))
            rows = tx.execute(mine.order_by(_H.c.household_id).limit(limit)).all()
        return [self._view(row) for row in rows]

    def change(self, household: HouseholdId, changes: dict[str, Any]) -> HouseholdView:
        with self._store.database.writer(household) as tx:
            row = tx.execute(select(_H).where(_H.c.household_id == household)).one()
            now = self._view(row)
            whole = {"name": now.name, "locale": now.locale, **changes}
            sealed = self._store.vault.reseal_json(_home(household), row.key_id, whole)
            tx.execute(update(_H).where(_H.c.household_id == household).values(sealed=sealed.sealed))
        return self.get(household)

    def _view(self, row: Any) -> HouseholdView:
        content = self._store.vault.open_json(_home(row.household_id), row.key_id, row.sealed)
        return HouseholdView(HouseholdId(row.household_id), content["name"], content["locale"], row.created_at)


class People:
    """Makes, shows and renames people; also `Profiles`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(
        self, actor: Actor, household: HouseholdId, name: str, kind: Kind, locale: str | None, guardians: list[PersonId]
    ) -> PersonEntry:
        """Enter a person. A child needs an adult of the household as guardian.

        Raises: GuardianNeeded.
        """
        person, now = PersonId(ids.new_id()), self._store.now()
        content: dict[str, Any] = {"display_name": name, "locale": locale, "preferences": {}}
        sealed = self._store.vault.seal_json(_place(household, person), content)
        with self._store.discarding(sealed.key_id), self._store.database.writer(household) as tx:
            row = {"household_id": household, "person_id": person, "kind": kind, "verify_by_device": 0}
            tx.execute(_P.insert().values(**row, key_id=sealed.key_id, sealed=sealed.sealed, created_at=now))
            if kind == "child":
                self._set_guardians(tx, household, person, guardians)
            self._store.note(tx, actor, household, "person added", person)
        return self.entry(household, person)

    def entry(self, household: HouseholdId, person: PersonId) -> PersonEntry:
        """One member as the household sees them.

        Raises: NotFound.
        """
        found = self._entries(household, _P.c.person_id == person, 1)
        if not found:
            raise NotFound("no such person in this household")
        return found[0]

    def page(self, household: HouseholdId, after: str, limit: int) -> list[PersonEntry]:
        return self._entries(household, _P.c.person_id > after, limit)

    def profile(self, household: HouseholdId, person: PersonId, /) -> Profile:
        rows = self._store.database.ask(_ONE_PERSON, household=household, person=person)
        if not rows:
            raise NotFound("no such person in this household")
        row = rows[0]
        content = self._store.vault.open_json(_place(household, person), row.key_id, row.sealed)
        return Profile(
            person, content["display_name"], row.kind, content["locale"], content["preferences"],
            verify_by_device=bool(row.verify_by_device),
            of_age_on=date.fromisoformat(day) if (day := content.get("of_age_on")) else None,
        )  # fmt: skip

    def change(
        self, actor: Actor, household: HouseholdId, person: PersonId, changes: dict[str, Any]
    ) -> Profile:
        """Change name, locale, preferences, or whether devices may verify this person.

        Raises: NotFound.
        """
        here = _here(household, person)
        with self._store.database.writer(household) as tx:
            row = tx.execute(select(_P).where(here)).first()
            if row is None:
                raise NotFound("no such person in this household")
            content = self._store.vault.open_json(_place(household, person), row.key_id, row.sealed)
            by_device = changes.pop("verify_by_device", bool(row.verify_by_device))
            sealed = self._store.vault.reseal_json(_place(household, person), row.key_id, {**content, **changes})
            tx.execute(update(_P).where(here).values(sealed=sealed.sealed, verify_by_device=int(by_device)))
            self._store.note(tx, actor, household, "profile changed", person)
        return self.profile(household, person)

    def guardians(self, household: HouseholdId, child: PersonId) -> list[PersonId]:
        with self._store.database.reader() as tx:
            return guardians_of(tx, household, child)

    def set_guardians(
        self, actor: Actor, household: HouseholdId, child: PersonId, guardians: list[PersonId]
    ) -> list[PersonId]:
        """Replace a child's guardians.

        Raises: GuardianNeeded, when none is left or one is not an adult of this household; NotFound.
        """
        with self._store.database.writer(household) as tx:
            if kind_of(tx, household, child) != "child":
                raise GuardianNeeded("only a child has guardians")
            tx.execute(_G.delete().where(_G.c.household_id == household, _G.c.person_id == child))
            self._set_guardians(tx, household, child, guardians)
            self._store.note(tx, actor, household, "guardians changed", child)
        return self.guardians(household, child)

    def _set_guardians(
        self, tx: Connection, household: HouseholdId, child: PersonId, guardians: list[PersonId]
    ) -> None:
        adults = select(_P.c.person_id).where(
            _P.c.household_id == household, _P.c.person_id.in_(guardians), _P.c.kind == "adult", spared(_P)
        )
        found = set(tx.execute(adults).scalars())
        if not found or found != set(guardians):
            raise GuardianNeeded
        rows = [{"household_id": household, "person_id": child, "guardian_id": who} for who in sorted(found)]
        tx.execute(_G.insert(), [{**row, "created_at": self._store.now()} for row in rows])

    def _entries(self, household: HouseholdId, which: Any, limit: int) -> list[PersonEntry]:
        enrolled = exists().where(
            tables.voiceprint.c.household_id == household, tables.voiceprint.c.person_id == _P.c.person_id,
            spared(tables.voiceprint),
        )
        query = select(_P, enrolled.label("enrolled")).where(_P.c.household_id == household, which, spared(_P))
        with self._store.database.reader() as tx:
            rows = tx.execute(query.order_by(_P.c.person_id).limit(limit)).all()
        entries = []
        for row in rows:
            try:
                content = self._store.vault.open_json(_place(household, row.person_id), row.key_id, row.sealed)
            except Unreadable:  # one damaged row must not hide the others
                content = {"display_name": "", "locale": None}
            entries.append(
                PersonEntry(
                    PersonId(row.person_id), content["display_name"], row.kind, bool(row.enrolled), content["locale"],
                    row.created_at,
                )
            )
        return entries


def guardians_of(tx: Connection, household: HouseholdId, child: PersonId) -> list[PersonId]:
    """Whoever may decide for this child."""
    rows = select(_G.c.guardian_id).where(_G.c.household_id == household, _G.c.person_id == child)
    return [PersonId(who) for who in tx.execute(rows.order_by(_G.c.guardian_id)).scalars()]


def kind_of(tx: Connection, household: HouseholdId, person: PersonId) -> Kind:
    """Adult or child.

    Raises: NotFound.
    """
    kind: Kind | None = tx.execute(select(_P.c.kind).where(_here(household, person))).scalar()
    if kind is None:
        raise NotFound("no such person in this household")
    return kind


def _here(household: HouseholdId, person: PersonId) -> ColumnElement[bool]:
    return and_(_P.c.household_id == household, _P.c.person_id == person, spared(_P))


def _home(household: str) -> Place:
    return Place(household, "", "household", household)


def _place(household: str, person: str) -> Place:
    return Place(household, person, "person", person)


def children(tx: Connection) -> list[tuple[HouseholdId, PersonId]]:
    """Every child, in every household; for the clock."""
    rows = tx.execute(select(_P.c.household_id, _P.c.person_id).where(_P.c.kind == "child"))
    return [(HouseholdId(household), PersonId(person)) for household, person in rows]


def come_of_age(tx: Connection, household: HouseholdId, person: PersonId) -> None:
    """A child is an adult from now on, and nobody decides for them any more."""
    here = and_(_P.c.household_id == household, _P.c.person_id == person)
    tx.execute(update(_P).where(here).values(kind="adult"))
    tx.execute(_G.delete().where(_G.c.household_id == household, _G.c.person_id == person))

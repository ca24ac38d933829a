"""What a skill learns of a person: a pseudonym that no other skill sees, gone when consent is withdrawn."""

from sqlalchemy import select

from voiceid.store import consents, ids, tables
from voiceid.store.biometrics import Owner
from voiceid.store.store import Store
from voiceid.types import HouseholdId, PersonId, Purpose

_P = tables.pseudonym


class PairwisePseudonyms:
    """`Pseudonyms`: random, so that nothing links the names of one person towards two skills."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def pseudonym(self, household: HouseholdId, person: PersonId, skill: str, /) -> str | None:
        """This person's name towards this skill; None unless they agreed to share it."""
        owner = Owner(household, person)
        mine = select(_P).where(_P.c.household_id == household, _P.c.person_id == person, _P.c.skill == skill)
        with self._store.database.writer(household) as tx:
            if Purpose(f"share:{skill}") not in consents.agreed(tx, household, person, self._store.now()):
                return None
            row = tx.execute(mine).first()
            if row is not None and tx.execute(mine.where(tables.spared(_P))).first() is None:
                return None  # the old name is still being erased
            if row is not None:
                place = owner.place("pseudonym", row.pseudonym_id)
                return self._store.vault.open(place, row.key_id, row.sealed).decode()
            record, name = ids.new_id(), ids.new_id()
            sealed = self._store.vault.seal(owner.place("pseudonym", record), name.encode())
            tx.execute(_P.insert().values(
                **owner.row, pseudonym_id=record, skill=skill, key_id=sealed.key_id, sealed=sealed.sealed,
                created_at=self._store.now(),
            ))
        return name

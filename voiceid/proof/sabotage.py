"""Takes one protection out of this process, to show that a proof would notice. Nothing that ships can do that."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from voiceid.match import Indexes
from voiceid.service import wiring
from voiceid.store import vault
from voiceid.store.consents import ConsentBook
from voiceid.store.keys import FileKeyStore
from voiceid.store.people import People
from voiceid.types import PURPOSES

Change = tuple[Any, str, Any]


def take_out(part: str) -> None:
    """Take it out for good, before anything is wired.

    Raises: KeyError, for a part that is not known.
    """
    for where, name, instead in PARTS[part]():
        setattr(where, name, instead)


@contextmanager
def taken_out(part: str) -> Iterator[None]:
    """Take it out for a while."""
    with ExitStack() as changes:
        for where, name, instead in PARTS[part]():
            changes.enter_context(patch.object(where, name, instead))
        yield


def _purge() -> list[Change]:
    """Purges are begun and never carried out."""
    return [(vars(wiring)["Purge"], "run", lambda self, household, purge: self.receipt(household, purge))]


def _key_destruction() -> list[Change]:
    """Rows go, keys stay."""
    return [(FileKeyStore, "destroy", lambda _self, key_ids: sorted(set(key_ids)))]


def _encryption() -> list[Change]:
    """What is sealed lies there as it is."""
    filler = bytes(12)
    return [
        (vault, "_encrypt", lambda _key, _place, content: filler + content + bytes(16)),
        (vault.Vault, "open", lambda _self, _place, _key_id, sealed: sealed[12:-16]),
    ]


def _tombstones() -> list[Change]:
    """Nothing outside of the database remembers what was purged."""
    return [(FileKeyStore, "bury", lambda _self, _tombstone: None)]


def _epoch_check() -> list[Change]:
    """An index is taken for current whatever has happened since it was built."""
    checked = Indexes._current  # noqa: SLF001 what is to be broken

    def unchecked(self: Any, among: Any) -> Any:
        return self._held.get(among.household) or checked(self, among)

    return [(Indexes, "_current", unchecked)]


def _consent_at_search() -> list[Change]:
    """Consents are read once for each household, and then believed."""
    read, known = ConsentBook.gate, dict[str, Any]()

    def gate(self: Any, household: Any, /) -> Any:
        fresh = read(self, household)
        first = known.setdefault(household, fresh)
        agreed = {person: first.agreed.get(person, purposes) | purposes for person, purposes in fresh.agreed.items()}
        known[household] = replace(first, agreed={**first.agreed, **agreed})
        return known[household]

    return [(ConsentBook, "gate", gate)]


def _consent_at_writing() -> list[Change]:
    """What a request leaves is written as agreed to when it came in, and not as agreed to now."""
    keeper: Any = vars(wiring)["RequestKeeper"]
    read, known = keeper._kept_purposes, dict[Any, Any]()  # noqa: SLF001 what is to be broken

    def kept_purposes(self: Any, tx: Any, owner: Any, _heard: Any) -> Any:
        now = read(self, tx, owner, None)
        known[owner] = {**known.get(owner, {}), **now}
        return known[owner]

    return [(keeper, "_kept_purposes", kept_purposes)]


def _gate() -> list[Change]:
    """Whoever has a voiceprint may be found, whatever they agreed to."""
    read = ConsentBook.gate

    def everybody(self: Any, household: Any, /) -> Any:
        known, people = read(self, household), People(self._store).page(household, "", 100)
        return replace(known, agreed={one.id: frozenset(PURPOSES) for one in people})

    return [(ConsentBook, "gate", everybody)]


def _registration() -> list[Change]:
    """One table that holds something of a person was forgotten."""
    purge = sys.modules[vars(wiring)["Purge"].__module__]
    known = vars(purge)["SHELVES"]
    return [(purge, "SHELVES", {name: shelf for name, shelf in known.items() if name != "recordings"})]


def _resuming() -> list[Change]:
    """A purge that was cut off is never taken up again."""
    return [(vars(wiring)["Purge"], "resume", lambda _self: 0)]


PARTS: Mapping[str, Callable[[], list[Change]]] = {
    "purge": _purge,
    "key destruction": _key_destruction,
    "encryption": _encryption,
    "tombstones": _tombstones,
    "epoch check": _epoch_check,
    "consent at search": _consent_at_search,
    "consent at writing": _consent_at_writing,
    "resuming": _resuming,
    "the gate": _gate,
    "registration of a table": _registration,
}

"""Takes one protection out of this process, to show that a proof would notice. Nothing that ships can do that."""

from collections.abc import Callable, Mapping
from typing import Any

from voiceid.service import wiring
from voiceid.store import vault
from voiceid.store.keys import FileKeyStore


def take_out(part: str) -> None:
    """Take it out, before anything is wired.

    Raises: KeyError, for a part that is not known.
    """
    PARTS[part]()


def _purge() -> None:
    """Purges are begun and never carried out."""
    purge: Any = vars(wiring)["Purge"]
    purge.run = lambda self, household, purge: self.receipt(household, purge)


def _key_destruction() -> None:
    """Rows go, keys stay."""
    keys: Any = FileKeyStore
    keys.destroy = lambda _self, key_ids: sorted(set(key_ids))


def _encryption() -> None:
    """What is sealed lies there as it is."""
    room: Any = vault
    filler = bytes(12)
    room._encrypt = lambda _key, _place, content: filler + content + bytes(16)  # noqa: SLF001 what is to be broken
    room.Vault.open = lambda _self, _place, _key_id, sealed: sealed[12:-16]


def _tombstones() -> None:
    """Nothing outside of the database remembers what was purged."""
    keys: Any = FileKeyStore
    keys.bury = lambda _self, _tombstone: None


PARTS: Mapping[str, Callable[[], None]] = {
    "purge": _purge,
    "key destruction": _key_destruction,
    "encryption": _encryption,
    "tombstones": _tombstones,
}

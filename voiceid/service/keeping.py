"""Backups of the data and of the keys, apart; restoring without reviving anybody; a new master key."""

import io
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pyrage
from pyrage import DecryptError

from voiceid.errors import InvalidRequest, KeysUnavailable, NotFound
from voiceid.service import wiring
from voiceid.settings import Settings
from voiceid.store.backup import back_up, in_use, put_back
from voiceid.store.checkup import stray_keys

_LONGEST_WRITE_S = 60.0
"""No key waits so long for its row."""
_KEY_FILES = ("installation", "master.key", "signing.key", "slots.bin", "tombstones.jsonl")


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A copy of the data, without a single key."""

    file: str
    octets: int


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of a backup."""

    replayed: int
    """Purges that were carried out again, because they came after the backup was made."""
    sessions: str = "everybody must be invited again; check the tokens of devices and skills"


@dataclass(frozen=True, slots=True)
class KeysCopied:
    """A sealed copy of the key store, and what it means to have one."""

    file: str
    meaning: str = "whoever keeps an old copy and an old backup can revive what was purged in between: keep few"


@dataclass(frozen=True, slots=True)
class Rotated:
    """A new master key is in place."""

    keys: int
    """How many surviving keys are wrapped by it."""


def backup(settings: Settings, target: Path) -> BackedUp:
    """Copy the embedded database while it serves.

    Raises: InvalidRequest, for PostgreSQL, or a target that exists; NotFound; StoreUnavailable.
    """
    _embedded(settings)
    return BackedUp(target.name, back_up(settings.data_dir, target))


def restore(settings: Settings, source: Path) -> Restored:
    """Put a backup back and carry out again what was purged since; refuses if it cannot.

    Raises: StoreUnavailable, while the service runs; InvalidRequest; KeysUnavailable.
    """
    if settings.database_url is not None:
        raise InvalidRequest("restore a PostgreSQL database with its own tools; the next start replays the tombstones")
    if not source.is_file():
        raise NotFound(f"{source.name}: no such file")
    marker = settings.keys_dir / "installation"
    if not marker.is_file():
        raise KeysUnavailable("there is no key store here: a backup cannot be read without its keys")
    with in_use(settings.data_dir, alone=True):
        put_back(source, settings.data_dir, marker.read_text())
        return Restored(wiring.replay_tombstones(settings))


def rotate(settings: Settings) -> Rotated:
    """Make a new master key; the service may go on running.

    Raises: NotFound; KeysUnavailable.
    """
    _set_up(settings)
    store = wiring.open_store(settings)
    try:
        return Rotated(store.keys.rotate())
    finally:
        store.database.close()


@dataclass(frozen=True, slots=True)
class Swept:
    """Keys that opened nothing are gone."""

    destroyed: int


def sweep(settings: Settings) -> Swept:
    """Destroy every key that opens nothing here. Whatever only a newer backup holds cannot be read any more then.

    Services on PostgreSQL may run on other machines: there it looks twice, a minute apart.
    Raises: StoreUnavailable, while the service runs; NotFound; KeysUnavailable.
    """
    _set_up(settings)
    with in_use(settings.data_dir, alone=True):
        store = wiring.open_store(settings)
        try:
            apart_s = 0.0 if settings.database_url is None else _LONGEST_WRITE_S
            return Swept(len(store.keys.destroy(stray_keys(store, apart_s))))
        finally:
            store.database.close()


def copy_keys(settings: Settings, target: Path, passphrase: str) -> KeysCopied:
    """Write the key store into one file, sealed by a passphrase in the age format.

    Raises: NotFound; InvalidRequest, when the target exists or the passphrase is short; KeysUnavailable.
    """
    _set_up(settings)
    _check(passphrase)
    if target.exists():
        raise InvalidRequest("target: exists already")
    packed = io.BytesIO()
    try:
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for name in _KEY_FILES:
                archive.add(settings.keys_dir / name, name)
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(pyrage.passphrase.encrypt(packed.getvalue(), passphrase))
    except OSError as error:
        raise KeysUnavailable(f"cannot copy the key store: {error.strerror}") from error
    return KeysCopied(target.name)


def put_keys_back(settings: Settings, source: Path, passphrase: str) -> Restored:
    """Put a copy of the key store where none is, and destroy in it what was purged since it was made.

    Raises: InvalidRequest, when a key store is there, or the passphrase does not fit; NotFound.
    """
    if (settings.keys_dir / "installation").exists():
        raise InvalidRequest("there is a key store here already; a copy is only put where none is")
    if not source.is_file():
        raise NotFound(f"{source.name}: no such file")
    try:
        packed = io.BytesIO(pyrage.passphrase.decrypt(source.read_bytes(), passphrase))
    except DecryptError:
        raise InvalidRequest("the passphrase does not fit, or this is no copy of a key store") from None
    with in_use(settings.data_dir, alone=True):
        settings.keys_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tarfile.open(fileobj=packed) as archive:
            for name in reversed(_KEY_FILES):  # `installation` last: its presence means that all is there
                member = archive.extractfile(name)
                if member is None:
                    raise InvalidRequest("this is no copy of a key store")
                fd = os.open(settings.keys_dir / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
                with os.fdopen(fd, "wb") as file:
                    file.write(member.read())
        return Restored(wiring.replay_tombstones(settings))


def _embedded(settings: Settings) -> None:
    if settings.database_url is not None:
        raise InvalidRequest("back a PostgreSQL database up with pg_dump; it holds no key either")
    if not (settings.data_dir / "voiceid.db").exists():
        raise NotFound("nothing is set up here")


def _set_up(settings: Settings) -> None:
    if not (settings.keys_dir / "installation").exists():
        raise NotFound("there is no key store here")


_SHORTEST = 12


def _check(passphrase: str) -> None:
    if len(passphrase) < _SHORTEST:
        raise InvalidRequest(f"passphrase: at least {_SHORTEST} characters")

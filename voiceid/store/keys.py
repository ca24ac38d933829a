"""The key store: one key per record, each in a slot of its own that can be overwritten alone.

Keys live apart from the data, so that destroying one makes every copy of its record unreadable: rows, log, backups.
A slot is 128 bytes, is overwritten in place and synced; there is no journal. Where the file system copies on write or
the disk remaps sectors, an overwritten slot may survive below: docs/threat-model.md says what moves that line.
"""

import fcntl
import json
import os
import re
import secrets
import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from voiceid.errors import KeysUnavailable
from voiceid.failpoint import reach

KEY_BYTES = 32
SLOT_BYTES = 128
_GROW_SLOTS = 256
_NONCE_BYTES = 12
_ID_BYTES = 16
_WRAPPED_BYTES = _NONCE_BYTES + KEY_BYTES + 16
_BODY_BYTES = _ID_BYTES + _WRAPPED_BYTES
_ERASED = bytes(SLOT_BYTES)
_KEY_ID = re.compile(r"[0-9a-f]{40}")
_MASTER, _NEXT_MASTER, _SIGNING = "master.key", "master.key.next", b"signing"


class KeyDestroyed(Exception):
    """The key is gone, and with it whatever it protected."""


class KeyWrapper(Protocol):
    """Protects keys at rest under a master key."""

    def wrap(self, key: bytes, name: bytes) -> bytes: ...

    def unwrap(self, wrapped: bytes, name: bytes) -> bytes: ...


class KeyStore(Protocol):
    """Makes, finds and destroys keys. The tombstones lie here too, so that no restored backup can undo a purge."""

    def create(self, count: int = 1) -> list[tuple[str, bytes]]: ...

    def get(self, key_id: str) -> bytes: ...

    def destroy(self, key_ids: Iterable[str]) -> list[str]: ...

    def alive(self) -> Iterator[str]: ...

    def bury(self, tombstone: dict[str, Any]) -> None: ...

    def tombstones(self) -> list[dict[str, Any]]: ...

    def signing_key(self) -> Ed25519PrivateKey: ...

    def rotate(self) -> int: ...


class MasterKey:
    """AES-256-GCM under one key in a file."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def wrap(self, key: bytes, name: bytes) -> bytes:
        """Encrypt a key; 28 bytes longer than the key."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, key, name)

    def unwrap(self, wrapped: bytes, name: bytes) -> bytes:
        """Decrypt a key.

        Raises: KeysUnavailable, when another master key wrapped it.
        """
        try:
            return self._aead.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], name)
        except InvalidTag:
            raise KeysUnavailable("the master key does not open this key store") from None


class FileKeyStore:
    """Keys in one file of fixed slots, beside the master key, the signing key and the tombstones.

    A key id is the slot's number and a random name: found without an index, and a reused slot is never mistaken.
    Several processes may share the directory: nothing is cached, and making keys takes a file lock.
    """

    def __init__(self, directory: Path, *, installation: str, create: bool) -> None:
        """Open the key store, or make it.

        Raises: KeysUnavailable, when it is missing and `create` is False, or belongs to another installation.
        """
        self._dir = directory
        self._lock = threading.Lock()
        self._free: list[int] | None = None
        marker = directory / "installation"
        try:
            if create and not marker.exists():
                self._make(installation)
            if marker.read_text() != installation:
                raise KeysUnavailable("this key store belongs to another installation: point VOICEID_KEYS_DIR to ours")
            self._wrappers: list[KeyWrapper] = []
            self._load_masters()
            self._fd = os.open(directory / "slots.bin", os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise KeysUnavailable(f"cannot open the key store: {error.strerror}") from error

    def close(self) -> None:
        os.close(self._fd)

    def create(self, count: int = 1) -> list[tuple[str, bytes]]:
        """Make keys and write them down for good before returning: `[(key_id, key)]`, 32 bytes each.

        Raises: KeysUnavailable, when they cannot be written; none of them is then left behind.
        """
        made: list[tuple[str, bytes]] = []
        with self._exclusive():
            self._load_masters()  # another process may have rotated it: never wrap with one that is about to go
            free = self._free_slots(count)
            try:
                for slot in free[:count]:
                    name, key = secrets.token_bytes(_ID_BYTES), secrets.token_bytes(KEY_BYTES)
                    wrapped = self._wrappers[-1].wrap(key, name)
                    os.pwrite(self._fd, _slot(name, wrapped), slot * SLOT_BYTES)
                    made.append((f"{slot:08x}{name.hex()}", key))
                os.fdatasync(self._fd)
            except OSError as error:
                self._free = None
                for key_id, _ in made:
                    os.pwrite(self._fd, _ERASED, _slot_of(key_id) * SLOT_BYTES)
                raise KeysUnavailable(f"cannot write the key store: {error.strerror}") from error
            del free[:count]
        return made

    def get(self, key_id: str) -> bytes:
        """Unwrap one key, 32 bytes.

        Raises: KeyDestroyed; KeysUnavailable.
        """
        try:
            slot = os.pread(self._fd, SLOT_BYTES, _slot_of(key_id) * SLOT_BYTES)
        except OSError as error:
            raise KeysUnavailable(f"cannot read the key store: {error.strerror}") from error
        name = bytes.fromhex(key_id[8:])
        if slot[1 : 1 + _ID_BYTES] != name or slot != _slot(name, slot[1 + _ID_BYTES : 1 + _BODY_BYTES]):
            raise KeyDestroyed(key_id)  # overwritten, used anew, or torn by a crash
        return self._unwrap(slot[1 + _ID_BYTES : 1 + _BODY_BYTES], name)

    def destroy(self, key_ids: Iterable[str]) -> list[str]:
        """Overwrite the slots of these keys and sync; those already gone count as destroyed.

        Raises: KeysUnavailable, when the overwriting cannot be confirmed.
        """
        wanted = sorted(set(key_ids))
        with self._exclusive():
            try:
                for key_id in filter(_KEY_ID.fullmatch, wanted):  # a damaged row may name what is none
                    at = _slot_of(key_id) * SLOT_BYTES
                    if os.pread(self._fd, SLOT_BYTES, at)[1 : 1 + _ID_BYTES] == bytes.fromhex(key_id[8:]):
                        os.pwrite(self._fd, _ERASED, at)
                os.fsync(self._fd)
            except OSError as error:
                raise KeysUnavailable(f"cannot overwrite keys: {error.strerror}") from error
            self._free = None
        return wanted

    def alive(self) -> Iterator[str]:
        """Ids of all keys that exist; a slot torn by a crash holds none."""
        for slot in range(os.fstat(self._fd).st_size // SLOT_BYTES):
            data = os.pread(self._fd, SLOT_BYTES, slot * SLOT_BYTES)
            if data == _slot(data[1 : 1 + _ID_BYTES], data[1 + _ID_BYTES : 1 + _BODY_BYTES]):
                yield f"{slot:08x}{data[1 : 1 + _ID_BYTES].hex()}"

    def bury(self, tombstone: dict[str, Any]) -> None:
        """Append a tombstone and sync. It holds random ids and times, nothing else."""
        try:
            with self._exclusive(), (self._dir / "tombstones.jsonl").open("a+b") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
                torn = file.read() not in {b"", b"\n"}  # by a crash: it must not swallow this one
                file.write(b"\n" * torn + json.dumps(tombstone, sort_keys=True).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise KeysUnavailable(f"cannot write a tombstone: {error.strerror}") from error

    def tombstones(self) -> list[dict[str, Any]]:
        """All tombstones, oldest first; a line torn by a crash is not yet a tombstone."""
        found = []
        for line in (self._dir / "tombstones.jsonl").read_text().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def signing_key(self) -> Ed25519PrivateKey:
        """The key that signs receipts.

        Raises: KeysUnavailable.
        """
        try:
            wrapped = (self._dir / "signing.key").read_bytes()
        except OSError as error:
            raise KeysUnavailable(f"cannot read the signing key: {error.strerror}") from error
        return Ed25519PrivateKey.from_private_bytes(self._unwrap(wrapped, _SIGNING))

    def rotate(self) -> int:
        """Make a new master key and wrap every surviving key with it; the number of keys.

        It can be cut off anywhere and taken up again: until the new master key takes the old one's place, both open the
        slots, in this process and in every other. The old master key is overwritten at the end.
        Raises: KeysUnavailable.
        """
        upcoming, current = self._dir / _NEXT_MASTER, self._dir / _MASTER
        try:
            with self._exclusive():
                if not upcoming.exists() or upcoming.stat().st_size != KEY_BYTES:
                    _write_new(upcoming, secrets.token_bytes(KEY_BYTES))
                self._load_masters()
                reach("rotate.next-written")
                count = self._rewrap_all()
                signing = self._unwrap((self._dir / "signing.key").read_bytes(), _SIGNING)
                _replace(self._dir / "signing.key", self._wrappers[-1].wrap(signing, _SIGNING))
                reach("rotate.slots-done")
                _overwrite(current)
                reach("rotate.overwritten")
                upcoming.replace(current)
                _sync_directory(self._dir)
                reach("rotate.renamed")
                self._load_masters()
        except OSError as error:
            raise KeysUnavailable(f"cannot rotate the master key: {error.strerror}") from error
        return count

    def _rewrap_all(self) -> int:
        """Wrap each key with the newest master key, in its place: a slot is written whole, and so never half."""
        newest, count = self._wrappers[-1], 0
        for key_id in list(self.alive()):
            at, name = _slot_of(key_id) * SLOT_BYTES, bytes.fromhex(key_id[8:])
            key = self._unwrap(os.pread(self._fd, SLOT_BYTES, at)[1 + _ID_BYTES : 1 + _BODY_BYTES], name)
            os.pwrite(self._fd, _slot(name, newest.wrap(key, name)), at)
            count += 1
            reach("rotate.half-way")
        os.fsync(self._fd)
        return count

    def _load_masters(self) -> None:
        """Read the master key, and the next one while a rotation is under way; the newest is last."""
        paths = [self._dir / _MASTER, self._dir / _NEXT_MASTER]
        contents = [path.read_bytes() for path in paths if path.exists()]
        found = [key for key in contents if len(key) == KEY_BYTES]
        if not found:
            raise KeysUnavailable("the master key is missing")
        self._wrappers = [MasterKey(key) for key in found]

    def _unwrap(self, wrapped: bytes, name: bytes) -> bytes:
        """Unwrap with whichever master key fits; another process may have rotated it in the meantime."""
        for attempt in (False, True):
            if attempt:
                self._load_masters()
            for wrapper in reversed(self._wrappers):
                try:
                    return wrapper.unwrap(wrapped, name)
                except KeysUnavailable:
                    continue
        raise KeysUnavailable("the master key does not open this key store")

    def _make(self, installation: str) -> None:
        self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        master = secrets.token_bytes(KEY_BYTES)
        signing = MasterKey(master).wrap(Ed25519PrivateKey.generate().private_bytes_raw(), _SIGNING)
        files = {_MASTER: master, "signing.key": signing, "slots.bin": b"", "tombstones.jsonl": b""}
        for name, content in files.items():
            _write_new(self._dir / name, content)
        _write_new(self._dir / "installation", installation.encode())  # last: its presence means all is there
        _sync_directory(self._dir)

    def _free_slots(self, count: int) -> list[int]:
        size = os.fstat(self._fd).st_size
        usable = self._empty(self._free or [])
        if len(usable) < count:
            usable = self._empty(range(size // SLOT_BYTES))
        if len(usable) < count:
            try:
                os.posix_fallocate(self._fd, size, max(_GROW_SLOTS, count) * SLOT_BYTES)
            except OSError as error:
                raise KeysUnavailable(f"cannot grow the key store: {error.strerror}") from error
            usable = self._empty(range(os.fstat(self._fd).st_size // SLOT_BYTES))
        self._free = usable
        return usable

    def _empty(self, slots: Iterable[int]) -> list[int]:
        return [slot for slot in slots if os.pread(self._fd, 1, slot * SLOT_BYTES) == b"\x00"]

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with self._lock:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._fd, fcntl.LOCK_UN)


def inside(keys_dir: Path, data_dir: Path) -> bool:
    """Whether the key store lies within the data directory, where every backup would carry it along."""
    return keys_dir.resolve().is_relative_to(data_dir.resolve())


def _slot_of(key_id: str) -> int:
    return int(key_id[:8], 16)


def _slot(name: bytes, wrapped: bytes) -> bytes:
    body = name + wrapped
    return (b"\x01" + body + zlib.crc32(body).to_bytes(4, "big")).ljust(SLOT_BYTES, b"\x00")


def _overwrite(path: Path) -> None:
    """Overwrite a key file in place and sync, before its name goes to another."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(fd, bytes(os.fstat(fd).st_size), 0)
        os.fsync(fd)
    finally:
        os.close(fd)


def _replace(path: Path, content: bytes) -> None:
    new = path.with_suffix(".new")
    _write_new(new, content)
    new.replace(path)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_new(path: Path, content: bytes) -> None:
    """Write one file with mode 0600 and sync it; an unfinished first attempt is replaced."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, content)
        os.fsync(fd)
    finally:
        os.close(fd)


__all__: Sequence[str] = [
    "FileKeyStore", "KeyDestroyed", "KeyStore", "KeyWrapper", "MasterKey", "inside",
]  # fmt: skip

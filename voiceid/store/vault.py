"""Encryption of single records: AES-256-GCM, a fresh key each, bound to where the record belongs."""

import json
import secrets
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from voiceid.errors import Unreadable
from voiceid.store.keys import KeyDestroyed, KeyStore

VERSION = 1
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record belongs; a ciphertext moved elsewhere does not open."""

    household: str
    person: str
    """Empty for what belongs to the household as a whole."""
    kind: str
    record: str

    @property
    def associated_data(self) -> bytes:
        return json.dumps([self.household, self.person, self.kind, self.record, VERSION]).encode()


@dataclass(frozen=True, slots=True)
class Sealed:
    """A ciphertext and the id of its key, ready for the two columns of a row."""

    key_id: str
    sealed: bytes
    """nonce (12) + ciphertext + tag (16)."""


class Vault:
    """Seals and opens records."""

    def __init__(self, keys: KeyStore) -> None:
        self.keys = keys

    def seal(self, place: Place, content: bytes) -> Sealed:
        """Encrypt under a new key of its own.

        Raises: KeysUnavailable.
        """
        return self.seal_all([(place, content)])[0]

    def seal_all(self, items: list[tuple[Place, bytes]]) -> list[Sealed]:
        """Encrypt several records, each under its own key, with one sync of the key store."""
        made = self.keys.create(len(items))
        return [
            Sealed(key_id, _encrypt(key, place, content))
            for (key_id, key), (place, content) in zip(made, items, strict=True)
        ]

    def reseal(self, place: Place, key_id: str, content: bytes) -> Sealed:
        """Encrypt a changed record under the key it has."""
        return Sealed(key_id, _encrypt(self._key(key_id), place, content))

    def open(self, place: Place, key_id: str, sealed: bytes) -> bytes:
        """Decrypt one record.

        Raises: Unreadable; KeysUnavailable, when the whole key store cannot be used.
        """
        key = self._key(key_id)
        try:
            return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], place.associated_data)
        except (InvalidTag, ValueError):  # changed or moved; cut short
            raise Unreadable(place.kind) from None

    def seal_json(self, place: Place, content: Any) -> Sealed:
        return self.seal(place, json.dumps(content, sort_keys=True).encode())

    def reseal_json(self, place: Place, key_id: str, content: Any) -> Sealed:
        return self.reseal(place, key_id, json.dumps(content, sort_keys=True).encode())

    def open_json(self, place: Place, key_id: str, sealed: bytes) -> Any:
        return json.loads(self.open(place, key_id, sealed))

    def derive(self, key_id: str, what: bytes) -> bytes:
        """A value of 32 bytes that only the holder of this key can compute, and nobody once it is destroyed."""
        mac = hmac.HMAC(self._key(key_id), hashes.SHA256())
        mac.update(what)
        return mac.finalize()

    def _key(self, key_id: str) -> bytes:
        try:
            return self.keys.get(key_id)
        except (KeyDestroyed, ValueError):  # gone; the row names none
            raise Unreadable("its key has been destroyed") from None


def _encrypt(key: bytes, place: Place, content: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, content, place.associated_data)

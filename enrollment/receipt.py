"""Signed proof of a purge: a compact JWS (RFC 7515), EdDSA over Ed25519 (RFC 8037)."""

import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from voiceid import jws


class Signer:
    """Signs receipts with the installation's key, which lies in the key store."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_jwk = jws.public_jwk(key.public_key())

    def sign(self, receipt: dict[str, Any]) -> str:
        """The receipt as a compact JWS; its header carries the key's thumbprint."""
        return jws.sign(receipt, self._key)

    @staticmethod
    def payload(signed: str) -> dict[str, Any]:
        """What a receipt says. It does not check the signature: `voiceid.jws.verify` does."""
        said: dict[str, Any] = json.loads(jws.decoded(signed.split(".")[1]))
        return said

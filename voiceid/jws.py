"""Compact JWS with Ed25519: enough to sign a receipt and to verify one offline."""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from voiceid.errors import ReceiptInvalid

_TYPE = "voiceid-receipt+jws"


def public_jwk(key: Ed25519PublicKey) -> dict[str, str]:
    """The public key as a JSON Web Key; its `kid` is the RFC 7638 thumbprint."""
    members = {"crv": "Ed25519", "kty": "OKP", "x": encoded(key.public_bytes_raw())}
    thumbprint = hashlib.sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode()).digest()
    return {**members, "alg": "EdDSA", "use": "sig", "kid": encoded(thumbprint)}


def sign(payload: Mapping[str, Any], key: Ed25519PrivateKey) -> str:
    """Sign a JSON object: `header.payload.signature`."""
    header = {"alg": "EdDSA", "typ": _TYPE, "kid": public_jwk(key.public_key())["kid"]}
    signed = ".".join(encoded(json.dumps(part, sort_keys=True).encode()) for part in (header, payload))
    return f"{signed}.{encoded(key.sign(signed.encode()))}"


def verify(signed: str, keys: Iterable[Mapping[str, str]]) -> dict[str, Any]:
    """Check the signature against the keys one trusts; what was signed.

    Raises: ReceiptInvalid, for another form, another algorithm, an unknown key or a signature that does not fit.
    """
    parts = signed.strip().split(".")
    try:
        head, body, signature = parts
        header = json.loads(decoded(head))
        payload: dict[str, Any] = json.loads(decoded(body))
        raw = decoded(signature)
        if header["alg"] != "EdDSA" or header["typ"] != _TYPE:
            raise ReceiptInvalid("this is not a receipt of voiceid")
        jwk = next((key for key in keys if key.get("kid") == header["kid"]), None)
        if jwk is None:
            raise ReceiptInvalid("it was signed with a key that is not among the trusted ones")
        Ed25519PublicKey.from_public_bytes(decoded(jwk["x"])).verify(raw, f"{head}.{body}".encode())
    except InvalidSignature:
        raise ReceiptInvalid("the signature does not fit: it was changed, or another key signed it") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ReceiptInvalid("this is not a signed receipt") from None
    return payload


def encoded(octets: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def decoded(word: str) -> bytes:
    """Undo `encoded`.

    Raises: ValueError.
    """
    try:
        return base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error

"""Random ids and secrets. An id says nothing; a token carries its household, so that no look-up crosses the border."""

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass

from voiceid.types import HouseholdId

ID_LENGTH = 24
_TOKEN = re.compile(rf"vid_(admin|[a-z2-7]{{{ID_LENGTH}}})_([a-z2-7]{{52}})")
_PAIR = re.compile(rf"([a-z2-7]{{{ID_LENGTH}}})([a-z2-7]{{{ID_LENGTH}}})")


def new_id() -> str:
    """120 random bits, 24 characters of base32."""
    return _base32(15)


def new_secret() -> str:
    """256 random bits, 52 characters of base32."""
    return _base32(32)


def token(household: HouseholdId | None, secret: str) -> str:
    """The bearer token of a household, or of the administrator."""
    return f"vid_{household or 'admin'}_{secret}"


@dataclass(frozen=True, slots=True)
class TokenParts:
    """A well-formed token, taken apart."""

    household: HouseholdId | None
    digest: bytes


def parse_token(text: str) -> TokenParts | None:
    """Take a token apart; None if it is none."""
    found = _TOKEN.fullmatch(text)
    if found is None:
        return None
    where = found[1]
    return TokenParts(None if where == "admin" else HouseholdId(where), digest(found[2]))


def digest(secret: str) -> bytes:
    """How a secret is stored. It has 256 random bits, so a plain hash is enough."""
    return hashlib.sha256(secret.encode()).digest()


def pair(household: HouseholdId, within: str) -> str:
    """One opaque word for a thing in a household: receipts are found by it alone."""
    return f"{household}{within}"


def unpair(word: str) -> tuple[HouseholdId, str]:
    """Undo `pair`.

    Raises: LookupError, if the word is none of ours.
    """
    found = _PAIR.fullmatch(word)
    if found is None:
        raise LookupError(word)
    return HouseholdId(found[1]), found[2]


def _base32(octets: int) -> str:
    return base64.b32encode(secrets.token_bytes(octets)).decode().rstrip("=").lower()

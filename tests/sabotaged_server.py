"""Runs `voiceid` with one protection taken out, so that a test can show that it would be missed.

python tests/sabotaged_server.py gate serve --json
"""

import sys
from collections.abc import Callable, Iterable
from typing import Any

from voiceid import cli, consent
from voiceid.store import keys, vault

TAG = bytes(16)


def open_the_gate() -> None:
    """Whoever agreed to anything may be found: one line of consent.py."""

    def everybody(gate: Any, purposes: Any) -> consent.Permit:
        return consent.Permit(gate.household, gate.epoch, frozenset(gate.agreed), purposes)

    consent.permit = everybody


def stop_purging() -> None:
    """Withdrawals are recorded, but nothing is erased."""
    from enrollment.purge import Purge

    Purge._destroy = lambda *_: None  # type: ignore[method-assign]  # taken out on purpose
    Purge._erase = lambda *_: None  # type: ignore[method-assign]  # same


def keep_the_keys() -> None:
    """Rows are deleted and counted, but their keys stay."""

    def pretend(_: keys.FileKeyStore, key_ids: Iterable[str]) -> list[str]:
        return sorted(set(key_ids))

    keys.FileKeyStore.destroy = pretend  # type: ignore[method-assign]  # same


def write_plainly() -> None:
    """Records look sealed and are not."""

    class Plain:
        def __init__(self, key: bytes) -> None: ...

        def encrypt(self, _nonce: bytes, content: bytes, _about: bytes) -> bytes:
            return content + TAG

        def decrypt(self, _nonce: bytes, content: bytes, _about: bytes) -> bytes:
            return content[: -len(TAG)]

    vault.AESGCM = Plain  # type: ignore[assignment, misc]  # same


SABOTAGE: dict[str, Callable[[], None]] = {
    "gate": open_the_gate,
    "purge": stop_purging,
    "keys": keep_the_keys,
    "encryption": write_plainly,
    "none": lambda: None,
}

if __name__ == "__main__":
    SABOTAGE[sys.argv[1]]()
    sys.exit(cli.main(sys.argv[2:]))

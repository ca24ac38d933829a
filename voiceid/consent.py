"""Household + purposes -> Permit. Without a permit nothing can be searched; an empty one permits nobody."""

from dataclasses import dataclass
from typing import Literal

from voiceid.errors import NoPurpose
from voiceid.ports import Gate
from voiceid.types import SAVE_RECORDINGS, VOICE_ID, HouseholdId, PersonId, Purpose

ConsentRule = Literal["recordings", "unbundled"]

OPENS_THE_GATE: dict[ConsentRule, frozenset[Purpose]] = {
    "recordings": frozenset({SAVE_RECORDINGS, VOICE_ID}),
    "unbundled": frozenset({VOICE_ID}),
}
"""What a person must have granted before their voice can be found."""


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to search for these people, for these purposes, as of this epoch. Only `permit` builds one."""

    household: HouseholdId
    epoch: int
    people: frozenset[PersonId]
    purposes: frozenset[Purpose]


def permit(gate: Gate, purposes: frozenset[Purpose]) -> Permit:
    """Permit whoever has granted all of these purposes.

    Raises: NoPurpose.
    """
    if not purposes:
        raise NoPurpose
    people = frozenset(person for person, granted in gate.agreed.items() if granted >= purposes)
    return Permit(gate.household, gate.epoch, people, purposes)

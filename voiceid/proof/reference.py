"""What should be so, in a hundred lines: who has agreed to what, and whose voice may be found. No store, no keys."""

from copy import deepcopy
from datetime import datetime, timedelta
from typing import Self

from voiceid.types import ADAPT, SAVE_RECORDINGS, TRANSCRIPTS, VOICE_ID, Purpose

NAMES = ("ada", "ben", "cleo")
PURPOSES = (SAVE_RECORDINGS, VOICE_ID, TRANSCRIPTS, ADAPT)
GATE = frozenset({SAVE_RECORDINGS, VOICE_ID})
EXPIRES = timedelta(days=10)


class Reference:
    """One household of three, as it should be."""

    def __init__(self) -> None:
        self.grants: dict[tuple[str, Purpose], datetime | None] = {}
        """Who said yes to what, and until when."""
        self.voiceprints: set[str] = set()
        self.since_backup: list[tuple[str, Purpose | None]] = []
        """What was taken back (a purpose) or erased (None) since the last backup, in order."""

    def copy(self) -> Self:
        """As of now: what a backup holds."""
        self.since_backup = []
        return deepcopy(self)

    def grant(self, name: str, purpose: Purpose, until: datetime | None) -> None:
        self.grants[name, purpose] = until

    def take_back(self, name: str, purpose: Purpose) -> None:
        """A no is a no; without what opens the gate there is no voiceprint."""
        self.grants.pop((name, purpose), None)
        self.since_backup.append((name, purpose))
        if purpose in GATE:
            self._lose(name)

    def agreed(self, name: str, now: datetime) -> set[Purpose]:
        """What this person has granted, unexpired."""
        return {p for (who, p), until in self.grants.items() if who == name and (until is None or now < until)}

    def may_enroll(self, name: str, now: datetime) -> bool:
        return self.agreed(name, now) >= GATE

    def enrolled(self, name: str) -> None:
        """A new voiceprint; what was there before it is erased, whatever a backup says."""
        if name in self.voiceprints:
            self.since_backup.append((name, None))
        self.voiceprints.add(name)

    def lapse(self, now: datetime) -> None:
        """Time takes back what was granted only until now."""
        for (name, purpose), until in list(self.grants.items()):
            if until is not None and until <= now:
                self.take_back(name, purpose)

    def findable(self, now: datetime) -> set[str]:
        """Whom a search may find: enrolled, and agreed right now."""
        return {name for name in self.voiceprints if self.agreed(name, now) >= GATE}

    def restored(self, backup: "Reference") -> "Reference":
        """The backup, less everything that was taken back or erased since it was made."""
        back = deepcopy(backup)
        for name, purpose in self.since_backup:
            if purpose is None or purpose in GATE:
                back.voiceprints.discard(name)
            if purpose is not None:
                back.grants.pop((name, purpose), None)
        back.since_backup = list(self.since_backup)  # a later restore of the same backup replays them again
        return back

    def erase_voiceprint(self, name: str) -> None:
        self._lose(name)

    def _lose(self, name: str) -> None:
        if name in self.voiceprints:
            self.voiceprints.discard(name)
            self.since_backup.append((name, None))

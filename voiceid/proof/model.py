"""Any order of events against a reference of a hundred lines: the index holds exactly those whom the reference allows.

Hypothesis draws the orders and shrinks what fails; it comes with the extra `proof`.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from voiceid.errors import ConsentMissing, MissingExtra
from voiceid.proof import sabotage
from voiceid.proof.installation import Home
from voiceid.proof.reference import EXPIRES, GATE, NAMES, PURPOSES, Reference
from voiceid.proof.report import Check, Sizes
from voiceid.proof.server import Place
from voiceid.store.backup import back_up, put_back
from voiceid.store.store import utc_now
from voiceid.types import Purpose


def prove(root: Path, sizes: Sizes) -> Iterator[Check]:
    """Draw orders of events.

    Raises: MissingExtra, without Hypothesis.
    """
    if find_spec("hypothesis") is None:
        raise MissingExtra("the model test needs Hypothesis: pip install 'voiceid[proof]'")
    from voiceid.proof.machine import run  # noqa: PLC0415 imports the extra

    yield run(root, "events against the reference", sizes.examples, sizes.steps)
    if sizes.controls:
        yield _control(root, "the gate", _outlives_its_consent, "ada was heard as ada")
        yield _control(root, "epoch check", _enrolls_on_the_other, "ada was heard as None")


def _control(root: Path, part: str, live: Callable[["Life"], None], complaint: str) -> Check:
    """One life with everything in place, and once more with one part taken out: only then there is a complaint."""
    complaints = []
    with Home(Place(root / f"{part} template")) as home:
        home.joins(*NAMES)
    for taken in (None, part):
        with sabotage.taken_out(taken) if taken else nullcontext():
            life = Life(root / f"{part} template", root / part)
            try:
                live(life)
            except AssertionError as found:
                complaints.append(f"{taken}: {found}")
            finally:
                life.close()
    noticed = len(complaints) == 1 and complaints[0].startswith(f"{part}: {complaint}")
    return Check("model", f"control, without {part}: found out", 1, 1, expected=True, found=noticed)


def _outlives_its_consent(life: "Life") -> None:
    """A consent runs out while no clock comes by: only the gate keeps the voice from being named."""
    for purpose in PURPOSES[:2]:
        life.grant("ada", purpose, for_days=True)
    life.enroll("ada", complete=True)
    life.recognize("ada")
    life.days_pass(11, clock_runs=False)
    life.recognize("ada")


def _enrolls_on_the_other(life: "Life") -> None:
    """A replica has searched before; whoever enrolls on the other is found there only by the epoch."""
    life.recognize("ada")
    for purpose in PURPOSES[:2]:
        life.grant("ada", purpose, for_days=False)
    life.enroll("ada", complete=True)
    life.recognize("ada")


class Life:
    """One installation and the reference, which live through the same events."""

    def __init__(self, template: Path, root: Path) -> None:
        shutil.copytree(template, root)
        self.root = root
        self._place = Place(root)
        self._now = utc_now()
        self.reference = Reference()
        self.home = self._open()
        self._other = self._open()
        self._enrollments: dict[str, str] = {}
        self._backup: Reference | None = None
        self.events: list[str] = []

    def clock(self) -> datetime:
        """The time in this life; each look is a little later."""
        self._now += timedelta(milliseconds=1)
        return self._now

    def _open(self) -> Home:
        return Home(self._place, now=self.clock)

    def close(self) -> None:
        self.home.close()
        self._other.close()
        shutil.rmtree(self.root)

    def grant(self, name: str, purpose: Purpose, *, for_days: bool) -> None:
        ends = self._now + EXPIRES if for_days else None
        self.home.grants(name, purpose, expires_at=ends)
        self.reference.grant(name, purpose, ends)

    def deny(self, name: str, purpose: Purpose) -> None:
        self.home.decides(name, purpose, "denied")
        self.reference.take_back(name, purpose)

    def withdraw(self, name: str, purpose: Purpose) -> None:
        self.home.withdraws(name, purpose)
        self.reference.take_back(name, purpose)

    def enroll(self, name: str, *, complete: bool) -> None:
        """Read four sentences, and complete or abandon."""
        try:
            started = self.home.starts(name)
        except ConsentMissing:
            self._expect(not self.reference.may_enroll(name, self._now), f"{name} may enroll and was refused")
            return
        self._expect(self.reference.may_enroll(name, self._now), f"{name} enrolled without consent")
        self.home.reads(name, started)
        if complete:
            self.home.completes(name, started)
            self.reference.enrolled(name)
        else:
            who = self.home.people[name]
            self.home.services.enrollments.abandon(self.home.actor(name), self.home.id, who, started)

    def delete_voiceprint(self, name: str) -> None:
        if name in self.reference.voiceprints:
            forgetting = self.home.services.forgetting
            forgetting.delete_voiceprint(self.home.actor(name), self.home.id, self.home.people[name])
            self.reference.erase_voiceprint(name)

    def days_pass(self, days: int, *, clock_runs: bool) -> None:
        """Nobody is there; then the clock's work is done, or it is not, and what has run out still lies there."""
        self._now += timedelta(days=days)
        if clock_runs:
            self.reference.lapse(self._now)
            self.home.services.retention.run()

    def recognize(self, name: str) -> None:
        """Ask both replicas, as if the same clip came to each."""
        allowed = name if name in self.reference.findable(self._now) else None
        for home in (self.home, self._other):
            heard = home.hears(name)
            self._expect(heard == allowed, f"{name} was heard as {heard}, not {allowed}")

    def restart(self) -> None:
        self.home.close()
        self._other.close()
        self.home, self._other = self._open(), self._open()

    def back_up(self) -> None:
        target = self.root / "backup.db"
        target.unlink(missing_ok=True)
        back_up(self._place.data, target)
        self._backup = self.reference.copy()

    def restore(self) -> None:
        """The old state, without whatever was taken back or erased since."""
        if self._backup is None:
            return
        self.home.close()
        self._other.close()
        put_back(self.root / "backup.db", self._place.data, (self._place.keys / "installation").read_text())
        self.home, self._other = self._open(), self._open()
        self.reference = self.reference.restored(self._backup)
        self.home.services.retention.run()
        self.reference.lapse(self._now)

    def check(self) -> None:
        """Consents, voiceprints and the index are as the reference says."""
        granted = {name: set(purposes) for name, purposes in self.home.granted().items()}
        wanted = {name: self.reference.agreed(name, self._now) & set(PURPOSES) for name in NAMES}
        self._expect(granted == wanted, f"granted are {granted}, not {wanted}")
        people = self.home.services.people.page(self.home.id, "", len(NAMES))
        enrolled = {entry.display_name.lower() for entry in people if entry.voice_id}
        allowed = self.reference.findable(self._now)
        self._expect(enrolled == allowed, f"enrolled are {enrolled}, not {allowed}")
        self._expect(self.home.pending() == 0, "a purge is pending")
        held = self._indexed()
        self._expect(held == self.reference.findable(self._now), f"the index holds {held}")

    def _indexed(self) -> set[str]:
        """Whom the index holds right after a search."""
        self.home.hears("a guest", keeping=False)
        indexes = self.home.services.recognizer.indexes
        return {name for name, who in self.home.people.items() if indexes.count(self.home.id, who)}

    def _expect(self, holds: Any, complaint: str) -> None:
        if not holds:
            raise AssertionError(f"{complaint}, after {', '.join(self.events[-6:])}")


__all__ = ["GATE", "Life", "prove"]

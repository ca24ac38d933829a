"""What it takes to be forgotten, step by step, and to enroll again."""

import cProfile
import pstats
from collections.abc import Iterator

from benchmarks import voices
from benchmarks.bench import Bench
from benchmarks.machine import Syncing, timed
from benchmarks.rows import Row, paired, plain_row, timed_row
from voiceid import policy
from voiceid.decode import decode
from voiceid.ports import Actor
from voiceid.service import wiring
from voiceid.service.services import Services
from voiceid.settings import Settings
from voiceid.types import SAVE_RECORDINGS, VOICE_ID, HouseholdId, PersonId
from voiceid.views import ConsentDecision

_SYNCS = 4
"""The gate, the tombstone, the keys, the rows: a withdrawal cannot wait for the disk less often."""
_STEPS = {
    "destroy the keys": ("keys.py", "destroy"),
    "bury the tombstone": ("keys.py", "bury"),
    "erase the rows and recount": ("purge.py", "_erase"),
}
_WHOLE = ("revoke.py", "withdraw")
_AFTER_THE_GATE = ("purge.py", "run")


def withdrawal(bench: Bench) -> Iterator[Row]:
    """Withdraw both consents of somebody enrolled with four recorded takes, again and again."""
    folder = bench.folder("withdrawal")
    services = wiring.build(Settings(data_dir=folder / "data", keys_dir=folder / "keys"))
    try:
        home = _Home(services)
        profile = cProfile.Profile()
        taken, syncs = [], []
        with Syncing(folder) as sync:
            for number in range(4 if bench.quick else 15):
                home.enroll()
                if number % 2:
                    profile.runcall(home.withdraw)
                else:
                    taken.append(timed(home.withdraw))
                    syncs.append(sum(timed(sync) for _ in range(_SYNCS)))
        peer = f"{_SYNCS} syncs of a page to the same disk"
        yield timed_row("withdrawal", paired(taken, syncs), peer)
        yield from _shares(profile)
    finally:
        services.close()


class _Home:
    """One person who comes and goes."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._household: HouseholdId = services.households.create("Home", "en").id
        owner = Actor("owner", "benchmark", self._household)
        self._person = PersonId(
            services.people.create(owner, self._household, "Ada", "adult", None, []).id
        )
        self._me = Actor("person", "benchmark", self._household, self._person)
        self._takes = [decode(voices.take("ada", number), max_s=60) for number in range(1, 5)]

    def enroll(self) -> None:
        """Agree, and give four takes."""
        here = (self._me, self._household, self._person)
        for purpose in (SAVE_RECORDINGS, VOICE_ID):
            self._services.consents.put(*here, purpose, ConsentDecision("granted", policy.version(), "en", "screen"))
        started = self._services.enrollments.start(*here, "en")
        for pcm in self._takes:
            self._services.enrollments.add_take(*here, started.id, pcm)
        self._services.enrollments.complete(*here, started.id)

    def withdraw(self) -> None:
        """Take both consents back."""
        here = (self._me, self._household, self._person)
        receipt = self._services.forgetting.withdraw(*here, [SAVE_RECORDINGS, VOICE_ID])
        if receipt.state != "complete":
            raise RuntimeError("the withdrawal is not complete")


def _shares(profile: cProfile.Profile) -> Iterator[Row]:
    """The part of each step in the time under the profiler."""
    seen = pstats.Stats(profile).stats  # type: ignore[attr-defined]  # missing in its stubs
    spent = {(where[0].rpartition("/")[2], where[2]): figures[3] for where, figures in seen.items()}
    whole = spent[_WHOLE]
    parts = {"shut the gate": whole - spent[_AFTER_THE_GATE]} | {name: spent[at] for name, at in _STEPS.items()}
    for name, seconds in parts.items():
        yield plain_row(f"withdrawal: {name}", 100 * seconds / whole, "%", "the whole withdrawal", 100.0)

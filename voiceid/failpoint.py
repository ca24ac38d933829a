"""Named places where a test may have the process killed, to prove that a crash there loses and reveals nothing.

A failpoint does nothing unless `VOICEID_FAILPOINT` names it, with the number of the visit at which to die:
`purge.destroyed:1`. It then dies as by power loss: no clean-up, no flushing.
"""

import os
import signal

NAMES = (
    "take.before-commit", "take.after-commit",
    "complete.before-commit", "complete.after-commit",
    "adapt.before-commit", "adapt.after-commit",
    "consent.before-commit", "consent.after-commit",
    "purge.planned", "purge.begun", "purge.buried", "purge.destroyed", "purge.rows-deleted", "purge.before-commit",
    "purge.complete",
    "retain.started", "retain.done-one",
    "restore.copied", "restore.replaced", "restore.replayed",
    "rotate.next-written", "rotate.half-way", "rotate.slots-done", "rotate.overwritten", "rotate.renamed",
)  # fmt: skip
"""Every failpoint there is; a test hits each."""

_visits: dict[str, int] = {}


def reach(name: str) -> None:
    """Die here if the environment says so."""
    chosen = os.environ.get("VOICEID_FAILPOINT")
    if chosen is None:
        return
    wanted, _, visit = chosen.partition(":")
    if wanted == name:
        _visits[name] = _visits.get(name, 0) + 1
        if _visits[name] == int(visit or "1"):
            os.kill(os.getpid(), signal.SIGKILL)


def visits(name: str) -> int:
    """How often this process came past, if the environment names this place at all."""
    return _visits.get(name, 0)

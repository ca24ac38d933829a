"""What is attempted, and killed on the way: each operation on the same furnished household, and its state before."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from voiceid.errors import VoiceIdError
from voiceid.ports import Clock
from voiceid.proof.installation import Home, Voices, shifted
from voiceid.proof.server import Place
from voiceid.service import keeping, wiring
from voiceid.settings import Settings
from voiceid.store.backup import back_up
from voiceid.store.store import utc_now
from voiceid.types import ADAPT, HUMAN_REVIEW, SAVE_RECORDINGS, TRANSCRIPTS, VOICE_ID

SPEAKERS = ("ada", "ben", "cleo", "dan")
"""Ada and Ben are enrolled and have been heard; Cleo has read four sentences; Dan is a guest."""
_GATE = frozenset({SAVE_RECORDINGS, VOICE_ID})
_PURGE = (
    "purge.planned", "purge.begun", "purge.buried", "purge.destroyed", "purge.rows-deleted", "purge.before-commit",
    "purge.complete",
)  # fmt: skip
_YEARS = timedelta(days=1200)

State = dict[str, Any]
Do = Callable[[Any], object]
"""Takes the `Home`; what works on a closed installation takes the `Place`."""


def furnish(place: Place, voices: Voices) -> None:
    """Make the household that every run begins with, and a backup from before Ben was heard and took something back."""
    with Home(place, voices) as home:
        home.joins("ada", "ben", "cleo")
        for name in ("ada", "ben", "cleo"):
            home.grants(name, SAVE_RECORDINGS, VOICE_ID, TRANSCRIPTS, retention="days:30")
        home.grants("ada", ADAPT)
        for name in ("ada", "ben"):
            home.enrolls(name)
        home.hears("ada", 1, "what Ada said")
        home.hears("ben", 1, "what Ben said")
        back_up(place.data, place.root / "backup.db")
        home.withdraws("ben", TRANSCRIPTS)
        home.hears("ben", 2)
        home.reads("cleo", home.starts("cleo"))


def state_of(place: Place, voices: Voices, later: timedelta = timedelta(0), *, resuming: bool = True) -> State:
    """What is there: consents, rows, who is heard; and what must never be. `resuming`: after a proper start."""
    if not resuming:
        purge: Any = vars(wiring)["Purge"]
        purge.resume = purge.replay = lambda _self: 0  # as another process sees it that has been running all the while
    with Home(place, voices, now=_clock(later)) as home:
        home.verify_chains()
        granted, heard = _granted(home), {name: _heard(home, name) for name in SPEAKERS}
        wrong = [
            f"{name} is heard as {other}" for name, other in heard.items()
            if other is not None and (other != name or not set(granted.get(name, ())) >= _GATE)
        ]  # fmt: skip
        return {
            "granted": granted, "rows": home.rows(), "heard": heard, "misnamed": wrong,
            "pending": home.pending(), "without_key": home.without_key(),
        }  # fmt: skip


def _granted(home: Home) -> dict[str, list[str]]:
    try:
        return home.granted()
    except VoiceIdError:
        return {}  # the household is gone


def _heard(home: Home, speaker: str) -> str | None:
    try:
        return home.hears(speaker, 3, keeping=False)
    except VoiceIdError:
        return None  # the household is gone


def _clock(later: timedelta) -> Clock:
    return shifted(later) if later else utc_now


@dataclass(frozen=True)
class Operation:
    """Something that changes what is stored."""

    act: Do
    points: tuple[str, ...]
    later: timedelta = timedelta(0)
    """How much later it is by then."""
    closed: bool = False
    """Whether the service must be stopped for it."""
    often: bool = False
    """Whether it may come past one place several times."""
    again: Do | None = None
    """What a started service does by itself in time, or an operator who sees that it was cut off."""

    def do(self, place: Place, voices: Voices) -> None:
        if self.closed:
            self.act(place)
            return
        with Home(place, voices, now=_clock(self.later)) as home:
            self.act(home)

    def before(self, place: Place, voices: Voices) -> State:
        return state_of(place, voices, self.later)

    def settle(self, place: Place, voices: Voices) -> State:
        """Start again; the state then."""
        with Home(place, voices, now=_clock(self.later)) as home:
            if self.again is not None:
                self.again(home)
        return state_of(place, voices, self.later)


def _unfinished(home: Home, name: str) -> str:
    return str(home.rows_of_table("enrollment", name)[0])


def _take(home: Home) -> None:
    home.reads("cleo", _unfinished(home, "cleo"), (1,))


def _complete(home: Home) -> None:
    home.completes("cleo", _unfinished(home, "cleo"))


def _abandon(home: Home) -> None:
    home.services.enrollments.abandon(home.actor("cleo"), home.id, home.people["cleo"], _unfinished(home, "cleo"))


def _delete_recording(home: Home) -> None:
    recording = str(home.rows_of_table("recording", "ada")[0])
    home.services.forgetting.delete_recording(home.actor("ada"), home.id, home.people["ada"], recording)


def _retain(home: Home) -> None:
    home.services.retention.run()


def _restore(place: Place) -> None:
    keeping.restore(Settings(data_dir=place.data, keys_dir=place.keys), place.root / "backup.db")


def _rotate(home: Home) -> None:
    home.services.store.keys.rotate()


OPERATIONS: dict[str, Operation] = {
    "take": Operation(_take, ("take.before-commit", "take.after-commit")),
    "complete": Operation(_complete, ("complete.before-commit", "complete.after-commit", *_PURGE)),
    "abandon": Operation(_abandon, _PURGE),
    "adapt": Operation(
        lambda home: home.hears("ada", 4, "adapted to", long=True), ("adapt.before-commit", "adapt.after-commit")
    ),
    "grant": Operation(
        lambda home: home.decides("ada", HUMAN_REVIEW), ("consent.before-commit", "consent.after-commit")
    ),
    "deny": Operation(
        lambda home: home.decides("ben", VOICE_ID, "denied"), ("consent.after-commit", *_PURGE)
    ),
    "withdraw": Operation(lambda home: home.withdraws("ada", SAVE_RECORDINGS, VOICE_ID, TRANSCRIPTS, ADAPT), _PURGE),
    "delete recording": Operation(_delete_recording, _PURGE),
    "delete voiceprint": Operation(
        lambda home: home.services.forgetting.delete_voiceprint(home.actor("ben"), home.id, home.people["ben"]), _PURGE
    ),
    "delete person": Operation(
        lambda home: home.services.forgetting.delete_person(home.owner, home.id, home.people["ben"]), _PURGE
    ),
    "delete household": Operation(lambda home: home.services.forgetting.delete_household(home.owner, home.id), _PURGE),
    "retain": Operation(
        _retain, ("retain.started", "retain.done-one", *_PURGE), later=_YEARS, often=True, again=_retain
    ),
    "restore": Operation(
        _restore, ("restore.copied", "restore.replaced", "restore.replayed", *_PURGE), closed=True, often=True
    ),
    "rotate": Operation(
        _rotate,
        ("rotate.next-written", "rotate.half-way", "rotate.slots-done", "rotate.overwritten", "rotate.renamed"),
        often=True, again=_rotate,
    ),
}


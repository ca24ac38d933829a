"""Whether an installation is in order, and how to mend what is not. It changes nothing, and reads nobody's voice."""

import importlib.util
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from voiceid import opus
from voiceid.calibration import Bars
from voiceid.encode import open_encoder
from voiceid.errors import KeysUnavailable, VoiceIdError
from voiceid.service import wiring
from voiceid.settings import Settings
from voiceid.speech import SpeechCheck
from voiceid.store import checkup
from voiceid.store.checkup import is_current, pending_purges, verify_chains
from voiceid.store.keys import inside
from voiceid.store.store import Store

_FOR_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_CUT_OFF = (".restored", ".restored-journal", ".part", ".next", ".new")
_RULES = {
    "recordings": "voice ID needs saved recordings; for whoever the GDPR binds, `unbundled` is the setting",
    "unbundled": "voice ID stands alone, enrollment audio is never kept; the setting for whoever the GDPR binds",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str
    mend: str | None = None
    """What to do about it; None when there is nothing to do."""


@dataclass(frozen=True, slots=True)
class Report:
    """All that was looked at."""

    ok: bool
    torch: bool
    """Whether torch is installed; it is not loaded to find out."""
    checks: list[Check]


def examine(*, deep: bool = False) -> Report:
    """Look at everything; what cannot be looked at because something else is wrong is left out.

    `deep`: also at every row, key, receipt and file, which takes as long as there are many.
    """
    checks = list(_checks(deep=deep))
    return Report(all(check.ok for check in checks), importlib.util.find_spec("torch") is not None, checks)


def is_set_up(settings: Settings) -> bool:
    """Whether there is an installation here, or a server that may hold one."""
    return settings.database_url is not None or (settings.data_dir / "voiceid.db").exists()


def _checks(*, deep: bool) -> Iterator[Check]:
    try:
        settings = Settings.from_environment()
    except VoiceIdError as wrong:
        yield Check("settings", ok=False, detail=str(wrong), mend="see docs/settings.md")
        return
    yield Check("settings", ok=True, detail="all known")
    yield Check("consent rule", ok=True, detail=f"{settings.consent_rule}: {_RULES[settings.consent_rule]}")
    yield from _models(settings)
    by = opus.version() or "libsndfile, in twice the time: install libopus (Debian: libopus0)"
    yield Check("Opus", ok=True, detail=f"decoded by {by}")
    yield _apart(settings)
    if is_set_up(settings):
        yield from _installation(settings, deep=deep)
    else:
        yield Check("installation", ok=True, detail="nothing is set up here yet: `voiceid serve` does it")


def _models(settings: Settings) -> Iterator[Check]:
    yield _tried("speech check", _speech_check, "install voiceid anew")

    def calibrated() -> str:
        encoder = open_encoder(settings.encoder, settings.models_dir)
        Bars.shipped(encoder.model_id, settings.policy)
        return f"{encoder.model_id}, calibrated, policy {settings.policy}"

    mend = "install voiceid anew, or set VOICEID_ENCODER to a model that `voiceid model list` shows"
    yield _tried("encoder", calibrated, mend)


def _speech_check() -> str:
    SpeechCheck.shipped()
    return "the published network"


def _apart(settings: Settings) -> Check:
    if settings.database_url is None and inside(settings.keys_dir, settings.data_dir):
        detail = "the key store lies inside the data directory: a backup would carry both"
        return Check("key store apart", ok=False, detail=detail, mend="move it, and set VOICEID_KEYS_DIR")
    return Check("key store apart", ok=True, detail="keys and data lie apart")


def _installation(settings: Settings, *, deep: bool) -> Iterator[Check]:
    yield from _modes("data", settings.data_dir)
    yield from _modes("keys", settings.keys_dir)
    url = settings.database_url or f"sqlite:///{(settings.data_dir / 'voiceid.db').resolve()}"
    try:
        if not is_current(url):
            detail = "its tables are of an older version"
            yield Check("database", ok=False, detail=detail, mend="start the service once")
            return
        store = wiring.open_store(settings)
    except VoiceIdError as wrong:
        yield Check("database and key store", ok=False, detail=f"{wrong} [{wrong.code}]", mend=_mend_for(wrong))
        return
    try:
        yield Check("database and key store", ok=True, detail="both open, and belong together")
        yield _tried("signing key", lambda: _signing_key(store), "restore the key store's copy")
        chains = "restore a backup; somebody or something changed what may only grow"
        yield _tried("ledger and activity", lambda: f"{verify_chains(store)} rows, every link fits", chains)
        pending = pending_purges(store)
        mend = "start the service, or: voiceid retain --now"
        yield Check("purges", pending == 0, f"{pending} pending", mend if pending else None)
        if deep:
            yield from _records(store)
            yield _counted("expired", wiring.overdue(settings, store), "start the service, or: voiceid retain --now")
            yield _left_over(settings)
    finally:
        store.database.close()


def _records(store: Store) -> Iterator[Check]:
    """Rows, keys, receipts and tombstones, each against the others."""
    stray = len(checkup.stray_keys(store))
    yield _counted("keys without data", {"keys": stray} if stray else {}, (
        "a crash left them, or the data are of an older backup; once you will restore no newer one, stop the service "
        "and: voiceid key sweep"
    ))  # fmt: skip
    yield _counted("data without keys", checkup.data_without_keys(store), (
        "voiceid key restore, if there is a copy of the key store; else nobody can read them any more: their people "
        "withdraw and enroll again, or restore a backup"
    ))  # fmt: skip
    yield _counted("orphans", checkup.orphans(store), (
        "something changed the tables by hand: restore a backup; deleting the person erases what is left of them"
    ))  # fmt: skip
    broken = checkup.broken_receipts(store)
    yield _counted("receipts", {"receipts": broken} if broken else {}, (
        "they do not fit the signing key or the ledger: restore the key store's copy, or a backup with the whole ledger"
    ))  # fmt: skip
    apart = checkup.tombstones_apart(store)
    yield _counted("tombstones", {"purges": apart} if apart else {}, (
        "data or keys were put back: start the service, which carries out again what was purged since"
    ))  # fmt: skip


def _counted(name: str, found: Mapping[str, int], mend: str) -> Check:
    """A check that found so many items of each kind."""
    detail = ", ".join(f"{count} {kind}" for kind, count in sorted(found.items()))
    return Check(name, not found, detail or "none", mend if found else None)


def _left_over(settings: Settings) -> Check:
    """Files that something cut off left behind: an old copy of the data, half a backup, a rotation on its way."""
    there = [path for folder in (settings.data_dir, settings.keys_dir) if folder.is_dir() for path in folder.iterdir()]
    found = sorted(path.name for path in there if path.name.endswith(_CUT_OFF))
    mend = "voiceid key rotate finishes a rotation (.next, .new); delete the others while the service is stopped"
    return Check("files left over", not found, ", ".join(found) or "none", mend if found else None)


def _signing_key(store: Store) -> str:
    try:
        store.keys.signing_key()
    except OSError as error:
        raise KeysUnavailable(f"cannot read the signing key: {error.strerror}") from None
    return "opens"


def _modes(name: str, directory: Path) -> Iterator[Check]:
    if not directory.is_dir():
        return
    try:
        paths = [directory, *sorted(directory.rglob("*"))]
        open_to_others = [path.name for path in paths if path.lstat().st_mode & _FOR_OTHERS]
    except OSError as error:
        mend = f"run this as the owner of {directory}"
        yield Check(f"modes of {name}", ok=False, detail=str(error.strerror), mend=mend)
        return
    if open_to_others:
        detail = f"others may read or change: {', '.join(open_to_others)}"
        yield Check(f"modes of {name}", ok=False, detail=detail, mend=f"chmod -R go-rwx {directory}")
    else:
        yield Check(f"modes of {name}", ok=True, detail="for their owner alone")


def _tried(name: str, look: Callable[[], str], mend: str) -> Check:
    try:
        return Check(name, ok=True, detail=look())
    except VoiceIdError as wrong:
        return Check(name, ok=False, detail=f"{wrong} [{wrong.code}]", mend=mend)


def _mend_for(wrong: VoiceIdError) -> str:
    return {
        "keys-unavailable": "point VOICEID_KEYS_DIR to the key store that belongs to these data",
        "keys-misplaced": "move the key store out of the data directory",
    }.get(wrong.code, "is the database running, and may this user open it?")

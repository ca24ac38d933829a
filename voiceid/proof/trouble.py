"""Trouble: a full disk, one that cannot be written, keys that are missing or another's, a clock set back a year.

Each time: a clear error where something cannot be done, nothing lost, and answers go on where they can.
"""

import resource
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from voiceid.client import Client
from voiceid.errors import VoiceIdError
from voiceid.proof.household import ALL, House, Member, made_up
from voiceid.proof.installation import Home, shifted
from voiceid.proof.report import Check, Sizes
from voiceid.proof.server import Place, Server
from voiceid.types import ADAPT, SAVE_RECORDINGS, TRANSCRIPTS, VOICE_ID

_YEAR = timedelta(days=365)
_UNAVAILABLE = frozenset({"store-unavailable", "keys-unavailable"})


def prove(root: Path, sizes: Sizes) -> Iterator[Check]:
    """Cause it, look, mend it, look again."""
    place = Place(root / "disk")
    with Server(place) as server:
        house = House.first(server)
        ada = house.enrolled("Ada", "ada")
        house.owner.recognize(made_up("ada", 101), transcript="what Ada said")
        biggest = max(path.stat().st_size for path in place.data.iterdir())
        yield from _cannot_write("disk full", biggest, server, house, ada)
        yield from _cannot_write("read-only", 0, server, house, ada)
        yield from _full_in_the_middle(server, house, ada)
    yield from _keys(root / "keys")
    yield from _clock(root / "clock")
    if sizes.controls:
        yield _chain_broken(root / "chain")


def _cannot_write(what: str, limit: int, server: Server, house: House, ada: Member) -> Iterator[Check]:
    """No file may be written beyond `limit`, as far as this process is concerned."""
    before = _kept(ada)
    with _limited(server.pid, limit):
        answer = _filled(house) if limit else house.owner.recognize(made_up("ada", 102))
        yield _check(f"{what}: a member is answered, nothing stored", (True, False), (_is(answer, ada), answer.stored))
        guest = house.owner.recognize(made_up("a guest", 1))
        yield _check(f"{what}: a guest is answered", "anonymous", guest.mode)
        attempts: dict[str, Callable[[], Any]] = {
            "grant": lambda: ada.grants(ADAPT),
            "enroll": lambda: ada.enrolls(made_up),
            "withdraw": lambda: ada.client.withdraw_all(ada.person),
        }
        codes = {name: _code(attempt) for name, attempt in attempts.items()}
        clear = {name: code in _UNAVAILABLE for name, code in codes.items()}
        yield _check(f"{what}: a clear error for what must be written", dict.fromkeys(attempts, True), clear)
    after = _kept(ada)
    fewest = min(after["recordings"], before["recordings"])  # until it was full, some came in addition
    yield _check(f"{what}: nothing lost", before, {**after, "recordings": fewest})
    again = house.owner.recognize(made_up("ada", 103))
    yield _check(f"{what}: stored again afterwards", expected=True, found=again.stored)


def _full_in_the_middle(server: Server, house: House, ada: Member) -> Iterator[Check]:
    """The disk takes in that somebody withdraws, and then nothing more: it counts, and is finished by itself."""
    log = server.place.data / "voiceid.db-wal"
    receipt = None
    for room in range(16, 200, 8):  # the withdrawal's pages fit, those of the erasing do not
        with _limited(server.pid, log.stat().st_size + room * 1024), suppress(VoiceIdError):
            receipt = ada.client.withdraw_all(ada.person)
        if receipt is not None:
            break
    if receipt is None:
        raise RuntimeError("the disk was full all the time")
    yield _check("disk full while withdrawing: it counts at once, erasing is pending", ("pending", None),
                 (receipt.state, house.named(made_up("ada", 104))))  # fmt: skip
    yield _check("disk full while withdrawing: nothing can be heard any more", 0, _kept(ada)["recordings"])
    house.close()
    server.stop()
    with Server(server.place) as restarted, Client(restarted.url) as anybody:
        finished = anybody.receipt(receipt.id)
        left = sum(store.left for store in finished.stores)
    yield _check("disk full while withdrawing: the next start finishes it", ("complete", 0), (finished.state, left))


def _filled(house: House) -> Any:
    """Requests until one is not stored any more: the disk is full now."""
    for clip in range(200, 260):
        answer = house.owner.recognize(made_up("ada", clip))
        if not answer.stored:
            return answer
    return answer


def _kept(ada: Member) -> dict[str, Any]:
    """What Ada has: consents, a voiceprint, recordings."""
    consents = ada.client.consents(ada.person).purposes
    return {
        "granted": sorted(state.purpose for state in consents if state.granted),
        "voiceprint": ada.client.person(ada.person).voiceprint is not None,
        "recordings": len(ada.client.recordings(ada.person).items),
    }


@contextmanager
def _limited(pid: int, octets: int) -> Iterator[None]:
    """Let a process of ours write no file beyond this size, as a full disk would."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (octets, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def _keys(root: Path) -> Iterator[Check]:
    """The key store is away; another installation's stands in its place; then it is back."""
    place, other = Place(root / "here"), Place(root / "other")
    _with_ada(place)
    _with_ada(other)
    away = root / "away"
    with Home(place) as home:
        place.keys.rename(away)
        yield _check("keys missing, running: a guest is answered", None, home.hears("a guest"))
        yield _check("keys missing, running: nothing new is sealed", "keys-unavailable",
                     _code(lambda: home.grants("ada", ADAPT)))  # fmt: skip
        yield _check("keys missing, running: withdrawing counts at once, erasing is pending", ("pending", None),
                     (home.withdraws("ada", TRANSCRIPTS).state, _purposes(home).get("transcripts")))  # fmt: skip
    yield _check("keys missing: it does not start", "keys-unavailable", _code(lambda: Home(place)))
    shutil.copytree(other.keys, place.keys)
    yield _check("keys of another installation: it does not start", "keys-unavailable", _code(lambda: Home(place)))
    yield _check("keys of another installation: they are left as they are", _bytes(other.keys), _bytes(place.keys))
    shutil.rmtree(place.keys)
    away.rename(place.keys)
    with Home(place) as home:
        found = (home.hears("ada", keeping=False), home.pending(), home.without_key())
        yield _check("keys back: all is there, the purge is finished", ("ada", 0, 0), found)


def _clock(root: Path) -> Iterator[Check]:
    """The clock is set back a year, and forward again."""
    place = Place(root)
    _with_ada(place)
    with Home(place, now=shifted(-_YEAR)) as home:
        before = home.rows()["ada"]
        yield _check("clock back: retention erases nothing", [], home.services.retention.run())
        yield _check("clock back: nothing lost", before, home.rows()["ada"])
        yield _check("clock back: nobody is misnamed", (True, None),
                     (home.hears("ada") in {"ada", None}, home.hears("a guest")))  # fmt: skip
        receipt = home.withdraws("ada", SAVE_RECORDINGS, VOICE_ID, TRANSCRIPTS)
        left = {"voiceprint", "recording", "take", "interaction", "transcript"} & set(home.rows()["ada"])
        yield _check("clock back: a withdrawal erases everything", ("complete", []), (receipt.state, sorted(left)))
        yield _check("clock back: withdrawn is withdrawn", None, home.hears("ada"))
    with Home(place) as home:
        yield _check("clock right again: still withdrawn", ([], None), (home.granted()["ada"], home.hears("ada")))
        yield _check("clock right again: the chains verify", expected=True, found=home.verify_chains() > 0)


def _chain_broken(root: Path) -> Check:
    """Somebody who holds the database's file makes a yes out of a withdrawal."""
    place = Place(root)
    _with_ada(place)
    with Home(place) as home:
        home.withdraws("ada", TRANSCRIPTS)
        whole = home.verify_chains() > 0
        with closing(sqlite3.connect(place.data / "voiceid.db")) as database, database:
            database.execute("DROP TRIGGER ledger_no_update")
            database.execute("UPDATE ledger SET event = 'granted' WHERE event = 'withdrawn'")
        noticed = whole and _code(home.verify_chains) == "ledger-broken"
    return _check("control, with a broken chain: found out", expected=True, found=noticed)


def _with_ada(place: Place) -> None:
    with Home(place) as home:
        home.joins("ada")
        home.grants("ada", *ALL)
        home.enrolls("ada")
        home.hears("ada", 1, "what Ada said")


def _purposes(home: Home) -> dict[str, bool]:
    return dict.fromkeys(home.granted()["ada"], True)


def _bytes(folder: Path) -> dict[str, int]:
    """Sizes and contents, as one number each."""
    return {path.name: hash(path.read_bytes()) for path in sorted(folder.iterdir())}


def _is(answer: Any, member: Member) -> bool:
    return answer.person is not None and answer.person.id == member.person


def _code(attempt: Callable[[], Any]) -> str | None:
    """The stable code of what it raises; None if it succeeds."""
    try:
        attempt()
    except VoiceIdError as error:
        return error.code
    return None


def _check(name: str, expected: Any, found: Any) -> Check:
    return Check("trouble", name, 1, 1, expected, found)

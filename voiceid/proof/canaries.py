"""Canaries: unique names, words, sounds and vectors go in through every entrance; erased, none is left anywhere."""

import random
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from pathlib import Path

from voiceid.proof import sabotage, serving
from voiceid.proof.entrances import Canary
from voiceid.proof.household import ALL, House, Member, made_up
from voiceid.proof.installation import Home
from voiceid.proof.memory import MemoryScanner
from voiceid.proof.report import Check, Sizes
from voiceid.proof.server import Place, Server
from voiceid.scan import Clip, Scanner
from voiceid.settings import Settings
from voiceid.store.backup import back_up, put_back
from voiceid.types import TRANSCRIPTS, PersonId

_CHURN_PEOPLE = 4
_OUTLIVES_A_PERSON = frozenset({"ledger", "activity", "purge"})
CONTROLS = ("purge", "key destruction", "encryption", "tombstones", "overwriting memory")


def prove(root: Path, sizes: Sizes) -> Iterator[Check]:
    """Every entrance in, five ways of erasing out, and each protection taken away in turn."""
    place = Place(root / "canaries")
    with Server(place) as server:
        house = House.first(server)
        yield churn(house, sizes.churn)
        yield from Hunt(house, place, Canary.sing(house)).run()
        house.close()
    if sizes.controls:
        for part in CONTROLS:
            yield control(root / part.replace(" ", "-"), part)
        yield unregistered(root / "unregistered")


def churn(house: House, times: int) -> Check:
    """So many enrollments and, in a random order between them, deletions: what a canary leaves must survive reuse."""
    chance, done = random.Random(times), 0
    people: list[Member] = []
    for number in range(times):
        if len(people) < _CHURN_PEOPLE:
            people.append(house.enrolled(f"Churn {number}", f"churn {number}"))
        else:
            chance.choice(people).enrolls(made_up)
        done += 1
        member = chance.choice(people)
        match chance.randrange(4):
            case 0:
                people.remove(member)
                house.owner.delete_person(member.person)
                house.members.remove(member)
                member.client.close()
            case 1:
                member.client.withdraw_all(member.person)
                member.grants(*(purpose for purpose in ("save_recordings", "voice_id")))  # type: ignore[arg-type]  # their words
            case 2:
                house.owner.recognize(made_up(member.speaker, 100 + number), transcript="churned words")
            case _:
                member.client.delete_interactions(member.person)
    for member in people:
        house.owner.delete_person(member.person)
        house.members.remove(member)
        member.client.close()
    return Check("canaries", "churn: enrollments, all erased", times, done, 0, len(house.owner.people().items))


class Hunt:
    """Erases one canary step by step, and looks everywhere after each."""

    def __init__(self, house: House, place: Place, canary: Canary) -> None:
        self._house = house
        self._place = place
        self._canary = canary
        self._scanner = Scanner(canary.markers)
        self._memory = MemoryScanner(canary.markers)
        self._gone: set[str] = set()
        self._backups = place.root / "backups"
        self._backups.mkdir()
        self._another = 0

    def run(self) -> Iterator[Check]:
        """Find all, erase, find none of what was erased and all the rest."""
        names = sorted(self._canary.names)
        yield self._check("in: all are found on disk", names, self._on_disk())
        before = self._in_memory()
        yield Check("canaries", "in: memory can be read", 1, 1, expected=True, found=bool(before))
        me, person = self._canary.member.client, self._canary.member.person
        back_up(self._place.data, self._backups / "before.db")

        me.delete_recording(person, self._canary.recording("raw"))
        yield from self._look("one recording", self._canary.of_recording("raw"))
        since, until = self._canary.time_range
        me.delete_interactions(person, since=since, until=until)
        yield from self._look("one time range", self._canary.of_range)
        me.withdraw(person, TRANSCRIPTS)
        yield from self._look("one purpose", self._canary.words)
        me.withdraw_all(person)
        yield from self._look("withdrawal of all", self._canary.names - self._canary.told)
        self._house.owner.delete_person(person)
        yield from self._look("the person", self._canary.names)

    def _look(self, step: str, erased: Iterable[str]) -> Iterator[Check]:
        """What is erased by now is nowhere; what is not erased is still there."""
        self._gone |= set(erased)
        self._one_more_request()
        left = sorted(self._canary.names - self._gone)
        found = self._on_disk()
        yield self._check(f"{step}: the rest is there", left, found - self._gone)
        yield self._none(f"{step}: nothing on disk", found)
        yield self._none(f"{step}: nothing in old backups", self._names(self._scan([self._backups, self._place.keys])))
        yield self._none(f"{step}: nothing in memory", self._in_memory())
        yield self._none(f"{step}: nothing in an old backup restored", self._restored(step))
        back_up(self._place.data, self._backups / f"after {step}.db")

    def _check(self, name: str, expected: list[str], found: set[str]) -> Check:
        done = len(self._canary.names)
        return Check("canaries", name, done, done, expected, sorted(found))

    def _none(self, name: str, found: set[str]) -> Check:
        return Check("canaries", name, len(self._gone), len(self._gone), [], sorted(found & self._gone))

    def _scan(self, folders: Sequence[Path]) -> list[str]:
        return [finding.marker for finding in self._scanner.scan(folders)]

    def _names(self, markers: Iterable[str]) -> set[str]:
        return set(markers)

    def _on_disk(self) -> set[str]:
        return self._names(self._scan(self._place.folders))

    def _in_memory(self) -> set[str]:
        return {marker for marker, _, _ in self._memory.scan(self._house.server.pid)}

    def _one_more_request(self) -> None:
        self._another += 1
        self._house.owner.recognize(made_up("a guest", self._another))

    def _restored(self, step: str) -> set[str]:
        """Put the oldest backup back beside a copy of the key store, open it, and look there."""
        copy = Place(self._place.root / f"restored after {step}")
        person = self._canary.member.person if step == "the person" else None
        rows = restore(self._place, self._backups / "before.db", copy, person)
        found = self._names(self._scan(copy.folders)) | ({f"{rows} rows"} if rows else set())
        shutil.rmtree(copy.root)
        self._gone |= {f"{rows} rows"} if rows else set()
        return found


def restore(place: Place, backup: Path, copy: Place, person: PersonId | None) -> int:
    """Put a backup back elsewhere, with the keys as they are now, and start there; rows left of the person."""
    shutil.copytree(place.keys, copy.keys)
    put_back(backup, copy.data, (place.keys / "installation").read_text())
    services = serving.build(Settings(data_dir=copy.data, keys_dir=copy.keys))
    services.close()
    services.store.database.close()
    return rows_of(copy.data, person) if person else 0


def rows_of(data: Path, person: PersonId) -> int:
    """How many rows name this person, in all tables but those that may outlive them."""
    with closing(sqlite3.connect(f"file:{data / 'voiceid.db'}?mode=ro", uri=True)) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = {name: {row[1] for row in database.execute(f'PRAGMA table_info("{name}")')} for name in names}
        mine = [name for name in names if "person_id" in columns[name] and name not in _OUTLIVES_A_PERSON]
        counts = [
            database.execute(f'SELECT count(*) FROM "{name}" WHERE person_id = ?', [person]).fetchone()[0]  # noqa: S608 our own tables' names
            for name in mine
        ]
    return sum(counts)


def control(root: Path, part: str) -> Check:
    """With one protection taken out, the same search must find something, or the search proves nothing."""
    place, without = Place(root), [] if part == "overwriting memory" else [part]
    with Server(place, without=without, overwriting=part != "overwriting memory") as server:
        house = House.first(server)
        canary = Canary.sing(house, entrances=("raw",))
        scanner, memory = Scanner(canary.markers), MemoryScanner(canary.markers)
        backup = root / "backups" / "before.db"
        backup.parent.mkdir()
        back_up(place.data, backup)
        person = canary.member.person
        canary.member.client.withdraw_all(person)
        house.owner.delete_person(person)
        house.owner.recognize(made_up("a guest", 1))
        found = bool(scanner.scan([*place.folders, backup.parent]))
        if part == "overwriting memory":
            found = bool(memory.scan(server.pid))
        house.close()
    if part == "tombstones":
        found = restore(place, backup, Place(root / "restored"), person) > 0
    return Check("canaries", f"control, without {part}: found out", 1, 1, expected=True, found=found)


def unregistered(root: Path) -> Check:
    """What nobody registered is neither erased nor counted: the receipt says `complete`, the search does not."""
    found = {}
    for part in (None, "registration of a table"):
        with sabotage.taken_out(part) if part else nullcontext(), Home(Place(root / str(part))) as home:
            home.joins("ada").grants("ada", *ALL)
            home.enrolls("ada")
            state = home.withdraws("ada", *ALL).state
            sound = Clip("take", home.sound("ada", 1, "enroll").samples)
            found[state, part is None] = bool(Scanner([sound]).scan(home.place.folders))
    noticed = found == {("complete", True): False, ("complete", False): True}
    return Check("canaries", "control, without registration of a table: found out", 1, 1, expected=True, found=noticed)

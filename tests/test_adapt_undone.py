"""What was added to a voiceprint can be undone, is reached by every erasing, and nothing in flight lands after it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from adapting import EASY, added, additions_of, agreed, older, says, score
from home import GATE, MODEL, Home, voice
from sqlalchemy import update

from voiceid import adapt
from voiceid.encode import take_views
from voiceid.errors import KeysUnavailable
from voiceid.store import chain, tables
from voiceid.types import HouseholdId


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("home.BARS", EASY)
        with Home(tmp_path_factory.mktemp("home")) as home:
            yield agreed(home)


@pytest.fixture
def home(prepared: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setattr("home.BARS", EASY)
    with prepared.twin(tmp_path) as home:
        yield home


# Undone, and forgotten.


def _withdraw(*purposes: str) -> Callable[[Home], Any]:
    return lambda home: home.withdraws("ada", *purposes)


def _delete(path: str, by: str = "") -> Callable[[Home], Any]:
    def act(home: Home) -> Any:
        about = home.kept("ada")
        headers = home.owner if by else home["ada"].headers
        return home.ok("DELETE", path.format(ada=home["ada"].path, home=home.path, **about), headers)

    return act


def _not_me(home: Home) -> Any:
    return home.ok("POST", f"{home['ada'].path}/interactions/{home.kept('ada')['id']}/not-me", home["ada"].headers)


ERASING: dict[str, tuple[Callable[[Home], Any], int | None]] = {
    "adapt": (_withdraw("adapt"), 4),
    "voice id": (_withdraw("voice_id"), None),
    "recordings": (_withdraw("save_recordings"), None),
    "everything": (_withdraw(), None),
    "voiceprint": (_delete("{ada}/voiceprint"), None),
    "interaction": (_delete("{ada}/interactions/{id}"), 4),
    "not me": (_not_me, 4),
    "person": (_delete("{ada}"), None),
    "household": (_delete("{home}", "owner"), None),
}
"""What erases an addition, and how many takes the voiceprint then has; None: there is none any more."""


@pytest.mark.parametrize("way", ERASING)
def test_every_way_of_erasing_reaches_it(home: Home, way: str) -> None:
    says(home, older("ada", 0.9))
    says(home, voice("ben"))
    [row] = [row for row in home.rows(tables.adaptation) if row.person_id == home["ada"].id]
    act, takes = ERASING[way]
    receipt = act(home)
    counted = {one["store"]: (one["found"], one["left"]) for one in receipt["stores"]}
    assert receipt["state"] == "complete"
    assert counted["adaptations"] == ((2, 0) if way == "household" else (1, 0))
    assert row.key_id in receipt["keys_destroyed"]
    assert not {row.key_id} & home.keys()
    assert added(home) == 0
    if way != "household":
        assert added(home, "ben") == 1
        found = home.services.voiceprints.of(home.id, EASY.model_id, frozenset({home["ada"].id}))
        assert [(len(one.takes), len(additions_of(one))) for one in found] == ([] if takes is None else [(takes, 0)])


def test_after_withdrawing_it_is_as_it_was(home: Home) -> None:
    changed = older("ada", 0.85)
    says(home, changed)
    home.withdraws("ada", "adapt")
    assert score(home, changed) == pytest.approx(0.85, abs=0.01)
    assert home.names("ada") == "ada"


def test_without_recordings_it_is_added_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("home.BARS", EASY)
    with Home(tmp_path, consent_rule="unbundled") as home:
        home.joins("ada").grants("ada", "voice_id", "adapt").enrolls_here("ada")
        assert says(home, voice("ada"))["stored"] is False
        assert (added(home), home.count(tables.interaction)) == (1, 0)
        receipt = home.withdraws("ada", "adapt")
        assert {"store": "adaptations", "found": 1, "left": 0} in receipt["stores"]
        assert added(home) == 0


def test_a_new_enrollment_begins_anew(home: Home) -> None:
    says(home, voice("ada"))
    home.enrolls_here("ada")
    assert added(home) == 0
    says(home, voice("ada"))
    assert added(home) == 1


def test_it_does_not_outlast_its_time(home: Home) -> None:
    says(home, voice("ada"))
    home.clock.forward(days=adapt.DAYS - 1)
    home.services.retention.run()
    assert added(home) == 1
    home.clock.forward(days=1)
    receipts = home.services.retention.run()
    assert ("adaptations ran out", 1) in [(one.why, one.stores[0].found) for one in receipts]
    assert (added(home), home.count(tables.voiceprint, "ada")) == (0, 1)


def test_past_its_time_it_counts_for_nothing_though_nobody_has_erased_it_yet(home: Home) -> None:
    says(home, voice("ada"))
    for days, left in ((adapt.DAYS - 1, 1), (1, 0)):
        home.clock.forward(days=days)
        [ada] = home.services.voiceprints.of(HouseholdId(home.id), MODEL, frozenset({home["ada"].id}))
        assert len(additions_of(ada)) == left
    assert added(home) == 1


def test_a_shorter_time_holds_at_once(home: Home) -> None:
    says(home, voice("ada"))
    home.grants("ada", "adapt", retention="days:7")
    home.clock.forward(days=7)
    home.services.retention.run()
    assert added(home) == 0


def test_it_ends_with_its_consent(home: Home) -> None:
    home.grants("ada", "adapt", expires_at="2026-03-10T09:00:00Z")
    says(home, voice("ada"))
    [row] = home.rows(tables.adaptation)
    assert row.expires_at.isoformat() == "2026-03-10T09:00:00+00:00"
    home.clock.forward(days=10)
    home.services.retention.run()
    assert added(home) == 0


def test_a_damaged_addition_leaves_the_voiceprint_alone(home: Home) -> None:
    says(home, older("ada", 0.85))
    with home.services.store.database.writer() as tx:
        tx.execute(update(tables.adaptation).values(sealed=bytes(64)))
    home.restarts()
    assert home.names("ada") == "ada"
    assert score(home, older("ada", 0.85)) == pytest.approx(0.85, abs=0.01)


def test_a_restored_backup_does_not_bring_it_back(home: Home) -> None:
    says(home, voice("ada"))
    home.services.store.database.close()
    yesterday = {path.name: path.read_bytes() for path in (home.root / "data").iterdir() if path.is_file()}
    home.withdraws("ada", "adapt")
    home.close()
    for name, content in yesterday.items():
        (home.root / "data" / name).write_bytes(content)
    (home.root / "data/voiceid.db-shm").unlink(missing_ok=True)
    home._open()
    assert (added(home), home.names("ada")) == (0, "ada")
    assert "adapt" not in home.services.recognizer.consents.gate(HouseholdId(home.id)).agreed[home["ada"].id]


# What is in flight.


def _meanwhile(home: Home, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> list[str]:
    """Let something happen once, after the person was named and what may be added was found."""
    done: list[str] = []

    def strike(*given: Any) -> Any:
        found = take_views(*given)
        if not done:
            done.append("struck")
            act()
        return found

    monkeypatch.setattr("enrollment.adapt.take_views", strike)
    return done


def _replaced(home: Home) -> None:
    home.enrolls_here("ada")


def _there_and_back(home: Home) -> None:
    home.withdraws("ada", *GATE, "adapt")
    home.grants("ada", *GATE, "adapt")


def _and_granted_again(home: Home) -> None:
    home.withdraws("ada", "adapt")
    home.grants("ada", "adapt")


MEANWHILE: dict[str, Callable[[Home], object]] = {
    "adapt withdrawn": _withdraw("adapt"), "everything withdrawn": _withdraw(), "person deleted": _delete("{ada}"),
    "voiceprint deleted": _delete("{ada}/voiceprint"), "enrolled anew": _replaced,
    "gate shut and opened": _there_and_back, "adapt withdrawn and granted": _and_granted_again,
}  # fmt: skip


@pytest.mark.parametrize("what", MEANWHILE)
def test_an_addition_in_flight_leaves_nothing(home: Home, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    home.asks("ben")
    kept_before = home.asks("ada")
    assert kept_before["stored"]
    home.withdraws("ada", "adapt")
    home.grants("ada", "adapt")
    done = _meanwhile(home, monkeypatch, lambda: MEANWHILE[what](home))
    says(home, voice("ada"))
    assert done == ["struck"]
    assert added(home) == 0
    alive = home.keys()
    for table in tables.PERSONAL:
        if "key_id" in table.c:
            assert {row.key_id for row in home.rows(table)} <= alive, table.name


def test_a_key_store_that_fails_costs_nobody_their_answer(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Any) -> Any:
        raise KeysUnavailable("read-only")

    monkeypatch.setattr(home.services.store.keys, "create", refuse)
    assert says(home, voice("ada"))["person"]["display_name"] == "Ada"
    assert added(home) == 0


class Crash(BaseException):
    """The process ends here."""


@pytest.mark.parametrize(("point", "left"), [("adapt.before-commit", 0), ("adapt.after-commit", adapt.AT_MOST)])
def test_a_crash_leaves_all_or_nothing(home: Home, monkeypatch: pytest.MonkeyPatch, point: str, left: int) -> None:
    """Before the commit nothing has happened; after it the oldest is still to fall out, and does at the next start."""
    days = adapt.AT_MOST if left else 0
    for _ in range(days):
        says(home, voice("ada"))

    def reach(name: str) -> None:
        if name == point:
            raise Crash

    monkeypatch.setattr("enrollment.adapt.reach", reach)
    home.clock.forward(days=1)
    home.call("POST", "recognize", home.owner, **home.sound("ada"))
    assert added(home) == (left + 1 if left else 0)
    found = home.services.voiceprints.of(home.id, EASY.model_id, frozenset({home["ada"].id}))
    assert (len(found[0].takes), len(additions_of(found[0]))) == (4, left)
    monkeypatch.undo()
    monkeypatch.setattr("home.BARS", EASY)
    home.restarts()
    assert added(home) == left
    with home.services.store.database.reader() as tx:
        chain.verify(tx, tables.activity, home.id)

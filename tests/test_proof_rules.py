"""What a proof says is what was done; and its instruments find what is there."""

import ctypes
import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
from pydantic import Field, TypeAdapter

from voiceid import cli, failpoint, memory, proof
from voiceid.decode import decode
from voiceid.errors import InvalidRequest, MissingExtra
from voiceid.proof import attempts, crashes, sabotage
from voiceid.proof.memory import MemoryScanner
from voiceid.proof.reference import GATE, Reference
from voiceid.proof.report import Check, Sizes
from voiceid.proof.voices import MadeUpEncoder, everything_is_speech, flac, utter, wav
from voiceid.scan import Text
from voiceid.service.allocator import ENVIRONMENT
from voiceid.service.routes.people import NewPerson
from voiceid.store.store import utc_now
from voiceid.types import SAVE_RECORDINGS, VOICE_ID, Speech

WORDS = "the violet lighthouse hums at noon"


@pytest.mark.parametrize(
    ("planned", "done", "found", "ok"),
    [(3, 3, "a", True), (3, 2, "a", False), (3, 3, "b", False), (0, 0, "a", False)],
    ids=["as planned", "not all done", "something else found", "nothing planned"],
)
def test_a_check_holds_only_if_all_was_done_and_as_expected(planned: int, done: int, found: str, ok: bool) -> None:  # noqa: FBT001 a parameter
    assert Check("x", "y", planned, done, "a", found).ok is ok


def test_a_proof_that_breaks_off_has_failed() -> None:
    nothing = Sizes(churn=-1, crashes=0, crashes_real=0, examples=-1, steps=1, rounds=0, rounds_real=0, controls=False)

    report = proof.run(nothing, ("model",))

    assert not report.ok
    assert report.sections[0].checks[-1]["name"] == "comes to its end"
    assert report.sections[0].checks[-1]["done"] == 0


def test_an_unknown_proof_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        proof.run(proof.QUICK, ("astrology",))


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "find_spec", lambda _name: None)

    with pytest.raises(MissingExtra, match=r"voiceid\[proof\]"):
        proof.run(proof.QUICK, ("model",))


def test_the_command_ends_in_1_when_a_check_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    section = proof.Section("model", ok=False, seconds=1.0, checks=[])
    monkeypatch.setattr(proof, "run", lambda *_: proof.Report(ok=False, seconds=1.0, processors=2, sections=[section]))

    assert cli.main(["proof", "--quick", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False


def _child(code: str, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", code, WORDS[::-1]]  # the child itself must turn them round
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, env=environment)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    return child


HOLDS = "import sys; words = sys.argv[1][::-1]; print('ready', flush=True); sys.stdin.read()"
HELD = """
import sys
def speak():
    held = [sys.argv[1][::-1] + str(number) for number in range(50)]
    return len(held)
speak()
print('ready', flush=True); sys.stdin.read()
"""


def _found(code: str, environment: dict[str, str]) -> bool:
    child = _child(code, environment)
    try:
        return bool(MemoryScanner([Text("words", WORDS)]).scan(child.pid))
    finally:
        child.kill()
        child.communicate()  # closes the pipes too


def test_memory_of_another_process_is_read() -> None:
    assert _found(HOLDS, {})


def test_freed_memory_is_overwritten_under_the_allocator_of_the_service_only() -> None:
    assert _found(HELD, {})
    assert not _found(HELD, ENVIRONMENT)


def test_small_arrays_are_overwritten_by_letting_go() -> None:
    array = np.full(192, 1.5, dtype=np.float32)
    where = array.ctypes.data
    del array

    memory.let_go()

    assert not any(ctypes.string_at(where + 16, 700))  # the allocator's own links aside


def test_the_name_of_a_person_stays_in_no_cache() -> None:
    """Pydantic keeps the strings that it has stripped; names must not be among them."""
    given = json.loads('{"display_name": "  Zyxandra Quellwort "}')
    person = TypeAdapter(Annotated[NewPerson, Field()]).validate_python(given)
    assert person.display_name == "Zyxandra Quellwort"
    holders = sys.getrefcount(person.display_name)
    assert holders == 2  # the person, and that call


def test_made_up_voices_survive_rate_and_flac_and_differ() -> None:
    def vector(content: bytes) -> Any:
        heard = everything_is_speech(decode(content, max_s=60))
        assert isinstance(heard, Speech)
        return MadeUpEncoder().embed(heard).vector

    ada = vector(flac(utter("ada", 1)))
    assert float(ada @ vector(wav(utter("ada", 2, rate_hz=44_100), 44_100))) > 0.95
    assert abs(float(ada @ vector(flac(utter("ben", 1))))) < 0.4


def test_every_failpoint_is_in_an_operation() -> None:
    points = {point for operation in attempts.OPERATIONS.values() for point in operation.points}
    assert points == set(failpoint.NAMES)


def test_as_many_runs_as_failpoints_hit_each() -> None:
    assert {point for _, point in crashes.plan(len(failpoint.NAMES))} == set(failpoint.NAMES)


def test_what_was_not_killed_does_not_count_as_killed(tmp_path: Path) -> None:
    """An operation that never comes past the place, and ends as if nothing were, must not pass for a crash."""
    killer = crashes.Killer(tmp_path, "made-up")
    assert killer.run(1, "grant", "consent.before-commit")["killed"] is True
    assert killer.run(1, "grant", "adapt.before-commit")["killed"] is False


STATE: dict[str, Any] = {
    "granted": {"ada": ["voice_id"]}, "rows": {"ada": {"voiceprint": 1}}, "heard": {"ada": "ada"},
    "misnamed": [], "pending": 0, "without_key": 0,
}  # fmt: skip


def test_a_state_before_or_after_is_no_fault() -> None:
    other = STATE | {"heard": {}}
    assert crashes._faults(STATE, STATE, before=other, after=STATE) == []
    assert crashes._faults(STATE, STATE, before=STATE, after=other) == []


@pytest.mark.parametrize(
    "change",
    [{"pending": 1}, {"misnamed": ["ben as ada"]}, {"without_key": 2}, {"rows": {}}, {"broke": "LedgerBroken"}],
    ids=lambda change: next(iter(change)),
)
def test_any_other_state_is_a_fault(change: dict[str, Any]) -> None:
    assert crashes._faults(STATE, STATE | change, before=STATE, after=STATE) != []


def test_what_is_taken_out_comes_back() -> None:
    for part in sabotage.PARTS:
        before = [(where, name, getattr(where, name)) for where, name, _ in sabotage.PARTS[part]()]
        with sabotage.taken_out(part):
            assert [getattr(where, name) for where, name, _ in before] != [old for _, _, old in before]
        assert [getattr(where, name) for where, name, _ in before] == [old for _, _, old in before]


def test_the_reference_forgets_in_a_restored_backup_too() -> None:
    now, reference = utc_now(), Reference()
    for purpose in (SAVE_RECORDINGS, VOICE_ID):
        reference.grant("ada", purpose, None)
    reference.enrolled("ada")
    backup = reference.copy()
    reference.take_back("ada", VOICE_ID)

    restored = reference.restored(backup)

    assert backup.findable(now) == {"ada"}
    assert restored.findable(now) == set()
    assert restored.agreed("ada", now) == {SAVE_RECORDINGS}
    assert {SAVE_RECORDINGS, VOICE_ID} == GATE


def test_nothing_that_ships_can_be_switched_off() -> None:
    """Only the proofs reach for what takes a protection out."""
    root = Path(proof.__file__).parent.parent
    users = {path.parent.name for path in root.rglob("*.py") if "sabotage" in path.read_text()}
    assert users == {"proof"}



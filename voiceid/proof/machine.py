"""The rules that Hypothesis draws from. The only importer of hypothesis."""

import shutil
from itertools import count
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from voiceid.proof.installation import Home
from voiceid.proof.model import Life
from voiceid.proof.reference import NAMES, PURPOSES
from voiceid.proof.report import Check
from voiceid.proof.server import Place

_who = st.sampled_from(NAMES)
_purposes = st.sampled_from(PURPOSES)


class Events(RuleBasedStateMachine):
    """Anything may happen next."""

    template: Path
    folder: Path
    numbers = count()
    done = 0

    def __init__(self) -> None:
        super().__init__()
        self.life = Life(self.template, self.folder / f"life {next(self.numbers)}")
        type(self).done += 1

    def _do(self, event: str, *args: Any, **how: Any) -> None:
        self.life.events.append(" ".join([event, *map(str, args), *map(str, how.values())]))
        getattr(self.life, event)(*args, **how)

    @rule(name=_who, purpose=_purposes, for_days=st.booleans())
    def grant(self, name: str, purpose: Any, for_days: bool) -> None:  # noqa: FBT001 Hypothesis names it
        self._do("grant", name, purpose, for_days=for_days)

    @rule(name=_who, purpose=_purposes)
    def deny(self, name: str, purpose: Any) -> None:
        self._do("deny", name, purpose)

    @rule(name=_who, purpose=_purposes)
    def withdraw(self, name: str, purpose: Any) -> None:
        self._do("withdraw", name, purpose)

    @rule(name=_who)
    def agree_and_enroll(self, name: str) -> None:
        for purpose in PURPOSES[:2]:
            self._do("grant", name, purpose, for_days=False)
        self._do("enroll", name, complete=True)

    @rule(name=_who, complete=st.booleans())
    def enroll(self, name: str, complete: bool) -> None:  # noqa: FBT001 Hypothesis names it
        self._do("enroll", name, complete=complete)

    @rule(name=_who)
    def delete_voiceprint(self, name: str) -> None:
        self._do("delete_voiceprint", name)

    @rule(name=_who)
    def recognize(self, name: str) -> None:
        self._do("recognize", name)

    @rule(days=st.sampled_from((1, 11)), clock_runs=st.booleans())
    def days_pass(self, days: int, clock_runs: bool) -> None:  # noqa: FBT001 Hypothesis names it
        self._do("days_pass", days, clock_runs=clock_runs)

    @rule()
    def restart(self) -> None:
        self._do("restart")

    @rule()
    def back_up(self) -> None:
        self._do("back_up")

    @rule()
    def restore(self) -> None:
        self._do("restore")

    @invariant()
    def as_the_reference_says(self) -> None:
        self.life.check()

    def teardown(self) -> None:
        self.life.close()


def run(root: Path, name: str, examples: int, steps: int) -> Check:
    """Draw so many lives. Expected is that all agree."""
    folder = root / "model"
    with Home(Place(folder / "template")) as home:
        home.joins(*NAMES)
    events = type("EventsHere", (Events,), {"template": folder / "template", "folder": folder, "done": 0})
    phases = [Phase.generate, Phase.shrink]
    how = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, database=None, phases=phases, derandomize=True,
        suppress_health_check=list(HealthCheck), print_blob=False,
    )  # fmt: skip
    complaint = None
    try:
        run_state_machine_as_test(events, settings=how)
    except AssertionError as error:
        complaint = str(error)
    finally:
        shutil.rmtree(folder)
    return Check("model", name, examples, min(examples, getattr(events, "done", 0)), None, complaint)

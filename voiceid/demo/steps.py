"""What the story expects and what it found, step by step, and who watches it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from voiceid.errors import VoiceIdError


@dataclass(frozen=True, slots=True)
class Step:
    """One expectation."""

    name: str
    expected: str
    found: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Report:
    """The whole story; it went well if every step did, and all were reached."""

    ok: bool
    steps: list[Step]


class Show(Protocol):
    """Whoever watches the story."""

    def chapter(self, title: str) -> None:
        """A new part begins."""
        ...

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Something to look at."""
        ...

    def step(self, step: Step) -> None:
        """Something was expected and found."""
        ...

    def waiting(self, what: str, total: int) -> AbstractContextManager[Callable[[], None]]:
        """Something takes a while; the function it gives is called `total` times in the meantime."""
        ...

    def tell(self, text: str) -> None:
        """Something to read."""
        ...

    def ask(self, question: str) -> bool:
        """A question that whoever sits there answers with yes or no."""
        ...

    def ask_name(self) -> str:
        """Who sits there."""
        ...


class Silent:
    """A `Show` that nobody watches; asked, it says no."""

    def chapter(self, title: str) -> None: ...

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None: ...

    def step(self, step: Step) -> None: ...

    @contextmanager
    def waiting(self, what: str, total: int) -> Iterator[Callable[[], None]]:  # noqa: ARG002 the shape of a Show
        yield lambda: None

    def tell(self, text: str) -> None: ...

    def ask(self, question: str) -> bool:  # noqa: ARG002 same
        return False

    def ask_name(self) -> str:
        return "Somebody"


@dataclass(slots=True)
class Script:
    """Keeps the steps and shows them."""

    show: Show
    steps: list[Step] = field(default_factory=list)

    def expect(self, name: str, expected: object, found: object, *, ok: bool | None = None) -> None:
        """Note a step; it is well when both are equal, unless `ok` says otherwise."""
        step = Step(name, str(expected), str(found), expected == found if ok is None else ok)
        self.steps.append(step)
        self.show.step(step)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """A failure of the service ends the story as one more step that went wrong."""
        try:
            yield
        except VoiceIdError as error:
            self.expect("The story goes on", "no error", f"{error} [{error.code}]")

    @property
    def report(self) -> Report:
        return Report(bool(self.steps) and all(step.ok for step in self.steps), self.steps)

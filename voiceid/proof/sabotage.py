"""Takes one protection out of this process, to show that a proof would notice. Nothing that ships can do that."""

from collections.abc import Callable
from typing import Any


def take_out(part: str) -> None:
    """Take it out, before anything is wired.

    Raises: KeyError, for a part that is not known.
    """
    PARTS[part]()


PARTS: dict[str, Callable[[], Any]] = {}

"""What one request may cost beside the encoder: how often it reads, and that no statement is built for it alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from home import Home
from sqlalchemy import event

GUEST = ["token", "household", "household", "response_template"]
"""Who calls; consents, after encoding; the household's language; its own texts."""
MEMBER = [
    "token", "household", "household", "person", "household", "response_template", "household", "ledger", "voiceprint",
]  # fmt: skip
"""Consents once more before the profile; then whether anything has changed, what may be kept, the last day of use."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Ada keeps nothing."""
    with Home(tmp_path_factory.mktemp("home")) as home:
        home.joins("ada").grants("ada", "save_recordings", retention="none").grants("ada", "voice_id")
        yield home.enrolls_here("ada")


@contextmanager
def read(home: Home) -> Iterator[list[tuple[str, Any]]]:
    """The first table of each statement that is run meanwhile, and the statement as it was handed over."""
    found: list[tuple[str, Any]] = []

    def seen(_connection: Any, _cursor: Any, words: str, _values: Any, context: Any, _many: Any) -> None:
        if not words.startswith(("BEGIN", "PRAGMA")):
            assert words.startswith("SELECT"), "nothing is written"
            found.append((words.partition("FROM ")[2].split(maxsplit=1)[0], context.invoked_statement))

    engine = home.services.store.database.engine
    event.listen(engine, "before_cursor_execute", seen)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", seen)


@pytest.mark.parametrize(("speaker", "tables"), [("eve", GUEST), ("ada", MEMBER)], ids=["a guest", "a member"])
def test_reads_of_one_request(home: Home, speaker: str, tables: list[str]) -> None:
    """Each statement is the same object both times: building it takes longer than running it."""
    home.hears(speaker)  # the first one loads the index
    with read(home) as first:
        home.hears(speaker)
    with read(home) as second:
        home.hears(speaker)

    assert [table for table, _ in first] == tables
    assert all(one is other for (_, one), (_, other) in zip(first, second, strict=True))

"""What tests need to know of the machine they run on."""

import os
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[1]
"""The repository."""

IN_CI = os.environ.get("CI") == "true"


def absent(what: str) -> NoReturn:
    """Skip with the reason; in CI, where everything has been installed, fail."""
    if IN_CI:
        pytest.fail(what)
    pytest.skip(what)  # a developer may do without a browser or PostgreSQL; CI, above, may not

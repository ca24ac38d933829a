"""The application without an installation: to ask it what operations it has, before any test runs."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from home import BARS, FixedEncoder, everything_is_speech

from voiceid.service import wiring
from voiceid.service.application import create_app
from voiceid.settings import Settings


@cache
def described() -> dict[str, Any]:
    """`/openapi.json`."""
    with TemporaryDirectory() as root:
        settings = Settings(data_dir=Path(root) / "data", keys_dir=Path(root) / "keys")
        services = wiring.build(settings, encoder=FixedEncoder(), check=everything_is_speech, bars=BARS)
        schema: dict[str, Any] = create_app(services).openapi()
        services.close()
        return schema


def operations() -> list[tuple[str, str]]:
    """Method and path of every operation."""
    return [(method.upper(), path) for path, methods in described()["paths"].items() for method in methods]

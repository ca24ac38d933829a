"""`python -m voiceid.proof.serving WHAT`: the real service for one proof, with made-up ears or a part taken out.

WHAT is JSON: `{"voices": "made-up" | "real", "without": ["purge", ...]}`. Nothing in the service itself can be switched
off: what is taken out is replaced in this process, by `sabotage.py`.
"""

import json
import sys
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from voiceid.encode import open_encoder
from voiceid.ports import Encoder
from voiceid.proof import sabotage
from voiceid.proof.voices import BARS, Loudness, MadeUpEncoder, everything_is_speech
from voiceid.service import run, wiring
from voiceid.service.early import Networks
from voiceid.service.services import Services
from voiceid.settings import Settings
from voiceid.speech import VoiceActivity


def main(words: list[str]) -> None:
    """Serve until a signal ends it; one JSON document tells when it is ready."""
    what = json.loads(words[0])
    for part in what["without"]:
        sabotage.take_out(part)
    if what["voices"] == "made-up":
        vars(wiring)["build"] = _build_with_made_up_ears
    run.serve(Settings.from_environment(), lambda ready: print(json.dumps(asdict(ready)), flush=True))  # noqa: T201 the one document


def _build_with_made_up_ears(settings: Settings, **more: Any) -> Services:
    return build(settings, **more)


_build = wiring.build


class Ears(Networks):
    """Networks that are there already: a proof opens an installation hundreds of times."""

    def __init__(self, encoder: Encoder, voice_activity: VoiceActivity) -> None:
        self._ears = encoder, voice_activity

    def encoder(self) -> Encoder:
        return self._ears[0]

    def voice_activity(self) -> VoiceActivity:
        return self._ears[1]


@lru_cache(maxsize=1)
def real_ears() -> Ears:
    """The networks that ship, loaded once in this process and shared with what it forks."""
    return Ears(open_encoder("campplus", Path("models")), VoiceActivity.shipped())


def build_with_real_ears(settings: Settings, **more: Any) -> Services:
    """A wired installation as it ships."""
    return _build(settings, networks=real_ears(), **more)


def build(settings: Settings, **more: Any) -> Services:
    """A wired installation that hears made-up voices."""
    more["networks"] = Ears(MadeUpEncoder(), Loudness())  # type: ignore[arg-type]  # as `VoiceActivity`, for streams
    return _build(settings, check=everything_is_speech, bars=BARS, **more)


if __name__ == "__main__":
    main(sys.argv[1:])

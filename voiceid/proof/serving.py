"""`python -m voiceid.proof.serving WHAT`: the real service for one proof, with made-up ears or a part taken out.

WHAT is JSON: `{"voices": "made-up" | "real", "without": ["purge", ...]}`. Nothing in the service itself can be switched
off: what is taken out is replaced in this process, by `sabotage.py`.
"""

import json
import sys
from dataclasses import asdict, replace
from typing import Any

from voiceid.proof import sabotage
from voiceid.proof.voices import BARS, Loudness, MadeUpEncoder, everything_is_speech
from voiceid.service import run, wiring
from voiceid.service.services import Services
from voiceid.settings import Settings


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


def build(settings: Settings, **more: Any) -> Services:
    """A wired installation that hears made-up voices."""
    services = _build(settings, encoder=MadeUpEncoder(), check=everything_is_speech, bars=BARS, **more)
    return replace(services, voice_activity=Loudness())  # type: ignore[arg-type]  # as `VoiceActivity`, for streams


if __name__ == "__main__":
    main(sys.argv[1:])

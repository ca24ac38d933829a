"""Other encoders on the same trials, by plain cosine: what is not installed is said to be missing."""

import importlib
import importlib.metadata
import importlib.util
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from voiceid.encode import open_encoder
from voiceid.errors import VoiceIdError
from voiceid.evaluate.channels import Channels
from voiceid.evaluate.corpora import Speaker
from voiceid.evaluate.embed import Studio, Voice
from voiceid.evaluate.figures import figures, plain
from voiceid.evaluate.protocol import Plan, scores
from voiceid.ports import Encoder
from voiceid.speech import SpeechCheck
from voiceid.types import Embedding, ModelId, Speech

_UNCALIBRATED = {"threshold": float("inf"), "offset": 0.0, "slope": 1.0}
_OF_A_BAR = ("fnir_shipped", "fpir_shipped", "misnamed", "members_stored", "guests_stored", "cllr", "loss")
"""What needs a bar or evidence; a bare encoder has neither."""


class Resemblyzer:
    """Resemblyzer's voice encoder, whose wheel carries its weights: an LSTM of 256 numbers."""

    dim = 256

    def __init__(self) -> None:
        package: Any = importlib.import_module("resemblyzer")
        self._encoder = package.VoiceEncoder("cpu", verbose=False)
        self.model_id = ModelId(f"resemblyzer@{importlib.metadata.version('resemblyzer')}")

    def embed(self, speech: Speech, /) -> Embedding:
        vector = np.asarray(self._encoder.embed_utterance(speech.samples), dtype=np.float32)
        return Embedding(vector / np.linalg.norm(vector), self.model_id)


def rivals(
    people: Sequence[Speaker], plan: Plan, speech_s: float, models_dir: Path, cache: Path, tell: Callable[[str], None]
) -> dict[str, Any]:
    """`<peer>` -> `<corpus>` -> figures of plain cosine, clean; or `missing`, with the reason."""
    return {
        "resemblyzer": _measured("resemblyzer", _resemblyzer, people, plan, speech_s, cache, tell),
        "ecapa": _measured("ecapa", lambda: open_encoder("ecapa", models_dir), people, plan, speech_s, cache, tell),
    }


def _resemblyzer() -> Encoder | str:
    if any(importlib.util.find_spec(name) is None for name in ("torch", "resemblyzer")):
        return "the package resemblyzer is not installed: pip install 'voiceid[peers]'"
    try:
        return Resemblyzer()
    except ImportError as error:
        return f"resemblyzer cannot be imported: {error}"


def _measured(
    name: str, opened: Callable[[], Encoder | str], people: Sequence[Speaker], plan: Plan, speech_s: float,
    cache: Path, tell: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    try:
        encoder = opened()
    except VoiceIdError as error:
        encoder = str(error)
    if isinstance(encoder, str):
        return {"missing": encoder}
    tell(f"{name}: {len(people)} speakers")
    studio, clean = Studio(encoder, SpeechCheck.shipped(), cache), Channels(Path()).open("clean")
    groups: dict[str, list[Voice]] = defaultdict(list)
    for voice in studio.voices(people, clean, (speech_s,)):
        groups[voice.name.split("_", 1)[0]].append(voice)
    found = {prefix: _figures(group, plan, speech_s) for prefix, group in groups.items() if len(group) >= plan.least}
    return {"encoder": encoder.model_id, **{prefix: told for prefix, told in found.items() if told}}


def _figures(group: Sequence[Voice], plan: Plan, speech_s: float) -> dict[str, Any]:
    try:
        table = scores(group, speech_s)
        trials = plan.trials(table, table)
    except ValueError:
        return {}
    told, _ = figures(trials, plain(trials, _UNCALIBRATED))
    told.pop("upper95")
    told["ci95"] = {name: bounds for name, bounds in told["ci95"].items() if name not in _OF_A_BAR}
    return {name: value for name, value in told.items() if name not in _OF_A_BAR}

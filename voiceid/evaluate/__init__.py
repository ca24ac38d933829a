"""Corpora -> trials -> error rates: how well the product, as shipped, tells voices apart.

Nothing here is part of the way of a request; the command line imports it when somebody asks.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from voiceid.calibration import Bars, Policy, baseline
from voiceid.encode import open_encoder
from voiceid.evaluate.channels import Channels
from voiceid.evaluate.corpora import Half, half, read_corpus
from voiceid.evaluate.embed import TAKES, Studio, Voice
from voiceid.evaluate.figures import figures, ours, plain, pooled
from voiceid.evaluate.protocol import households, scores
from voiceid.speech import SpeechCheck

LENGTHS_S = (1.0, 2.0, 3.0, 5.0)
HEADLINE_S = 3.0
"""Net speech of the figures that stand at the top; the other lengths follow under `by_speech_s`."""
CHANNELS = ("clean", "room-noise10", "tel", "tel-both")
"""Conditions that are measured unless others are asked for; all but the first need the folders `rir` and `noise`."""
CACHE = Path(".cache/voiceid-eval")

Tell = Callable[[str], None]


def evaluate(
    corpus: Path,
    *,
    encoder: str = "campplus",
    models_dir: Path = Path("models"),
    policy: Policy = "balanced",
    channels: Sequence[str] = CHANNELS,
    lengths_s: Sequence[float] = LENGTHS_S,
    channel_lengths_s: Sequence[float] = (HEADLINE_S,),
    size: int = 4,
    only: Half | None = None,
    draws: int = 200,
    seed: int = 0,
    cache: Path = CACHE,
    tell: Tell = lambda _: None,
) -> dict[str, Any]:
    """Draw households from a folder `speaker/utterance.*` and measure the shipped bars, beside plain cosine.

    A corpus within the folder is what shares the part of the name before the first underscore; one with fewer than
    twice `size` speakers is left out. `tell` hears a line for each. The result is a JSON object: `corpora.<name>` and
    `baseline.<name>`, where the name is that prefix, or `<prefix>@<channel>`, and `pooled`.

    Raises: InvalidRequest, for a folder without speakers or an unknown channel; Uncalibrated, for an encoder without
        bars; what open_encoder() raises.
    """
    opened = open_encoder(encoder, models_dir)
    bars, plain_bar = Bars.shipped(opened.model_id, policy), baseline(opened.model_id)
    studio, conditions = Studio(opened, SpeechCheck.shipped(), cache), Channels(corpus)
    people = read_corpus(corpus)
    chosen = half(people, only) if only else people
    found: dict[str, dict[str, Any]] = {"corpora": {}, "baseline": {}}
    for channel in channels:
        groups: dict[str, list[Voice]] = defaultdict(list)
        asked_s = lengths_s if channel == "clean" else channel_lengths_s
        for voice in studio.voices(chosen, conditions.open(channel), asked_s):
            groups[voice.name.split("_", 1)[0]].append(voice)
        for prefix, group in groups.items():
            if len(group) < 2 * size:
                continue
            name = prefix if channel == "clean" else f"{prefix}@{channel}"
            tell(f"{name}: {len(group)} speakers")
            measured = {s: _measure(group, s, (size, draws, seed), bars, plain_bar) for s in asked_s}
            for kind, place in enumerate(("corpora", "baseline")):
                found[place][name] = _with_headline({s: both[kind] for s, both in measured.items() if both})
    return {
        "corpus": corpus.name,
        "half": only,
        "encoder": opened.model_id,
        "policy": policy,
        "protocol": {"name": "household", "size": size, "takes": TAKES, "draws": draws, "seed": seed},
        **found,
        "pooled": {place: pooled(figures_of) for place, figures_of in found.items()},
    }


def _measure(
    group: Sequence[Voice], speech_s: float, draw: tuple[int, int, int], bars: Bars, plain_bar: dict[str, float]
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Our figures and plain cosine's at one length; None where the corpus has too little speech for it."""
    try:
        table = scores(group, speech_s)
        trials = households(table, *draw)
    except ValueError:
        return None
    return figures(trials, ours(trials, table, bars)), figures(trials, plain(trials, plain_bar))


def _with_headline(by_length: dict[float, dict[str, Any]]) -> dict[str, Any]:
    """The figures at three seconds (or the longest there is), with every length below them."""
    headline = HEADLINE_S if HEADLINE_S in by_length else max(by_length)
    return {"speech_s": headline, **by_length[headline], "by_speech_s": {f"{s:g}": by_length[s] for s in by_length}}

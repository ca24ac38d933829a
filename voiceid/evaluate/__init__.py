"""Corpora -> trials -> error rates: how well the product, as shipped, tells voices apart.

Nothing here is part of the way of a request; the command line imports it when somebody asks.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from voiceid.calibration import Bars, Policy, baseline
from voiceid.encode import open_encoder
from voiceid.evaluate.channels import Channels
from voiceid.evaluate.corpora import Half, half, read_corpus, traits
from voiceid.evaluate.embed import TAKES, Studio, Voice
from voiceid.evaluate.figures import Outcome, Tally, figures, ours, plain
from voiceid.evaluate.protocol import Plan, Scores, Trials, scores
from voiceid.evaluate.rivals import rivals
from voiceid.evaluate.timing import timing_ms
from voiceid.evaluate.together import by_group, pooled
from voiceid.speech import SpeechCheck

LENGTHS_S = (1.0, 2.0, 3.0, 5.0)
HEADLINE_S = 3.0
"""Net speech of the figures that stand at the top; the other lengths follow under `by_speech_s`."""
CHANNELS = ("clean", "room-noise10", "tel", "tel-both")
"""Conditions that are measured unless others are asked for; all but the first need the folders `rir` and `noise`."""
ALL_CHANNELS = (
    *CHANNELS, "room", "far", "noise20", "noise10", "noise5", "noise0", "tv10", "opus12", "clipped", "quiet", "device",
)  # fmt: skip
"""What `all` stands for."""
SIZES = (2, 4, 6, 8, 10)
CACHE = Path(".cache/voiceid-eval")

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """The trials of one corpus in one condition at one length, and what became of them."""

    name: str
    """`<corpus>`, or `<corpus>@<channel>`."""
    speech_s: float
    speakers: tuple[str, ...]
    trials: Trials
    """Of our scores."""
    untouched: Trials
    """The same requests, scored by plain cosine."""
    ours: Outcome
    plain: Outcome


Watch = Callable[[Measured], None]


@dataclass(slots=True)
class _Found:
    """What has been measured so far."""

    tallies: dict[str, dict[tuple[str, str, float], Tally]] = field(
        default_factory=lambda: {"corpora": {}, "baseline": {}}
    )
    figures: dict[str, dict[str, Any]] = field(default_factory=lambda: {"corpora": {}, "baseline": {}})
    sizes: dict[str, dict[str, Any]] = field(default_factory=dict)
    similar: dict[str, Any] = field(default_factory=dict)
    """With guests most like the members."""

    def add(self, place: tuple[str, str, float], measured: Measured | None, watch: Watch) -> None:
        """Our figures and plain cosine's at one length."""
        if measured is None:
            return
        pairs = {"corpora": (measured.trials, measured.ours), "baseline": (measured.untouched, measured.plain)}
        for kind, (compared, outcome) in pairs.items():
            told, tally = figures(compared, outcome, measured.speakers)
            self.figures[kind].setdefault(measured.name, {})[place[2]] = told
            self.tallies[kind][place] = tally
        watch(measured)


def evaluate(
    corpus: Path,
    *,
    encoder: str = "campplus",
    models_dir: Path = Path("models"),
    policy: Policy = "balanced",
    channels: Sequence[str] = CHANNELS,
    lengths_s: Sequence[float] = LENGTHS_S,
    channel_lengths_s: Sequence[float] = (HEADLINE_S,),
    plan: Plan | None = None,
    sizes: Sequence[int] = SIZES,
    only: Half | None = None,
    peers: bool = True,
    cache: Path = CACHE,
    tell: Tell = lambda _: None,
    watch: Watch = lambda _: None,
) -> dict[str, Any]:
    """Draw trials from a folder `speaker/utterance.*` and measure the shipped bars, beside plain cosine.

    A corpus within the folder is what shares the part of the name before the first underscore; one with too few
    speakers for the plan is left out. `tell` hears a line for each, `watch` gets the trials themselves. The result is a
    JSON object: `corpora.<name>` and `baseline.<name>`, where the name is that prefix, or `<prefix>@<channel>`;
    `pooled`, `sizes`, `similar` (guests most like the members), `by_group`, `peers`. In 1:1 verification its keys say
    FNMR and FMR.

    Raises: InvalidRequest, for a folder without speakers or an unknown channel; Uncalibrated, for an encoder without
        bars; what open_encoder() raises.
    """
    plan = plan or Plan()
    opened = open_encoder(encoder, models_dir)
    bars, plain_bar = Bars.shipped(opened.model_id, policy), baseline(opened.model_id)
    check, conditions = SpeechCheck.shipped(), Channels(corpus)
    studio = Studio(opened, check, cache)
    people = read_corpus(corpus)
    chosen = half(people, only) if only else people
    wanted = dict.fromkeys(c for name in channels for c in (ALL_CHANNELS if name == "all" else (name,)))
    asked_s = {channel: lengths_s if channel == "clean" else channel_lengths_s for channel in wanted}
    heard = ((c, lengths, studio.voices(chosen, conditions.open(c), lengths)) for c, lengths in asked_s.items())
    found = measure(heard, plan, bars, plain_bar, sizes=sizes, told=traits(corpus), tell=tell, watch=watch)
    result = {
        "corpus": corpus.name,
        "half": only,
        "encoder": opened.model_id,
        "policy": policy,
        "protocol": {**plan.told(), "takes": TAKES},
        **found,
        "children": "not measured",
        "peers": rivals(chosen, plan, HEADLINE_S, models_dir, cache, tell) if peers else {},
        "timing_ms": timing_ms(chosen, opened, check, bars),
    }
    renamed: dict[str, Any] = result if plan.name == "household" else _one_to_one(result)
    return renamed


def measure(
    heard: Iterable[tuple[str, Sequence[float], Iterable[Voice]]],
    plan: Plan,
    bars: Bars,
    plain_bar: Mapping[str, float],
    *,
    sizes: Sequence[int] = (),
    told: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    tell: Tell = lambda _: None,
    watch: Watch = lambda _: None,
) -> dict[str, Any]:
    """What evaluate() says of voices: `corpora`, `baseline`, `pooled`, `by_group`, `sizes` and `similar`.

    `heard`: channel, seconds of net speech, speakers. `told`: traits by speaker.
    """
    found = _Found()
    for channel, lengths_s, voices in heard:
        for prefix, group in _groups(voices, plan):
            name = prefix if channel == "clean" else f"{prefix}@{channel}"
            tell(f"{name}: {len(group)} speakers")
            for speech_s in lengths_s:
                found.add((prefix, channel, speech_s), _measured(name, group, speech_s, plan, (bars, plain_bar)), watch)
            if channel == "clean" and plan.name == "household":
                by_size = {str(size): _at_headline(group, plan.of(size), bars) for size in sizes}
                found.sizes[name] = {size: told for size, told in by_size.items() if told}
                found.similar[name] = _at_headline(group, replace(plan, guests="similar"), bars)
    return {
        **{place: {name: _with_headline(s) for name, s in by.items()} for place, by in found.figures.items()},
        "pooled": {place: pooled(tallies) for place, tallies in found.tallies.items()},
        "by_group": by_group(found.tallies["corpora"], told, HEADLINE_S),
        "sizes": found.sizes,
        "similar": {name: told for name, told in found.similar.items() if told},
    }


def _groups(voices: Iterable[Voice], plan: Plan) -> Iterator[tuple[str, list[Voice]]]:
    """Speakers by corpus, where there are enough of them."""
    groups: dict[str, list[Voice]] = defaultdict(list)
    for voice in voices:
        groups[voice.name.split("_", 1)[0]].append(voice)
    return ((prefix, group) for prefix, group in groups.items() if len(group) >= plan.least)


def _measured(
    name: str, group: Sequence[Voice], speech_s: float, plan: Plan, told: tuple[Bars, Mapping[str, float]]
) -> Measured | None:
    """Trials at one length; None where the corpus has too little speech for it."""
    bars, plain_bar = told
    try:
        table, untouched = scores(group, speech_s, bars), scores(group, speech_s)
        trials, same = plan.trials(table, untouched), plan.trials(untouched, untouched)
    except ValueError:
        return None
    speakers = tuple(voice.name for voice in group)
    return Measured(name, speech_s, speakers, trials, same, ours(trials, table, bars), plain(same, plain_bar))


def _at_headline(group: Sequence[Voice], plan: Plan, bars: Bars) -> dict[str, Any] | None:
    """Our figures by another plan; None where there are too few speakers."""
    try:
        table: Scores = scores(group, HEADLINE_S, bars)
        trials = plan.trials(table, scores(group, HEADLINE_S))
    except ValueError:
        return None
    return figures(trials, ours(trials, table, bars))[0]


def _with_headline(by_length: dict[float, dict[str, Any]]) -> dict[str, Any]:
    """The figures at three seconds (or the longest there is), with every length below them."""
    headline = HEADLINE_S if HEADLINE_S in by_length else max(by_length)
    return {"speech_s": headline, **by_length[headline], "by_speech_s": {f"{s:g}": by_length[s] for s in by_length}}


def _one_to_one(told: Any) -> Any:
    """The same figures by the names they have in verification: with one member nobody is taken for another."""
    if isinstance(told, dict):
        named = {str(key).replace("fnir", "fnmr").replace("fpir", "fmr"): value for key, value in told.items()}
        return {key: _one_to_one(value) for key, value in named.items() if key != "misnamed"}
    return told

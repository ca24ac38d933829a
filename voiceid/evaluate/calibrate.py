"""Find what an encoder's scores are worth, on speakers that nothing is measured on, and write it down.

`python -m voiceid.evaluate.calibrate ../shared/speech/dev --cohort ../shared/speech/cohort
--out voiceid/data/calibration.json`

For sound as it is, and once more for sound over a telephone:

1. Projection: what the conditions do to one person's embeddings (`projection.py`).
2. Evidence: a logistic regression of "same person or not" on score, net speech and noise, in households of any size.
3. Tail: a line through the logarithm of the share of other people's requests above each score, by net speech, raised
   until it lies above most conditions. A policy states a share, so its bar follows. Noise does not lower it: too few
   noisy clips are there to tell how far.

2 and 3 are found on the half of the speakers that the projection was not learned from, in turns; the one that ships is
learned from all. Then

4. takes (one voice?) and whole voiceprints (one person?): the bar where both errors are equal.
5. For comparison, plain cosine with one bar: 1 % of the guests named at 3 s.
"""

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from voiceid.calibration import Bars, Feature, Term
from voiceid.encode import open_encoder
from voiceid.evaluate import metrics, projection
from voiceid.evaluate.channels import Channels
from voiceid.evaluate.corpora import SPLIT_SEED, Half, half, read_corpus
from voiceid.evaluate.embed import Studio, Voice
from voiceid.evaluate.protocol import GUEST, Floats, Scores, households, scores
from voiceid.speech import SpeechCheck
from voiceid.types import ModelId, Quality
from voiceid.voiceprint import each_to_the_others, pooled

BANDS: Mapping[str, Mapping[str, tuple[float, ...]]] = {
    "wide": {
        "clean": (1.0, 2.0, 3.0, 5.0), "room-noise10": (1.0, 3.0), "far": (3.0,), "tv10": (3.0,), "opus12": (3.0,),
        "device": (3.0,),
    },
    "narrow": {"tel": (1.0, 2.0, 3.0), "tel-both": (1.0, 2.0, 3.0)},
}  # fmt: skip
"""Conditions of each band, and the seconds of net speech that are asked in them."""
VIEWS = {"wide": 0, "narrow": 1}
SIZES, DRAWS = (2, 4, 6), 150
CROWDS = (0.0, 0.25, 0.5, 0.75)
CROWD_FPIR = 0.005
GUEST_PRIOR = 0.5
"""As many requests from guests as from members: what the protocol draws."""
POLICIES = {
    "convenient": {"name": 0.02, "apart": math.log(9)},
    "balanced": {"name": 0.01, "apart": math.log(19)},
    "strict": {"name": 0.001, "apart": math.log(99)},
}
"""What each policy promises: the share of guests' requests that may get a name, and the odds between two members."""
STORE = 0.0005
"""Half of what the storage bar promises, one guest in a thousand: it rests on the rarest of scores."""
EARLY = 0.5
"""Share of `name` while somebody still speaks: of four looks or so each may name a guest. From `early.py`."""
ASK = 0.0
"""Log odds of "unsure": as likely as not."""
BASELINE_FPIR = 0.01
BASELINE_S = 3.0
TAIL = (2e-2, 5e-4)
"""The shares between which the tail is fitted; below the latter too few comparisons are left."""
BELOW = {"wide": 0.9, "narrow": 0.5}
"""Share of the conditions whose tail lies below the line. Sound over the air comes in more ways than were tried, so the
line lies above nearly all of them."""
_LEAST = 2_000
"""Comparisons that a condition needs to tell its tail."""
_STEPS = 50
_RIDGE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """Every comparison made in the households of one corpus, in one condition, at one length."""

    score: Floats
    """Shape (trials, household size)."""
    own: NDArray[np.int64]
    """The speaker's column, or `GUEST`."""
    brevity: Floats
    """1 / net speech, seconds."""
    noise: Floats

    def relative(self, crowd: float, usual: float) -> Floats:
        """As `Bars.relative`."""
        others = self.score.sum(axis=1, keepdims=True) + usual - self.score
        found: Floats = self.score - crowd * others / self.score.shape[1]
        return found

    @property
    def same(self) -> NDArray[np.bool_]:
        """Which comparisons are with the speaker, shape (trials, household size)."""
        found: NDArray[np.bool_] = np.arange(self.score.shape[1]) == self.own[:, None]
        return found


def trials(table: Scores, seed: int) -> Iterator[Trial]:
    """Households of every size that the corpus has speakers for."""
    for size in SIZES:
        try:
            drawn = households(table, size, DRAWS, seed)
        except ValueError:
            continue
        heard = np.isfinite(drawn.scores[:, 0])
        told = [_features(Quality(*map(float, table.quality[row]))) for row in drawn.request[heard]]
        brevity, noise = np.array(told).T
        yield Trial(drawn.scores[heard], drawn.own[heard], brevity, noise)


def _features(quality: Quality) -> tuple[float, float]:
    told = Bars.features(quality)
    return told["brevity"], told["noise"]


def logistic(features: Floats, same: NDArray[np.bool_], mass: Floats) -> Floats:
    """Coefficients of the log-likelihood ratio, by Newton's method; `mass` weighs each kind to one half.

    Shapes: features (n, k), same (n,), mass (n,) -> (k,).
    """
    found = np.zeros(features.shape[1])
    for _ in range(_STEPS):
        expected = 1 / (1 + np.exp(-np.clip(features @ found, -500, 500)))
        slope = features.T @ (mass * (expected - same)) + _RIDGE * found
        bend = (features * (mass * expected * (1 - expected))[:, None]).T @ features
        step = np.linalg.solve(bend + _RIDGE * np.eye(len(found)), slope)
        found -= step
        if np.abs(step).max() < 1e-9:  # noqa: PLR2004 - converged
            break
    return found


def evidence(groups: Sequence[Trial], crowd: float, usual: float) -> tuple[Term, ...]:
    """Fit score, net speech and noise to "same person", every group counting the same."""
    rows, same, mass = [], [], []
    for group in groups:
        score, alike = group.relative(crowd, usual).ravel(), group.same.ravel()
        brevity, noise = (np.repeat(x, group.score.shape[1]) for x in (group.brevity, group.noise))
        one = np.ones_like(score)
        rows.append(np.stack([x * y for x in (one, brevity, noise) for y in (one, score)], axis=1))
        same.append(alike)
        mass.append(np.where(alike, 0.5 / alike.sum(), 0.5 / (~alike).sum()) / len(groups))
    return _terms(logistic(np.concatenate(rows), np.concatenate(same), np.concatenate(mass)))


def tail(groups: Sequence[Trial], crowd: float, usual: float, below: float = 0.9) -> tuple[Term, ...]:
    """Fit the share of other people's requests above a score, by net speech.

    Least squares of log share, at scores evenly spread between both ends of `TAIL`; then raised until a share `below`
    of the groups lies below.
    """
    rows: list[Floats] = []
    log_shares: list[Floats] = []
    for group in groups:
        guest = group.own == GUEST
        score = np.sort(group.relative(crowd, usual)[guest].ravel())
        if len(score) < _LEAST:
            continue
        first, last = (float(np.quantile(score, 1 - share)) for share in TAIL)
        at = np.linspace(first, last, 20)
        told = (1.0, float(group.brevity[guest].mean()))
        rows.append(np.stack([x * y for x in told for y in (np.ones_like(at), at)], axis=1))
        log_shares.append(np.log(np.maximum(1 - np.searchsorted(score, at) / len(score), 1 / len(score))))
    found = np.linalg.lstsq(np.concatenate(rows), np.concatenate(log_shares), rcond=None)[0]
    above = [float((share - row @ found).mean()) for row, share in zip(rows, log_shares, strict=True)]
    found[0] += max(0.0, float(np.quantile(above, below)))
    return _terms(found)


def _terms(found: Floats) -> tuple[Term, ...]:
    """Offset and slope of each feature, in the order of `Feature`."""
    pairs: list[list[float]] = found.reshape(-1, 2).tolist()
    return tuple(Term(name, offset, slope) for name, (offset, slope) in zip(get_args(Feature), pairs, strict=False))


def best_crowd(groups: Sequence[Trial], usual: float) -> float:
    """How much of the crowd to take off: that with the fewest members missed, at one bar for all groups."""
    missed = {crowd: _missed(groups, crowd, usual) for crowd in CROWDS}
    return min(missed, key=lambda crowd: missed[crowd])


def _missed(groups: Sequence[Trial], crowd: float, usual: float) -> float:
    guests, members = [], []
    for group in groups:
        score = group.relative(crowd, usual)
        guests.append(score[group.own == GUEST].max(axis=1))
        own = group.own != GUEST
        found = score[own].argmax(axis=1) == group.own[own]
        members.append(np.where(found, score[own].max(axis=1), -np.inf))
    mass = np.concatenate([np.full(len(g), 1 / len(g)) for g in guests])
    bar = metrics.bar_at_fpir(np.concatenate(guests), CROWD_FPIR, mass)
    return float(np.mean([np.mean(group < bar) for group in members]))


def equal_error_bar(same: Sequence[float], other: Sequence[float]) -> float:
    """The score at which as large a share of the same lies below as of the others above."""
    steps = np.unique([*same, *other])
    low, high = np.sort(same), np.sort(other)
    missed = np.searchsorted(low, steps) / len(low)
    passed = 1 - np.searchsorted(high, steps) / len(high)
    return float(steps[int(np.argmin(np.abs(missed - passed)))])


def one_voice(voices: Sequence[Voice]) -> tuple[float, float]:
    """Bars for a take among others, and for two whole voiceprints."""
    takes = [(v.name, t) for v in voices for t in _as_heard(v) if len(t) > 1]
    honest = [float(x) for _, t in takes for x in each_to_the_others(t)]
    smuggled = [float(x) for n, t in takes for m, u in takes if m != n for x in u @ pooled(t[1:])]
    alike: dict[bool, list[float]] = defaultdict(list)
    prints = [(n, pooled(t)) for n, t in takes]
    for i, (name, one) in enumerate(prints):
        for other, two in prints[:i]:
            alike[name == other].append(float(one @ two))
    return equal_error_bar(honest, smuggled), equal_error_bar(alike[True], alike[False])


def _as_heard(voice: Voice) -> Iterator[NDArray[np.float32]]:
    return (takes[:, 0] for takes in voice.enrollments.values())


def baseline(tables: Sequence[Scores]) -> dict[str, float]:
    """Plain cosine at one length: a bar that names 1 % of the guests, and the best line from score to evidence."""
    drawn = [households(t, 4, 200, seed=1) for t in tables]
    guests = np.concatenate([t.scores[t.own == GUEST].max(axis=1) for t in drawn])
    groups = [Trial(t.scores[h], t.own[h], b := np.zeros(int(h.sum())), b) for t in drawn for h in [t.heard]]
    flat = np.concatenate([group.score.ravel() for group in groups])
    same = np.concatenate([group.same.ravel() for group in groups])
    mass = np.where(same, 0.5 / same.sum(), 0.5 / (~same).sum())
    found = logistic(np.stack([np.ones_like(flat), flat], axis=1), same, mass)
    threshold = metrics.bar_at_fpir(guests, BASELINE_FPIR)
    return {"threshold": threshold, "offset": float(found[0]), "slope": float(found[1])}


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """All speakers in one condition: those who are enrolled, and further guests."""

    voices: list[Voice]
    cohort: list[Voice]

    def half(self, which: int) -> "Heard":
        """Every second speaker, and the whole cohort."""
        return Heard(self.voices[which::2], self.cohort)

    def tables(self, length_s: float, bars: Bars | None = None) -> Iterator[Scores]:
        """Comparisons within each corpus."""
        groups: dict[str, list[Voice]] = defaultdict(list)
        for voice in [*self.voices, *self.cohort]:
            groups[voice.name.split("_", 1)[0]].append(voice)
        return (scores(group, length_s, bars) for group in groups.values())


def band(name: str, heard: Mapping[str, Heard]) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """One band's part of the entry, and its projection."""
    groups: list[Trial] = []
    for which in (0, 1):
        others = [one.half(1 - which) for one in heard.values()]
        bars = _raw(projection.fit([[*one.voices, *one.cohort] for one in others], VIEWS[name]), name)
        for channel, one in heard.items():
            for length_s in BANDS[name][channel]:
                for table in one.half(which).tables(length_s, bars):
                    groups += trials(table, seed=which)
    strangers = [group.score[~group.same].mean() for group in groups]
    usual = float(np.mean(strangers))
    crowd = best_crowd(groups, usual)
    brevity = np.concatenate([group.brevity for group in groups])
    found = {
        "evidence": [asdict(term) for term in evidence(groups, crowd, usual)],
        "tail": [asdict(term) for term in tail(groups, crowd, usual, BELOW[name])],
        "speech_s": [float(1 / brevity.max()), float(1 / brevity.min())],
        "crowd": crowd,
        "usual": usual,
        "comparisons": {
            "same": int(sum(group.same.sum() for group in groups)),
            "different": int(sum((~group.same).sum() for group in groups)),
        },
    }
    return found, projection.fit([[*one.voices, *one.cohort] for one in heard.values()], VIEWS[name])


def _raw(matrix: NDArray[np.float32], name: str) -> Bars:
    """Nothing but a projection, of one band."""
    nothing = (Term("one", 0.0, 1.0),)
    bars = Bars(ModelId(""), nothing, nothing, (1.0, 2.0), 0.5, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0, projection=matrix)
    return bars if name == "wide" else replace(bars, narrow=bars)


def calibrate(heard: Mapping[str, Heard]) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    """One encoder's entry, without its provenance, and its projections. `heard`: by condition; "clean" is needed."""
    clean = heard["clean"]
    bands = {name: band(name, {c: heard[c] for c in channels}) for name, channels in BANDS.items()}
    same_voice, same_person = one_voice(clean.voices)
    entry = {
        **bands["wide"][0],
        "narrow": bands["narrow"][0],
        "guest_prior": GUEST_PRIOR,
        "policies": POLICIES,
        "store": STORE,
        "ask": ASK,
        "early": EARLY,
        "same_voice": same_voice,
        "same_person": same_person,
        "baseline": baseline(list(clean.tables(BASELINE_S))),
        "found_on": {"speakers": len(clean.voices), "cohort": len(clean.cohort), "channels": sorted(heard)},
    }
    return entry, {name: matrix for name, (_, matrix) in bands.items()}


def main() -> None:
    """Command line: find and write one encoder's entry, leaving those of others as they are."""
    options = _options()
    encoder = open_encoder(options.encoder, options.models_dir)
    studio, conditions = Studio(encoder, SpeechCheck.shipped(), options.cache), Channels(options.corpus)
    people = read_corpus(options.corpus)
    chosen = half(people, options.half) if options.half else people
    cohort = read_corpus(options.cohort) if options.cohort else []
    heard = {
        channel: Heard(*(list(studio.voices(part, conditions.open(channel), lengths_s)) for part in (chosen, cohort)))
        for channels in BANDS.values() for channel, lengths_s in channels.items()
    }  # fmt: skip
    entry, projections = calibrate(heard)
    entry["provenance"] = {
        "command": _command(options),
        "corpus": options.corpus.name,
        "half": options.half,
        "split_seed": SPLIT_SEED,
        "names": sorted(person.name for person in chosen),
    }
    folder = options.out.parent / "projections"
    folder.mkdir(exist_ok=True)
    matrices: dict[str, Any] = {name: matrix.astype(np.float16) for name, matrix in projections.items()}
    np.savez(folder / f"{encoder.model_id}.npz", **matrices)
    entries = json.loads(options.out.read_text()) if options.out.exists() else {}
    before = entries.get(encoder.model_id, {})
    of_turns = {"one_voice": -1.0, "doubted": -1.0, "alone": 1.0, "turns": None}  # found by `turns.py`
    kept = {name: before.get(name, nothing) for name, nothing in of_turns.items()}
    entries[encoder.model_id] = kept | entry
    options.out.write_text(json.dumps(entries, indent=1, sort_keys=True) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m voiceid.evaluate.calibrate", description=(main.__doc__ or ""))
    parser.add_argument("corpus", type=Path, help="folder speaker/utterance.*")
    parser.add_argument("--half", choices=get_args(Half), help="only this half of the speakers")
    parser.add_argument("--cohort", type=Path, help="further speakers, as guests only")
    parser.add_argument("--encoder", default="campplus")
    parser.add_argument("--models-dir", type=Path, default=Path("models"))
    parser.add_argument("--cache", type=Path, default=Path(".cache/voiceid-eval"))
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def _command(options: argparse.Namespace) -> str:
    """The command that repeats this."""
    told = {"half": options.half, "cohort": options.cohort, "encoder": options.encoder, "out": options.out}
    words = " ".join(f"--{name} {value}" for name, value in told.items() if value)
    return f"python -m voiceid.evaluate.calibrate {options.corpus} {words}"


if __name__ == "__main__":
    main()

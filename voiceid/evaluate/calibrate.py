"""Find what an encoder's scores are worth, on speakers that nothing is measured on, and write it down.

`python -m voiceid.evaluate.calibrate ../shared/speech/dev --half a --cohort ../shared/speech/cohort
--out voiceid/data/calibration.json`

1. Evidence: a logistic regression of "same person or not" on score and net speech, over all pairs.
2. Tail: a line through the logarithm of the share of other people's requests above each score, by net speech, in the
   corpus where strangers come closest. A policy states a share, so its bar follows.
3. Takes (one voice?) and whole voiceprints (one person?): the bar where both errors are equal.
4. For comparison, plain cosine with one bar: 1 % of the guests named at 3 s.
"""

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from voiceid.calibration import Term
from voiceid.encode import open_encoder
from voiceid.evaluate import metrics
from voiceid.evaluate.channels import Channels
from voiceid.evaluate.corpora import SPLIT_SEED, Half, half, read_corpus
from voiceid.evaluate.embed import Studio, Voice
from voiceid.evaluate.protocol import GUEST, Floats, Scores, households, scores
from voiceid.speech import SpeechCheck
from voiceid.voiceprint import each_to_the_others, pooled

LENGTHS_S = (1.0, 2.0, 3.0, 5.0)
GUEST_PRIOR = 0.5
"""As many requests from guests as from members: what the protocol draws."""
POLICIES = {
    "convenient": {"name": 0.01, "apart": math.log(9)},
    "balanced": {"name": 0.005, "apart": math.log(19)},
    "strict": {"name": 0.001, "apart": math.log(99)},
}
"""What each policy promises: the share of guests' requests that may get a name, and the odds between two members."""
STORE = 0.0005
"""Half of what the storage bar promises, one guest in a thousand: it rests on the rarest of scores."""
ASK = 0.0
"""Log odds of "unsure": as likely as not."""
BASELINE_FPIR = 0.01
BASELINE_S = 3.0
TAIL = (2e-2, 5e-4)
"""The shares between which the tail is fitted; below the latter too few pairs are left."""
_LEAST_PAIRS = 2_000
_STEPS = 50
_RIDGE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Every request against every enrollment that does not hold the same sound, unusable ones left out."""

    score: Floats
    speech_s: Floats
    same: NDArray[np.bool_]


def pairs(table: Scores) -> Pairs:
    """Flatten one corpus at one length."""
    same = table.speaker[:, None] == table.owner
    fair = table.usable[:, None] & ~(same & (table.side[:, None] == table.owner_side))
    speech_s = np.broadcast_to(table.quality[:, :1], same.shape)
    return Pairs(table.matrix[fair], speech_s[fair], same[fair])


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


def evidence(tables: Sequence[Scores]) -> tuple[Term, ...]:
    """Fit score and net speech to "same person", every table counting the same."""
    flat = [pairs(table) for table in tables]
    score, brevity = (np.concatenate(x) for x in ([p.score for p in flat], [1 / p.speech_s for p in flat]))
    same = np.concatenate([p.same for p in flat])
    mass = np.concatenate([np.where(p.same, 0.5 / p.same.sum(), 0.5 / (~p.same).sum()) for p in flat]) / len(flat)
    found = logistic(np.stack([np.ones_like(score), score, brevity, brevity * score], axis=1), same, mass)
    return Term("one", float(found[0]), float(found[1])), Term("brevity", float(found[2]), float(found[3]))


def tail(corpora: Mapping[str, Sequence[Scores]]) -> tuple[Term, ...]:
    """Fit the share of other people's requests above a score, in the corpus where it is largest, by length.

    Least squares of log share on score, brevity and their product, at scores evenly spread between both ends of `TAIL`.
    """
    rows: list[tuple[float, float, float]] = []  # score, brevity, log share
    for tables in zip(*corpora.values(), strict=True):  # one length after the other
        flat = [p for p in map(pairs, tables) if (~p.same).sum() >= _LEAST_PAIRS]
        others = [np.sort(p.score[~p.same]) for p in flat]
        brevity = float(np.mean([np.mean(1 / p.speech_s[~p.same]) for p in flat]))
        first, last = (max(float(np.quantile(s, 1 - share)) for s in others) for share in TAIL)
        for score in np.linspace(first, last, 20):
            share = max(1 - np.searchsorted(s, score) / len(s) for s in others)
            rows.append((float(score), brevity, math.log(share)))
    score, short, log_share = np.array(rows).T
    features = np.stack([np.ones_like(score), score, short, short * score], axis=1)
    found = np.linalg.lstsq(features, log_share, rcond=None)[0]
    return Term("one", float(found[0]), float(found[1])), Term("brevity", float(found[2]), float(found[3]))


def equal_error_bar(same: Sequence[float], other: Sequence[float]) -> float:
    """The score at which as large a share of the same lies below as of the others above."""
    steps = np.unique([*same, *other])
    low, high = np.sort(same), np.sort(other)
    missed = np.searchsorted(low, steps) / len(low)
    passed = 1 - np.searchsorted(high, steps) / len(high)
    return float(steps[int(np.argmin(np.abs(missed - passed)))])


def one_voice(voices: Sequence[Voice]) -> tuple[float, float]:
    """Bars for a take among others, and for two whole voiceprints."""
    takes = [(v.name, t) for v in voices for t in v.enrollments.values() if len(t) > 1]
    honest = [float(x) for _, t in takes for x in each_to_the_others(t)]
    smuggled = [float(x) for n, t in takes for m, u in takes if m != n for x in u @ pooled(t[1:])]
    alike: dict[bool, list[float]] = defaultdict(list)
    prints = [(n, pooled(t)) for n, t in takes]
    for i, (name, one) in enumerate(prints):
        for other, two in prints[:i]:
            alike[name == other].append(float(one @ two))
    return equal_error_bar(honest, smuggled), equal_error_bar(alike[True], alike[False])


def baseline(tables: Sequence[Scores]) -> dict[str, float]:
    """Plain cosine at one length: a bar that names 1 % of the guests, and the best line from score to evidence."""
    flat = [pairs(table) for table in tables]
    score = np.concatenate([p.score for p in flat])
    same = np.concatenate([p.same for p in flat])
    drawn = [households(t, 4, 200, seed=1) for t in tables]
    guests = np.concatenate([t.scores[t.own == GUEST].max(axis=1) for t in drawn])
    mass = np.where(same, 0.5 / same.sum(), 0.5 / (~same).sum())
    found = logistic(np.stack([np.ones_like(score), score], axis=1), same, mass)
    threshold = metrics.bar_at_fpir(guests, BASELINE_FPIR)
    return {"threshold": threshold, "offset": float(found[0]), "slope": float(found[1])}


def calibrate(voices: Sequence[Voice], cohort: Sequence[Voice]) -> dict[str, Any]:
    """One encoder's entry, without its provenance. The cohort makes requests as guests, nobody of it is enrolled."""
    groups: dict[str, list[Voice]] = defaultdict(list)
    for voice in [*voices, *cohort]:
        groups[voice.name.split("_", 1)[0]].append(voice)
    tables = {name: [scores(group, s) for s in LENGTHS_S] for name, group in groups.items()}
    speech_s = np.concatenate([pairs(t).speech_s for group in tables.values() for t in group])
    same_voice, same_person = one_voice(voices)
    return {
        "evidence": [asdict(term) for term in evidence([t for group in tables.values() for t in group])],
        "tail": [asdict(term) for term in tail(tables)],
        "speech_s": [float(speech_s.min()), float(speech_s.max())],
        "guest_prior": GUEST_PRIOR,
        "policies": POLICIES,
        "store": STORE,
        "ask": ASK,
        "same_voice": same_voice,
        "same_person": same_person,
        "baseline": baseline([group[LENGTHS_S.index(BASELINE_S)] for group in tables.values()]),
        "found_on": {
            "speakers": len(voices),
            "cohort": len(cohort),
            "same": sum(int(pairs(t).same.sum()) for group in tables.values() for t in group),
            "different": sum(int((~pairs(t).same).sum()) for group in tables.values() for t in group),
        },
    }


def main() -> None:
    """Command line: find and write one encoder's entry, leaving those of others as they are."""
    options = _options()
    encoder = open_encoder(options.encoder, options.models_dir)
    studio = Studio(encoder, SpeechCheck.shipped(), options.cache)
    clean = Channels(options.corpus).open("clean")
    people = read_corpus(options.corpus)
    chosen = half(people, options.half) if options.half else people
    cohort = read_corpus(options.cohort) if options.cohort else []
    entry = calibrate(*(list(studio.voices(part, clean, LENGTHS_S)) for part in (chosen, cohort)))
    entry["provenance"] = {
        "command": _command(options),
        "corpus": options.corpus.name,
        "half": options.half,
        "split_seed": SPLIT_SEED,
        "names": sorted(person.name for person in chosen),
    }
    entries = json.loads(options.out.read_text()) if options.out.exists() else {}
    entries[encoder.model_id] = entry
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

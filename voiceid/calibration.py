"""What a score is worth: the shipped calibration of each encoder, as bars for one policy.

`data/calibration.json` holds one entry per encoder, by name and digest, written by `python -m
voiceid.evaluate.calibrate`, with the corpus, the speakers and the trials that it was found on. No bar stands in code.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from itertools import product
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from voiceid.errors import Uncalibrated
from voiceid.types import ModelId, Quality

Policy = Literal["convenient", "balanced", "strict"]
Feature = Literal["one", "brevity", "noise"]

_DATA = files("voiceid") / "data"
_SHIPPED = _DATA / "calibration.json"
_QUIET_DB = 20.0
"""Speech over noise from which noise no longer counts."""
_SHORTEST_S = 0.1
"""Nothing shorter is divided by."""


@dataclass(frozen=True, slots=True)
class Term:
    """One summand of the evidence: (offset + slope * score) * feature."""

    feature: Feature
    """`one`: 1. `brevity`: 1 / net speech in seconds. `noise`: 0 where speech lies 20 dB over noise, 1 at 0 dB."""
    offset: float
    slope: float


@dataclass(frozen=True, slots=True)
class Bars:
    """Everything that turns scores into a decision, for one encoder and one policy. Logarithms are natural."""

    model_id: ModelId
    evidence: tuple[Term, ...]
    """Sum of the terms = log-likelihood ratio "this person" against "someone else"."""
    tail: tuple[Term, ...]
    """Sum of the terms = log of the share of other people's requests that score at least as high."""
    speech_s: tuple[float, float]
    """Net speech, seconds, that both were fitted on; shorter and longer clips count as the nearest of it."""
    guest_prior: float
    """Share of requests that come from no member, 0..1; the rest falls on the members evenly."""
    name: float
    """Share of a household's guests that may get a name, 0..1."""
    store: float
    """Share of a household's guests whose requests may pass for storable, 0..1; never above `name`."""
    apart: float
    """Log odds of the best person against all the others of the household, from which a name is not ambiguous."""
    ask: float
    """Log odds of the best person against everyone else, from which an unnamed voice is "unsure", not "stranger"."""
    same_voice: float
    """Cosine of a take with the pooled others, below which it is another person's."""
    same_person: float
    """Cosine of two people's pooled takes, above which they are one person."""
    early: float = 1.0
    """Share of `name` that is allowed while somebody is still speaking: there are several looks at one utterance."""
    one_voice: float = -1.0
    """Least `Embedding.turn` of a clip of one person, where noise does not count and nothing else is known."""
    doubted: float = -1.0
    """`Embedding.turn` below which both sides of that moment are compared with whoever is named, too."""
    alone: float = 1.0
    """Share of strangers whose side of a clip may pass for the named person's."""
    crowd: float = 0.0
    """Share of the other members' mean score that is taken off each score, 0..1: what a whole household has in
    common, its room, its devices, its language, tells nobody apart."""
    usual: float = 0.0
    """Score of two strangers; stands in for one more member, so that a few do not count for too much."""
    projection: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    """Shape (dim, dim): embeddings times this, made unit length again, before they are compared; None: as they are.
    Within-class covariance normalization, Hatch et al., Interspeech 2006: what rooms, noise and microphones do to one
    person's embeddings counts for less."""
    narrow: "Bars | None" = field(default=None, repr=False)
    """The same for sound over a telephone; None: it is judged like any other."""

    def several_voices(self, turn: float, quality: Quality) -> bool:
        """Whether two people spoke in a clip. In noise nobody can tell: there a pause differs as much from a word."""
        return turn < self.one_voice and self.features(quality)["noise"] == 0

    def doubts(self, turn: float, quality: Quality) -> bool:
        """Whether two people may have spoken, so that it is worth to look at either side."""
        return turn < max(self.doubted, self.one_voice) and self.features(quality)["noise"] == 0

    def while_speaking(self) -> "Bars":
        """The bars for speech that is still going on."""
        return replace(self, name=self.name * self.early)

    def relative(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Each score of a household, shape (n,), less a share of the others' mean."""
        others: NDArray[np.float64] = scores.sum() + self.usual - scores
        return scores - self.crowd * others / len(scores)

    def projected(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embeddings as they are compared, shape (..., dim), rows of unit length; no number becomes one."""
        if self.projection is None or not vectors.size:
            return vectors
        moved = vectors @ self.projection
        length = np.linalg.norm(moved, axis=-1, keepdims=True)
        unit: NDArray[np.float32] = np.divide(moved, length, out=np.zeros_like(moved), where=length > 0)
        return unit

    def likelihood(self, quality: Quality) -> tuple[float, float]:
        """Offset and slope of the evidence, for clips of this quality. The slope is positive."""
        return self._sum(self.evidence, quality)

    def threshold(self, share: float, people: int, quality: Quality) -> float:
        """The score that a share of guests at most reaches when so many people are compared with."""
        offset, slope = self._sum(self.tail, quality)
        return (math.log(share / people) - offset) / slope

    @staticmethod
    def features(quality: Quality) -> dict[Feature, float]:
        """What the terms are multiplied with."""
        noise = min(max(1.0 - quality.snr_db / _QUIET_DB, 0.0), 1.0)
        return {"one": 1.0, "brevity": 1.0 / max(quality.speech_s, _SHORTEST_S), "noise": noise}

    def _sum(self, terms: tuple[Term, ...], quality: Quality) -> tuple[float, float]:
        speech_s = min(max(quality.speech_s, self.speech_s[0]), self.speech_s[1])
        features = self.features(replace(quality, speech_s=speech_s))
        offset = sum(term.offset * features[term.feature] for term in terms)
        slope = sum(term.slope * features[term.feature] for term in terms)
        return offset, slope

    @classmethod
    def shipped(cls, model_id: ModelId, policy: Policy) -> Self:
        """The bars that come with the package.

        Raises: Uncalibrated, for an encoder that nobody has calibrated; KeyError or ValueError, for a damaged file.
        """
        entry = _entry(model_id)
        wide = cls.of(model_id, entry, policy, _projection(model_id, "wide"))
        if "narrow" not in entry:
            return wide
        told = {**entry, **entry["narrow"]}
        return replace(wide, narrow=cls.of(model_id, told, policy, _projection(model_id, "narrow")))

    @classmethod
    def of(
        cls, model_id: ModelId, entry: Mapping[str, Any], policy: Policy,
        projection: NDArray[np.float32] | None = None,
    ) -> Self:
        """Read one encoder's entry.

        Raises: KeyError, for a member that is missing; ValueError, for numbers that could name someone by mistake.
        """
        chosen = entry["policies"][policy]
        shortest, longest = entry["speech_s"]
        bars = cls(
            model_id=model_id,
            evidence=_terms(entry["evidence"]),
            tail=_terms(entry["tail"]),
            speech_s=(float(shortest), float(longest)),
            guest_prior=float(entry["guest_prior"]),
            name=float(chosen["name"]),
            store=min(float(entry["store"]), float(chosen["name"])),
            apart=float(chosen["apart"]),
            ask=float(entry["ask"]),
            same_voice=float(entry["same_voice"]),
            same_person=float(entry["same_person"]),
            early=float(entry["early"]),
            one_voice=float(entry["one_voice"]),
            doubted=float(entry["doubted"]),
            alone=float(entry["alone"]),
            crowd=float(entry["crowd"]),
            usual=float(entry["usual"]),
            projection=projection,
        )
        bars._check()
        return bars

    def _check(self) -> None:
        numbers = [self.apart, self.ask, self.same_voice, self.same_person, self.one_voice, self.doubted]
        numbers += [self.crowd, self.usual, *self.speech_s]
        numbers += [value for term in self.evidence + self.tail for value in (term.offset, term.slope)]
        if not all(map(math.isfinite, numbers)):
            raise ValueError("a bar is not a number")
        if not all(0 < share < 1 for share in (self.guest_prior, self.name, self.store, self.early / 2)):
            raise ValueError("a share lies between 0 and 1")
        if not 0 < self.alone <= 1:
            raise ValueError("a share lies between 0 and 1")
        if not 0 < self.speech_s[0] < self.speech_s[1]:
            raise ValueError("speech_s must rise")
        if not 0 <= self.crowd < 1:
            raise ValueError("the crowd counts for a share of itself")
        if self.projection is not None and not np.isfinite(self.projection).all():
            raise ValueError("a projection is not made of numbers")
        for speech_s, snr_db in product(self.speech_s, (0.0, _QUIET_DB)):  # linear: right at the ends, right within
            quality = Quality(speech_s, speech_s, 0.0, snr_db, 0.0)
            if self.likelihood(quality)[1] <= 0 or self._sum(self.tail, quality)[1] >= 0:
                raise ValueError("more alike must never count as less likely")


def baseline(model_id: ModelId) -> dict[str, float]:
    """Plain cosine with one bar, what every open tool does: `threshold`, and `offset` and `slope` of its evidence.

    Only evaluation asks, to have something to compare with.
    Raises: Uncalibrated.
    """
    return {name: float(value) for name, value in _entry(model_id)["baseline"].items()}


def _entry(model_id: ModelId) -> Mapping[str, Any]:
    entries: Mapping[str, Mapping[str, Any]] = json.loads(_SHIPPED.read_bytes())
    if model_id not in entries:
        raise Uncalibrated(f"no calibration for {model_id}: run python -m voiceid.evaluate.calibrate")
    return entries[model_id]


def _projection(model_id: ModelId, band: str) -> NDArray[np.float32] | None:
    """One encoder's projection in one band, as it is shipped; None where there is none."""
    file = _DATA / "projections" / f"{model_id}.npz"
    if not file.is_file():
        return None
    with file.open("rb") as stored, np.load(stored, allow_pickle=False) as matrices:
        return np.asarray(matrices[band], dtype=np.float32)


def _terms(entries: Sequence[Mapping[str, Any]]) -> tuple[Term, ...]:
    if any(entry["feature"] not in get_args(Feature) for entry in entries):
        raise ValueError("unknown feature")
    return tuple(Term(e["feature"], float(e["offset"]), float(e["slope"])) for e in entries)

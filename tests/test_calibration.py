"""The shipped calibration, and what is refused in its place."""

import copy
import json
import math
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from voiceid.calibration import Bars, Policy, baseline
from voiceid.encode import open_encoder
from voiceid.errors import Uncalibrated
from voiceid.evaluate.calibrate import equal_error_bar, evidence, logistic, tail
from voiceid.evaluate.protocol import Scores
from voiceid.types import ModelId, Quality

SHIPPED: dict[str, Any] = json.loads((files("voiceid") / "data" / "calibration.json").read_text())
MODEL = ModelId(next(name for name in SHIPPED if name.startswith("campplus@")))


def lasting(speech_s: float) -> Quality:
    return Quality(speech_s, speech_s, -20.0, 30.0, 0.0)


def test_the_shipped_encoder_is_calibrated() -> None:
    """Also when the network is exported anew: its digest changes, and the old figures no longer count."""
    encoder = open_encoder("campplus", Path("models"))

    assert Bars.shipped(encoder.model_id, "balanced").model_id == encoder.model_id


def test_an_encoder_that_nobody_calibrated_names_nobody() -> None:
    with pytest.raises(Uncalibrated, match="toy@0"):
        Bars.shipped(ModelId("toy@0"), "balanced")
    with pytest.raises(Uncalibrated):
        baseline(ModelId("toy@0"))


def test_a_stricter_policy_asks_for_more() -> None:
    bars = [Bars.shipped(MODEL, policy) for policy in get_args(Policy)]

    asked = [bar.threshold(bar.name, 4, lasting(3)) for bar in bars]

    assert asked == sorted(asked)
    assert len(set(asked)) == 3
    assert [bar.apart for bar in bars] == sorted(bar.apart for bar in bars)


@pytest.mark.parametrize("policy", get_args(Policy))
@pytest.mark.parametrize("speech_s", [0.5, 1, 2, 3, 6, 30])
def test_storing_never_asks_for_less_than_naming(policy: Policy, speech_s: float) -> None:
    bars = Bars.shipped(MODEL, policy)

    named, stored = (bars.threshold(share, 4, lasting(speech_s)) for share in (bars.name, bars.store))

    assert -1 < named <= stored < 1


def test_the_storage_bar_promises_one_guest_in_a_thousand() -> None:
    assert all(Bars.shipped(MODEL, policy).store <= 0.001 for policy in get_args(Policy))


def test_every_entry_tells_where_it_comes_from() -> None:
    for entry in SHIPPED.values():
        origin = entry["provenance"]
        assert origin["command"].startswith("python -m voiceid.evaluate.calibrate ")
        assert len(origin["names"]) == entry["found_on"]["speakers"]
        assert "test" not in origin["corpus"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("evidence", 0, "slope"), -100.0),
        (("tail", 0, "slope"), 100.0),
        (("tail", 0, "offset"), math.nan),
        (("evidence", 0, "feature"), "moon"),
        (("policies", "balanced", "name"), 0.0),
        (("policies", "balanced", "apart"), math.inf),
        (("guest_prior",), 1.0),
        (("speech_s",), [3.0, 1.0]),
    ],
)
def test_numbers_that_could_name_someone_by_mistake_are_refused(path: tuple[Any, ...], value: object) -> None:
    entry = copy.deepcopy(SHIPPED[MODEL])
    *way, last = path
    place = entry
    for step in way:
        place = place[step]
    place[last] = value

    with pytest.raises(ValueError):  # noqa: PT011 - the message differs by case
        Bars.of(MODEL, entry, "balanced")


def test_a_missing_member_is_an_error_not_a_default() -> None:
    entry = copy.deepcopy(SHIPPED[MODEL])
    del entry["store"]

    with pytest.raises(KeyError):
        Bars.of(MODEL, entry, "balanced")


def test_the_evidence_of_two_bell_curves_is_known() -> None:
    """Means 1 and -1, variance 1/2: the log-likelihood ratio of a score is 4 times the score."""
    rng = np.random.default_rng(3)
    score = np.concatenate([rng.normal(1, math.sqrt(0.5), 40_000), rng.normal(-1, math.sqrt(0.5), 40_000)])
    same = np.repeat([True, False], 40_000)

    offset, slope = logistic(np.stack([np.ones_like(score), score], axis=1), same, np.full(80_000, 1 / 80_000))

    assert slope == pytest.approx(4, abs=0.1)
    assert offset == pytest.approx(0, abs=0.05)


def one_table(others: np.ndarray, own: np.ndarray, speech_s: float) -> Scores:
    """One enrolled person (0); request 0 of everybody else, and the person's own from the other side."""
    score = np.concatenate([own, others])
    quality = np.tile([speech_s, speech_s, -20.0, 30.0, 0.0], (len(score), 1))
    speaker = np.concatenate([np.zeros(len(own), int), np.ones(len(others), int)])
    return Scores(
        matrix=score[:, None], speaker=speaker, side=np.ones(len(score), int), usable=np.ones(len(score), bool),
        quality=quality, owner=np.zeros(1, int), owner_side=np.zeros(1, int),
    )  # fmt: skip


def test_the_tail_of_an_exponential_is_found_at_every_length() -> None:
    """Strangers' scores fall off by e every 0.03, and lie 0.1 lower at one second than at two."""
    exponential = -0.03 * np.log((np.arange(50_000) + 0.5) / 50_000)
    tables = [one_table(exponential + 0.2 * (1 - 1 / (2 * s)), np.ones(9), s) for s in (1.0, 2.0, 4.0)]

    terms = tail({"only": tables})

    for speech_s in (1.0, 2.0, 4.0):
        slope = terms[0].slope + terms[1].slope / speech_s
        at_one_percent = (math.log(0.01) - terms[0].offset - terms[1].offset / speech_s) / slope
        assert 1 / slope == pytest.approx(-0.03, rel=0.01)
        assert at_one_percent == pytest.approx(0.2 * (1 - 1 / (2 * speech_s)) + 0.03 * math.log(100), abs=0.001)


def test_the_corpus_where_strangers_come_closest_sets_the_tail() -> None:
    rng = np.random.default_rng(5)
    far = [one_table(rng.exponential(0.03, 50_000), np.ones(9), s) for s in (1.0, 2.0, 4.0)]
    near = [one_table(rng.exponential(0.03, 50_000) + 0.2, np.ones(9), s) for s in (1.0, 2.0, 4.0)]

    assert tail({"far": far, "near": near}) == tail({"near": near})


def test_evidence_falls_where_others_score_and_rises_where_the_person_does() -> None:
    rng = np.random.default_rng(6)
    tables = [one_table(rng.normal(0.4, 0.08, 5_000), rng.normal(0.8, 0.05, 500), s) for s in (1.0, 3.0)]

    one, brevity = evidence(tables)

    for score, positive in ((0.4, False), (0.8, True)):
        llr = one.offset + one.slope * score + (brevity.offset + brevity.slope * score) / 2
        assert (llr > 0) is positive


def test_the_equal_error_bar_by_hand() -> None:
    """One of four lies on the wrong side on either hand."""
    assert equal_error_bar([0.9, 0.8, 0.7, 0.3], [0.6, 0.2, 0.1, 0.0]) == pytest.approx(0.6, abs=0.1)

"""The shipped calibration, and what is refused in its place."""

import copy
import json
import math
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from voiceid.calibration import Bars, Policy, baseline
from voiceid.encode import open_encoder
from voiceid.errors import Uncalibrated
from voiceid.evaluate.calibrate import TAIL, Trial, best_crowd, equal_error_bar, evidence, logistic, tail
from voiceid.evaluate.protocol import GUEST
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
@pytest.mark.parametrize("snr_db", [0.0, 30.0])
def test_storing_never_asks_for_less_than_naming(policy: Policy, speech_s: float, snr_db: float) -> None:
    wide = Bars.shipped(MODEL, policy)

    for bars in (wide, wide.narrow or wide):
        quality = replace(lasting(speech_s), snr_db=snr_db)
        named, stored = (bars.threshold(share, 4, quality) for share in (bars.name, bars.store))
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
        (("crowd",), 1.0),
        (("crowd",), -0.1),
        (("usual",), math.nan),
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


def one_trial(guests: np.ndarray, members: np.ndarray, speech_s: float, noise: float = 0.0) -> Trial:
    """Households of one: guests' scores, then those of the members themselves."""
    score = np.concatenate([guests, members])
    own = np.concatenate([np.full(len(guests), GUEST), np.zeros(len(members), int)])
    return Trial(score[:, None], own, np.full(len(score), 1 / speech_s), np.full(len(score), noise))


def test_the_tail_of_an_exponential_is_found_at_every_length() -> None:
    """Strangers' scores fall off by e every 0.03, and lie 0.1 lower at one second than at two."""
    exponential = -0.03 * np.log((np.arange(50_000) + 0.5) / 50_000)
    groups = [one_trial(exponential + 0.2 * (1 - 1 / (2 * s)), np.ones(9), s) for s in (1.0, 2.0, 4.0)]

    one, brevity, *_ = tail(groups, crowd=0.0, usual=0.0)

    for speech_s in (1.0, 2.0, 4.0):
        slope = one.slope + brevity.slope / speech_s
        at_one_percent = (math.log(0.01) - one.offset - brevity.offset / speech_s) / slope
        assert 1 / slope == pytest.approx(-0.03, rel=0.01)
        assert at_one_percent == pytest.approx(0.2 * (1 - 1 / (2 * speech_s)) + 0.03 * math.log(100), abs=0.002)


@pytest.mark.parametrize("below", [0.5, 0.9])
def test_the_tail_is_raised_until_the_stated_share_of_conditions_lies_below(below: float) -> None:
    """Strangers come closer in two of three conditions: a line through all of them would promise too much there."""
    rng = np.random.default_rng(5)
    closer = (0.0, 0.05, 0.05, 0.0, 0.05, 0.05)
    groups = [one_trial(rng.exponential(0.03, 50_000) + c, np.ones(9), 2.0) for c in closer]

    one, brevity, *_ = tail(groups, 0.0, 0.0, below)

    at = np.array([0.03 * math.log(1 / share) for share in TAIL])
    above = [float(np.mean(-at / 0.03 - (one.offset + brevity.offset / 2) - (one.slope + brevity.slope / 2) * (at + c)))
             for c in closer]  # fmt: skip
    assert np.quantile(above, below) == pytest.approx(0, abs=0.1)


def test_evidence_falls_where_others_score_and_rises_where_the_person_does() -> None:
    rng = np.random.default_rng(6)
    groups = [one_trial(rng.normal(0.4, 0.08, 5_000), rng.normal(0.8, 0.05, 500), s) for s in (1.0, 3.0)]

    one, brevity, noise = evidence(groups, crowd=0.0, usual=0.0)

    assert (noise.offset, noise.slope) == pytest.approx((0, 0))  # there was none to learn from
    for score, positive in ((0.4, False), (0.8, True)):
        llr = one.offset + one.slope * score + (brevity.offset + brevity.slope * score) / 2
        assert (llr > 0) is positive


def test_a_trial_counts_the_crowd_as_the_product_does() -> None:
    rng = np.random.default_rng(7)
    score = rng.uniform(0, 1, (5, 4))
    trial = Trial(score, np.full(5, GUEST), np.ones(5), np.zeros(5))
    bars = replace(Bars.of(MODEL, SHIPPED[MODEL], "balanced"), crowd=0.5, usual=0.3)

    assert trial.relative(0.5, 0.3) == pytest.approx(np.array([bars.relative(row) for row in score]))


def test_the_crowd_is_taken_off_where_it_moves_whole_households() -> None:
    """Every request lifts all scores of its household alike: without that common part the members lie apart."""
    rng = np.random.default_rng(8)
    own = np.repeat([0, GUEST], 400)
    score = rng.normal(0, 0.05, (800, 4)) + rng.normal(0, 0.5, (800, 1))
    score[:400, 0] += 0.6
    lifted = Trial(score, own, np.ones(800), np.zeros(800))
    steady = Trial(score - score[:, 1:].mean(axis=1, keepdims=True), own, np.ones(800), np.zeros(800))

    assert best_crowd([lifted], usual=0.0) > 0
    assert best_crowd([steady], usual=0.0) == 0


def test_every_shipped_projection_is_of_a_calibrated_encoder_and_of_both_bands() -> None:
    folder = files("voiceid") / "data" / "projections"
    names = {file.name.removesuffix(".npz") for file in folder.iterdir()}

    assert names <= set(SHIPPED)
    assert MODEL in names
    bars = Bars.shipped(MODEL, "balanced")
    assert bars.narrow is not None
    for by in (bars, bars.narrow):
        assert by.projection is not None
        assert by.projection.shape == (192, 192)
        assert np.linalg.norm(by.projected(np.eye(192, dtype=np.float32)), axis=1) == pytest.approx(1, abs=1e-5)


def test_no_number_becomes_one_by_projection() -> None:
    bars = Bars.shipped(MODEL, "balanced")

    assert not bars.projected(np.zeros((2, 192), np.float32)).any()


def test_the_equal_error_bar_by_hand() -> None:
    """One of four lies on the wrong side on either hand."""
    assert equal_error_bar([0.9, 0.8, 0.7, 0.3], [0.6, 0.2, 0.1, 0.0]) == pytest.approx(0.6, abs=0.1)

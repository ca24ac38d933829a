"""Error rates against figures worked out by hand."""

import math

import numpy as np
import pytest

from voiceid.evaluate import metrics


def test_the_bar_lets_no_more_guests_through_than_asked() -> None:
    guests = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]

    bar = metrics.bar_at_fpir(guests, 0.2)

    assert sum(g >= bar for g in guests) == 2
    assert 0.8 < bar < 0.9


def test_guests_of_one_score_are_named_together_or_not_at_all() -> None:
    bar = metrics.bar_at_fpir([0.5, 0.5, 0.5, 0.1], 0.5)

    assert bar > 0.5


def test_a_generous_rate_needs_no_bar() -> None:
    assert metrics.bar_at_fpir([0.5, 0.1], 1.0) == -math.inf


def test_the_bar_counts_each_guest_with_their_weight() -> None:
    """The top guest stands for nine of ten requests, so none may pass at 20 %."""
    assert metrics.bar_at_fpir([0.9, 0.1], 0.2, [9, 1]) > 0.9
    assert 0.1 < metrics.bar_at_fpir([0.9, 0.1], 0.2, [1, 9]) <= 0.9


def test_fnir_counts_the_unnamed_and_the_misnamed() -> None:
    """Of four requests one is below the bar and one belongs to somebody else."""
    assert metrics.fnir([0.9, 0.8, 0.3, 0.9], [True, True, True, False], bar=0.5) == 0.5


def test_eer_where_one_of_four_is_wrong_on_both_sides() -> None:
    target, nontarget = [0.9, 0.8, 0.7, 0.2], [0.6, 0.1, 0.05, 0.0]

    assert metrics.eer(target, nontarget) == pytest.approx(0.25)


def test_eer_lies_between_two_bars() -> None:
    """Miss 0 -> 1/2 while false alarm stays 1/3: the line crosses at 1/3."""
    assert metrics.eer([0.3, 0.9], [0.1, 0.2, 0.5]) == pytest.approx(1 / 3)


def test_eer_of_separate_and_of_reversed_scores() -> None:
    assert metrics.eer([2, 3], [0, 1]) == 0
    assert metrics.eer([0, 1], [2, 3]) == 1


def test_eer_with_weights_is_eer_of_repeated_trials() -> None:
    target, nontarget = np.array([0.9, 0.4, 0.7]), np.array([0.5, 0.1, 0.6])
    repeat, again = np.array([1, 3, 2]), np.array([2, 1, 1])

    weighted = metrics.eer(target, nontarget, (repeat, again))

    assert weighted == pytest.approx(metrics.eer(np.repeat(target, repeat), np.repeat(nontarget, again)))


def test_min_dcf_pays_ninety_nine_times_for_a_false_alarm() -> None:
    """Half of the targets lie above every nontarget: miss 1/2 at no false alarm, cost 0.01 * 1/2 / 0.01."""
    assert metrics.min_dcf([0.9, 0.4], [0.5, 0.1]) == pytest.approx(0.5)


def test_cllr_of_no_evidence_is_one_bit() -> None:
    assert metrics.cllr([0.0, 0.0], [0.0]) == pytest.approx(1)


def test_cllr_by_hand() -> None:
    """Evidence of ln 3 for the target costs log2(4/3), -ln 3 for the nontarget the same."""
    assert metrics.cllr([math.log(3)], [-math.log(3)]) == pytest.approx(math.log2(4 / 3))


def test_min_cllr_by_hand() -> None:
    """Targets 3, 1 and nontargets 2, 0: the middle pair pools to "one of each", evidence nought, the ends are sure."""
    assert metrics.min_cllr([3, 1], [2, 0]) == pytest.approx(0.5)


def test_min_cllr_of_useless_and_of_perfect_scores() -> None:
    assert metrics.min_cllr([0, 1], [0, 1]) == pytest.approx(1)
    assert metrics.min_cllr([2, 3], [0, 1]) == 0


def test_min_cllr_is_a_lower_bound_that_a_monotone_map_does_not_move() -> None:
    rng = np.random.default_rng(5)
    target, nontarget = rng.normal(2, 1, 300), rng.normal(-2, 1, 500)

    least = metrics.min_cllr(target, nontarget)

    assert least < metrics.cllr(2 * target, 2 * nontarget)
    assert least == pytest.approx(metrics.min_cllr(np.exp(target), np.exp(nontarget)))


def test_clopper_pearson_of_nothing_in_a_hundred() -> None:
    """The rule of three, exactly: 1 - 0.025 ** (1 / 100)."""
    low, high = metrics.clopper_pearson(0, 100)

    assert low == 0
    assert high == pytest.approx(1 - 0.025 ** (1 / 100))


def test_clopper_pearson_of_five_in_ten() -> None:
    """Clopper and Pearson's own table: 0.187 to 0.813."""
    assert metrics.clopper_pearson(5, 10) == pytest.approx((0.18709, 0.81291), abs=1e-5)


def test_clopper_pearson_without_trials_knows_nothing() -> None:
    assert metrics.clopper_pearson(0, 0) == (0, 1)


def test_the_bootstrap_draws_speakers() -> None:
    """A mean over 100 speakers, half of them 0 and half 1, has a standard error of 1/20."""
    value = np.repeat([0.0, 1.0], 50)

    low, high = metrics.bootstrap(100, lambda counts: metrics.rate(value, counts), rounds=2000)

    assert low == pytest.approx(0.4, abs=0.02)
    assert high == pytest.approx(0.6, abs=0.02)


def test_the_bootstrap_leaves_out_rounds_without_a_value() -> None:
    low, high = metrics.bootstrap(1, lambda _counts: math.nan)

    assert math.isnan(low)
    assert math.isnan(high)


@pytest.mark.torch
def test_eer_and_min_dcf_agree_with_speechbrain() -> None:
    """SpeechBrain tries bars between neighbouring scores; its EER is where misses and false alarms are closest."""
    import torch
    from speechbrain.utils.metric_stats import EER, minDCF

    rng = np.random.default_rng(11)
    target, nontarget = rng.normal(1.2, 1, 400), rng.normal(-1.2, 1, 900)
    theirs = [torch.from_numpy(x.astype(np.float32)) for x in (target, nontarget)]

    equal, _ = EER(*theirs)
    cost, _ = minDCF(*theirs, c_miss=1.0, c_fa=1.0, p_target=0.01)

    assert metrics.eer(target, nontarget) == pytest.approx(float(equal), abs=1 / 400)
    assert metrics.min_dcf(target, nontarget) * 0.01 == pytest.approx(float(cost), abs=1e-4)

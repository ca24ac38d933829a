"""Sorted once, weighted often: the same figures as from repeated trials."""

import math

import numpy as np
import pytest

from voiceid.evaluate import metrics
from voiceid.evaluate.weighted import Comparisons, Searches, draws

PEOPLE = 6


@pytest.fixture(scope="module")
def trials() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Evidence that overlaps, a third of it rounded so that there are ties; of whom; who asked."""
    rng = np.random.default_rng(4)
    same = rng.random(400) < 0.3
    llr = rng.normal(np.where(same, 1.5, -1.5), 1.5)
    llr[::3] = np.round(llr[::3], 1)
    return llr, same, rng.integers(PEOPLE, size=400)


def test_every_round_is_what_repeated_trials_give(trials: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    llr, same, who = trials
    drawn = draws(PEOPLE, 8, seed=1)

    found = Comparisons(llr, same, who, PEOPLE).of(drawn)

    for row, counts in enumerate(drawn.astype(int)):
        target, nontarget = (np.repeat(llr[kind], counts[who[kind]]) for kind in (same, ~same))
        assert found["eer"][row] == pytest.approx(metrics.eer(target, nontarget))
        assert found["min_dcf"][row] == pytest.approx(metrics.min_dcf(target, nontarget))
        assert found["cllr"][row] == pytest.approx(metrics.cllr(target, nontarget))
        assert found["min_cllr"][row] == pytest.approx(metrics.min_cllr(target, nontarget))
        assert found["loss"][row] == pytest.approx(found["cllr"][row] - found["min_cllr"][row])


@pytest.mark.parametrize("fpir", [0.001, 0.05, 0.5])
def test_every_search_is_what_repeated_requests_give(
    trials: tuple[np.ndarray, np.ndarray, np.ndarray], fpir: float
) -> None:
    best, guest, who = trials
    own = np.random.default_rng(5).random(len(best)) < 0.8
    search = Searches(best, own, guest, who)

    for counts in draws(PEOPLE, 8, seed=2).astype(int):
        again = counts[who]
        bar = metrics.bar_at_fpir(np.repeat(best[guest], again[guest]), fpir)
        members = ~guest
        missed = metrics.fnir(
            np.repeat(best[members], again[members]), np.repeat(own[members], again[members]), bar
        )
        assert search.bar(fpir, counts.astype(float)) == pytest.approx(bar)
        assert search.fnir(bar, counts.astype(float)) == pytest.approx(missed)


def test_a_round_without_one_kind_has_no_figure() -> None:
    found = Comparisons(np.array([1.0, 2.0]), np.array([True, False]), np.array([0, 1]), 2).of(np.array([[1.0, 0.0]]))

    assert all(math.isnan(found[name][0]) for name in ("eer", "cllr", "min_cllr"))


def test_the_first_draw_is_everybody_once() -> None:
    drawn = draws(5, 3, seed=0)

    assert drawn[0].tolist() == [1] * 5
    assert drawn.sum(axis=1).tolist() == [5] * 4

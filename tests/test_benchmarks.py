"""The benchmarks: one document, verdicts that noise cannot turn, and a refusal to compare where it was too noisy."""

import json
import subprocess
import sys

import pytest
from machine import ROOT

from benchmarks.rows import Compared, Goal, paired, plain_row, timed_row

AT_MOST_TWICE = Goal("ratio", 2.0)


def compared(ratio: float, low: float, high: float) -> Compared:
    return Compared(ratio * 0.01, 0.01, ratio, low, high)


@pytest.mark.slow
def test_a_run_prints_one_document_with_a_verdict_for_each_goal() -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "features", "--only", "request", "--json"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    document = json.loads(done.stdout)
    assert set(document) == {"machine", "rows"}
    assert {"cores", "noise", "quiet", "sgemm_gflops", "copy_gb_per_s", "libraries"} <= set(document["machine"])
    for row in document["rows"]:
        assert set(row) == {"name", "figure", "unit", "peer", "ratio", "goal", "ok"}
        assert row["ok"] is None or row["goal"]
    assert {row["name"] for row in document["rows"]} >= {"features of 3 s"}


def test_a_quiet_comparison_is_judged() -> None:
    assert timed_row("it", compared(1.9, 1.8, 2.1), "peer", AT_MOST_TWICE).ok is True
    assert timed_row("it", compared(2.1, 1.9, 2.2), "peer", AT_MOST_TWICE).ok is False


def test_a_comparison_that_was_too_noisy_is_not() -> None:
    doubtful = timed_row("it", compared(1.9, 1.2, 2.6), "peer", AT_MOST_TWICE)
    assert (doubtful.ratio, doubtful.ok) == (None, None)
    assert timed_row("it", compared(1.3, 0.9, 1.7), "peer", AT_MOST_TWICE).ok is True  # whatever the noise, it is met


def test_noise_excuses_a_figure_in_seconds_but_cannot_make_it_pass() -> None:
    goal = Goal("figure", 10.0)
    assert timed_row("it", compared(2, 2, 2), "peer", goal, quiet=False).ok is None
    assert timed_row("it", compared(2, 2, 2), "peer", goal, quiet=True).ok is False
    assert timed_row("it", compared(0.5, 0.5, 0.5), "peer", goal, quiet=False).ok is True


def test_a_ratio_is_the_median_over_pairs_with_its_interval() -> None:
    both = paired([2.0] * 60 + [9.0] * 5, [1.0] * 65)
    assert (both.ratio, both.low, both.high) == (2.0, 2.0, 2.0)


def test_a_share_can_have_a_least() -> None:
    goal = Goal("ratio", 1, at_least=True)
    assert plain_row("it", 100, "%", "all", 100, goal).ok is True
    assert plain_row("it", 99, "%", "all", 100, goal).ok is False

"""Made-up voices in two conditions -> figures -> tables, pictures and the page."""

import copy
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_protocol import BARS, SPEECH_S, voice

from voiceid.evaluate import Measured, measure
from voiceid.evaluate.goals import MET, NOT_MET, OPEN, goals
from voiceid.evaluate.paired import compare, table
from voiceid.evaluate.plots import calibrated
from voiceid.evaluate.protocol import Plan
from voiceid.evaluate.report import TITLES, Report
from voiceid.evaluate.tables import tables

BASELINE = {"threshold": 0.5, "offset": -10.0, "slope": 20.0}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Report]:
    """Ten speakers, two of one voice, one name of which would be markup; heard as they are, and over a telephone."""
    rng = np.random.default_rng(3)
    names = ["x_<b>0", *(f"x_{i}" for i in range(1, 10))]
    people = [voice(name, np.eye(64)[max(i, 1)], rng) for i, name in enumerate(names)]
    report = Report(tmp_path_factory.mktemp("report"))
    figures = measure(
        [("clean", (SPEECH_S,), people), ("tel", (SPEECH_S,), people)], Plan(size=3, draws=60), BARS, BASELINE,
        sizes=(2, 4, 99), told={"x_1": {"sex": "f"}, "x_2": {"sex": "m"}}, watch=report.add,
    )  # fmt: skip
    figures |= {
        "corpus": "home", "half": None, "encoder": "toy@0", "policy": "balanced", "protocol": Plan(size=3).told(),
        "peers": {"ecapa": {"missing": "its weights have not been pulled"}}, "timing_ms": {"all": 70.0},
    }  # fmt: skip
    return figures, report


def test_every_name_that_was_promised_is_there(told: tuple[dict[str, Any], Report]) -> None:
    figures, _ = told
    assert set(figures["corpora"]) == set(figures["baseline"]) == {"x", "x@tel"}
    for place in ("corpora", "baseline"):
        found = figures[place]["x@tel"]
        shares = ("fnir_at_fpir_01", "fnir_at_fpir_1", "fnir_at_fpir_5", "fnir_shipped", "fpir_shipped", "misnamed")
        for name in (*shares, "eer", "cllr", "min_cllr", "min_dcf"):
            low, high = found["ci95"][name]
            assert low <= found[name] <= high, name
        assert found["trials"]["members"] > 0
        assert {"guests_stored", "members_stored"} <= set(figures["pooled"][place]["tel"]["3"])
    assert set(figures["sizes"]["x"]) == {"2", "4"}  # nobody has 198 speakers
    assert figures["similar"]["x"]["fpir_shipped"] > figures["corpora"]["x"]["fpir_shipped"]  # two share a voice
    assert set(figures["by_group"]["clean"]["sex"]) == {"f", "m"}
    json.dumps(figures, allow_nan=False)


def test_twins_are_taken_for_each_other(told: tuple[dict[str, Any], Report]) -> None:
    figures, report = told
    assert figures["corpora"]["x"]["fpir_shipped"] > 0.02
    worst = {(pair.asked, pair.taken_for) for pair in report.worst()}
    assert {frozenset(pair) for pair in worst} == {frozenset(("x_<b>0", "x_1"))}


def test_the_page_needs_nothing_else_and_the_pictures_are_files(told: tuple[dict[str, Any], Report]) -> None:
    figures, report = told
    page = report.write(figures)
    text = page.read_text()

    assert text.count("data:image/png;base64,") == len(TITLES) == len(list(page.parent.glob("*.png")))
    assert not re.search(r"https?://|<script|<link|@import", text)
    assert "x_&lt;b&gt;0" in text
    assert "x_<b>0" not in text
    assert all((page.parent / f"{name}.png").read_bytes().startswith(b"\x89PNG") for name in TITLES)


def test_every_table_is_one(told: tuple[dict[str, Any], Report]) -> None:
    """As many cells in every line as in its headline."""
    text = tables(told[0])

    for block in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        assert len({line.count("|") for line in block.strip().splitlines()}) == 1
    titles = ("Goals", "Corpora together", "As shipped", "Plain cosine", "Storage bar", "Household sizes", "By sex",
              "Guests of similar voice", "Other encoders")
    for title in titles:
        assert f"**{title}" in text
    assert "its weights have not been pulled" in text
    assert "Children were not measured" in text


def test_two_encoders_are_compared_request_by_request() -> None:
    """Of the same trials; one that loses one person's requests loses as many as they are, and nothing else."""
    rng = np.random.default_rng(3)
    people = [voice(f"x_{i}", np.eye(64)[i], rng) for i in range(8)]
    deaf = replace(people[0], requests={
        key: replace(clips, vectors=np.tile(np.eye(64, dtype=np.float32)[60], (len(clips), 1)))
        for key, clips in people[0].requests.items()
    })  # fmt: skip
    sides: list[list[Measured]] = [[], []]
    for side, heard in zip(sides, (people, [deaf, *people[1:]]), strict=True):
        measure([("clean", (SPEECH_S,), heard)], Plan(size=3, draws=60), BARS, BASELINE, watch=side.append)

    found = compare(*sides)

    missed = found["clean 3 s"]["fnir_shipped"]
    assert (missed["before"], missed["after"]) == (0, pytest.approx(1 / 8))
    assert missed["difference"] == pytest.approx(1 / 8)
    assert missed["ci95"][0] < 1 / 8 < missed["ci95"][1]
    assert found["clean 3 s"]["fpir_shipped"]["difference"] == 0
    assert 0.9 < found["all"]["same"] < 1
    assert "| clean 3 s |" in table({"encoders": ["plain", "fast"], "conditions": found})
    with pytest.raises(ValueError, match="not the same trials"):
        compare(sides[0], [replace(sides[1][0], speech_s=1.0)])


def test_a_goal_that_is_missed_says_so(told: tuple[dict[str, Any], Report]) -> None:
    figures = copy.deepcopy(told[0])
    found = figures["pooled"]["corpora"]["clean"]["3"]
    for value, verdict in ((0.002, MET), (0.003, MET), (0.004, NOT_MET)):
        found["fnir_shipped"] = value
        assert next(g for g in goals(figures) if g.what == "FNIR, clean, 3 s").verdict == verdict
    for value, verdict in ((0.79, NOT_MET), (0.8, MET)):
        found["members_stored"] = value
        assert next(g for g in goals(figures) if g.what.startswith("members pass")).verdict == verdict


@pytest.mark.parametrize(
    ("rate", "upper", "requests", "verdict"),
    [(0.0, 0.02, 500, MET), (0.0, 0.05, 60, OPEN), (0.05, 0.08, 60, NOT_MET), (0.01, 0.04, 500, NOT_MET)],
)
def test_a_bound_that_nothing_could_reach_is_not_called_missed(
    told: tuple[dict[str, Any], Report], rate: float, upper: float, requests: int, verdict: str
) -> None:
    figures = copy.deepcopy(told[0])
    found = figures["corpora"]["x"]["by_speech_s"]["3"]
    found["fpir_shipped"], found["upper95"]["fpir_shipped"] = rate, upper
    found["trials"]["distinct_guest_requests"] = requests

    assert next(g for g in goals(figures) if g.what == "guests named, x, 3 s").verdict == verdict


def test_reliability_by_hand() -> None:
    claimed, found, count = calibrated(np.array([0.05, 0.05, 0.95, 1.0]), np.array([False, True, True, True]))

    assert claimed == pytest.approx([0.05, 0.975])
    assert (found.tolist(), count.tolist()) == ([0.5, 1.0], [2, 2])


def test_one_to_one_has_its_own_page(tmp_path: Path) -> None:
    from voiceid.evaluate import _one_to_one

    rng = np.random.default_rng(4)
    people = [voice(f"x_{i}", np.eye(64)[i], rng) for i in range(4)]
    report, plan = Report(tmp_path), Plan("verification")
    figures = _one_to_one({
        **measure([("clean", (SPEECH_S,), people)], plan, BARS, BASELINE, watch=report.add),
        "corpus": "home", "half": None, "encoder": "toy@0", "policy": "balanced", "protocol": plan.told(), "peers": {},
        "timing_ms": {},
    })  # fmt: skip

    assert figures["corpora"]["x"]["fnmr_at_fmr_1"] == 0
    assert "fnir" not in json.dumps(figures)
    assert "misnamed" not in json.dumps(figures)
    assert math.isfinite(figures["corpora"]["x"]["min_dcf"])
    assert "FNMR" in tables(figures)
    assert "fnmr_shipped" in report.write(figures).read_text()

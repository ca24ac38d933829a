"""Rates over corpora and groups of people, against figures worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from voiceid.evaluate.corpora import traits
from voiceid.evaluate.figures import Tally
from voiceid.evaluate.together import NAMES, by_group, pooled, together


def tally(rates: dict[str, float], requests: int) -> Tally:
    """The same rate under every name; as many requests from each, as a member and as a guest."""
    values, counts = np.array(list(rates.values())), np.full(len(rates), requests)
    return Tally(tuple(rates), dict.fromkeys(NAMES, values), {"members": counts, "guests": counts})


SMALL = tally({"a_1": 1.0, "a_2": 0.0}, 5)
LARGE = tally({"b_1": 0.0, "b_2": 0.0}, 45)


def test_every_request_counts_the_same_whatever_its_corpus() -> None:
    """5 of 100 requests, though half of one corpus' requests."""
    found = pooled({("a", "clean", 3.0): SMALL, ("b", "clean", 3.0): LARGE})

    assert found["clean"]["3"]["fnir_shipped"] == pytest.approx(0.05)
    assert found["clean"]["3"]["mean_of_corpora"]["fnir_shipped"] == pytest.approx(0.25)
    assert found["clean"]["3"]["trials"] == {
        "distinct_member_requests": 100, "distinct_guest_requests": 100, "speakers": 4
    }  # fmt: skip
    assert found["all"]["all"]["fnir_shipped"] == pytest.approx(0.05)


def test_a_speaker_in_two_conditions_is_one_person() -> None:
    found = pooled({("a", "clean", 3.0): SMALL, ("a", "tel", 3.0): SMALL})

    assert found["all"]["all"]["trials"]["speakers"] == 2
    assert set(found) == {"clean", "tel", "all"}


def test_nought_in_a_hundred_is_not_never() -> None:
    """The rule of three, one-sided and exactly: 1 - 0.05 ** (1 / 90)."""
    found = together([LARGE])

    assert found["misnamed"] == 0
    assert found["upper95"]["misnamed"] == pytest.approx(1 - 0.05 ** (1 / 90), rel=1e-3)
    assert found["upper95"]["misnamed"] < found["ci95"]["misnamed"][1]


def test_the_interval_comes_from_the_people_who_differ() -> None:
    """Ten people of rate nought or one, a hundred requests each: the requests alone would claim to know it well."""
    found = together([tally({f"a_{i}": float(i < 5) for i in range(10)}, 100)])

    low, high = found["ci95"]["fnir_shipped"]
    assert found["fnir_shipped"] == 0.5
    assert low <= 0.2
    assert high >= 0.8


def test_groups_are_told_apart_and_who_is_unknown_is_in_none() -> None:
    told = {"a_1": {"sex": "f", "native": "zh"}, "a_2": {"sex": "m"}, "b_1": {"sex": "f"}}

    found = by_group({("a", "clean", 3.0): SMALL, ("b", "clean", 3.0): LARGE}, told, 3.0)["clean"]

    assert found["sex"]["f"]["fnir_shipped"] == pytest.approx(0.1)
    assert found["sex"]["m"]["fnir_shipped"] == 0
    assert found["sex"]["f"]["trials"]["speakers"] == 2
    assert set(found["native"]) == {"zh"}


def test_who_was_never_asked_has_no_weight() -> None:
    found = together([tally({"a_1": float("nan"), "a_2": 0.5}, 10)])

    assert found["fnir_shipped"] == 0.5
    assert found["ci95"]["fnir_shipped"] != [None, None]


def test_traits_stand_beside_the_corpus(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    assert traits(tmp_path / "home") == {}
    lines = ["speaker corpus sex age native", "home/x_1 x f ? zh", "home/x_2 x ? ? ?", "other/x_3 x m 1 en"]
    (tmp_path / "speakers.tsv").write_text("\n".join(line.replace(" ", "\t") for line in lines) + "\n")

    assert traits(tmp_path / "home") == {"x_1": {"sex": "f", "native": "zh"}}

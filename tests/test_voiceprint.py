"""Takes in the plane, where every cosine can be read off."""

import numpy as np
import pytest

from voiceid import voiceprint
from voiceid.errors import ModelMismatch
from voiceid.types import ModelId, PersonId, Voiceprint


def at(*degrees: float) -> voiceprint.Takes:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def of(person: str, model: str, *degrees: float) -> Voiceprint:
    return Voiceprint(PersonId(person), ModelId(model), at(*degrees))


def test_pooled_takes_point_to_their_middle() -> None:
    middle = voiceprint.pooled(at(10, 50))

    assert middle == pytest.approx(at(30)[0], abs=1e-6)
    assert middle.dtype == np.float32


@pytest.mark.parametrize("takes", [at(), at(0, 180), at(0)[0], np.full((2, 2), np.nan, np.float32)])
def test_takes_without_a_direction_are_refused(takes: voiceprint.Takes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message differs by case
        voiceprint.pooled(takes)


def test_cohesion_is_the_mean_cosine_with_the_pooled_others() -> None:
    """0 against the middle of 20 and 40; 20 against that of 0 and 40; 40 against that of 0 and 20."""
    expected = np.mean(np.cos(np.radians([30, 0, 30])))

    assert voiceprint.cohesion(at(0, 20, 40)) == pytest.approx(expected, abs=1e-6)


def test_one_take_has_no_cohesion() -> None:
    with pytest.raises(ValueError, match="alone"):
        voiceprint.cohesion(at(0))


@pytest.mark.parametrize("odd", range(4))
def test_the_take_of_another_person_is_found_wherever_it_stands(odd: int) -> None:
    degrees = [5.0, 10.0, 15.0]
    degrees.insert(odd, 90.0)

    assert voiceprint.odd_one_out(at(*degrees), bar=0.5) == odd


def test_takes_of_one_person_have_no_odd_one() -> None:
    assert voiceprint.odd_one_out(at(0, 10, 20, 50), bar=0.5) is None


def test_of_two_that_differ_the_later_is_odd() -> None:
    assert voiceprint.odd_one_out(at(0, 90), bar=0.5) == 1


def test_likeness_of_two_people() -> None:
    assert voiceprint.likeness(at(0, 20), at(60, 80)) == pytest.approx(0.5, abs=1e-6)


def test_merge_keeps_every_take_in_order() -> None:
    both = voiceprint.merge(of("ada", "m@1", 0, 10), of("ada", "m@1", 20))

    assert both.takes == pytest.approx(at(0, 10, 20))
    assert (both.person, both.model_id) == ("ada", "m@1")


def test_encoders_never_meet() -> None:
    with pytest.raises(ModelMismatch):
        voiceprint.merge(of("ada", "m@1", 0), of("ada", "m@2", 0))


def test_people_never_merge() -> None:
    with pytest.raises(ValueError, match="two people"):
        voiceprint.merge(of("ada", "m@1", 0), of("ben", "m@1", 0))

"""Settings come from the environment, whatever is given explicitly goes before, and nothing is taken for granted."""

import os

import pytest

from voiceid.errors import InvalidSettings
from voiceid.settings import Settings


def test_what_is_given_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEID_PORT", "9000")
    monkeypatch.setenv("VOICEID_RECORDING_DAYS", "7")
    assert Settings().port == 9000
    assert (Settings(port=1).port, Settings(port=1).recording_days) == (1, 7)


@pytest.mark.parametrize("name", ["voiceid_recording_days", "VoiceID_Recording_days"])
def test_a_name_counts_in_any_case(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "7")
    assert Settings.from_environment().recording_days == 7


@pytest.mark.parametrize("name", ["VOICEID_PROT", "voiceid_prot"])
def test_an_unknown_name_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(InvalidSettings, match=name):
        Settings.from_environment()


def test_a_bad_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEID_PORT", "many")
    monkeypatch.setenv("VOICEID_ENCODERS", "0")
    with pytest.raises(InvalidSettings, match=r"VOICEID_PORT: .*; VOICEID_ENCODERS: "):
        Settings.from_environment()


def test_a_machine_of_many_cores_stays_within_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 128)
    assert Settings().encoders == 64

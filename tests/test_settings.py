"""Settings come from the environment, whatever is given explicitly goes before, and nothing is taken for granted."""

import os

import pytest

from voiceid.errors import InvalidSettings
from voiceid.settings import Settings


def test_what_is_given_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEID_PORT", "9000")
    monkeypatch.setenv("VOICEID_RECORDING_DAYS", "7")
    assert Settings.from_environment().port == 9000
    given = Settings.from_environment(port=1)
    assert (given.port, given.recording_days) == (1, 7)


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


@pytest.mark.parametrize(("name", "value", "told"), [
    ("port", "70000", "a number from 0 to 65535"), ("policy", "lax", "one of `convenient`, `balanced`, `strict`"),
    ("recording_days", "0", "a number from 1 to 9999"), ("locale", "x_y", "text that matches `^[A-Za-z]{2,3}"),
    ("jurisdiction", 41 * "x", "text of at most 40 characters"), ("data_dir", 7, "a path"), ("host", 7, "text"),
    ("recording_days", "null", "a number from 1 to 9999"), ("port", "1e3", "a number from 0 to 65535"),
    ("port", "9" * 5000, "a number from 0 to 65535"), ("port", "\udcff", "a number from 0 to 65535"),
    ("locale", "en-US\n", "text that matches"), ("allowed_hosts", "a.b\n", "text of at most 1000 characters"),
    ("jurisdiction", "\udcff", "text of at most 40 characters"), ("policy", "\udcff", "one of `convenient`"),
])  # fmt: skip
def test_it_says_what_would_do(name: str, value: object, told: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        Settings.from_environment(**{name: value})
    assert str(refused.value).startswith(f"VOICEID_{name.upper()}: must be {told}")


@pytest.mark.parametrize("name", ["VOICEID_DATABASE_URL", "VOICEID_RECORDING_DAYS", "VOICEID_PORT"])
def test_an_empty_variable_counts_as_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "")
    assert Settings.from_environment() == Settings()


@pytest.mark.parametrize("text", [" 80", "80\t\n", "+80", "080", "8_0"])
def test_a_number_may_be_written_as_people_do(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEID_PORT", text)
    assert Settings.from_environment().port == 80

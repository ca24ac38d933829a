"""A voiceprint follows a changing voice only with leave, only for its own person, and within bounds."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from adapting import EASY, added, agreed, older, says, score
from home import DIM, Home, clip, decision, voice
from numpy.typing import NDArray

from voiceid import adapt
from voiceid.calibration import Term
from voiceid.store import tables
from voiceid.types import Decision, Quality, Verdict
from voiceid.voiceprint import pooled


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("home.BARS", EASY)
        with Home(tmp_path_factory.mktemp("home")) as home:
            yield agreed(home)


@pytest.fixture
def home(prepared: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setattr("home.BARS", EASY)
    with prepared.twin(tmp_path) as home:
        yield home


# What it does.


def test_the_voiceprint_follows_its_person(home: Home) -> None:
    changed = older("ada", 0.85)
    before = score(home, changed)
    assert says(home, changed)["person"]["display_name"] == "Ada"
    assert (added(home), added(home, "ben")) == (1, 0)
    assert before == pytest.approx(0.85, abs=0.01)
    assert before + 0.02 < score(home, changed)


def test_the_enrolled_takes_count_for_half_at_least(home: Home) -> None:
    changed = older("ada", 0.85)
    for _ in range(12):
        says(home, changed)
    assert added(home) == adapt.AT_MOST
    assert score(home, changed) == pytest.approx(0.925, abs=0.01)
    assert score(home, voice("ada")) == pytest.approx(0.925, abs=0.01)


def test_the_oldest_falls_out_and_its_key_with_it(home: Home) -> None:
    for _ in range(adapt.AT_MOST):
        says(home, voice("ada"))
    first, *rest = sorted(home.rows(tables.adaptation), key=lambda row: row.created_at)
    assert {first.key_id, *(row.key_id for row in rest)} <= home.keys()
    says(home, voice("ada"))
    left = {row.adaptation_id for row in home.rows(tables.adaptation)}
    assert first.adaptation_id not in left
    assert {row.adaptation_id for row in rest} < left
    assert not {first.key_id} & home.keys()
    assert {row.state for row in home.rows(tables.purge)} == {"complete"}


def test_it_stands_in_the_activity(home: Home) -> None:
    says(home, voice("ada"))
    told = home.ok("GET", f"{home['ada'].path}/activity", home["ada"].headers)["items"]
    assert [one["who"] for one in told if one["action"] == "voiceprint adapted"] == ["system:clock"]


def test_it_is_in_the_export(home: Home) -> None:
    says(home, older("ada", 0.9))
    answered = home.call("GET", f"{home['ada'].path}/export", home["ada"].headers)
    with zipfile.ZipFile(io.BytesIO(answered.content)) as archive:
        [one] = json.loads(archive.read("voiceprint.json"))[0]["adapted"]
    numbers = np.frombuffer(bytes.fromhex(one["float32_little_endian_hex"]), "<f4")
    assert float(numbers[:DIM] @ older("ada", 0.9)) == pytest.approx(1, abs=0.001)


# What it does not do.


def _stranger(home: Home) -> None:
    says(home, voice("eve"))


def _below_the_bar(home: Home) -> None:
    answer = says(home, older("ada", 0.7))
    assert answer["stored"] is True


def _too_short(home: Home) -> None:
    says(home, voice("ada"), seconds=1.9)


def _denied(home: Home) -> None:
    home.ok("PUT", f"{home['ada'].path}/consents/adapt", home["ada"].headers, json=decision("denied"))
    says(home, voice("ada"))


def _withdrawn(home: Home) -> None:
    home.withdraws("ada", "adapt")
    says(home, voice("ada"))


def _expired(home: Home) -> None:
    home.grants("ada", "adapt", expires_at="2026-03-03T09:00:00Z")
    home.clock.forward(days=3)
    says(home, voice("ada"))


def _nothing_is_to_be_kept(home: Home) -> None:
    home.grants("ada", "adapt", retention="none")
    says(home, voice("ada"))


def _gate_shut(home: Home) -> None:
    home.withdraws("ada", "voice_id")
    says(home, voice("ada"))


def _not_named_to_a_skill(home: Home) -> None:
    sound = {"content": clip(voice("ada")), "headers": {"content-type": "audio/wav"}}
    home.ok("POST", "recognize", home.token("skill", "lights"), **sound)


def _verified(home: Home) -> None:
    sound = {"content": clip(voice("ada")), "headers": {"content-type": "audio/wav"}}
    assert home.ok("POST", f"{home['ada'].path}/verify", home["ada"].headers, **sound)["accepted"]


NOTHING = (
    _stranger, _below_the_bar, _too_short, _denied, _withdrawn, _expired, _nothing_is_to_be_kept, _gate_shut,
    _not_named_to_a_skill, _verified,
)  # fmt: skip


@pytest.mark.parametrize("act", NOTHING, ids=lambda act: act.__name__.strip("_"))
def test_nothing_is_added(home: Home, act: Callable[[Home], None]) -> None:
    act(home)
    assert home.rows(tables.adaptation) == []


def test_at_most_one_a_day(home: Home) -> None:
    for _ in range(2):
        says(home, voice("ada"))
        home.clock.forward(hours=5)
        assert home.asks("ada")["stored"]
    assert added(home) == 2


def test_no_chain_of_additions_leads_away(home: Home) -> None:
    """Each day the voice is a little further off, and close to the voiceprint as it has become."""
    easier = replace(EASY, tail=(Term("one", 0.0, -40.0),))  # named from 0.12, adapted to from 0.20 on
    home.services.recognizer.keeper._adapter._bars = easier  # type: ignore[attr-defined]  # the part that is wired in
    object.__setattr__(home.services.recognizer, "bars", easier)
    for cosine in (0.9, 0.8, 0.7, 0.6, 0.45, 0.4, 0.35):
        answer = says(home, older("ada", cosine))
        assert (answer["stored"], answer["score"] > 0.2) == (True, True)
    assert added(home) == 4
    assert score(home, older("ada", 0.35)) < 0.75  # half of what is enrolled, half at 0.6 or nearer


def test_additions_lift_nobody_elses_scores() -> None:
    """Of takes that differ, many pooled lie closer to everybody than a few do."""
    rng = np.random.default_rng(0)

    def says(count: int) -> NDArray[np.float32]:
        made = np.eye(64, dtype=np.float32)[0] + 0.12 * rng.standard_normal((count, 64)).astype(np.float32)
        return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), dtype=np.float32)

    enrolled, added, others = says(4), says(8), says(2000)
    few, many = others @ adapt.direction(enrolled, added[:0]), others @ adapt.direction(enrolled, added)
    plain = others @ pooled(np.concatenate([enrolled, added]))
    assert float(few.mean()) == pytest.approx(float(many.mean()), rel=0.02)
    assert float(plain.mean()) > 1.03 * float(few.mean())


def test_additions_are_kept_apart_from_telephones() -> None:
    """Takes that all came over one tell nothing of how the voice sounds without it."""
    alike = np.stack([np.stack([voice("ada")] * 2)] * 4)
    assert not adapt.belongs(alike, voice("ada"), EASY)
    alike[0, 1] = voice("ada", 0.9)
    assert adapt.belongs(alike, voice("ada"), EASY)
    assert not adapt.belongs(alike, voice("ada", 0.49), EASY)


@pytest.mark.parametrize(
    ("speech_s", "snr_db", "storable", "points", "certain"),
    [(2.0, 15.0, True, 0.0, True), (1.9, 15.0, True, 0.0, False), (2.0, 14.9, True, 0.0, False),
     (2.0, 15.0, False, 0.0, False), (2.0, 15.0, True, -0.01, False)],
)  # fmt: skip
def test_what_is_certain_enough(speech_s: float, snr_db: float, storable: bool, points: float, certain: bool) -> None:  # noqa: FBT001 a case
    quality = Quality(speech_s, speech_s, -20.0, snr_db, 0.0)
    bar = EASY.threshold(EASY.store / 10, 3, quality)
    decided = Decision(
        Verdict.KNOWN, "recognized", None, 1.0, bar + points + 1e-6, EASY.threshold(EASY.name, 3, quality), storable
    )
    assert adapt.is_certain(decided, quality, EASY) is certain


def test_whoever_is_adapted_to_is_still_told_from_the_rest(home: Home) -> None:
    for _ in range(9):
        says(home, older("ada", 0.85))
        says(home, older("ben", 0.85))
    assert [home.names(name) for name in ("ada", "ben", "eve")] == ["ada", "ben", None]

"""What counts as speech, how it is measured, and each reason for not judging it."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from voiceid import speech
from voiceid.decode import decode
from voiceid.speech import (
    FRAME,
    LEAST_LEVEL_DBFS,
    LEAST_SNR_DB,
    LEAST_SPEECH_S,
    MARGIN_S,
    MOST_CLIPPING,
    SpeechCheck,
    Stretch,
    VoiceActivity,
    find_stretches,
    judge,
    measure,
    too_noisy,
)
from voiceid.types import SAMPLE_RATE_HZ, Pcm, Samples, Speech, Unusable

WHO = ["ada", "ben", "cleo", "dan", "guest_eve", "guest_finn", "guest_gwen"]


@pytest.fixture(scope="module")
def check() -> SpeechCheck:
    return SpeechCheck.shipped()


@pytest.fixture(scope="module")
def ada(voices: Path) -> Samples:
    return clip(voices / "ada" / "request_1.flac")


def clip(path: Path) -> Samples:
    return decode(path.read_bytes(), max_s=60).samples


def noise(duration_s: float, level_dbfs: float = -30, seed: int = 0) -> Samples:
    size = round(duration_s * SAMPLE_RATE_HZ)
    return np.random.default_rng(seed).normal(0, 10 ** (level_dbfs / 20), size).astype(np.float32)


def heard(check: SpeechCheck, samples: Samples, clipping: float = 0) -> Speech:
    found = check(Pcm(samples.astype(np.float32), clipping))
    assert isinstance(found, Speech), found
    return found


def refused(check: SpeechCheck, samples: Samples, clipping: float = 0) -> Unusable:
    found = check(Pcm(samples.astype(np.float32), clipping))
    assert isinstance(found, Unusable), found
    return found


def test_the_arranged_network_finds_what_the_published_one_finds(voices: Path) -> None:
    """Written by `tools/fetch_silero.py` with the published file, which is not shipped."""
    published = json.loads(Path(__file__).with_name("silero_published.json").read_text())
    probabilities = np.array(published["probabilities"], np.float32)
    samples = clip(voices / published["clip"])
    found = VoiceActivity.shipped()(samples)

    assert found == pytest.approx(probabilities, abs=1e-5)
    assert find_stretches(found, len(samples)) == find_stretches(probabilities, len(samples))
    assert 0.1 < (probabilities > 0.5).mean() < 0.99  # it can be told from a constant


@pytest.mark.parametrize("who", WHO)
def test_every_clip_of_the_household_can_be_judged(check: SpeechCheck, voices: Path, who: str) -> None:
    for path in sorted((voices / who).glob("*.flac")):
        quality = heard(check, clip(path)).quality
        assert 0.5 * quality.duration_s < quality.speech_s < quality.duration_s
        assert -35 < quality.level_dbfs < -10
        assert quality.snr_db > 15


@pytest.mark.speech
def test_nearly_every_clip_of_people_can_be_judged(check: SpeechCheck, speech_dir: Path) -> None:
    clips = [min(speaker.glob("*.flac")) for speaker in sorted((speech_dir / "dev").iterdir())]

    assert all(isinstance(check(Pcm(clip(path))), Speech) for path in clips)


def test_pauses_do_not_count_as_speech(check: SpeechCheck, ada: Samples) -> None:
    alone = heard(check, ada)
    among = heard(check, np.concatenate([noise(3, -70), ada, noise(4, -70)]))

    assert among.quality.speech_s == pytest.approx(alone.quality.speech_s, abs=0.15)
    assert among.quality.duration_s == pytest.approx(alone.quality.duration_s + 7)
    assert len(among.samples) / SAMPLE_RATE_HZ < alone.quality.duration_s + 0.7


def test_pauses_are_cut_out_but_for_a_margin(check: SpeechCheck, ada: Samples) -> None:
    together = heard(check, np.concatenate([ada, noise(3, -70), ada]))
    alone = heard(check, ada)

    assert len(together.samples) == pytest.approx(2 * len(alone.samples), abs=SAMPLE_RATE_HZ // 2)


@pytest.mark.parametrize("snr_db", [5, 15, 25])
def test_noise_is_measured_in_the_pauses(check: SpeechCheck, ada: Samples, snr_db: float) -> None:
    level_dbfs = heard(check, ada).quality.level_dbfs
    noisy = np.concatenate([np.zeros(8_000, np.float32), ada, np.zeros(8_000, np.float32)])
    noisy += noise(len(noisy) / SAMPLE_RATE_HZ, level_dbfs - snr_db)

    with_noise = 10 * np.log10(10 ** (snr_db / 10) + 1)  # speech is measured together with the noise under it
    assert heard(check, noisy).quality.snr_db == pytest.approx(with_noise, abs=2)


def test_a_slammed_door_in_a_pause_is_not_the_room(check: SpeechCheck, ada: Samples) -> None:
    pause = noise(2, -75)
    pause[8_000:11_000] += noise(3_000 / SAMPLE_RATE_HZ, -10)

    assert heard(check, np.concatenate([pause, ada])).quality.snr_db > 30


@pytest.mark.parametrize("level_dbfs", [-120, -80])
def test_silence(check: SpeechCheck, level_dbfs: float) -> None:
    found = refused(check, noise(3, level_dbfs))

    assert (found.reason, found.fault, found.measured, found.needed) == ("too_short", "no_speech", 0, LEAST_SPEECH_S)


@pytest.mark.parametrize("duration_s", [0.0001, 0.02, 0.2])
def test_a_fifth_of_a_second(check: SpeechCheck, ada: Samples, duration_s: float) -> None:
    found = refused(check, ada[8_000 : 8_000 + round(duration_s * SAMPLE_RATE_HZ)])

    assert (found.reason, found.fault, found.needed) == ("too_short", "too_short", LEAST_SPEECH_S)
    assert found.measured < 0.3


def test_a_word_between_long_pauses_is_too_short(check: SpeechCheck, ada: Samples) -> None:
    found = refused(check, np.concatenate([noise(2, -70), ada[8_000:16_000], noise(2, -70)]))

    assert (found.reason, found.fault) == ("too_short", "too_short")
    assert 0.2 < found.measured < LEAST_SPEECH_S


def test_noise_alone(check: SpeechCheck) -> None:
    found = refused(check, noise(3, -20))

    assert (found.reason, found.fault, found.needed) == ("poor_audio", "too_noisy", LEAST_SNR_DB)


@pytest.mark.parametrize("snr_db", [-3, -6, -10])
def test_speech_buried_in_noise(check: SpeechCheck, ada: Samples, snr_db: float) -> None:
    """Where speech is still found it is judged, and the noise is told with an answer that names nobody."""
    level_dbfs = heard(check, ada).quality.level_dbfs
    found = check(Pcm((ada + noise(len(ada) / SAMPLE_RATE_HZ, level_dbfs - snr_db)).astype(np.float32)))
    fault = found if isinstance(found, Unusable) else too_noisy(found.quality)

    assert fault is not None
    assert (fault.reason, fault.fault) == ("poor_audio", "too_noisy")
    assert fault.measured < fault.needed


@pytest.mark.parametrize("gain", [20, 100])
def test_clipping(check: SpeechCheck, ada: Samples, gain: float) -> None:
    clipped = np.clip(gain * ada, -1, 1)
    found = refused(check, clipped, clipping=float((np.abs(clipped) >= 0.98).mean()))

    assert (found.reason, found.fault, found.needed) == ("poor_audio", "clipped", MOST_CLIPPING)
    assert found.measured == found.quality.clipping > MOST_CLIPPING


def test_whispering_far_away(check: SpeechCheck, ada: Samples) -> None:
    level_dbfs = heard(check, ada).quality.level_dbfs
    quiet = ada * 10 ** ((LEAST_LEVEL_DBFS - 3 - level_dbfs) / 20)
    found = refused(check, quiet)

    assert (found.reason, found.fault, found.needed) == ("poor_audio", "too_quiet", LEAST_LEVEL_DBFS)
    assert found.measured == pytest.approx(LEAST_LEVEL_DBFS - 3, abs=2)


def test_voice_activity_sees_across_the_blocks_of_a_long_clip(
    check: SpeechCheck, ada: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    activity = VoiceActivity.shipped()
    whole = activity(ada)

    monkeypatch.setattr(speech, "_BLOCK", 7)
    assert activity(ada) == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize("chunk", [100, 320, FRAME, 1600, 10_000])
def test_a_running_stream_hears_what_the_whole_clip_holds(ada: Samples, chunk: int) -> None:
    activity = VoiceActivity.shipped()
    running = activity.begin()
    pieces = [running(ada[at : at + chunk]) for at in range(0, len(ada), chunk)]

    assert np.concatenate(pieces) == pytest.approx(activity(ada)[: len(ada) // FRAME], abs=1e-6)


def test_no_sound_has_no_frames() -> None:
    assert VoiceActivity.shipped()(np.zeros(0, np.float32)).shape == (0,)


def test_threads_do_not_disturb_each_other(check: SpeechCheck, voices: Path) -> None:
    clips = [Pcm(clip(path)) for path in sorted(voices.glob("*/request_[12].flac"))]
    alone = [heard(check, pcm.samples) for pcm in clips]

    with ThreadPoolExecutor(8) as pool:
        for number, found in enumerate(pool.map(check, clips * 3)):
            assert isinstance(found, Speech)
            assert np.array_equal(found.samples, alone[number % len(clips)].samples)


def test_speech_begins_high_holds_lower_and_is_no_click() -> None:
    probabilities = np.array([0.4, 0.6, 0.4, 0.36, 0.5, 0.3, 0.9, 0.9, 0.2, 0.6, 0.6, 0.6, 0.6], np.float32)

    assert find_stretches(probabilities, 10**6) == [Stretch(1 * FRAME, 5 * FRAME), Stretch(9 * FRAME, 13 * FRAME)]
    assert find_stretches(probabilities, 12 * FRAME + 7)[-1].stop == 12 * FRAME + 7


def test_a_clip_without_pauses_is_measured_in_its_quietest_tenth() -> None:
    samples = np.concatenate([noise(0.9, -20), noise(0.11, -50)])

    quality = measure(Pcm(samples), [Stretch(0, len(samples))])
    assert quality.snr_db == pytest.approx(29.5, abs=1)
    assert quality.level_dbfs == pytest.approx(-20.5, abs=0.5)


def test_margins_that_meet_are_kept_once() -> None:
    """Ten frames apart is nearer than two margins; sixty is farther."""
    samples, spoken = np.arange(200 * FRAME, dtype=np.float32), np.zeros(200, np.float32)
    for first in (20, 60, 150):
        spoken[first : first + 30] = 0.9

    found = judge(Pcm(samples / len(samples)), spoken)
    assert isinstance(found, Speech)
    margin = round(MARGIN_S * SAMPLE_RATE_HZ)
    kept = [slice(20 * FRAME - margin, 90 * FRAME + margin), slice(150 * FRAME - margin, 180 * FRAME + margin)]
    assert np.array_equal(found.samples, np.concatenate([samples[part] for part in kept]) / len(samples))


@pytest.mark.parametrize("steps", [40, 41])
def test_noise_is_the_median_of_the_pauses(steps: int) -> None:
    """Pauses of 10 ms, each louder than the one before; then speech."""
    pauses = np.repeat(np.linspace(0.001, 0.1, steps), 160)
    quality = measure(Pcm(np.append(pauses, np.full(16_000, 0.5)).astype(np.float32)), [Stretch(steps * 160, 10**6)])

    noise_dbfs = 10 * np.log10(np.median(np.linspace(0.001, 0.1, steps) ** 2))
    assert quality.snr_db == pytest.approx(10 * np.log10(0.25) - noise_dbfs, abs=1e-4)


def test_treble_is_what_lies_between_4300_and_7500_hz_over_1000_to_3300() -> None:
    sound = noise(1).cumsum().astype(np.float32) / 100
    power = np.mean(np.abs(np.fft.rfft(sound[: 31 * 512].reshape(-1, 512) * np.hanning(512))) ** 2, axis=0)
    hz = np.arange(257) * 31.25

    treble, middle = power[(hz > 4300) & (hz < 7500)].mean(), power[(hz > 1000) & (hz < 3300)].mean()
    assert measure(Pcm(sound), []).treble_db == pytest.approx(10 * np.log10(treble / middle), abs=1e-4)


def test_measures_stay_in_their_ranges() -> None:
    nothing = measure(Pcm(np.zeros(100, np.float32)), [])
    half = np.concatenate([np.full(16_000, 0.5), np.zeros(16_000)]).astype(np.float32)
    pure = measure(Pcm(half), [Stretch(0, 16_000)])

    assert (nothing.level_dbfs, nothing.snr_db, nothing.speech_s) == (-120, 0, 0)
    assert pure.snr_db == 60

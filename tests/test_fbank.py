"""The filterbank against Kaldi's own."""

from pathlib import Path

import kaldi_native_fbank
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from voiceid.encode.fbank import BINS, FRAME, STEP, centred, log_mel
from voiceid.types import Samples

ROUNDED = 1e-7
"""Share of a frame's loudest bin below which single precision, in which Kaldi computes, holds no digits."""


def kaldi(samples: Samples) -> NDArray[np.float32]:
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0
    options.frame_opts.samp_freq = 16_000
    options.frame_opts.snip_edges = True
    options.mel_opts.num_bins = BINS
    computer = kaldi_native_fbank.OnlineFbank(options)
    computer.accept_waveform(16_000, samples.tolist())
    computer.input_finished()
    return np.stack([computer.get_frame(n) for n in range(computer.num_frames_ready)])


def assert_equals_kaldi(samples: Samples) -> None:
    ours, theirs = log_mel(samples), kaldi(samples)
    assert ours.shape == theirs.shape
    assert ours.dtype == np.float32
    audible = theirs > theirs.max(axis=1, keepdims=True) + np.log(ROUNDED)
    assert float(np.abs(ours - theirs)[audible].max()) < 1e-3
    assert float(np.abs(ours - theirs).max()) < 2e-2


@pytest.mark.parametrize("who", ["ada", "ben", "cleo", "dan", "guest_eve", "guest_finn", "guest_gwen"])
def test_equals_kaldi_on_voices(voices: Path, who: str) -> None:
    for clip in sorted((voices / who).glob("*.flac")):
        assert_equals_kaldi(soundfile.read(clip, dtype="float32")[0])


@pytest.mark.speech
def test_equals_kaldi_on_people(speech_dir: Path) -> None:
    for speaker in sorted((speech_dir / "dev").iterdir()):
        assert_equals_kaldi(soundfile.read(min(speaker.glob("*.flac")), dtype="float32")[0])


@pytest.mark.parametrize("level", [1.0, 0.1, 1e-3, 1e-5, 0.0])
@pytest.mark.parametrize("length", [FRAME, FRAME + 1, FRAME + STEP - 1, FRAME + STEP, 48_000])
def test_equals_kaldi_on_noise(level: float, length: int) -> None:
    assert_equals_kaldi(np.random.default_rng(length).normal(0, level, length).astype(np.float32))


@pytest.mark.parametrize("hz", [20, 50, 440, 4000, 7999])
def test_equals_kaldi_on_tones_with_an_offset(hz: int) -> None:
    wave = 0.5 * np.sin(2 * np.pi * hz * np.arange(16_000) / 16_000) + 0.3
    assert_equals_kaldi(wave.astype(np.float32))


def test_silence_lies_on_the_floor() -> None:
    assert log_mel(np.zeros(16_000, np.float32)) == pytest.approx(np.log(np.finfo(np.float32).eps))


def test_less_than_a_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="less than one frame"):
        log_mel(np.zeros(FRAME - 1, np.float32))


def test_centred_features_have_no_mean_and_forget_the_level() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)

    assert centred(log_mel(noise)).mean(axis=0) == pytest.approx(0, abs=1e-5)
    assert centred(log_mel(noise)) == pytest.approx(centred(log_mel(noise / 4)), abs=1e-3)

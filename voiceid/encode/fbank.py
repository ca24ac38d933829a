"""Kaldi's log-mel filterbank in numpy: 80 bins, 25 ms frames every 10 ms, povey window, no dither."""

from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from voiceid.types import SAMPLE_RATE_HZ, Samples

BINS = 80
FRAME = 400
"""Samples in a frame: 25 ms."""
STEP = 160
"""Samples between frames: 10 ms."""
_FFT = 512
_LOWEST_HZ = 20.0
_PREEMPHASIS = 0.97
_FLOOR = np.finfo(np.float32).eps  # Kaldi's floor under the energy of a bin
_HOP = 80
"""Samples that both a frame and the way to the next are made of."""
_BLOCK = 32
"""Frames that are transformed at once: few enough to stay in the processor's cache."""
_ROWS = 12
"""Frames per matrix product: few enough that BLAS starts no threads, whose contention costs five times the product."""


def log_mel(samples: Samples) -> NDArray[np.float32]:
    """Log energies per frame and bin.

    Shapes: (n,) with n >= 400 -> (1 + (n - 400) // 160, 80): frames that would reach over the end are left out.
    Raises: ValueError, for less than one frame.
    Source: Kaldi's `compute-fbank-feats`; equal to it within 1e-3, save where a bin lies seven orders of magnitude
        below the loudest of its frame, where Kaldi's single precision has no digits left.
    """
    power = _power(samples.astype(np.float64))
    energies = np.empty((len(power), BINS), dtype=np.float32)
    for row in range(0, len(power), _ROWS):
        np.matmul(power[row : row + _ROWS], _filters(), out=energies[row : row + _ROWS])
    mel: NDArray[np.float32] = np.log(np.maximum(energies, _FLOOR))
    return mel


def _power(sound: NDArray[np.float64]) -> NDArray[np.float32]:
    """Power per frame and line of the spectrum, shape (frames, 256).

    Source: with m the mean of a frame, (x[n] - m) - 0.97 (x[n-1] - m) = x[n] - 0.97 x[n-1] - 0.03 m: what each of
    two or three frames would subtract from a sample again is subtracted once.
    """
    starts = sliding_window_view(sound, FRAME)[::STEP, 0]
    count = len(starts)
    hops = sound[: FRAME + STEP * (count - 1)].reshape(-1, _HOP).sum(axis=1)
    sums = np.sum([hops[first::2][:count] for first in range(FRAME // _HOP)], axis=0)
    offsets = (1 - _PREEMPHASIS) / FRAME * sums
    rising = np.empty_like(sound)
    np.subtract(sound[1:], _PREEMPHASIS * sound[:-1], out=rising[1:])
    rising[0] = 0.0
    frames = sliding_window_view(rising, FRAME)[::STEP]
    padded = np.zeros((min(count, _BLOCK), _FFT))
    power = np.empty((count, _FFT // 2), dtype=np.float32)
    for row in range(0, count, _BLOCK):
        here = slice(row, row + _BLOCK)
        part = padded[: len(frames[here])]
        windowed = part[:, :FRAME]
        np.subtract(frames[here], offsets[here, None], out=windowed)
        windowed[:, 0] = (1 - _PREEMPHASIS) * starts[here] - offsets[here]
        windowed *= _window()
        spectrum = np.fft.rfft(part, axis=1)[:, : _FFT // 2]  # in double: numpy's FFT in single is six times slower
        power[here] = spectrum.real**2 + spectrum.imag**2
    return power


def centred(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features less their mean over the clip, which takes out level and microphone."""
    moved: NDArray[np.float32] = features - features.mean(axis=0, keepdims=True)
    return moved


@cache
def _window() -> NDArray[np.float64]:
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / (FRAME - 1))
    povey: NDArray[np.float64] = hann**0.85
    return povey


@cache
def _filters() -> NDArray[np.float32]:
    """Triangles of equal width on the mel scale, shape (256, 80)."""
    low, high = _mel(np.array([_LOWEST_HZ, SAMPLE_RATE_HZ / 2]))
    width = (high - low) / (BINS + 1)
    lines = _mel(np.arange(_FFT // 2) * SAMPLE_RATE_HZ / _FFT)[:, None]
    left = low + width * np.arange(BINS)
    rise, fall = (lines - left) / width, (left + 2 * width - lines) / width
    triangles: NDArray[np.float32] = np.maximum(np.minimum(rise, fall), 0).astype(np.float32)
    return triangles


def _mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = 1127.0 * np.log1p(hertz / 700.0)
    return scaled

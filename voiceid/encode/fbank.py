"""Kaldi's log-mel filterbank in numpy: 80 bins, 25 ms frames every 10 ms, povey window, no dither."""

from functools import cache

import numpy as np
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
_BLOCK = 75
"""Frames whose spectrum is computed at once: few enough to stay in the processor's cache."""
_STRETCH = 8 * _BLOCK
"""Frames of all else: many, for each call gives up Python's lock and may wait for it; and so few that a long clip
takes no more memory."""
_BANDS = 4
"""Parts of the filterbank. Each needs few lines of the spectrum, which spares three quarters of the products; and each
block's product is so small that BLAS starts no threads, whose contention costs five times the product."""


def log_mel(samples: Samples) -> NDArray[np.float32]:
    """Log energies per frame and bin.

    Shapes: (n,) with n >= 400 -> (1 + (n - 400) // 160, 80): frames that would reach over the end are left out.
    Raises: ValueError, for less than one frame.
    Source: Kaldi's `compute-fbank-feats`; equal to it within 1e-3, save where a bin lies seven orders of magnitude
        below the loudest of its frame, where Kaldi's single precision has no digits left.
    """
    count = 1 + (len(samples) - FRAME) // STEP
    if count < 1:
        raise ValueError("less than one frame")
    mel = np.empty((count, BINS), dtype=np.float32)
    for row in range(0, count, _STRETCH):
        part = mel[row : row + _STRETCH]
        power = _power(samples[row * STEP :], len(part))
        energies = np.empty((*power.shape[:2], BINS), dtype=np.float32)
        for lines, bins, triangles in _filters():
            np.matmul(power[:, :, lines], triangles, out=energies[:, :, bins])
        part[:] = energies.reshape(-1, BINS)[: len(part)]
    np.maximum(mel, _FLOOR, out=mel)
    return np.log(mel, out=mel)


def _power(samples: Samples, count: int) -> NDArray[np.float32]:
    """The power spectrum of the first so many frames, by blocks.

    Shapes: (n,) -> (ceil(count / 75), 75, 256), 0 behind the last frame; (1, count, 256) of fewer than 75.
    Source: with m the mean of a frame, (x[n] - m) - 0.97 (x[n-1] - m) = x[n] - 0.97 x[n-1] - 0.03 m: what each of
    two or three frames would subtract from a sample again is subtracted once. A frame's own first sample has none
    before it; but there the window is 0.
    """
    sound = samples[: FRAME + STEP * (count - 1)].astype(np.float64)
    rising = np.zeros_like(sound)
    np.multiply(sound[:-1], _PREEMPHASIS, out=rising[1:])
    np.subtract(sound[1:], rising[1:], out=rising[1:])
    offsets = (1 - _PREEMPHASIS) / FRAME * _overlapping(sound).sum(axis=1, keepdims=True)
    frames, window = _overlapping(rising), _window()
    power = np.zeros((-(-count // _BLOCK), min(count, _BLOCK), _FFT // 2), dtype=np.float32)
    padded = np.zeros((min(count, _BLOCK), _FFT))
    for row, lines in zip(range(0, count, _BLOCK), power, strict=True):
        block = slice(row, row + _BLOCK)
        windowed = padded[: len(frames[block])]
        np.subtract(frames[block], offsets[block], out=windowed[:, :FRAME])
        windowed[:, :FRAME] *= window
        squares = np.fft.rfft(windowed, axis=1).view(np.float64)  # numpy's FFT in single is six times slower
        squares *= squares
        np.add(squares[:, 0:_FFT:2], squares[:, 1:_FFT:2], out=lines[: len(windowed)], casting="same_kind")
    return power


def _overlapping(sound: NDArray[np.float64]) -> NDArray[np.float64]:
    """A view of all frames; numpy's own `sliding_window_view` takes 30 us to make one."""
    count, width = 1 + (len(sound) - FRAME) // STEP, sound.itemsize
    return np.ndarray((count, FRAME), sound.dtype, sound, strides=(STEP * width, width))


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
def _filters() -> list[tuple[slice, slice, NDArray[np.float32]]]:
    """The filterbank in parts: lines of the spectrum, bins, and the weights from these to those."""
    triangles, wide = _triangles(), BINS // _BANDS
    parts = []
    for bins in (slice(first, first + wide) for first in range(0, BINS, wide)):
        heard = np.flatnonzero(triangles[:, bins].any(axis=1))
        lines = slice(int(heard[0]), int(heard[-1]) + 1)
        parts.append((lines, bins, np.ascontiguousarray(triangles[lines, bins])))
    return parts


def _triangles() -> NDArray[np.float32]:
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

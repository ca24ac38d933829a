"""Bytes -> Pcm: 16 kHz mono float32. The only importer of soundfile and soxr.

Everything happens in memory, a block at a time: what a file may cost is bounded by `max_s`, not by what it claims. What
a file is, is read from its bytes; its name and declared type count only for raw PCM, which has no header.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from voiceid.containers import Outline, declared_pcm, outline
from voiceid.errors import (
    AudioTooLong,
    EmptyAudio,
    InvalidSamples,
    LyingHeader,
    TruncatedAudio,
    UnsupportedAudio,
)
from voiceid.types import SAMPLE_RATE_HZ, Pcm

FULL_SCALE = 0.99
"""Samples at or beyond this count as clipped: below the largest of 8 bits (0.992), above what a codec makes of it."""
LOUDEST = 2.0**31
"""Beyond this no sample is sound, whatever scale its writer had in mind."""
_BLOCK = 1 << 18
"""Samples in a block, all channels together."""


def decode(body: bytes, content_type: str | None = None, *, max_s: float) -> Pcm:
    """Read WAV, FLAC, Ogg (Vorbis, Opus, FLAC), MP3, or raw PCM that `content_type` declares.

    Channels are averaged. A WAV header that leaves its length open, as recorders write into a pipe (0, or 0x7ffff000
    and above), is read to the end of the body; any other length must be true.
    Raises: EmptyAudio, NotAudio, VideoNotAudio, UnsupportedAudio, TruncatedAudio, LyingHeader, InvalidSamples,
        AudioTooLong.
    """
    if not body:
        raise EmptyAudio
    found = declared_pcm(body, content_type) or outline(body)
    if found.frames is not None:
        _refuse_length(found.frames / found.rate_hz, max_s)
    blocks = _plain_blocks(body, found) if found.plain else _coded_blocks(body, found)
    return _gather(blocks, found, max_s)


def to_flac(pcm: Pcm) -> bytes:
    """Encode for keeping: 16 bits, lossless from there on."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(pcm.samples, -1, 1), SAMPLE_RATE_HZ, subtype="PCM_16", format="FLAC")
    return file.getvalue()


def from_flac(content: bytes) -> Pcm:
    """Read back what `to_flac` wrote.

    Raises: what decode() raises, should the bytes be damaged.
    """
    return decode(content, max_s=float("inf"))


@dataclass(slots=True)
class _Tally:
    """What has been read so far."""

    frames: int = 0
    samples: int = 0
    clipped: int = 0


def _gather(blocks: Iterator[NDArray[np.float32]], found: Outline, max_s: float) -> Pcm:
    """Check, mix down and resample block by block.

    Shapes: blocks are (frames, channels), float32.
    """
    tally = _Tally()
    resampler = soxr.ResampleStream(found.rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32")
    same = found.rate_hz == SAMPLE_RATE_HZ
    parts: list[NDArray[np.float32]] = []
    for block in blocks:
        loud = np.abs(block)
        if not (loud <= LOUDEST).all():  # also false for NaN
            raise InvalidSamples
        tally.frames += len(block)
        tally.samples += block.size
        tally.clipped += int(np.count_nonzero(loud >= FULL_SCALE))
        _refuse_length(tally.frames / found.rate_hz, max_s)
        mono = block.mean(axis=1, dtype=np.float32) if block.shape[1] > 1 else block[:, 0]
        parts.append(mono if same else resampler.resample_chunk(mono))
    if not tally.frames:
        raise EmptyAudio
    if found.frames is not None and tally.frames < found.frames - found.slack:
        raise TruncatedAudio(read=tally.frames, declared=found.frames)
    if found.frames is not None and tally.frames > found.frames + found.slack:
        raise LyingHeader(read=tally.frames, declared=found.frames)
    if not same:
        parts.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    samples = np.concatenate(parts)
    return Pcm(np.ascontiguousarray(samples, dtype=np.float32), clipping=tally.clipped / tally.samples)


def _refuse_length(duration_s: float, max_s: float) -> None:
    if duration_s > max_s:
        raise AudioTooLong(f"longer than {max_s:g} s", max_s=max_s)


def _plain_blocks(body: bytes, found: Outline) -> Iterator[NDArray[np.float32]]:
    """Samples that are stored as they are: WAV and raw PCM."""
    width = found.width * found.channels
    sound = memoryview(body)[found.start : found.start + (found.frames or 0) * width]
    step = max(1, _BLOCK // found.channels) * width
    for at in range(0, len(sound), step):
        yield _as_float(sound[at : at + step], found).reshape(-1, found.channels)


def _as_float(stored: memoryview, found: Outline) -> NDArray[np.float32]:
    """Little-endian samples, scaled to -1..1."""
    match found.plain, found.width:
        case "int", 1:  # the one unsigned width
            return (np.frombuffer(stored, np.uint8).astype(np.float32) - 128) / 128
        case "int", 2:
            return np.frombuffer(stored, "<i2").astype(np.float32) / 2**15
        case "int", 3:
            bytes3 = np.frombuffer(stored, np.uint8).reshape(-1, 3)
            wide = np.zeros((len(bytes3), 4), np.uint8)
            wide[:, 1:] = bytes3
            return wide.view("<i4")[:, 0].astype(np.float32) / 2**31
        case "int", 4:
            return np.frombuffer(stored, "<i4").astype(np.float32) / 2**31
        case "float", 4:
            return np.frombuffer(stored, "<f4").astype(np.float32)
        case "float", 8:
            with np.errstate(over="ignore"):  # too large becomes infinite, which is refused
                return np.frombuffer(stored, "<f8").astype(np.float32)
        case _:
            raise UnsupportedAudio(f"{found.plain} samples of {8 * found.width} bits")


def _coded_blocks(body: bytes, found: Outline) -> Iterator[NDArray[np.float32]]:
    """Samples that libsndfile has to decode."""
    try:
        with soundfile.SoundFile(io.BytesIO(body)) as file:
            if (file.samplerate, file.channels) != (found.rate_hz, found.channels):
                raise LyingHeader
            step = max(1, _BLOCK // file.channels)
            while len(block := file.read(step, dtype="float32", always_2d=True)):
                yield block
    except soundfile.LibsndfileError as failed:
        raise TruncatedAudio(f"the {found.form} file is cut off or damaged") from failed

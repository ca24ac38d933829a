"""Bytes -> Pcm: 16 kHz mono float32. The only importer of soundfile and soxr.

Everything happens in memory, a block at a time: what a file may cost is bounded by `max_s`, not by what it claims. What
a file is, is read from its bytes; its name and declared type count only for raw PCM, which has no header.
"""

import io
from collections.abc import Iterator
from functools import cache

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from voiceid.containers import Outline, Plain, declared_pcm, flac_of_open_length, outline
from voiceid.errors import (
    AudioTooLong,
    EmptyAudio,
    InvalidSamples,
    LyingHeader,
    TruncatedAudio,
)
from voiceid.opus import decodes, no_higher, opus_blocks
from voiceid.types import SAMPLE_RATE_HZ, Pcm, Samples

FULL_SCALE = 0.98
"""Samples at or beyond this count as clipped: just below the largest of mu-law (0.9804), A-law and 8 bits."""
LOUDEST = 2.0**31
"""Beyond this no sample is sound, whatever scale its writer had in mind."""
_OPUS_LEVEL = 0.976
"""What libsndfile calls compression: 256 kbit/s at 0, 6 at 1, evenly in between."""
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
    if decodes(found):
        found = no_higher(found, SAMPLE_RATE_HZ)
    return _gather(_blocks(body, found), found, max_s)


def to_flac(pcm: Pcm) -> bytes:
    """Encode for keeping: 16 bits, lossless from there on."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(pcm.samples, -1, 1), SAMPLE_RATE_HZ, subtype="PCM_16", format="FLAC")
    return file.getvalue()


def to_opus(pcm: Pcm) -> bytes:
    """Encode as a poor connection carries it: Ogg Opus at 12 kbit/s."""
    file = io.BytesIO()
    samples = np.clip(pcm.samples, -1, 1)
    soundfile.write(file, samples, SAMPLE_RATE_HZ, "OPUS", format="OGG", compression_level=_OPUS_LEVEL)
    return file.getvalue()


def to_pcm16(pcm: Pcm) -> bytes:
    """The samples as 16 bits, little-endian: what live recognition takes."""
    return np.round(np.clip(pcm.samples, -1, 1 - 2**-15) * 2**15).astype("<i2").tobytes()


def from_flac(content: bytes) -> Pcm:
    """Read back what `to_flac` wrote.

    Raises: what decode() raises, should the bytes be damaged.
    """
    return decode(content, max_s=float("inf"))


def _gather(blocks: Iterator[NDArray[np.float32]], found: Outline, max_s: float) -> Pcm:
    """Check, mix down and resample block by block.

    Shapes: blocks are (frames, channels), float32.
    """
    frames = clipped = 0
    resampler = None
    if found.rate_hz != SAMPLE_RATE_HZ:
        resampler = soxr.ResampleStream(found.rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32")
    parts: list[Samples] = []
    for block in blocks:
        loud = np.abs(block)
        loudest = loud.max()
        if not loudest <= LOUDEST:  # NaN is not either
            raise InvalidSamples
        frames += len(block)
        clipped += int(np.count_nonzero(loud >= FULL_SCALE)) if loudest >= FULL_SCALE else 0
        _refuse_length(frames / found.rate_hz, max_s)
        mono = block[:, 0]
        if found.channels > 1:
            mono = np.einsum("fc->f", block) / np.float32(found.channels)  # np.mean takes three times as long
        parts.append(resampler.resample_chunk(mono) if resampler else mono)
    if not frames:
        raise EmptyAudio
    if found.frames is not None and abs(frames - found.frames) > found.slack:
        raise LyingHeader(declared=found.frames, held=frames)
    if resampler:
        parts.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    return Pcm(np.concatenate(parts) if len(parts) > 1 else parts[0], clipping=clipped / (frames * found.channels))


def _refuse_length(duration_s: float, max_s: float) -> None:
    if duration_s > max_s:
        raise AudioTooLong(f"longer than {max_s:g} s", max_s=max_s)


def _blocks(body: bytes, found: Outline) -> Iterator[NDArray[np.float32]]:
    if found.plain:
        return _plain_blocks(body, found, found.plain)
    return opus_blocks(body, found, _BLOCK) if decodes(found) else _coded_blocks(body, found)


def _plain_blocks(body: bytes, found: Outline, stored: Plain) -> Iterator[NDArray[np.float32]]:
    """Samples that are stored as they are: WAV and raw PCM."""
    width = found.width * found.channels
    sound = memoryview(body)[found.start : found.start + (found.frames or 0) * width]
    step = max(1, _BLOCK // found.channels) * width
    for at in range(0, len(sound), step):
        yield _as_float(sound[at : at + step], stored, found.width).reshape(-1, found.channels)


def _as_float(sound: memoryview, stored: Plain, width: int) -> NDArray[np.float32]:
    """Little-endian samples, scaled to -1..1."""
    if stored == "float":
        with np.errstate(over="ignore", invalid="ignore"):  # what is too large becomes infinite, which is refused
            return np.frombuffer(sound, f"<f{width}").astype(np.float32)
    if stored in {"alaw", "mulaw"}:
        return _expanded(stored)[np.frombuffer(sound, np.uint8)]
    if width == 1:  # the one unsigned width
        return (np.frombuffer(sound, np.uint8).astype(np.float32) - 128) / np.float32(128)
    if width == 3:  # noqa: PLR2004 (bytes: numpy knows no such integer)
        wide = np.zeros((len(sound) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(sound, np.uint8).reshape(-1, 3)
        return wide.view("<i4")[:, 0].astype(np.float32) / np.float32(2**31)
    return np.frombuffer(sound, f"<i{width}").astype(np.float32) / np.float32(2 ** (8 * width - 1))


@cache
def _expanded(law: str) -> NDArray[np.float32]:
    """What each byte of a telephone's logarithmic code stands for, shape (256,).

    Source: ITU-T G.711.
    """
    code = np.arange(256) ^ (0x55 if law == "alaw" else 0xFF)
    sign, chord, step = np.where(code & 0x80, -1, 1), code >> 4 & 7, code & 15
    if law == "alaw":
        sign, size = -sign, np.where(chord > 0, (16 * step + 264) << np.maximum(chord - 1, 0), 16 * step + 8)
    else:
        size = ((8 * step + 132) << chord) - 132
    return (sign * size / 2**15).astype(np.float32)


class _Forward(soundfile.SoundFile):  # type: ignore[misc]  # soundfile ships no types
    """A file that is read on and never back: soundfile otherwise seeks after every block, and fails where FLAC ends."""

    def seekable(self) -> bool:
        return False


def _coded_blocks(body: bytes, found: Outline) -> Iterator[NDArray[np.float32]]:
    """Samples that libsndfile has to decode."""
    sound = flac_of_open_length(body, found.start) if found.form == "FLAC" else body[found.start :]
    try:
        with _Forward(io.BytesIO(sound)) as file:
            if (file.samplerate, file.channels) != (found.rate_hz, found.channels):
                raise LyingHeader("the header and the sound differ in rate or channels")
            step, read = max(1, _BLOCK // file.channels), 0
            while len(block := file.read(step, dtype="float32", always_2d=True)):
                read += len(block)
                yield block
            if found.form == "Ogg" and read != file.frames:  # counted from the positions of the pages
                raise LyingHeader(declared=file.frames, held=read)
    except soundfile.LibsndfileError as failed:
        raise TruncatedAudio(f"the {found.form} file is cut off or damaged") from failed

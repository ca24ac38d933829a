"""WAV and declared raw PCM: samples that are stored as they are."""

import re
import struct

from voiceid.containers.outline import RATES_HZ, TAIL, Outline, Plain
from voiceid.errors import EmptyAudio, LyingHeader, TruncatedAudio, UnsupportedAudio

_CHUNK = struct.Struct("<4sI")
_MOST_CHUNKS = 256
_WAV_FORM = struct.Struct("<HHIIHH")
_EXTENSIBLE = 0xFFFE
"""The codec's number is further down in the chunk."""
_WAV_FORMS: dict[tuple[int, int], Plain] = {
    **{(1, width): "int" for width in (1, 2, 3, 4)}, (3, 4): "float", (3, 8): "float", (6, 1): "alaw", (7, 1): "mulaw",
}  # fmt: skip
"""What can be read, by the codec's number and the bytes of a sample."""
_OPEN_LENGTH = 0x7FFF_F000
"""From here on, a WAV length means "unknown": what sox, arecord and ffmpeg write into a pipe."""
_ENCODINGS: dict[str, tuple[Plain, int]] = {
    "u8": ("int", 1), "s16le": ("int", 2), "s24le": ("int", 3), "s32le": ("int", 4),
    "f32le": ("float", 4), "f64le": ("float", 8), "alaw": ("alaw", 1), "mulaw": ("mulaw", 1),
}  # fmt: skip


def declared_pcm(body: bytes, content_type: str | None) -> Outline | None:
    """Raw samples, if that is what the content type says: `audio/pcm;rate=16000;encoding=s16le;channels=1`.

    Raises: UnsupportedAudio, when rate or encoding is missing or unknown; TruncatedAudio, for a broken last sample.
    """
    kind, *fields = (content_type or "").lower().replace(" ", "").split(";")
    if kind != "audio/pcm":
        return None
    told = dict(field.partition("=")[::2] for field in fields)
    encoding, rate_hz, channels = told.get("encoding"), _number(told.get("rate")), _number(told.get("channels", "1"))
    if encoding not in _ENCODINGS:
        raise UnsupportedAudio(f"audio/pcm needs encoding= one of {', '.join(_ENCODINGS)}")
    if rate_hz not in RATES_HZ or channels not in range(1, 1 << 16):
        raise UnsupportedAudio(f"audio/pcm needs rate= {RATES_HZ[0]} to {RATES_HZ[-1]} and a number of channels=")
    plain, width = _ENCODINGS[encoding]
    frames, rest = divmod(len(body), width * channels)
    if rest:
        raise TruncatedAudio("the last sample is not complete")
    return Outline("PCM", rate_hz, channels, frames, plain, width)


def _number(text: str | None) -> int:
    """A decimal number of at most nine digits; 0 for anything else."""
    return int(text) if text and re.fullmatch(r"[0-9]{1,9}", text) else 0


def wav(body: bytes, riff: int) -> Outline:
    """Read the chunks of a WAV file, up to its samples.

    Raises: EmptyAudio, UnsupportedAudio, TruncatedAudio, LyingHeader.
    """
    form, start, declared = _wav_chunks(body, riff + 12)
    size = _wav_length(body, riff, start, declared)
    if not size:
        raise EmptyAudio
    if len(form) < _WAV_FORM.size:
        raise LyingHeader("the WAV file does not say how its samples are stored")
    tag, channels, rate_hz, _, align, bits = _WAV_FORM.unpack_from(form)
    if tag == _EXTENSIBLE:
        tag = int.from_bytes(form[24:26], "little")
    width = -(-bits // 8)
    if (tag, width) not in _WAV_FORMS:
        raise UnsupportedAudio(f"WAV with codec {tag:#06x} and {bits} bits")
    if align != width * channels:
        raise LyingHeader("the WAV header contradicts itself")
    frames = size // align if align else 0
    if align and not frames:
        raise TruncatedAudio("the first sample is not complete")
    return Outline("WAV", rate_hz, channels, frames, _WAV_FORMS[tag, width], width, start)


def _wav_chunks(body: bytes, at: int) -> tuple[bytes, int, int]:
    """The chunk that describes the samples, where the samples begin, and their declared size in bytes."""
    form = b""
    for _ in range(_MOST_CHUNKS):
        if at + _CHUNK.size > len(body):
            raise TruncatedAudio("the WAV file ends before its sound begins")
        kind, size = _CHUNK.unpack_from(body, at)
        at += _CHUNK.size
        if kind == b"data":
            return form, at, size
        if kind == b"fmt ":
            form = body[at : at + min(size, 40)]
        at += size + size % 2
    raise LyingHeader("the WAV file is all headers")


def _wav_length(body: bytes, riff: int, start: int, declared: int) -> int:
    """Bytes of sound that the file holds.

    Raises: TruncatedAudio, LyingHeader.
    """
    held = len(body) - start
    if declared >= _OPEN_LENGTH:
        return held
    if declared > held:
        whole = riff + 8 + int.from_bytes(body[riff + 4 : riff + 8], "little")
        if whole < start + declared:
            raise LyingHeader("the sound is said to be longer than the file", declared=declared, held=held)
        raise TruncatedAudio(declared=declared, held=held)
    if not _tail_is_fine(body, start + declared + declared % 2):
        if declared == 0:
            return held
        raise LyingHeader("the file goes on after the sound ends", declared=declared, held=held)
    return declared


def _tail_is_fine(body: bytes, at: int) -> bool:
    """Whether what follows the sound is further chunks, or too little to matter."""
    for _ in range(_MOST_CHUNKS):
        if at + _CHUNK.size > len(body):
            break
        kind, size = _CHUNK.unpack_from(body, at)
        if not re.fullmatch(rb"[ -~]{4}", kind) or kind in (b"RIFF", b"data"):
            break
        at += _CHUNK.size + size + size % 2
    return len(body) - at <= TAIL

"""What a body of bytes is, how long it says it is, and whether it is whole: read from its headers, nothing decoded."""

import struct
from dataclasses import dataclass
from typing import Literal

from voiceid.errors import EmptyAudio, LyingHeader, NotAudio, TruncatedAudio, UnsupportedAudio, VideoNotAudio, VoiceIdError


@dataclass(frozen=True, slots=True)
class Outline:
    """A sound file as its headers tell it."""

    form: str
    """What to call it in a message."""
    rate_hz: int
    channels: int
    frames: int | None
    """Samples per channel; None: the header leaves it open."""
    plain: Literal["int", "float"] | None = None
    """How samples are stored; None: a codec's business."""
    width: int = 0
    """Bytes of a plain sample."""
    start: int = 0
    """Where the sound begins, bytes."""
    slack: int = 0
    """By how many frames a decoder may rightly miss `frames`: codecs pad."""


RATES_HZ = range(1_000, 768_001)
"""Sample rates that are read; no recorder works outside them."""
_TAIL = 4_096
"""Bytes of tags or padding that may follow the sound."""
_OPEN_LENGTH = 0x7FFF_F000
"""From here on, a WAV length means "unknown": what sox, arecord and ffmpeg write into a pipe."""


def outline(body: bytes) -> Outline:
    """Recognize a sound file by its first bytes, and measure it.

    Raises: EmptyAudio, NotAudio, VideoNotAudio, UnsupportedAudio, TruncatedAudio, LyingHeader.
    """
    start = _after_id3(body)
    match body[start : start + 4]:
        case b"RIFF" if body[start + 8 : start + 12] == b"WAVE":
            found = _wav(body, start)
        case b"fLaC":
            found = _flac(body, start)
        case b"OggS":
            found = _ogg(body, start)
        case _ if _mp3_frame(body, start):
            found = _mp3(body, start)
        case _:
            raise _foreign(body, start)
    if found.rate_hz not in RATES_HZ:
        raise UnsupportedAudio(f"{found.rate_hz} samples per second")
    return found


def declared_pcm(body: bytes, content_type: str | None) -> Outline | None:
    """Raw samples, if that is what the content type says: `audio/pcm;rate=16000;encoding=s16le;channels=1`.

    Raises: UnsupportedAudio, when rate or encoding is missing or unknown; TruncatedAudio, for a broken last sample.
    """
    kind, *fields = (content_type or "").lower().replace(" ", "").split(";")
    if kind != "audio/pcm":
        return None
    told = dict(field.partition("=")[::2] for field in fields)
    stored: dict[str, tuple[Literal["int", "float"], int]] = {
        "u8": ("int", 1), "s16le": ("int", 2), "s24le": ("int", 3), "s32le": ("int", 4),
        "f32le": ("float", 4), "f64le": ("float", 8),
    }  # fmt: skip
    encoding = told.get("encoding", "")
    if encoding not in stored:
        raise UnsupportedAudio(f"audio/pcm needs encoding= one of {', '.join(stored)}")
    rate_hz, channels = _number(told.get("rate")), _number(told.get("channels", "1"))
    if rate_hz not in RATES_HZ or not 0 < channels <= 0xFFFF:
        raise UnsupportedAudio(f"audio/pcm needs rate= {RATES_HZ.start}..{RATES_HZ.stop - 1} and a number of channels=")
    plain, width = stored[encoding]
    frames, rest = divmod(len(body), width * channels)
    if rest:
        raise TruncatedAudio("the last sample is not complete")
    return Outline("PCM", rate_hz, channels, frames, plain, width)


def _number(text: str | None) -> int:
    """A short decimal number; 0 for anything else."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 0  # noqa: PLR2004 (fits 32 bits)


def _wav(body: bytes, riff: int) -> Outline:
    at, form = riff + 12, b""
    while True:
        if at + 8 > len(body):
            raise TruncatedAudio("the WAV file ends before its sound begins")
        kind, size = struct.unpack_from("<4sI", body, at)
        at += 8
        if kind == b"data":
            break
        if kind == b"fmt ":
            form = body[at : at + size]
        at += size + size % 2
    if len(form) < 16:  # noqa: PLR2004 (the shortest form of the chunk)
        raise LyingHeader("the WAV file does not say how its samples are stored")
    tag, channels, rate_hz, _, align, bits = struct.unpack_from("<HHIIHH", form)
    if tag == 0xFFFE and len(form) >= 40:  # noqa: PLR2004 (WAVE_FORMAT_EXTENSIBLE: the tag is in the GUID)
        tag = int.from_bytes(form[24:26], "little")
    size = _wav_length(body, riff, at, size)
    if not size:
        raise EmptyAudio
    if not channels or not align:
        raise LyingHeader("the WAV header counts no channels")
    plain: dict[int, tuple[Literal["int", "float"], tuple[int, ...]]] = {1: ("int", (1, 2, 3, 4)), 3: ("float", (4, 8))}
    if tag in plain:
        stored, widths = plain[tag]
        width = align // channels
        if align % channels or width != (bits + 7) // 8:
            raise LyingHeader("the WAV header contradicts itself")
        if width not in widths:
            raise UnsupportedAudio(f"WAV with {bits} bits")
        if size < align:
            raise TruncatedAudio("the first sample is not complete")
        return Outline("WAV", rate_hz, channels, size // align, stored, width, at)
    if tag in (6, 7):  # A-law and mu-law: a byte per sample
        return Outline("WAV", rate_hz, channels, size // channels)
    raise UnsupportedAudio(f"WAV with codec {tag:#06x}")


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
    while len(body) - at > 8:  # noqa: PLR2004 (a chunk's name and size)
        kind, size = struct.unpack_from("<4sI", body, at)
        if not all(0x20 <= letter < 0x7F for letter in kind) or kind in (b"RIFF", b"data"):  # noqa: PLR2004 (ASCII)
            break
        at += 8 + size + size % 2
    return len(body) - at <= _TAIL


def _flac(body: bytes, start: int) -> Outline:
    if len(body) < start + 42:
        raise TruncatedAudio("the FLAC file ends inside its header")
    if body[start + 4] & 0x7F or int.from_bytes(body[start + 5 : start + 8]) != 34:  # noqa: PLR2004 (STREAMINFO)
        raise LyingHeader("the FLAC file does not begin with its description")
    packed = int.from_bytes(body[start + 18 : start + 26])  # 20 bits rate, 3 channels, 5 width, 36 length
    rate_hz, channels, frames = packed >> 44, (packed >> 41 & 7) + 1, packed & (1 << 36) - 1
    if not rate_hz:
        raise LyingHeader("the FLAC header gives no sample rate")
    return Outline("FLAC", rate_hz, channels, frames or None, start=start)


def _ogg(body: bytes, start: int) -> Outline:
    """Walk the pages: one stream of Vorbis or Opus, from its first page to the one marked as its last."""
    heads, granules, at, ended = [], [], start, False
    while at < len(body):
        if body[at : at + 4] != b"OggS":
            if ended and len(body) - at <= _TAIL:
                break
            raise LyingHeader("there is something else between the Ogg pages")
        table = at + 27
        segments = body[table - 1] if table <= len(body) else 0
        payload = table + segments
        end = payload + sum(body[table:payload])
        if payload > len(body) or table > len(body) or end > len(body):
            raise TruncatedAudio("the last Ogg page is not complete")
        flags, granule = body[at + 5], int.from_bytes(body[at + 6 : at + 14], "little", signed=True)
        if flags & 2:
            heads.append(body[payload:end])
        elif granule > 0:
            granules.append(granule)
        ended, at = bool(flags & 4), end
    rate_hz, channels, clock_hz, skip = _ogg_codec(heads)
    if not granules:
        raise TruncatedAudio("the Ogg file ends inside its header") if not ended else EmptyAudio
    if not ended:
        raise TruncatedAudio("the last Ogg page is missing")
    frames = max(0, max(granules) - skip) * rate_hz // clock_hz
    return Outline("Ogg", rate_hz, channels, frames, start=start, slack=granules[0] * rate_hz // clock_hz + 1)


def _ogg_codec(heads: list[bytes]) -> tuple[int, int, int, int]:
    """Sample rate, channels, the clock of the page positions, and what of them to skip."""
    if any(head[1:7] in (b"theora", b"video\0") or head[:5] in (b"BBCD\0", b"OVP80") for head in heads):
        raise VideoNotAudio
    if len(heads) != 1:
        raise UnsupportedAudio("Ogg with several streams") if heads else TruncatedAudio("the Ogg file lacks its beginning")
    (head,) = heads
    if head[:8] == b"OpusHead" and len(head) >= 19:  # noqa: PLR2004 (its fixed length)
        skip, told_hz = struct.unpack_from("<HI", head, 10)
        return (told_hz if told_hz in (8_000, 12_000, 16_000, 24_000) else 48_000), head[9], 48_000, skip
    if head[:7] == b"\x01vorbis" and len(head) >= 30:  # noqa: PLR2004 (its fixed length)
        channels, rate_hz = struct.unpack_from("<BI", head, 11)
        return rate_hz, channels, max(1, rate_hz), 0
    raise UnsupportedAudio("Ogg with another codec than Opus or Vorbis")


@dataclass(frozen=True, slots=True)
class _Mp3Frame:
    rate_hz: int
    channels: int
    samples: int
    size: int


_KBITS = {
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def _mp3_frame(body: bytes, at: int) -> _Mp3Frame | None:
    """The MPEG layer III frame that begins here, if one does."""
    head = int.from_bytes(body[at : at + 4])
    version, layer = head >> 19 & 3, head >> 17 & 3
    kbits, rate, padding = head >> 12 & 15, head >> 10 & 3, head >> 9 & 1
    if head >> 21 != 0x7FF or version == 1 or layer != 1 or kbits in (0, 15) or rate == 3:  # noqa: PLR2004 (reserved)
        return None
    first = version == 3  # noqa: PLR2004 (MPEG-1; 2 is MPEG-2, 0 is 2.5)
    rate_hz = (44_100, 48_000, 32_000)[rate] // {3: 1, 2: 2, 0: 4}[version]
    samples = 1152 if first else 576
    size = samples // 8 * _KBITS[first][kbits - 1] * 1000 // rate_hz + padding
    return _Mp3Frame(rate_hz, 1 if head >> 6 & 3 == 3 else 2, samples, size)  # noqa: PLR2004 (3: mono)


def _mp3(body: bytes, start: int) -> Outline:
    """Walk the frames, so that length and wholeness are known before anything is decoded."""
    first = frame = _mp3_frame(body, start)
    at, count = start, 0
    while frame and at + frame.size <= len(body) and frame.rate_hz == first.rate_hz:
        at, count = at + frame.size, count + 1
        frame = _mp3_frame(body, at)
    if count < 2 and len(body) - at > _TAIL:  # noqa: PLR2004 (a lone frame is chance)
        raise NotAudio
    if frame and at + frame.size > len(body) or 0 < len(body) - at < 4 and body[at] == 0xFF:  # noqa: PLR2004
        raise TruncatedAudio("the last MP3 frame is not complete")
    if len(body) - at > _TAIL and body[at : at + 8] not in (b"APETAGEX", b"LYRICSBE"):
        raise LyingHeader("there is something else between the MP3 frames")
    promised = _mp3_promise(body[start : start + first.size])
    if promised is not None:
        count -= 1  # the frame that holds the promise is silent
        if count < promised:
            raise TruncatedAudio(declared=promised, held=count)
        if count > promised + 1:
            raise LyingHeader(declared=promised, held=count)
    return Outline("MP3", first.rate_hz, first.channels, count * first.samples, start=start, slack=4 * 1152)


def _mp3_promise(frame: bytes) -> int | None:
    """The number of frames that a Xing, Info or VBRI header gives."""
    for mark in (b"Xing", b"Info"):
        at = frame.find(mark, 4, 44)
        if at > 0 and frame[at + 7] & 1:
            return int.from_bytes(frame[at + 8 : at + 12])
    return int.from_bytes(frame[50:54]) if frame[36:40] == b"VBRI" else None


def _after_id3(body: bytes) -> int:
    """Where the file begins behind an ID3v2 tag."""
    if body[:3] != b"ID3" or len(body) < 10:  # noqa: PLR2004 (the tag's head)
        return 0
    size = 0
    for seven in body[6:10]:
        size = size << 7 | seven & 0x7F
    return 10 + size + (10 if body[5] & 0x10 else 0)


_VIDEO = (b"\x1a\x45\xdf\xa3", b"FLV\x01", b"\0\0\x01\xba", b"\0\0\x01\xb3", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b".RMF")
_SOUND = (b"FORM", b".snd", b"caff", b"RIFX", b"RF64", b"riff", b"#!AMR", b"MThd", b"wvpk", b"MAC ", b"TTA1", b"ADIF", b"DSD ")


def _foreign(body: bytes, start: int) -> VoiceIdError:
    """What to answer to bytes that are none of our forms."""
    head = body[start : start + 12]
    if head[4:8] == b"ftyp" and head[8:11] in (b"M4A", b"M4B"):
        return UnsupportedAudio("AAC in MP4")
    if head.startswith(_VIDEO) or head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide"):
        return VideoNotAudio()
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return VideoNotAudio()
    packets = [body[at : at + 1] for at in range(start, start + 5 * 188, 188)]
    if all(one == b"\x47" for one in packets):  # MPEG transport stream
        return VideoNotAudio()
    if head.startswith(_SOUND):
        return UnsupportedAudio()
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF0 == 0xF0 and not head[1] & 0x06:  # noqa: PLR2004 (ADTS)
        return UnsupportedAudio("AAC")
    if body.startswith(b"ID3") and start >= len(body):
        return TruncatedAudio("the file ends inside its tag")
    if head[:4] == b"RIFF" and len(head) < 12:  # noqa: PLR2004 (name, size, form)
        return TruncatedAudio()
    return NotAudio()

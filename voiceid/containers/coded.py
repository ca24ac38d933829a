"""FLAC, Ogg and MP3: how long they are and whether they are whole, without decoding a sample."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from voiceid.containers.outline import TAIL, OpusHead, Outline
from voiceid.errors import EmptyAudio, LyingHeader, NotAudio, TruncatedAudio, UnsupportedAudio, VideoNotAudio

_STREAMINFO = 34
"""Kind (0) and length of the block that opens a FLAC file."""
_OPUS_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)
"""What Opus is decoded to: the first that reaches the rate of the recording."""
_MORE = 255
"""Size of a piece of a packet that is not its last."""
_HEADERS = 2
"""Packets before the sound; whoever joins a running stream misses some of those that follow."""
_EMPTY = 100
"""Pages without a packet, of which hardly one is ever needed."""
_OPUS_HEAD = 19
"""Bytes of the packet that opens an Opus stream, at least."""
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Each byte with its bits the other way round."""


@dataclass(frozen=True, slots=True)
class _Mpeg:
    rates_hz: tuple[int, ...]
    samples: int
    kbits: tuple[int, ...]


_LOW_KBITS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_HIGH_KBITS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG = {
    3: _Mpeg((44_100, 48_000, 32_000), 1152, _HIGH_KBITS),
    2: _Mpeg((22_050, 24_000, 16_000), 576, _LOW_KBITS),
    0: _Mpeg((11_025, 12_000, 8_000), 576, _LOW_KBITS),
}
"""The versions of layer III by the two bits that tell them: 1, 2 and 2.5."""
_MP3_SYNC = 0x7FF
_MP3_TELLING = 0xFFFE_FEC0
"""The bits of a frame's head that size and sound depend on."""
_MONO = 3


def flac(body: bytes, start: int) -> Outline:
    """Read the block that opens every FLAC file.

    Raises: TruncatedAudio, LyingHeader.
    """
    if len(body) < start + 42:
        raise TruncatedAudio("the FLAC file ends inside its header")
    if int.from_bytes(body[start + 4 : start + 8]) & ~(1 << 31) != _STREAMINFO:
        raise LyingHeader("the FLAC file does not begin with its description")
    packed = int.from_bytes(body[start + 18 : start + 26])  # 20 bits rate, 3 channels, 5 width, 36 length
    return Outline("FLAC", packed >> 44, (packed >> 41 & 7) + 1, packed & (1 << 36) - 1 or None, start=start)


def flac_of_open_length(body: bytes, start: int) -> bytes:
    """The same file without its stated length, so that a decoder reads what is there and not what is said."""
    return b"".join((body[start : start + 21], bytes([body[start + 21] & 0xF0]), bytes(4), body[start + 26 :]))


def ogg(body: bytes, start: int) -> Outline:
    """Walk the pages: one stream of Vorbis or Opus, from its first page to the one marked as its last.

    Raises: EmptyAudio, VideoNotAudio, UnsupportedAudio, TruncatedAudio, LyingHeader.
    """
    heads: list[bytes] = []
    positions: list[int] = []
    streams: set[int] = set()
    at, ended, ends, empty = start, False, 0, 0
    for page in _pages(body, start):
        if page.flags & 2:
            heads.append(body[page.payload : page.end])
        elif page.position > 0:
            positions.append(page.position)
        streams.add(page.stream)
        ends += page.flags & 4 != 0
        empty += page.payload == page.end
        if empty > _EMPTY:
            raise LyingHeader("Ogg pages without anything in them")
        ended, at = bool(page.flags & 4), page.end
    if len(body) - at > (TAIL if ended else 3):
        raise LyingHeader("there is something else between the Ogg pages")
    codec = _ogg_codec(heads)
    if len(streams) > 1:
        raise UnsupportedAudio("Ogg with several streams")
    if not ended:
        raise TruncatedAudio("the last Ogg page is missing")
    if ends > 1:
        raise LyingHeader("there are Ogg pages behind the last one")
    told = positions[-1:] if codec.opus else positions  # the last one of Opus may leave out some that was sent
    length = max(told, default=0) - (codec.opus.skip if codec.opus else 0)
    if length <= 0:
        raise EmptyAudio
    frames = length * codec.rate_hz // codec.clock_hz
    slack = positions[0] * codec.rate_hz // codec.clock_hz + 1  # a stream may begin later than at zero
    return Outline("Ogg", codec.rate_hz, codec.channels, frames, start=start, slack=slack, opus=codec.opus)


class OggPacket(NamedTuple):
    """One packet, whole."""

    content: bytes
    position: int | None
    """Its page's, with the last packet that ends there."""
    last: bool
    """Whether that is the last page."""


def ogg_packets(body: bytes, start: int) -> Iterator[OggPacket]:
    """The packets of one stream whose pages `ogg` has walked, each page held against its checksum and its number.

    Raises: TruncatedAudio, for a page that is damaged or missing, and for a packet that is empty or does not end.
    Source: RFC 3533.
    """
    begun: list[bytes] = []
    expected, whole = None, 0
    for page in _pages(body, start):
        if _checksum(body[page.at : page.at + 22] + bytes(4) + body[page.at + 26 : page.end]) != page.checksum:
            raise TruncatedAudio("an Ogg page is damaged")
        goes_on = bool(page.flags & 1)
        joined = goes_on and not begun and whole == _HEADERS  # recording began within this packet: its rest is dropped
        if (bool(begun) != goes_on and not joined) or (expected not in {None, page.number} and whole != _HEADERS):
            raise TruncatedAudio("an Ogg page is missing")
        expected = page.number + 1 & 0xFFFF_FFFF
        sizes, at = body[page.at + 27 : page.payload], page.payload
        final = max((n for n, size in enumerate(sizes) if size < _MORE), default=None)
        for number, size in enumerate(sizes):
            begun.append(body[at : at + size])
            at += size
            if size == _MORE:
                continue
            if not joined:
                yield _packet(begun, page.position if number == final else None, last=bool(page.flags & 4))
                whole += 1
            begun, joined = [], False
    if begun:
        raise TruncatedAudio("the last Ogg packet is not complete")


def _packet(pieces: list[bytes], position: int | None, *, last: bool) -> OggPacket:
    if not any(pieces):
        raise TruncatedAudio("an Ogg packet is empty")
    return OggPacket(b"".join(pieces), position, last)


@dataclass(frozen=True, slots=True)
class _Page:
    at: int
    payload: int
    end: int
    flags: int
    """1: goes on with a packet; 2: the first of its stream; 4: the last."""
    position: int
    stream: int
    number: int
    checksum: int


def _pages(body: bytes, start: int) -> Iterator[_Page]:
    """One page after the other, for as long as there are any.

    Raises: TruncatedAudio, UnsupportedAudio.
    """
    at = start
    while body[at : at + 4] == b"OggS":
        payload = at + 27 + (body[at + 26] if at + 26 < len(body) else 0)
        end = payload + sum(body[at + 27 : payload])
        if at + 26 >= len(body) or end > len(body):
            raise TruncatedAudio("the last Ogg page is not complete")
        version, flags, position, stream, number, checksum = struct.unpack_from("<BBqIII", body, at + 4)
        if version:
            raise UnsupportedAudio("another version of Ogg")
        yield _Page(at, payload, end, flags, position, stream, number, checksum)
        at = end


def _checksum(page: bytes) -> int:
    """Of an Ogg page: the polynomial of zlib's, with the bits the other way round, from 0 instead of from ones."""
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_MIRRORED))


@dataclass(frozen=True, slots=True)
class _OggCodec:
    rate_hz: int
    channels: int
    clock_hz: int
    """What the positions of pages count in."""
    opus: OpusHead | None = None


def _ogg_codec(heads: list[bytes]) -> _OggCodec:
    if any(head[1:7] in (b"theora", b"video\0") or head[:5] in (b"BBCD\0", b"OVP80") for head in heads):
        raise VideoNotAudio
    if len(heads) != 1:
        raise UnsupportedAudio("Ogg with several streams") if heads else LyingHeader("the Ogg file lacks its beginning")
    head = heads[0].ljust(_OPUS_HEAD, b"\0")
    if head[:8] == b"OpusHead":
        if len(heads[0]) < _OPUS_HEAD:
            raise LyingHeader("the head of the Opus stream is cut off")
        if head[8] >> 4:
            raise UnsupportedAudio("another version of Opus")
        skip, told_hz, gain = struct.unpack_from("<HIh", head, 10)
        rate_hz = next((hz for hz in _OPUS_HZ if hz >= told_hz), _OPUS_HZ[-1])
        return _OggCodec(rate_hz, head[9], _OPUS_HZ[-1], OpusHead(skip, 10 ** (gain / (20 * 256)), head[18]))
    if head[:7] == b"\x01vorbis":
        channels, rate_hz = struct.unpack_from("<BI", head, 11)
        return _OggCodec(rate_hz, channels, rate_hz or 1)
    raise UnsupportedAudio("Ogg with another codec than Opus or Vorbis")


@dataclass(frozen=True, slots=True)
class Mp3Frame:
    """What the four bytes before each MP3 frame tell."""

    rate_hz: int
    channels: int
    samples: int
    size: int


def mp3_frame(body: bytes, at: int) -> Mp3Frame | None:
    """The MPEG layer III frame that begins here, if one does."""
    return _mp3_head(int.from_bytes(body[at : at + 4]) & _MP3_TELLING)


@lru_cache(maxsize=256)
def _mp3_head(head: int) -> Mp3Frame | None:
    sync, version, layer = head >> 21, _MPEG.get(head >> 19 & 3), head >> 17 & 3
    kbits, rate, padding = head >> 12 & 15, head >> 10 & 3, head >> 9 & 1
    if sync != _MP3_SYNC or version is None or layer != 1 or kbits in (0, 15) or rate >= len(version.rates_hz):
        return None
    rate_hz = version.rates_hz[rate]
    size = version.samples // 8 * version.kbits[kbits - 1] * 1000 // rate_hz + padding
    return Mp3Frame(rate_hz, 1 if head >> 6 & 3 == _MONO else 2, version.samples, size)


def mp3(body: bytes, first: Mp3Frame, start: int) -> Outline:
    """Walk the frames, from the first one at `start`.

    Raises: NotAudio, TruncatedAudio, LyingHeader.
    """
    frame: Mp3Frame | None = first
    at, count = start, 0
    while frame and frame.rate_hz == first.rate_hz and at + frame.size <= len(body):
        at, count = at + frame.size, count + 1
        frame = mp3_frame(body, at)
    rest = body[at : at + 8]
    if count <= 1 and len(body) - at > TAIL:  # one header may be chance
        raise NotAudio
    if (frame and at + frame.size > len(body)) or (0 < len(rest) < 4 and rest[0] == 0xFF):  # noqa: PLR2004 (a cut header)
        raise TruncatedAudio("the last MP3 frame is not complete")
    if len(body) - at > TAIL and rest not in (b"APETAGEX", b"LYRICSBE"):
        raise LyingHeader("there is something else between the MP3 frames")
    promised = _mp3_promise(body[start : start + first.size])
    if promised is not None:
        count -= 1  # the frame that holds the promise is silent
        if count < promised:
            raise TruncatedAudio(declared=promised, held=count)
        if count > promised + 1:
            raise LyingHeader("there are more MP3 frames than the header says", declared=promised, held=count)
    return Outline("MP3", first.rate_hz, first.channels, count * first.samples, start=start, slack=4 * 1152)


def _mp3_promise(frame: bytes) -> int | None:
    """The number of frames that a Xing, Info or VBRI header gives."""
    for mark in (b"Xing", b"Info"):
        at = frame.find(mark, 4, 44)
        if at > 0 and frame[at + 7 : at + 8] and frame[at + 7] & 1:
            return int.from_bytes(frame[at + 8 : at + 12])
    return int.from_bytes(frame[50:54]) if frame[36:40] == b"VBRI" else None

"""Packets of Opus -> samples, by the system's libopus, where there is one.

The libopus that comes inside libsndfile's wheel takes more than twice as long: it is built without what makes it fast.
"""

import contextlib
import ctypes
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceid.containers import OggPacket, Outline, ogg_packets
from voiceid.errors import LyingHeader, TruncatedAudio

Block = NDArray[np.float32]
"""Shape (frames, channels)."""

_NAMES = ("libopus.so.0", "libopus.0.dylib", "opus.dll")
_CLOCK_HZ = 48_000
"""What the positions of pages count in."""
_LONGEST_S = 0.12
"""The longest packet there can be."""
_MOST_BEHIND = 255
"""Packets that may be left out behind the stated end: as many as a page holds."""
_STEREO = 2


def decodes(found: Outline) -> bool:
    """Whether this is Opus in one channel, or left and right, and the machine has a libopus."""
    return found.opus is not None and found.opus.family == 0 and found.channels <= _STEREO and _library() is not None


def no_higher(found: Outline, rate_hz: int) -> Outline:
    """The same stream at a lower rate: libopus leaves out what is above, and nothing has to be resampled.

    `rate_hz` is one at which Opus decodes: 8, 12, 16 or 24 kHz. What the top of the band does to peaks goes with it:
    at 16 kHz the share of clipped samples is another than at 48, by up to 0.03 where it is near 0.1.
    """
    if found.frames is None or found.rate_hz <= rate_hz:
        return found
    frames = max(1, found.frames * rate_hz // found.rate_hz)
    return replace(found, rate_hz=rate_hz, frames=frames, slack=found.slack * rate_hz // found.rate_hz)


def version() -> str | None:
    """What libopus calls itself; None: there is none, and libsndfile decodes."""
    library = _library()
    return library.opus_get_version_string().decode() if library else None


def opus_blocks(body: bytes, found: Outline, least: int) -> Iterator[Block]:
    """Decode one stream, from where its sound begins to where its pages say that it ends.

    A block holds `least` samples or a little more, all channels together; the last one what is left.
    Raises: TruncatedAudio, for what is damaged; LyingHeader, where the pages promise more sound than there is.
    Source: RFC 7845, section 4.
    """
    if found.opus is None or found.frames is None:
        raise ValueError("not measured as Opus")
    per_frame, longest = _CLOCK_HZ // found.rate_hz, round(found.rate_hz * _LONGEST_S)
    begin = found.opus.skip // per_frame
    at, end, behind = 0, begin + found.frames, 0
    late: int | None = None  # frames by which the stream begins after zero, once a page told
    enough = min(-(-least // found.channels), end)
    room, held = np.empty((enough + longest, found.channels), np.float32), 0
    with _decoder(found.rate_hz, found.channels) as decode:
        for packet in _sound_packets(body, found.start):
            if late is not None and at + held >= end:
                behind += 1
                if behind > _MOST_BEHIND:
                    raise LyingHeader("there is more Opus sound than the last page says")
                continue
            held += decode(packet.content, room[held : held + longest])
            if packet.position is not None and packet.position >= 0:
                ahead = packet.position // per_frame - at - held
                if not packet.last and (ahead < 0 if late is None else abs(ahead - late) > longest):
                    raise LyingHeader("an Ogg page's position does not fit the sound before it")
                if late is None:
                    late = max(0, ahead)
                    end -= late
            if held >= enough:
                yield from _cut(room[:held], begin - at, end - at, found.opus.gain)
                room, at, held = np.empty_like(room), at + held, 0
    if at + held + 1 < end:  # positions are rounded down
        raise LyingHeader(declared=end, held=at + held)
    yield from _cut(room[:held], begin - at, end - at, found.opus.gain)


def _sound_packets(body: bytes, start: int) -> Iterator[OggPacket]:
    """What follows the two packets that tell what the stream is, and its tags.

    Raises: LyingHeader, without the tags; what ogg_packets() raises.
    """
    packets = ogg_packets(body, start)
    next(packets, None)  # was read to measure the stream
    tags = next(packets, None)
    if tags is None or not tags.content.startswith(b"OpusTags"):
        raise LyingHeader("the Opus stream lacks its tags")
    return packets


def _cut(sound: Block, begin: int, end: int, gain: float) -> Iterator[Block]:
    """What lies between two frames, as loud as it should be, if anything does."""
    inside = sound[max(0, begin) : max(0, end)]
    if len(inside):
        yield inside if gain == 1 else inside * np.float32(gain)


@contextlib.contextmanager
def _decoder(rate_hz: int, channels: int) -> Iterator[Callable[[bytes, Block], int]]:
    """What turns packet after packet of one stream into sound, and tells how many frames it was."""
    library = _library()
    state = library.opus_decoder_create(rate_hz, channels, ctypes.byref(ctypes.c_int()))
    if not state:
        raise MemoryError("no memory to decode Opus")

    def decode(packet: bytes, room: Block) -> int:
        where = room.ctypes.data
        frames: int = library.opus_decode_float(state, packet, len(packet), where, len(room), 0)
        if frames < 0:
            raise TruncatedAudio("the Opus sound is damaged")
        return frames

    try:
        yield decode
    finally:
        library.opus_decoder_destroy(state)


@cache
def _library() -> Any:
    """libopus, its functions typed; None: there is none."""
    for name in _NAMES:
        with contextlib.suppress(OSError, AttributeError):  # not there, or not what it is called
            return _typed(ctypes.PyDLL(name))  # it keeps Python's lock, which would be waited for after each packet
    return None


def _typed(library: ctypes.PyDLL) -> ctypes.PyDLL:
    library.opus_get_version_string.restype = ctypes.c_char_p
    library.opus_decoder_create.restype = ctypes.c_void_p
    library.opus_decoder_create.argtypes = (ctypes.c_int32, ctypes.c_int, ctypes.POINTER(ctypes.c_int))
    library.opus_decoder_destroy.restype = None
    library.opus_decoder_destroy.argtypes = (ctypes.c_void_p,)
    library.opus_decode_float.argtypes = (
        ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.c_void_p, ctypes.c_int, ctypes.c_int,
    )  # fmt: skip
    return library

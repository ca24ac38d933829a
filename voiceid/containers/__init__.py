"""What a body of bytes is, how long it says it is, and whether it is whole: read from its headers, nothing decoded."""

import re

from voiceid.containers import coded, plain
from voiceid.containers.coded import OggPacket, flac_of_open_length, ogg_packets
from voiceid.containers.outline import MOST_CODED_HZ, RATES_HZ, Outline, Plain
from voiceid.containers.plain import declared_pcm
from voiceid.errors import LyingHeader, NotAudio, TruncatedAudio, UnsupportedAudio, VideoNotAudio, VoiceIdError

__all__ = ["OggPacket", "Outline", "Plain", "declared_pcm", "flac_of_open_length", "ogg_packets", "outline"]

_VIDEO = (
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # Windows Media
    b"\0\0\x01\xba", b"\0\0\x01\xb3",  # MPEG
    b"FLV\x01", b".RMF",
)  # fmt: skip
_OTHER_SOUND = (
    b"FORM", b".snd", b"caff", b"RIFX", b"RF64", b"riff", b"#!AMR", b"MThd", b"wvpk", b"TTA1", b"ADIF", b"DSD ",
)  # fmt: skip


def outline(body: bytes) -> Outline:
    """Recognize a sound file by its first bytes, and measure it.

    Raises: EmptyAudio, NotAudio, VideoNotAudio, UnsupportedAudio, TruncatedAudio, LyingHeader.
    """
    start = _after_id3(body)
    match body[start : start + 4]:
        case b"RIFF" if body[start + 8 : start + 12] == b"WAVE":
            found = plain.wav(body, start)
        case b"fLaC":
            found = coded.flac(body, start)
        case b"OggS":
            found = coded.ogg(body, start)
        case _ if first := coded.mp3_frame(body, start):
            found = coded.mp3(body, first, start)
        case _:
            raise _foreign(body, start)
    if not found.rate_hz or not found.channels:
        raise LyingHeader(f"the {found.form} header gives no sample rate or no channels")
    most = RATES_HZ[-1] if found.plain else MOST_CODED_HZ // found.channels
    if found.rate_hz not in RATES_HZ or found.rate_hz > most:
        raise UnsupportedAudio(f"{found.rate_hz} samples per second in {found.channels} channels")
    return found


def _after_id3(body: bytes) -> int:
    """Where the file begins behind an ID3v2 tag."""
    if body[:3] != b"ID3":
        return 0
    size = 0
    for seven in body[6:10]:
        size = size << 7 | seven & 0x7F
    return 20 + size if body[5:6] and body[5] & 0x10 else 10 + size


def _foreign(body: bytes, start: int) -> VoiceIdError:
    """What to answer to bytes that are none of our forms."""
    head = body[start : start + 16]
    mp4 = head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide")
    stream = all(body[at : at + 1] == b"G" for at in range(start, start + 5 * 188, 188))  # MPEG transport stream
    adts = re.match(rb"\xff[\xf0\xf1\xf8\xf9][\x40-\xbf]", head)
    if head.startswith(_OTHER_SOUND) or head[4:11] in (b"ftypM4A", b"ftypM4B") or adts:
        return UnsupportedAudio()
    if head.startswith(_VIDEO) or mp4 or stream or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return VideoNotAudio()
    if start and start >= len(body):
        return TruncatedAudio("the file ends inside its tag")
    return NotAudio()

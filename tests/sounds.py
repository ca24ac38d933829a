"""Sound files made to order: right ones in every form, and wrong ones."""

import io
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

Sound = NDArray[np.float32]


@dataclass(frozen=True)
class Form:
    """One way to store sound that we read."""

    name: str
    container: str
    coding: str | None
    rate_hz: int

    def __str__(self) -> str:
        return self.name

    def encode(self, sound: Sound) -> bytes:
        """A whole file."""
        file = io.BytesIO()
        soundfile.write(file, sound, self.rate_hz, format=self.container, subtype=self.coding)
        return file.getvalue()

    def silence(self, duration_s: int, channels: int = 1) -> bytes:
        """A long file, written second by second."""
        file = io.BytesIO()
        with soundfile.SoundFile(
            file, "w", self.rate_hz, channels, format=self.container, subtype=self.coding
        ) as writer:
            for _ in range(duration_s):
                writer.write(np.zeros((self.rate_hz, channels), np.float32))
        return file.getvalue()


WAV = Form("wav 16 bit", "WAV", "PCM_16", 16_000)
FLAC = Form("flac 16 bit", "FLAC", "PCM_16", 16_000)
VORBIS = Form("ogg vorbis 44 kHz", "OGG", "VORBIS", 44_100)
OPUS = Form("ogg opus 48 kHz", "OGG", "OPUS", 48_000)
MP3 = Form("mp3 44 kHz", "MP3", None, 44_100)
FORMS = (
    WAV, FLAC, VORBIS, OPUS, MP3,
    Form("wav 8 bit", "WAV", "PCM_U8", 16_000), Form("wav 24 bit", "WAV", "PCM_24", 44_100),
    Form("wav 32 bit", "WAV", "PCM_32", 48_000), Form("wav float", "WAV", "FLOAT", 22_050),
    Form("wav double", "WAV", "DOUBLE", 96_000), Form("wav a-law", "WAV", "ALAW", 8_000),
    Form("wav mu-law", "WAV", "ULAW", 8_000), Form("wav extensible", "WAVEX", "PCM_24", 192_000),
    Form("flac 24 bit", "FLAC", "PCM_24", 48_000), Form("ogg vorbis 16 kHz", "OGG", "VORBIS", 16_000),
    Form("ogg opus 16 kHz", "OGG", "OPUS", 16_000), Form("mp3 16 kHz", "MP3", None, 16_000),
    Form("mp3 8 kHz", "MP3", None, 8_000),
)  # fmt: skip


def tone(rate_hz: int, duration_s: float = 1.0, channels: int = 1, *, hz: float = 440, size: float = 0.5) -> Sound:
    """A sine, the same in all channels. Shape (n, channels)."""
    wave = size * np.sin(2 * np.pi * hz * np.arange(round(rate_hz * duration_s)) / rate_hz)
    return np.repeat(wave[:, np.newaxis], channels, axis=1).astype(np.float32)


def wav(
    samples: bytes, *, tag: int = 1, channels: int = 1, rate_hz: int = 16_000, bits: int = 16, **sizes: int
) -> bytes:
    """A WAV file written by hand; `data` and `riff` put other lengths into its header than the true ones."""
    align = channels * bits // 8
    form = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * align % 2**32, align, bits)
    head = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data"
    lengths = {"riff": len(head) + 4 + len(samples), "data": len(samples), **sizes}
    return b"RIFF" + struct.pack("<I", lengths["riff"]) + head + struct.pack("<I", lengths["data"]) + samples


def flac_that_says(content: bytes, frames: int) -> bytes:
    """The same FLAC file with another length in its header; 0: none."""
    length = struct.pack(">BI", content[21] & 0xF0 | frames >> 32, frames & 0xFFFF_FFFF)
    return content[:21] + length + content[26:]


def mp3_that_says(content: bytes, frames: int) -> bytes:
    """The same MP3 file with another number of frames in its Xing or Info header."""
    at = max(content.find(b"Xing", 0, 100), content.find(b"Info", 0, 100)) + 8
    return content[:at] + struct.pack(">I", frames) + content[at + 4 :]


def ogg_that_says(content: bytes, position: int) -> bytes:
    """The same Ogg file whose last page gives another position."""
    at = content.rfind(b"OggS")
    page = bytearray(content[at:])
    struct.pack_into("<q", page, 6, position)
    return content[:at] + _ogg_signed(page)


def ogg_page(
    packets: list[bytes], position: int, number: int, *, flags: int = 0, ends: bool = True, stream: int = 1
) -> bytes:
    """One page of whole packets; without `ends` the last one, of a multiple of 255 bytes, goes on."""
    sizes = b"".join(bytes([255] * (len(packet) // 255) + [len(packet) % 255]) for packet in packets)
    sizes = sizes if ends else sizes[:-1]
    page = bytearray(struct.pack("<4sBBqIIIB", b"OggS", 0, flags, position, stream, number, 0, len(sizes)))
    return _ogg_signed(page + sizes + b"".join(packets))


def ogg_page_again(page: bytes, number: int | None = None) -> bytes:
    """The same page with a checksum that fits, and perhaps another number."""
    changed = bytearray(page)
    if number is not None:
        struct.pack_into("<I", changed, 18, number)
    return _ogg_signed(changed)


def _ogg_signed(page: bytearray) -> bytes:
    struct.pack_into("<I", page, 22, 0)
    struct.pack_into("<I", page, 22, _ogg_checksum(page))
    return bytes(page)


def _ogg_checksum(page: bytes | bytearray) -> int:
    register = 0
    for byte in page:
        register ^= byte << 24
        for _ in range(8):
            register = register << 1 & 0xFFFF_FFFF ^ (0x04C1_1DB7 if register >> 31 else 0)
    return register


VIDEOS = {
    "mp4": b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41" + bytes(100),
    "mov": b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + bytes(100),
    "old mov": b"\0\0\x10\0moov\0\0\0\x6cmvhd" + bytes(100),
    "webm": b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B\xf3\x81\x08B\x82\x84webm" + bytes(100),
    "avi": b"RIFF\x10\x27\0\0AVI LIST" + bytes(100),
    "flv": b"FLV\x01\x05\0\0\0\x09" + bytes(100),
    "wmv": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + bytes(100),
    "mpeg": b"\0\0\x01\xba\x44\0\x04\0\x04\x01" + bytes(100),
    "mpeg-ts": (b"G\x40\0\x10" + bytes(184)) * 8,
    "ogg theora": b"OggS\0\x02" + bytes(20) + b"\x01\x2a\x80theora\x03\x02\x01" + bytes(32),
}
OTHER_SOUND = {
    "aiff": b"FORM\0\0\0\x2eAIFFCOMM" + bytes(40),
    "au": b".snd\0\0\0\x18" + bytes(40),
    "m4a": b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom" + bytes(100),
    "aac": b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(100),
    "amr": b"#!AMR\n" + bytes(100),
    "ogg speex": b"OggS\0\x02" + bytes(20) + b"\x01\x50Speex   1.2" + bytes(69),
    "wav of adpcm": wav(bytes(512), tag=0x11, bits=4),
}
NOT_SOUND = {
    "text": b"Turn on the kitchen lights and play my morning playlist.",
    "json": b'{"audio": "none"}',
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(100),
    "jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(100),
    "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "zip": b"PK\x03\x04\x14\0" + bytes(100),
    "webp": b"RIFF\x24\0\0\0WEBPVP8 " + bytes(100),
    "zeros": bytes(1000),
}
"""Beginnings of files: what a thing is must be seen from its first bytes."""


def described(cases: dict[str, Any]) -> dict[str, Any]:
    """Arguments of `pytest.mark.parametrize` for a dictionary of cases."""
    return {"argvalues": list(cases.values()), "ids": list(cases)}

"""Opus by the system's libopus sounds as it does by libsndfile's, and what is damaged is refused as it is there."""

import struct
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from machine import IN_CI
from sounds import OPUS, Form, ogg_page, ogg_page_again, tone

from voiceid import opus
from voiceid.containers import ogg_packets, outline
from voiceid.decode import decode
from voiceid.encode.fbank import log_mel
from voiceid.errors import LyingHeader, TruncatedAudio, VoiceIdError
from voiceid.types import Pcm

MAX_S = 100.0
HERE = opus.version() is not None
BELOW_7500_HZ = 78
"""Bins of the filterbank, of 80."""

pytestmark = pytest.mark.skipif(not HERE and not IN_CI, reason="this machine has no libopus")


def by_libsndfile(body: bytes, monkeypatch: pytest.MonkeyPatch) -> Pcm:
    with monkeypatch.context() as without:
        without.setattr("voiceid.opus._library", lambda: None)
        return decode(body, max_s=MAX_S)


def noisy(rate_hz: int, duration_s: float, channels: int = 1) -> bytes:
    """A tone in noise, other in each channel."""
    noise = np.random.default_rng(round(duration_s * 1000)).normal(0, 0.1, (round(rate_hz * duration_s), channels))
    return Form("", "OGG", "OPUS", rate_hz).encode((tone(rate_hz, duration_s, channels) + noise).astype(np.float32))


class Stream:
    """An Ogg Opus stream of 20 ms packets, put together again by hand."""

    def __init__(self, duration_s: float = 2.0) -> None:
        body = noisy(48_000, duration_s)
        found = outline(body)
        assert found.opus is not None
        assert found.frames is not None
        self.skip, self.frames = found.opus.skip, found.frames
        head, tags, *rest = ogg_packets(body, 0)
        self.head, self.tags = head.content, tags.content
        self.packets = [packet.content for packet in rest]

    def pages(self, each: int = 10, begin: int = 0) -> list[bytes]:
        """So many packets to a page; the first sample at position `begin`."""
        pages = [ogg_page([self.head], 0, 0, flags=2), ogg_page([self.tags], 0, 1)]
        for at in range(0, len(self.packets), each):
            upto = min(at + each, len(self.packets))
            last = upto == len(self.packets)
            position = begin + (self.skip + self.frames if last else upto * 960)
            pages.append(ogg_page(self.packets[at:upto], position, len(pages), flags=4 * last))
        return pages


def samples(pages: Sequence[bytes]) -> np.ndarray:
    return decode(b"".join(pages), max_s=MAX_S).samples


def test_ci_has_libopus() -> None:
    assert HERE


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate_hz", [8_000, 12_000, 16_000])
@pytest.mark.parametrize("duration_s", [0.01, 0.93, 12.5])
def test_it_sounds_as_by_libsndfile(
    rate_hz: int, channels: int, duration_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two releases of one decoder, whose standard allows them to differ below what is heard."""
    body = noisy(rate_hz, duration_s, channels)

    ours, theirs = decode(body, max_s=MAX_S), by_libsndfile(body, monkeypatch)

    assert ours.samples.shape == theirs.samples.shape
    assert ours.samples == pytest.approx(theirs.samples, abs=1e-3)
    assert ours.clipping == pytest.approx(theirs.clipping, abs=1e-3)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate_hz", [24_000, 48_000])
@pytest.mark.parametrize("duration_s", [0.03, 0.93, 12.5])
def test_it_is_decoded_no_higher_than_it_is_heard(
    rate_hz: int, channels: int, duration_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An encoder sees of it what resampling leaves, up to 7.5 kHz, where each filter begins to fall its own way.

    Where Opus takes speech for speech its low band comes with other phases at each rate, which nobody hears.
    """
    body = noisy(rate_hz, duration_s, channels)

    ours, theirs = decode(body, max_s=MAX_S), by_libsndfile(body, monkeypatch)

    assert ours.samples.shape == theirs.samples.shape
    assert np.mean(ours.samples**2) == pytest.approx(np.mean(theirs.samples**2), rel=0.01)
    apart = np.abs(log_mel(ours.samples) - log_mel(theirs.samples))[:, :BELOW_7500_HZ]
    assert apart.mean() < 0.02
    monkeypatch.setattr("voiceid.decode.soxr.ResampleStream", lambda *_, **__: pytest.fail("resampled"))
    assert decode(body, max_s=MAX_S).samples.tobytes() == ours.samples.tobytes()


@pytest.mark.parametrize("loudness", [2, 4, 8])
@pytest.mark.parametrize("rate_hz", [24_000, 48_000])
def test_clipping_is_found_at_the_lower_rate_too(
    rate_hz: int, loudness: int, voices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice, recorded_hz = soundfile.read(voices / "ada" / "request_1.flac", dtype="float32")
    loud = soxr.resample(voice, recorded_hz, rate_hz) * loudness / np.abs(voice).max()
    body = Form("", "OGG", "OPUS", rate_hz).encode(np.clip(loud, -1, 1)[:, np.newaxis])

    ours, theirs = decode(body, max_s=MAX_S), by_libsndfile(body, monkeypatch)

    assert theirs.clipping > 0.005
    assert ours.clipping == pytest.approx(theirs.clipping, abs=0.03, rel=0.3)


@pytest.mark.parametrize("rate_hz", [24_000, 48_000])
def test_a_single_sample_is_sound(rate_hz: int) -> None:
    assert len(decode(noisy(rate_hz, 1 / rate_hz), max_s=MAX_S).samples) == 1


@pytest.mark.parametrize("each", [1, 7, 250])
def test_pages_of_any_size_hold_the_same_sound(each: int) -> None:
    stream = Stream()
    assert np.array_equal(samples(stream.pages(each)), samples(stream.pages()))
    assert len(samples(stream.pages(each))) == 32_000


@pytest.mark.parametrize("begin", [960, 48_000 * 60])
def test_a_stream_that_began_before_it_was_recorded_is_whole(begin: int) -> None:
    """Its positions count from then on."""
    stream = Stream()
    plain = samples(stream.pages())
    assert np.array_equal(samples(stream.pages(begin=begin)), plain)


def test_a_packet_over_two_pages_is_put_together() -> None:
    stream = Stream()
    first, second = stream.packets[0].ljust(300, b"\0")[:255], stream.packets[0].ljust(300, b"\0")[255:]
    plain = [stream.packets[0].ljust(300, b"\0"), *stream.packets[1:10]]
    whole, pages = stream.pages(), stream.pages()
    whole[2] = ogg_page(plain, 9_600, 2)
    cut = [ogg_page([first], -1, 2, ends=False), ogg_page([second, *plain[1:]], 9_600, 3, flags=1)]
    later = [ogg_page_again(page, number) for number, page in enumerate(pages[3:], 4)]
    assert np.array_equal(samples([*pages[:2], *cut, *later]), samples(whole))


def test_the_stated_gain_counts() -> None:
    stream = Stream()
    plain = samples(stream.pages())
    stream.head = stream.head[:16] + struct.pack("<h", -6 * 256) + stream.head[18:]
    assert samples(stream.pages()) == pytest.approx(plain * 10 ** (-6 / 20), abs=1e-6)


def test_more_channels_are_left_to_libsndfile(monkeypatch: pytest.MonkeyPatch) -> None:
    body = noisy(48_000, 1, channels=6)
    assert outline(body).channels == 6
    monkeypatch.setattr("voiceid.opus._decoder", None)
    assert len(decode(body, max_s=MAX_S).samples) == 16_000


def test_a_damaged_page_is_refused() -> None:
    """Wherever the damage is; a decoder would make noise of it."""
    whole = b"".join(Stream().pages())
    for at in range(len(whole) // 3, len(whole), 997):
        damaged = bytearray(whole)
        damaged[at] ^= 0x10
        with pytest.raises((TruncatedAudio, LyingHeader)):
            decode(bytes(damaged), max_s=MAX_S)


@pytest.mark.parametrize("missing", [3, 6])
def test_a_missing_page_is_refused(missing: int) -> None:
    pages = Stream().pages()
    with pytest.raises((TruncatedAudio, LyingHeader)):
        samples(pages[:missing] + pages[missing + 1 :])


def altered(page: bytes, at: int, new: bytes) -> bytes:
    """The same page with other bytes there, and the checksum that belongs to it."""
    return ogg_page_again(page[:at] + new + page[at + len(new) :])


def position(count: int) -> bytes:
    return struct.pack("<q", count)


def _wrong() -> dict[str, list[bytes]]:
    """Streams of several pages, each with something wrong that its checksums do not tell."""
    stream, pages = Stream(), Stream().pages()
    packets, last = stream.packets, len(pages) - 1
    head = ogg_page([stream.head], 0, 0, flags=2)
    tags = ogg_page([stream.tags], 0, 1)
    version = ogg_page([stream.head[:8] + b"\x10" + stream.head[9:]], 0, 0, flags=2)
    short = ogg_page([stream.head[:18]], 0, 0, flags=2)
    other = ogg_page(packets[20:30], 30 * 960, 4, stream=2)
    behind = ogg_page(packets[:10], 120 * 960, last + 1)
    return {
        "a page of another stream": [*pages[:4], other, *pages[5:]],
        "a page behind the last": [*pages, behind],
        "a last page in the middle": [*pages[:4], altered(pages[4], 5, b"\4"), *pages[5:]],
        "a first position before its sound": [*pages[:2], altered(pages[2], 6, position(960)), *pages[3:]],
        "a position too early": [*pages[:5], altered(pages[5], 6, position(33 * 960)), *pages[6:]],
        "a position too late": [*pages[:5], altered(pages[5], 6, position(49 * 960)), *pages[6:]],
        "positions that go backwards": [*pages[:6], altered(pages[6], 6, position(10 * 960)), *pages[7:]],
        "a page of another Ogg": [*pages[:3], altered(pages[3], 4, b"\1"), *pages[4:]],
        "no tags": [head, ogg_page([b"abcde"], 0, 1), *pages[2:]],
        "tags left out": [head, *(ogg_page_again(page, n) for n, page in enumerate(pages[2:], 1))],
        "another Opus": [version, tags, *pages[2:]],
        "a head too short": [short, tags, *pages[2:]],
        "nothing but tags": [head, altered(tags, 5, b"\4")],
        "no sound after the lead": [*pages[:last], altered(pages[last], 6, position(stream.skip))],
    }


WRONG = _wrong()


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused_as_by_libsndfile(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(VoiceIdError) as refused:
        samples(WRONG[name])
    assert refused.value.status in {415, 422}
    with pytest.raises(VoiceIdError):
        by_libsndfile(b"".join(WRONG[name]), monkeypatch)


def test_an_empty_last_page_may_tell_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream()
    *pages, last = stream.pages()
    end = altered(altered(last, 5, b"\0"), 6, position(len(stream.packets) * 960))
    body = b"".join([*pages, end, ogg_page([], stream.skip + stream.frames - 5_000, len(pages) + 1, flags=4)])
    found = decode(body, max_s=MAX_S)
    assert len(found.samples) == (stream.frames - 5_000) // 3
    assert len(by_libsndfile(body, monkeypatch).samples) == len(found.samples)


def test_a_stream_joined_within_a_packet_begins_with_the_next() -> None:
    stream = Stream()
    plain = samples(stream.pages())
    pages = stream.pages()
    rest = ogg_page([b"rest", *stream.packets[10:20]], 20 * 960, 40, flags=1)
    later = [ogg_page_again(page, number) for number, page in enumerate(pages[4:], 41)]
    joined = samples([*pages[:2], rest, *later])
    assert len(joined) == len(plain) - 3_200
    found_its_way = slice(8_000, -500)
    assert joined[found_its_way] == pytest.approx(plain[3_200:][found_its_way], abs=5e-3)


def test_much_sound_behind_the_stated_end_is_refused() -> None:
    """Walking hours of it would cost whoever answers, for a second of speech."""
    stream, pages = Stream(), Stream().pages()
    many = [ogg_page(stream.packets[:50], 50 * 960 * (number - 1), number) for number in range(2, 8)]
    for sound, refused in ((many[:5], False), (many, True)):
        last = ogg_page(stream.packets[:10], 10 * 960, 2 + len(sound), flags=4)
        with pytest.raises(LyingHeader, match="more Opus sound") if refused else nullcontext():
            assert len(samples([*pages[:2], *sound, last])) == (10 * 960 - stream.skip) // 3


def _costly() -> dict[str, bytes]:
    """A second of sound, then 4 MB of what is expensive to look at one by one."""
    pages = Stream(1.0).pages()
    for number, page in enumerate(pages):
        pages[number] = altered(page, 5, bytes([page[5] & 2]))
    begin, end = len(pages), Stream(1.0)
    last = end.skip + end.frames

    def many(page: Callable[[int], bytes]) -> bytes:
        one = page(begin)
        count = 4_000_000 // len(one)
        return b"".join(pages) + b"".join(map(page, range(begin, begin + min(count, 200)))) + one * (count - 200)

    return {
        "packets without anything": many(lambda n: ogg_page([b""] * 255, last, n)),
        "packets of one byte": many(lambda n: ogg_page([b"\x08"] * 255, last, n)),
        "pages without packets": many(lambda n: ogg_page([], -1, n)),
    }


COSTLY = _costly()


@pytest.mark.parametrize("name", COSTLY)
def test_what_is_costly_to_look_at_is_refused_before(name: str) -> None:
    end = Stream(1.0)
    body = COSTLY[name] + ogg_page([end.packets[0]], end.skip + end.frames, 10**6, flags=4)
    began = time.process_time()
    with pytest.raises(VoiceIdError):
        decode(body, max_s=MAX_S)
    assert time.process_time() - began < 10 * _a_walk_over(body)


def _a_walk_over(body: bytes) -> float:
    """What it takes to join as many bytes piece by piece, a page's header each: the peer of looking at them."""
    began = time.process_time()
    b"".join(body[at : at + 27] for at in range(0, len(body), 27))
    return time.process_time() - began


@pytest.mark.parametrize("packet", [b"", b"\xff\xff\xff\xff"], ids=["empty", "senseless"])
def test_a_packet_that_is_no_opus_is_refused(packet: bytes) -> None:
    """An empty one would be made up from what came before."""
    stream = Stream()
    stream.packets[17] = packet
    with pytest.raises(TruncatedAudio):
        samples(stream.pages())


def test_a_packet_without_an_end_is_refused() -> None:
    stream = Stream()
    stream.packets[-1] = stream.packets[-1].ljust(255, b"\0")
    *pages, _ = stream.pages(len(stream.packets) - 1)
    with pytest.raises(TruncatedAudio, match="not complete"):
        samples([*pages, ogg_page(stream.packets[-1:], stream.skip + stream.frames, len(pages), flags=4, ends=False)])


def test_less_sound_than_the_pages_promise_is_refused() -> None:
    stream = Stream()
    stream.frames += 4_000
    with pytest.raises(LyingHeader):
        samples(stream.pages())


def test_what_lies_behind_the_stated_end_is_left_out() -> None:
    stream = Stream()
    plain = samples(stream.pages())
    stream.frames = 24_000
    cut = samples(stream.pages(250))
    assert len(cut) == 8_000
    assert cut[:7_000] == pytest.approx(plain[:7_000], abs=1e-5)


def test_without_libopus_libsndfile_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    body = OPUS.encode(tone(48_000))
    monkeypatch.setattr("voiceid.opus._library", lambda: None)
    monkeypatch.setattr("voiceid.decode.opus_blocks", None)
    assert len(decode(body, max_s=MAX_S).samples) == 16_000

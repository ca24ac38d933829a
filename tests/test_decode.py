"""Every form of sound that is read, every bad one and its code, in bounded memory."""

import io

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st
from sounds import (
    FLAC,
    FORMS,
    MP3,
    NOT_SOUND,
    OPUS,
    OTHER_SOUND,
    VIDEOS,
    VORBIS,
    WAV,
    Form,
    described,
    flac_that_says,
    mp3_that_says,
    ogg_that_says,
    tone,
    wav,
)

from voiceid.decode import decode, from_flac, to_flac
from voiceid.errors import (
    AudioTooLong,
    EmptyAudio,
    InvalidSamples,
    LyingHeader,
    NotAudio,
    TruncatedAudio,
    UnsupportedAudio,
    VideoNotAudio,
    VoiceIdError,
)
from voiceid.types import SAMPLE_RATE_HZ, Pcm

MAX_S = 60.0
NO_SOUND = np.zeros((0, 1), np.float32)
WAV_8K = Form("wav float 8 kHz", "WAV", "FLOAT", 8_000)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_form_becomes_16_khz_mono(form: Form, channels: int) -> None:
    pcm = decode(form.encode(tone(form.rate_hz, channels=channels)), max_s=MAX_S)

    spectrum = np.abs(np.fft.rfft(pcm.samples[:SAMPLE_RATE_HZ]))
    assert pcm.samples.dtype == np.float32
    assert len(pcm.samples) == pytest.approx(SAMPLE_RATE_HZ, abs=SAMPLE_RATE_HZ // 100)
    assert int(spectrum.argmax()) == 440
    assert float(pcm.samples[2000:14_000].std()) == pytest.approx(0.5 / 2**0.5, rel=0.03)


@given(
    coding=st.sampled_from(["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW"]),
    container=st.sampled_from(["WAV", "WAVEX"]),
    channels=st.integers(1, 9),
    frames=st.integers(1, 400),
    seed=st.integers(0, 2**32 - 1),
)
def test_wav_of_every_width_reads_as_libsndfile_reads_it(
    coding: str, container: str, channels: int, frames: int, seed: int
) -> None:
    sound = np.random.default_rng(seed).uniform(-0.9, 0.9, (frames, channels)).astype(np.float32)
    body = Form("", container, coding, SAMPLE_RATE_HZ).encode(sound)

    with soundfile.SoundFile(io.BytesIO(body)) as reference:
        expected = reference.read(dtype="float64", always_2d=True).mean(axis=1)
    assert decode(body, max_s=MAX_S).samples == pytest.approx(expected, abs=1e-6)


@given(rate_hz=st.integers(1_000, 768_000), duration_s=st.floats(0.05, 0.5))
def test_any_rate_keeps_its_length(rate_hz: int, duration_s: float) -> None:
    frames = max(1, int(rate_hz * duration_s))
    pcm = decode(wav(bytes(2 * frames), rate_hz=rate_hz), max_s=MAX_S)

    assert pcm.duration_s == pytest.approx(frames / rate_hz, abs=1.5 / min(rate_hz, SAMPLE_RATE_HZ))


def test_blocks_leave_no_seam() -> None:
    """Longer than a block, and resampled: the same as all at once."""
    sound = np.random.default_rng(1).normal(0, 0.1, (400_000, 2)).astype(np.float32)
    body = Form("", "WAV", "FLOAT", 44_100).encode(sound)

    expected = soxr.resample(sound.mean(axis=1), 44_100, SAMPLE_RATE_HZ)
    assert decode(body, max_s=MAX_S).samples == pytest.approx(expected, abs=1e-5)


def test_channels_are_averaged() -> None:
    sound = np.stack([np.full(800, 0.5), np.full(800, -0.25), np.zeros(800)], axis=1).astype(np.float32)

    assert decode(WAV.encode(sound), max_s=MAX_S).samples == pytest.approx(0.25 / 3, abs=1e-4)


@pytest.mark.parametrize("length", [0, 0x7FFF_F000, 0x8000_0000, 0xFFFF_FFFF])
def test_a_recorder_into_a_pipe_may_leave_the_length_open(length: int) -> None:
    body = wav(bytes(32_000), data=length, riff=0xFFFF_FFFF)

    assert decode(body, max_s=MAX_S).duration_s == 1


def test_flac_without_a_length_is_read_to_its_end() -> None:
    body = flac_that_says(FLAC.encode(tone(16_000, 3.3)), 0)

    assert decode(body, max_s=MAX_S).duration_s == pytest.approx(3.3)


@pytest.mark.parametrize(
    "tail",
    [b"LIST\x04\0\0\0INFO", b"id3 \x02\0\0\0ab", b"TAG" + bytes(125), bytes(1)],
    ids=["list", "id3", "id3v1", "pad"],
)
def test_tags_after_the_sound_are_no_sound(tail: bytes) -> None:
    assert decode(wav(bytes(32_000)) + tail, max_s=MAX_S).duration_s == 1


@pytest.mark.parametrize("form", [MP3, FLAC], ids=str)
def test_a_tag_before_the_sound_is_no_sound(form: Form) -> None:
    tag = b"ID3\x04\0\0\0\0\x02\x00" + bytes(256)
    body = form.encode(tone(form.rate_hz))

    assert decode(tag + body, max_s=MAX_S).samples == pytest.approx(decode(body, max_s=MAX_S).samples)


@pytest.mark.parametrize(
    ("declared", "kind", "scale"),
    [
        ("s16le", "<i2", 2**15),
        ("s24le", "<i4", 2**31),
        ("s32le", "<i4", 2**31),
        ("f32le", "<f4", 1),
        ("f64le", "<f8", 1),
    ],
)
def test_declared_raw_samples(declared: str, kind: str, scale: int) -> None:
    sound = (tone(8_000, channels=2) * (scale - 1 if scale > 1 else 1)).astype(kind)
    body = sound.tobytes() if declared != "s24le" else sound.view(np.uint8).reshape(-1, 4)[:, 1:].tobytes()

    expected = decode(WAV_8K.encode(tone(8_000, channels=2)), max_s=MAX_S).samples
    pcm = decode(body, f"audio/pcm; rate=8000; encoding={declared}; channels=2", max_s=MAX_S)
    assert pcm.samples == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    "content_type",
    [None, "audio/pcm", "audio/pcm;rate=16000", "audio/pcm;encoding=s16le", "audio/pcm;rate=0;encoding=s16le",
     "audio/pcm;rate=16000;encoding=s16be", "audio/pcm;rate=16000;encoding=s16le;channels=0",
     "audio/pcm;rate=-8000;encoding=s16le", "audio/pcm;rate=9999999999;encoding=s16le", "application/octet-stream"],
)  # fmt: skip
def test_undeclared_raw_samples_are_refused(content_type: str | None) -> None:
    with pytest.raises((UnsupportedAudio, NotAudio)):
        decode(tone(16_000).tobytes(), content_type, max_s=MAX_S)


def test_a_file_is_what_its_bytes_are_whatever_it_is_called() -> None:
    assert decode(FLAC.encode(tone(16_000)), "audio/mpeg", max_s=MAX_S).duration_s == 1


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [b"", wav(b""), wav(b"") + b"LIST\x04\0\0\0INFO", WAV.encode(NO_SOUND), FLAC.encode(NO_SOUND)],
)
def test_empty(body: bytes) -> None:
    with pytest.raises(EmptyAudio):
        decode(body, max_s=MAX_S)


@pytest.mark.parametrize("body", **described(NOT_SOUND))
def test_not_audio(body: bytes) -> None:
    with pytest.raises(NotAudio):
        decode(body, max_s=MAX_S)


@pytest.mark.parametrize("body", **described(VIDEOS))
def test_a_video(body: bytes) -> None:
    with pytest.raises(VideoNotAudio):
        decode(body, max_s=MAX_S)


@pytest.mark.parametrize("body", **described(OTHER_SOUND))
def test_sound_in_a_form_that_is_not_read(body: bytes) -> None:
    with pytest.raises(UnsupportedAudio):
        decode(body, max_s=MAX_S)


@pytest.mark.parametrize("rate_hz", [1, 999, 768_001, 2**32 - 1])
def test_rates_that_no_recorder_has(rate_hz: int) -> None:
    with pytest.raises(UnsupportedAudio):
        decode(wav(bytes(2), rate_hz=rate_hz), max_s=MAX_S)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_truncated(form: Form, share: float) -> None:
    body = form.encode(tone(form.rate_hz) + np.random.default_rng(2).normal(0, 0.05, (form.rate_hz, 1)))

    with pytest.raises(TruncatedAudio):
        decode(body[: int(len(body) * share)], max_s=MAX_S)


@pytest.mark.parametrize("form", [VORBIS, OPUS], ids=str)
def test_ogg_cut_between_two_pages(form: Form) -> None:
    """Every page is whole, but the one that is marked as the last is missing."""
    body = form.encode(tone(form.rate_hz, 20))

    with pytest.raises(TruncatedAudio):
        decode(body[: body.rfind(b"OggS")], max_s=MAX_S)


def test_raw_samples_that_end_inside_one() -> None:
    with pytest.raises(TruncatedAudio):
        decode(bytes(32_001), "audio/pcm;rate=16000;encoding=s16le;channels=1", max_s=MAX_S)


@pytest.mark.parametrize(
    "body",
    **described({
        "wav said to be longer than its file": wav(bytes(32_000), data=64_000),
        "wav said to hold 600 MB": wav(bytes(32_000), data=600_000_000),
        "wav said to be shorter": wav(bytes(32_000), data=2_000),
        "wav in a wav": wav(bytes(32_000)) + wav(bytes(32_000)),
        "wav whose samples do not fit": wav(bytes(32_000), channels=3).replace(b"\x06\0\x10\0", b"\x05\0\x10\0"),
        "wav without channels": wav(bytes(32_000), channels=0),
        "wav without a rate": wav(bytes(32_000), rate_hz=0),
        "wav of chunks": b"RIFF\xff\xff\xff\xffWAVE" + b"LIST\0\0\0\0" * 100_000,
        "flac said to be shorter": flac_that_says(FLAC.encode(tone(16_000, 2)), 16_000),
        "flac said to be longer": flac_that_says(FLAC.encode(tone(16_000, 2)), 48_000),
        "mp3 said to be shorter": mp3_that_says(MP3.encode(tone(44_100, 2)), 12),
        "mp3 with something between its frames": MP3.encode(tone(44_100, 2)) + bytes(9_000),
        "vorbis said to be longer": ogg_that_says(VORBIS.encode(tone(44_100, 20)), 50 * 44_100),
        "opus said to be longer": ogg_that_says(OPUS.encode(tone(48_000, 2)), 50 * 48_000),
        "ogg with something between its pages": OPUS.encode(tone(48_000)) + bytes(9_000),
    }),
)  # fmt: skip
def test_a_header_that_lies(body: bytes) -> None:
    with pytest.raises(LyingHeader):
        decode(body, max_s=MAX_S)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("kind", ["<f4", "<f8"])
@pytest.mark.parametrize("at", [0, 299_999])
def test_samples_that_are_not_numbers(bad: float, kind: str, at: int) -> None:
    sound = np.zeros(300_000, kind)
    sound[at] = bad

    with pytest.raises(InvalidSamples):
        decode(wav(sound.tobytes(), tag=3, bits=8 * sound.itemsize), max_s=MAX_S)


def test_the_longest_clip_passes_and_a_sample_more_does_not() -> None:
    decode(wav(bytes(2 * 16_000 * 60)), max_s=MAX_S)

    with pytest.raises(AudioTooLong):
        decode(wav(bytes(2 * 16_000 * 60 + 2)), max_s=MAX_S)


@given(st.binary(max_size=4000))
def test_any_bytes_are_sound_or_a_foreseen_error(body: bytes) -> None:
    _sound_or_error(body)


@given(
    st.sampled_from(["RIFF", "fLaC", "OggS", "ID3\x04", "\xff\xfb\x90\xc4", "\0\0\0\x20ftyp"]), st.binary(max_size=2000)
)
def test_any_bytes_behind_a_known_beginning(start: str, rest: bytes) -> None:
    _sound_or_error(start.encode("latin-1") + rest)
    _sound_or_error(wav(rest)[:36] + rest)


SHORT = [form.encode(tone(form.rate_hz, 0.2, channels=2)) for form in FORMS]


@given(st.sampled_from(SHORT), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8))
def test_damaged_files_are_sound_or_a_foreseen_error(body: bytes, damage: list[tuple[int, int]]) -> None:
    damaged = bytearray(body)
    for place, byte in damage:
        damaged[place % (200 if place % 2 else len(damaged))] = byte
    _sound_or_error(bytes(damaged))


def _sound_or_error(body: bytes) -> None:
    try:
        pcm = decode(body, max_s=MAX_S)
    except VoiceIdError as error:
        assert error.status in {413, 415, 422}  # noqa: PT017 - either outcome is right, a third is not
    else:
        assert isinstance(pcm, Pcm)
        assert pcm.samples.ndim == 1
        assert pcm.samples.dtype == np.float32
        assert np.isfinite(pcm.samples).all()
        assert 0 <= pcm.clipping <= 1


# --- clipping, keeping -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "ULAW"])
def test_clipping_is_measured_at_the_source(coding: str) -> None:
    """A tenth of the samples at full scale, at a rate that resampling would smooth."""
    sound = np.full((48_000, 1), 0.1, np.float32)
    sound[::20], sound[10::20] = 1, -1

    assert decode(Form("", "WAV", coding, 48_000).encode(sound), max_s=MAX_S).clipping == pytest.approx(0.1)


def test_sound_below_full_scale_does_not_clip() -> None:
    assert decode(WAV.encode(tone(16_000, size=0.97)), max_s=MAX_S).clipping == 0


def test_what_is_kept_comes_back() -> None:
    pcm = decode(WAV.encode(tone(16_000, size=0.7)), max_s=MAX_S)

    again = from_flac(to_flac(pcm))
    assert again.samples == pytest.approx(pcm.samples, abs=2**-15)
    assert np.array_equal(from_flac(to_flac(again)).samples, again.samples)


def test_what_overshoots_is_kept_clipped_not_wrapped() -> None:
    loud = Pcm(np.array([1.5, -1.5, 0.0] * 1000, np.float32))

    kept = from_flac(to_flac(loud))
    assert kept.samples[:3] == pytest.approx([1, -1, 0], abs=1e-4)
    assert kept.clipping == pytest.approx(2 / 3)


def test_kept_sound_may_be_longer_than_a_request() -> None:
    assert from_flac(to_flac(Pcm(np.zeros(16_000 * 61, np.float32)))).duration_s == 61


def test_a_damaged_recording_is_an_error_not_silence() -> None:
    content = bytearray(to_flac(Pcm(np.random.default_rng(3).normal(0, 0.1, 48_000).astype(np.float32))))
    content[len(content) // 2] ^= 0xFF

    with pytest.raises(VoiceIdError):
        from_flac(bytes(content))

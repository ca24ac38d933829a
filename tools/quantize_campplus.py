"""Make campplus-int8.onnx from campplus.onnx and recordings: half the time, nearly the same numbers.

    python tools/quantize_campplus.py ../shared/speech/dev [--into voiceid/encode/models]

Needs onnx beside the base installation. The clips of half a of the speakers, those that calibration looks at, tell how
large the numbers become at each place and which of them come together; half b is compared.

Weights are rounded one input after the other, each time moving what was lost to the inputs that follow, given how they
come together (arXiv:2210.17323). No two neighbours of one sign exceed 128 together: processors without dot products
add two of their products in 16 bits, and what does not fit there would be cut off on those, and only on those.
"""

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from campplus_graph import Floats, Graph, Layer, Plan, Range, Weights, Whole, build
from model_files import MODELS, ROOT, write_model
from numpy.typing import NDArray

sys.path.insert(0, str(ROOT))

from voiceid.decode import decode
from voiceid.encode.fbank import centred, log_mel
from voiceid.evaluate.corpora import CONTENT_TYPES, Half, half, read_corpus
from voiceid.speech import SpeechCheck
from voiceid.types import Speech

Features = NDArray[np.float32]
CLIPS = 200
"""Clips of half a that are looked at."""
COMPARED = 120
ROWS = 120
"""Positions per clip and layer, in every fourth clip."""
_LOUD = 0.995
"""Share of a channel's numbers that its scale makes equally large."""
_DAMPING = 0.01
_BATCH = 64
_LIMIT = 127
_PAIR = 128
LARGEST_BYTES = 10_500_000
SMALLEST_COSINE = 0.99


def main() -> None:
    """Measure, round, compare, write."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("corpus", type=Path)
    options.add_argument("--into", type=Path, default=MODELS)
    chosen = options.parse_args()
    plain = MODELS / "campplus.onnx"
    weights = Weights(plain)
    seen = list(islice(features(chosen.corpus, "a"), CLIPS))
    _even_out(weights, seen)
    plan = _plan(weights, seen)
    _, model = build(weights, plan)
    content = model.SerializeToString()
    agreement = compare(plain, content, islice(features(chosen.corpus, "b"), COMPARED))
    if len(content) > LARGEST_BYTES:
        sys.exit(f"campplus-int8.onnx has {len(content)} bytes, more than {LARGEST_BYTES}")
    facts = {
        "input": "features (batch, frames, 80) float32: log-mel less its mean over the clip",
        "output": "embedding (batch, 192) float32, not normalized; turns (batch, cuts) float32, cosines",
        "made_from": {"network": "campplus.onnx", "corpus": chosen.corpus.name, "half": "a", "clips": len(seen)},
        "made_with": {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__, "numpy": np.__version__},
        "agreement_with_campplus": agreement,
        "licence": "Apache-2.0",
    }
    write_model(chosen.into, "campplus-int8", content, facts, {"clips": len(seen), **agreement})


def features(corpus: Path, which: Half) -> Iterator[Features]:
    """What the encoder would be given of each clip, speaker by speaker, one clip of each at a time."""
    check = SpeechCheck.shipped()
    people = half(read_corpus(corpus), which)
    for number in range(max(len(person.clips) for person in people)):
        for clip in (person.clips[number] for person in people if number < len(person.clips)):
            heard = check(decode(clip.read_bytes(), CONTENT_TYPES[clip.suffix], max_s=60))
            if isinstance(heard, Speech):
                yield centred(log_mel(heard.samples))


def compare(plain: Path, made: bytes, clips: Iterable[Features]) -> dict[str, Any]:
    """Cosines between the embeddings of both networks."""
    first, second = onnxruntime.InferenceSession(plain), onnxruntime.InferenceSession(made)
    cosines = []
    for clip in clips:
        one, other = (session.run(None, {"features": clip[None]})[0][0] for session in (first, second))
        cosines.append(float(one @ other / np.linalg.norm(one) / np.linalg.norm(other)))
    if min(cosines) < SMALLEST_COSINE:
        sys.exit(f"the networks disagree: cosine {min(cosines)}")
    return {
        "compared": len(cosines),
        "smallest_cosine": round(min(cosines), 4),
        "median_cosine": round(float(np.median(cosines)), 4),
    }


def _places(weights: Weights, clips: Iterable[Features]) -> Iterator[tuple[Graph, dict[str, Any]]]:
    """The network in single precision, and what stands at each of its places, clip by clip."""
    graph, model = build(weights)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "measured.onnx"
        onnx.save(model, path)
        session = onnxruntime.InferenceSession(path)
    names = list(dict.fromkeys(graph.places.values()))
    for clip in clips:
        found = dict(zip(names, session.run(names, {"features": clip[None]}), strict=True))
        yield graph, {place: found[name][0] for place, name in graph.places.items()}


def _even_out(weights: Weights, seen: list[Features]) -> None:
    """Make the channels of each layer's own convolution equally loud: its mask, which evens them too, comes later."""
    loudest: dict[str, Floats] = {}
    for _, held in _places(weights, seen[::4]):
        for name in weights.local:
            loud = np.quantile(np.abs(held[f"{name}/v"]), _LOUD, axis=0)
            loudest[name] = np.maximum(loudest.get(name, loud), loud)
    weights.local = {name: 1 / np.maximum(loud, 1e-6) for name, loud in loudest.items()}


def _plan(weights: Weights, seen: list[Features]) -> Plan:
    """Ranges that hold whatever was seen, and weights that lose least on it."""
    chance = np.random.default_rng(0)
    ends: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    together: dict[str, Any] = defaultdict(float)
    total: dict[str, Any] = defaultdict(float)
    rows: dict[str, int] = defaultdict(int)
    layers: dict[str, Layer] = {}
    for number, (graph, held) in enumerate(_places(weights, seen)):
        layers = graph.layers
        for place, values in held.items():
            low, high = ends[place]
            ends[place] = min(low, float(values.min())), max(high, float(values.max()))
        for place, layer in layers.items() if number % 4 == 0 else ():
            read = columns(held[layer.reads], layer, chance)
            together[place] += read.T @ read
            total[place] += read.sum(axis=0)
            rows[place] += len(read)
    rounded = {}
    for place, layer in layers.items():
        moments = together.pop(place).astype(np.float64) / rows[place]
        rounded[place] = rounding(layer, moments, total[place].astype(np.float64) / rows[place])
    return Plan({place: Range.over(*both) for place, both in ends.items()}, rounded)


def columns(values: Features, layer: Layer, chance: np.random.Generator) -> Features:
    """What a layer multiplies its weights with, at some positions: (*space, in) -> (positions, taps * in)."""
    taps = layer.kernel.shape[2:]
    space = len(taps)
    values = values.reshape(*values.shape[:space], -1)
    strides, dilations = (layer.geometry.get(name, [1] * space) for name in ("strides", "dilations"))
    pads = layer.geometry.get("pads", [0] * 2 * space)
    values = np.pad(values, [*zip(pads[:space], pads[space:], strict=True), (0, 0)])
    reach = [
        (size - gap * (tap - 1) - 1) // stride + 1
        for size, tap, gap, stride in zip(values.shape, taps, dilations, strides, strict=False)
    ]
    total = int(np.prod(reach))
    at = np.unravel_index(chance.choice(total, min(total, ROWS), replace=False), reach)
    shifted = [
        values[tuple(at[axis] * strides[axis] + tap[axis] * dilations[axis] for axis in range(space))]
        for tap in np.ndindex(*taps)
    ]
    return np.concatenate(shifted, axis=1)


def rounding(layer: Layer, together: Floats, mean: Floats) -> Whole:
    """Whole numbers for a layer's weights, given the second moments and means of what they are multiplied with."""
    kernel = layer.kernel
    count = len(kernel)
    flat = np.moveaxis(kernel.reshape(count, kernel.shape[1], -1), 1, -1).reshape(count, -1)
    scale = np.maximum(np.maximum(np.abs(flat), _pairs(flat)).max(axis=1) / _LIMIT, 1e-12)
    size = flat.shape[1]
    damped = together + np.eye(size) * (_DAMPING * np.mean(np.diag(together)) + 1e-12)
    spread = np.linalg.cholesky(np.linalg.inv(damped)).T
    left, whole = flat.copy(), np.zeros_like(flat)
    for first in range(0, size, _BATCH):
        end = min(first + _BATCH, size)
        lost = np.zeros((count, end - first))
        for column in range(first, end):
            chosen = np.clip(np.round(left[:, column] / scale), -_LIMIT, _LIMIT)
            if column % 2:
                before = whole[:, column - 1]
                chosen = np.clip(
                    chosen, np.where(before < 0, -_PAIR - before, -_LIMIT), np.where(before > 0, _PAIR - before, _LIMIT)
                )
            whole[:, column] = chosen
            lost[:, column - first] = (left[:, column] - chosen * scale) / spread[column, column]
            left[:, column + 1 : end] -= lost[:, column - first, None] * spread[column, column + 1 : end]
        left[:, end:] -= lost @ spread[first:end, end:]
    bias = layer.bias + (flat - whole * scale[:, None]) @ mean
    shaped = np.moveaxis(whole.reshape(count, *kernel.shape[2:], kernel.shape[1]), -1, 1)
    return Whole(shaped.astype(np.int8), scale, bias)


def _pairs(flat: Floats) -> Floats:
    """What two neighbours of one sign make together, at both of their places."""
    both = [np.maximum(sign * flat, 0).reshape(len(flat), -1, 2).sum(axis=2) for sign in (1, -1)]
    return np.repeat(np.maximum(*both), 2, axis=1)


if __name__ == "__main__":
    main()

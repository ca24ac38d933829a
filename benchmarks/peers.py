"""Others who do the same. A peer that is not installed is said to be missing."""

import importlib
import importlib.util
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path

from voiceid.types import SAMPLE_RATE_HZ, Samples

SHERPA = "sherpa-onnx"
_METADATA = {
    "framework": "3d-speaker", "language": "Chinese-English", "url": "", "comment": "", "sample_rate": "16000",
    "output_dim": "192", "normalize_samples": "1", "feature_normalize_type": "global-mean",
}  # fmt: skip
"""What sherpa-onnx reads from a speaker model to know its features; ours are the same."""


def sherpa(folder: Path) -> Callable[[Samples], object] | None:
    """Waveform to embedding by sherpa-onnx with our CAM++ on one thread; None if it is not installed."""
    if importlib.util.find_spec("sherpa_onnx") is None:
        return None
    library = importlib.import_module("sherpa_onnx")
    model = folder / "campplus.onnx"
    with as_file(files("voiceid") / "encode" / "models" / "campplus.onnx") as ours:
        model.write_bytes(ours.read_bytes() + b"".join(_entry(*pair) for pair in _METADATA.items()))
    extractor = library.SpeakerEmbeddingExtractor(
        library.SpeakerEmbeddingExtractorConfig(model=str(model), num_threads=1, provider="cpu")
    )

    def embed(samples: Samples) -> object:
        stream = extractor.create_stream()
        stream.accept_waveform(SAMPLE_RATE_HZ, samples)
        stream.input_finished()
        return extractor.compute(stream)

    return embed


def _entry(name: str, value: str) -> bytes:
    """One entry of an ONNX model's `metadata_props`: protocol buffers may be extended at the end."""
    inner = b"".join(bytes([tag, len(word)]) + word.encode() for tag, word in ((0x0A, name), (0x12, value)))
    return bytes([0x72, len(inner)]) + inner

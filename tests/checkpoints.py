"""A small checkpoint in SpeechBrain's format, and the folder that it lies in."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voiceid.encode import pins
from voiceid.encode.ecapa import Ecapa
from voiceid.types import SAMPLE_RATE_HZ, Quality, Speech

AS_PUBLISHED = """\
n_mels: {n_mels}
pretrained_path: speechbrain/spkrec-ecapa-voxceleb
out_n_neurons: {speakers}

compute_features: !new:speechbrain.lobes.features.Fbank
    n_mels: !ref <n_mels>{features}

mean_var_norm: !new:speechbrain.processing.features.InputNormalization
    norm_type: sentence
    std_norm: False

embedding_model: !new:speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN
    input_size: !ref <n_mels>
    channels: {channels}
    kernel_sizes: [5, 3, 3, 3, 1]
    dilations: [1, 2, 3, 4, 1]
    attention_channels: {attention}
    lin_neurons: {dim}

classifier: !new:speechbrain.lobes.models.ECAPA_TDNN.Classifier
    input_size: {dim}
    out_neurons: !ref <out_n_neurons>

mean_var_norm_emb: !new:speechbrain.processing.features.InputNormalization
    norm_type: global
    std_norm: False

modules:
    compute_features: !ref <compute_features>
    mean_var_norm: !ref <mean_var_norm>
    embedding_model: !ref <embedding_model>
    mean_var_norm_emb: !ref <mean_var_norm_emb>
    classifier: !ref <classifier>

label_encoder: !new:speechbrain.dataio.encoder.CategoricalEncoder

pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        embedding_model: !ref <embedding_model>
        mean_var_norm_emb: !ref <mean_var_norm_emb>
        classifier: !ref <classifier>
        label_encoder: !ref <label_encoder>
    paths:
        embedding_model: !ref <pretrained_path>/embedding_model.ckpt
        mean_var_norm_emb: !ref <pretrained_path>/mean_var_norm_emb.ckpt
        classifier: !ref <pretrained_path>/classifier.ckpt
        label_encoder: !ref <pretrained_path>/label_encoder.txt
"""
"""The layout in which such checkpoints are published, with gaps for the numbers."""

CHANNELS, DIM, SPEAKERS = [16, 16, 16, 16, 48], 24, 3
SMALL = AS_PUBLISHED.format(n_mels=20, speakers=SPEAKERS, features="", channels=CHANNELS, attention=8, dim=DIM)


def sung(pitch_hz: float, seconds: float = 1.5) -> Speech:
    """Something with pitch and breath in it; no two pitches alike."""
    noise = np.random.default_rng(int(pitch_hz)).standard_normal(int(seconds * SAMPLE_RATE_HZ))
    t = np.arange(len(noise)) / SAMPLE_RATE_HZ
    tone = sum(np.sin(2 * np.pi * pitch_hz * k * t) / k for k in range(1, 9))
    samples = (0.1 * tone * (1 + 0.5 * np.sin(2 * np.pi * 3 * t)) + 0.01 * noise).astype(np.float32)
    samples.flags.writeable = False
    return Speech(samples, Quality(seconds, seconds, -20.0, 20.0, 0.0))


@dataclass(frozen=True)
class Place:
    """A folder with a checkpoint, and the operator's directory of models beside it."""

    folder: Path
    models_dir: Path

    @property
    def hyperparams(self) -> Path:
        return self.folder / pins.HYPERPARAMS

    @property
    def weights(self) -> Path:
        return self.folder / pins.WEIGHTS

    def vouched(self) -> "Place":
        """Write down what lies there now, without a look at it."""
        now = {path.name: pins.file_sha256(path) for path in (self.hyperparams, self.weights)}
        pins.vouch(self.folder, self.models_dir, now)
        return self

    def open(self) -> Ecapa:
        return Ecapa.open(str(self.folder), self.models_dir)


def lay_out(at: Path) -> Place:
    """A checkpoint whose weights are none: enough for every check that comes before torch."""
    place = Place(at / "checkpoint", at / "models")
    place.folder.mkdir()
    place.hyperparams.write_text(SMALL)
    place.weights.write_bytes(b"weights")
    return place

"""SpeechBrain's own parts, to make a checkpoint with and to compare with. Tests import this when they run."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchaudio
from checkpoints import DIM, SMALL, SPEAKERS
from speechbrain.dataio.encoder import CategoricalEncoder
from speechbrain.inference.classifiers import EncoderClassifier
from speechbrain.lobes.features import Fbank
from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN, Classifier
from speechbrain.processing.features import InputNormalization
from speechbrain.utils.checkpoints import torch_save
from speechbrain.utils.fetching import FetchConfig, LocalStrategy
from speechbrain.utils.importutils import LazyModule

from voiceid.encode import pins
from voiceid.encode.hyperparams import read_recipe

# SpeechBrain leaves modules behind that import themselves, with a warning or an error, as soon as anyone asks for their
# `__file__`; Hypothesis asks every module that is loaded.
for _name in [name for name, module in sys.modules.items() if isinstance(module, LazyModule)]:
    del sys.modules[_name]


def parts(seed: int, text: str = SMALL) -> dict[str, Any]:
    """Features, normalization and network as torch modules, built by hand."""
    recipe = read_recipe(text)
    torch.manual_seed(seed)
    built = {
        "compute_features": Fbank(**recipe.features),
        "mean_var_norm": InputNormalization(**recipe.normalization),
        "embedding_model": ECAPA_TDNN(**recipe.network),
    }
    for norm in built["embedding_model"].modules():  # statistics as after training, not 0 and 1
        if isinstance(norm, torch.nn.BatchNorm1d):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 1.5)
    return {name: module.eval() for name, module in built.items()}


def save(folder: Path, seed: int, text: str = SMALL) -> dict[str, Any]:
    """Write a checkpoint the way SpeechBrain does."""
    modules = parts(seed, text)
    torch_save(modules["embedding_model"], folder / "embedding_model.ckpt")
    torch_save(Classifier(DIM, out_neurons=SPEAKERS), folder / "classifier.ckpt")
    statistics = InputNormalization(norm_type="global", std_norm=False)
    statistics(torch.randn(4, 9, DIM), torch.ones(4))
    statistics._save(folder / "mean_var_norm_emb.ckpt")
    labels = CategoricalEncoder()
    labels.update_from_iterable(["ada", "ben", "cleo"])
    labels.save(folder / "label_encoder.txt")
    (folder / pins.HYPERPARAMS).write_text(text)
    return modules


def by_hand(modules: dict[str, Any], samples: np.ndarray) -> np.ndarray:
    """One unit vector, from the modules themselves."""
    with torch.no_grad():
        features = modules["compute_features"](torch.tensor(samples)[None])
        features = modules["mean_var_norm"](features, torch.ones(1))
        vector = modules["embedding_model"](features, torch.ones(1)).numpy().ravel()
    return np.asarray(vector / np.linalg.norm(vector))


def embedded_by_speechbrain(folder: Path, samples: np.ndarray) -> np.ndarray:
    """One unit vector, from SpeechBrain's own loader on the folder as it is: classifier, labels, statistics and all."""
    classifier = EncoderClassifier.from_hparams(
        source=str(folder),
        overrides={"pretrained_path": str(folder)},  # or it would ask the hub
        local_strategy=LocalStrategy.NO_LINK,
        fetch_config=FetchConfig(allow_network=False),
    )
    vector = classifier.encode_batch(torch.tensor(samples)[None]).numpy().ravel()
    return np.asarray(vector / np.linalg.norm(vector))


def features_both_ways(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the checkpoint's `Fbank` makes of a clip, and what it makes of torchaudio's spectrum; in decibels."""
    fbank = parts(seed=1)["compute_features"]
    wave = torch.tensor(samples)[None]
    spectrum = torchaudio.transforms.Spectrogram(
        n_fft=400, hop_length=160, window_fn=torch.hamming_window, power=2, pad_mode="constant"
    )
    return fbank(wave)[0].numpy(), fbank.compute_fbanks(spectrum(wave).transpose(1, 2))[0].numpy()

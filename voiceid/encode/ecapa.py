"""SpeechBrain's ECAPA-TDNN, for whoever prefers it to the shipped encoder (extra `speechbrain`).

The only importer of torch, torchaudio and speechbrain, and only once a checkpoint has passed every check. What is
loaded, and why that is safe: the weights are copied to a private directory and their sha256 is proven on the copy;
they are read with `weights_only=True`, which admits tensors and nothing else; the network is built from a file that we
wrote ourselves out of plain numbers (see `hyperparams.py`); SpeechBrain's loader is forbidden the network.
"""

import importlib
import pickle
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from voiceid.encode import pins
from voiceid.encode.hyperparams import Recipe, read_recipe
from voiceid.errors import MissingExtra, ModelDamaged, ModelUnavailable, UnpinnedModel
from voiceid.types import SAMPLE_RATE_HZ, Embedding, ModelId, Speech

_UNFIT = (RuntimeError, TypeError, ValueError, AssertionError, LookupError, AttributeError, EOFError)
"""What torch and SpeechBrain raise over a checkpoint that they cannot use."""


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    """What passed the checks that need no torch."""

    recipe: Recipe
    weights: Path
    sha256s: Mapping[str, str]

    @property
    def model_id(self) -> ModelId:
        return ModelId(f"ecapa@{pins.checkpoint_digest(self.sha256s)[:12]}")


class Ecapa:
    """ECAPA-TDNN behind SpeechBrain's `EncoderClassifier`. Shared by all threads; each clip runs on one.

    Source: arXiv:2005.07143; the card in `models/ecapa.md` tells origin, digests and error rates.
    """

    def __init__(self, checkpoint: _Checkpoint) -> None:
        self._torch = _extra("torch")
        self._torchaudio = _extra("torchaudio")
        self._torch.set_num_threads(1)  # clips run side by side: a second thread for one only slows the others
        self._rate_hz = checkpoint.recipe.sample_rate_hz
        self._classifier = _load(checkpoint)
        self._model_id = checkpoint.model_id
        self._dim = checkpoint.recipe.dim

    @classmethod
    def open(
        cls, source: str | Path, models_dir: Path, *, catalogue: Mapping[str, pins.PinnedModel] = pins.PINNED
    ) -> Self:
        """Load a pinned model by its name, or a folder in SpeechBrain's format that the operator vouched for.

        Raises: UnpinnedModel, for any other name, a folder nobody vouched for, or one whose file names code;
            ModelUnavailable, when a file is missing; ModelDamaged, when it is not the file that was pinned;
            MissingExtra, when SpeechBrain is not installed.
        """
        return cls(_checkpoint(source, models_dir, catalogue))

    @property
    def model_id(self) -> ModelId:
        """`ecapa@` and twelve digits of the digest over description and weights."""
        return self._model_id

    @property
    def dim(self) -> int:
        """Length of the embedding: 192 for the published model."""
        return self._dim

    def embed(self, speech: Speech, /) -> Embedding:
        """One point on the unit sphere for the whole clip.

        Raises: ModelDamaged, when the weights give no direction.
        """
        with self._torch.inference_mode():
            wave = self._torch.tensor(speech.samples, dtype=self._torch.float32).unsqueeze(0)
            if self._rate_hz != SAMPLE_RATE_HZ:
                wave = self._torchaudio.functional.resample(wave, SAMPLE_RATE_HZ, self._rate_hz)
            vector = self._classifier.encode_batch(wave).reshape(-1).numpy()
        length = float(np.linalg.norm(vector))
        if not np.isfinite(length) or length == 0.0:
            raise ModelDamaged("the network's answer has no direction")
        return Embedding((vector / length).astype(np.float32), self._model_id)


def trust(folder: Path, models_dir: Path) -> ModelId:
    """Write down the digests of a folder's checkpoint, so that it may be loaded from now on; it is loaded once to see.

    Whoever calls this vouches for the weights: they decide who is taken for whom, and no check can tell good from bad.

    Raises: UnpinnedModel, when one of its files holds code; ModelUnavailable, when one is missing; ModelDamaged, when
        they are no ECAPA-TDNN; MissingExtra.
    """
    text, sha256 = pins.read_hyperparams(folder / pins.HYPERPARAMS)
    weights = folder / pins.WEIGHTS
    sha256s = {pins.HYPERPARAMS: sha256, pins.WEIGHTS: pins.file_sha256(weights)}
    checkpoint = _Checkpoint(read_recipe(text), weights, sha256s)
    model_id = Ecapa(checkpoint).model_id
    pins.vouch(folder, models_dir, sha256s)
    return model_id


def _checkpoint(source: str | Path, models_dir: Path, catalogue: Mapping[str, pins.PinnedModel]) -> _Checkpoint:
    """Find the files of a pinned name or a trusted folder, and read their description."""
    name = pins.find_pinned(str(source), catalogue)
    if name is None:
        return _trusted(Path(source), models_dir)
    weights = models_dir / name / pins.WEIGHTS
    if not weights.is_file():
        raise ModelUnavailable(f"this model is not on this machine yet: voiceid model pull {name}")
    text, sha256 = pins.read_hyperparams(catalogue[name].hyperparams)
    sha256s = {pins.HYPERPARAMS: sha256, pins.WEIGHTS: catalogue[name].files[pins.WEIGHTS].sha256}
    return _Checkpoint(read_recipe(text), weights, sha256s)


def _trusted(folder: Path, models_dir: Path) -> _Checkpoint:
    if not folder.is_dir():
        raise UnpinnedModel("neither a pinned model nor a folder: a hub's name alone could mean anything tomorrow")
    sha256s = pins.trusted_digests(folder, models_dir)
    text, _ = pins.read_hyperparams(folder / pins.HYPERPARAMS, sha256s[pins.HYPERPARAMS])
    return _Checkpoint(read_recipe(text), folder / pins.WEIGHTS, sha256s)


def _load(checkpoint: _Checkpoint) -> Any:
    """Build the network with SpeechBrain's own loader, from a private copy that nobody else can change.

    Raises: ModelDamaged, when the weights are not those of this network.
    """
    torch = _extra("torch")
    classifiers = _extra("speechbrain.inference.classifiers")
    fetching = _extra("speechbrain.utils.fetching")
    with tempfile.TemporaryDirectory(prefix="voiceid-ecapa-") as private:
        here = Path(private)
        pins.copy_verified(checkpoint.weights, here / pins.WEIGHTS, checkpoint.sha256s[pins.WEIGHTS])
        (here / pins.HYPERPARAMS).write_text(checkpoint.recipe.to_yaml(), "utf-8")
        try:
            tensors = torch.load(here / pins.WEIGHTS, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, *_UNFIT) as refused:
            raise UnpinnedModel(f"{pins.WEIGHTS} holds more than tensors, or none: it could run anything") from refused
        try:
            classifier = classifiers.EncoderClassifier.from_hparams(
                source=private,
                run_opts={"device": "cpu"},
                local_strategy=fetching.LocalStrategy.NO_LINK,
                fetch_config=fetching.FetchConfig(allow_network=False),
            )
        except _UNFIT as unfit:
            raise ModelDamaged(f"{pins.WEIGHTS} and {pins.HYPERPARAMS} do not fit together") from unfit
    network = classifier.mods["embedding_model"]
    if set(tensors) != set(network.state_dict()):  # SpeechBrain only warns, and would leave random numbers in place
        raise ModelDamaged(f"{pins.WEIGHTS} lacks layers of the network, or has others")
    return classifier


def _extra(name: str) -> Any:
    """Import a part of the extra `speechbrain`."""
    try:
        return importlib.import_module(name)
    except ImportError as missing:
        raise MissingExtra(f"{name.partition('.')[0]} is missing: pip install 'voiceid[speechbrain]'") from missing

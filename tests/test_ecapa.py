"""The SpeechBrain encoder on a small checkpoint that is made here, saved as SpeechBrain saves, loaded by its loader."""

import os
import pickle
import shlex
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
from checkpoints import DIM, SMALL, SPEAKERS, Place, lay_out, sung

from voiceid.encode import pins
from voiceid.encode.ecapa import Ecapa, trust
from voiceid.encode.hyperparams import read_recipe
from voiceid.errors import ModelDamaged, ModelUnavailable, UnpinnedModel, VoiceIdError

pytestmark = pytest.mark.torch

torch: Any = pytest.importorskip("torch", reason="needs the extra `speechbrain`: make test-speechbrain")
torchaudio: Any = pytest.importorskip("torchaudio")
checkpoints: Any = pytest.importorskip("speechbrain.utils.checkpoints")
encoding: Any = pytest.importorskip("speechbrain.dataio.encoder")
fetching: Any = pytest.importorskip("speechbrain.utils.fetching")
inference: Any = pytest.importorskip("speechbrain.inference.classifiers")
lobes: Any = pytest.importorskip("speechbrain.lobes.features")
networks: Any = pytest.importorskip("speechbrain.lobes.models.ECAPA_TDNN")
processing: Any = pytest.importorskip("speechbrain.processing.features")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return lay_out(tmp_path)


@pytest.fixture
def saved(place: Place) -> Place:
    save(place.folder, seed=1)
    return place


def parts(seed: int, text: str = SMALL) -> dict[str, Any]:
    """Features, normalization and network as torch modules, built by hand."""
    recipe = read_recipe(text)
    torch.manual_seed(seed)
    built = {
        "compute_features": lobes.Fbank(**recipe.features),
        "mean_var_norm": processing.InputNormalization(**recipe.normalization),
        "embedding_model": networks.ECAPA_TDNN(**recipe.network),
    }
    for norm in built["embedding_model"].modules():  # statistics as after training, not 0 and 1
        if isinstance(norm, torch.nn.BatchNorm1d):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 1.5)
    return {name: module.eval() for name, module in built.items()}


def save(folder: Path, seed: int, text: str = SMALL) -> dict[str, Any]:
    """Write a checkpoint the way SpeechBrain does."""
    modules = parts(seed, text)
    checkpoints.torch_save(modules["embedding_model"], folder / "embedding_model.ckpt")
    checkpoints.torch_save(networks.Classifier(DIM, out_neurons=SPEAKERS), folder / "classifier.ckpt")
    statistics = processing.InputNormalization(norm_type="global", std_norm=False)
    statistics(torch.randn(4, 9, DIM), torch.ones(4))
    statistics._save(folder / "mean_var_norm_emb.ckpt")
    labels = encoding.CategoricalEncoder()
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


@pytest.mark.parametrize("file", [pins.HYPERPARAMS, pins.WEIGHTS])
def test_a_file_changed_after_the_vouching_is_refused(saved: Place, file: str) -> None:
    """Also where the change would do no harm: a remark, a byte after the end."""
    saved.vouched()
    with (saved.folder / file).open("a") as changed:
        changed.write("#")

    with pytest.raises(ModelDamaged, match=f"{file} does not have the sha256"):
        saved.open()


@pytest.mark.parametrize("file", [pins.HYPERPARAMS, pins.WEIGHTS])
def test_a_missing_file_is_named(saved: Place, file: str) -> None:
    saved.vouched()
    (saved.folder / file).unlink()

    with pytest.raises(ModelUnavailable, match=f"{file} is not there"):
        saved.open()


def test_the_canary_would_have_sung(place: Place, tmp_path: Path) -> None:
    """Control: SpeechBrain's own loader runs such a file."""
    canary = tmp_path / "canary"
    place.hyperparams.write_text(f"x: !apply:os.system ['touch {shlex.quote(str(canary))}']\npretrainer: nothing\n")
    with pytest.raises(AttributeError):  # later, over the pretrainer
        inference.EncoderClassifier.from_hparams(source=str(place.folder))

    assert canary.exists()


class _Bomb:
    """A pickle that runs a command when it is read."""
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {shlex.quote(str(self.canary))}",)


def test_weights_that_hold_code_are_refused_and_nothing_runs(
    saved: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    canary = tmp_path / "canary"
    torch.save({"fc.conv.weight": _Bomb(canary)}, saved.weights)
    saved.vouched()
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # an operator's shell must not open the door either

    for refuse in (saved.open, lambda: trust(saved.folder, saved.models_dir)):
        with pytest.raises(UnpinnedModel, match="more than tensors"):
            refuse()
    assert not canary.exists()

    torch.load(saved.weights, weights_only=False)  # control: it would have sung
    assert canary.exists()


def test_it_embeds_as_the_modules_do_by_hand(saved: Place) -> None:
    modules = parts(seed=1)
    trust(saved.folder, saved.models_dir)
    encoder = saved.open()

    for pitch_hz in (110, 220):
        speech = sung(pitch_hz)
        embedding = encoder.embed(speech)
        assert embedding.vector.shape == (encoder.dim,) == (DIM,)
        assert embedding.vector.dtype == np.float32
        assert embedding.model_id == encoder.model_id
        assert np.linalg.norm(embedding.vector) == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(embedding.vector, by_hand(modules, speech.samples), atol=1e-6)

    assert encoder.embed(sung(110)).vector @ encoder.embed(sung(220)).vector < 0.999


def test_it_embeds_as_speechbrain_does_with_the_folder_itself(saved: Place) -> None:
    """SpeechBrain reads the whole folder, classifier and labels too; we read two files and write one anew."""
    theirs = inference.EncoderClassifier.from_hparams(
        source=str(saved.folder),
        overrides={"pretrained_path": str(saved.folder)},  # or it would ask the hub
        local_strategy=fetching.LocalStrategy.NO_LINK,
        fetch_config=fetching.FetchConfig(allow_network=False),
    )
    speech = sung(150)
    expected = theirs.encode_batch(torch.tensor(speech.samples)[None]).numpy().ravel()

    found = saved.vouched().open().embed(speech).vector

    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-6)


def test_the_features_are_those_that_torchaudio_computes(saved: Place) -> None:
    """The spectrum is compared; SpeechBrain's mel triangles are its own, and the checkpoint was trained on them."""
    fbank = parts(seed=1)["compute_features"]
    wave = torch.tensor(sung(180).samples)[None]
    spectrum = torchaudio.transforms.Spectrogram(
        n_fft=400, hop_length=160, window_fn=torch.hamming_window, power=2, pad_mode="constant"
    )

    theirs = spectrum(wave).transpose(1, 2)

    torch.testing.assert_close(processing.spectral_magnitude(fbank.compute_STFT(wave)), theirs, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fbank(wave), fbank.compute_fbanks(theirs), rtol=1e-4, atol=1e-3)


def test_a_checkpoint_of_another_rate_gets_its_rate(place: Place) -> None:
    """It is torchaudio that resamples; soxr, which is none of its code, agrees."""
    text = SMALL.replace("    n_mels: !ref <n_mels>\n", "    n_mels: !ref <n_mels>\n    sample_rate: 8000\n", 1)
    modules = save(place.folder, seed=3, text=text)
    speech = sung(130)

    found = place.vouched().open().embed(speech).vector

    assert found @ by_hand(modules, soxr.resample(speech.samples, 16_000, 8_000)) > 0.999
    assert found @ by_hand(modules, speech.samples) < 0.999


def test_the_id_follows_the_files(saved: Place) -> None:
    first = trust(saved.folder, saved.models_dir)
    assert first == saved.open().model_id
    assert len(bytes.fromhex(first.removeprefix("ecapa@"))) == 6

    save(saved.folder, seed=2)
    second = trust(saved.folder, saved.models_dir)
    saved.hyperparams.write_text(f"# a remark\n{SMALL}")
    third = trust(saved.folder, saved.models_dir)

    assert len({first, second, third}) == 3
    save(saved.folder, seed=1)
    assert trust(saved.folder, saved.models_dir) == first


def pinned(place: Place) -> dict[str, pins.PinnedModel]:
    """Lay the checkpoint out as `voiceid model pull` does, and pin it."""
    home = place.models_dir / "small"
    home.mkdir(parents=True)
    place.weights.rename(home / pins.WEIGHTS)
    published = pins.Pin(pins.file_sha256(home / pins.WEIGHTS), (home / pins.WEIGHTS).stat().st_size)
    return {"small": pins.PinnedModel("someone/small", "0" * 40, {pins.WEIGHTS: published}, place.hyperparams)}


@pytest.mark.parametrize("name", ["small", "someone/small"])
def test_a_pinned_model_loads_by_either_name(saved: Place, name: str) -> None:
    catalogue = pinned(saved)

    encoder = Ecapa.open(name, saved.models_dir, catalogue=catalogue)

    np.testing.assert_allclose(
        encoder.embed(sung(140)).vector, by_hand(parts(seed=1), sung(140).samples), atol=1e-6
    )  # fmt: skip


def test_a_pinned_model_with_other_weights_is_refused(saved: Place) -> None:
    catalogue = pinned(saved)
    with (saved.models_dir / "small" / pins.WEIGHTS).open("ab") as file:
        file.write(b"\0")

    with pytest.raises(ModelDamaged, match=pins.WEIGHTS):
        Ecapa.open("small", saved.models_dir, catalogue=catalogue)


def _without_a_layer(tensors: dict[str, Any]) -> Any:
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("fc.")}


def _with_a_layer_more(tensors: dict[str, Any]) -> Any:
    return tensors | {"extra.weight": tensors["fc.conv.weight"]}


def _of_another_shape(tensors: dict[str, Any]) -> Any:
    return tensors | {"fc.conv.weight": tensors["fc.conv.weight"][:-1]}


@pytest.mark.parametrize("change", [_without_a_layer, _with_a_layer_more, _of_another_shape, list, len])
def test_weights_of_another_network_are_refused(saved: Place, change: Callable[[Any], Any]) -> None:
    """SpeechBrain itself would warn and go on with random numbers."""
    torch.save(change(dict(parts(seed=1)["embedding_model"].state_dict())), saved.weights)

    with pytest.raises(ModelDamaged, match=pins.WEIGHTS):
        saved.vouched().open()
    with pytest.raises(ModelDamaged):
        trust(saved.folder, saved.models_dir)


def test_weights_that_are_no_checkpoint_are_refused(saved: Place) -> None:
    for content in (b"", b"weights", pickle.dumps({"a": 1}, protocol=2), saved.weights.read_bytes()[:1000]):
        saved.weights.write_bytes(content)
        with pytest.raises(VoiceIdError, match=pins.WEIGHTS):
            saved.vouched().open()


def test_an_answer_without_direction_is_an_error(saved: Place) -> None:

    tensors = parts(seed=1)["embedding_model"].state_dict()
    torch.save({name: tensor * torch.nan if tensor.is_floating_point() else tensor for name, tensor in tensors.items()},
               saved.weights)  # fmt: skip

    with pytest.raises(ModelDamaged, match="no direction"):
        saved.vouched().open().embed(sung(120))


def test_it_is_shared_by_threads_and_each_clip_runs_on_one(saved: Place) -> None:

    encoder = saved.vouched().open()
    clips = [sung(100 + 10 * step) for step in range(8)]
    expected = [encoder.embed(clip).vector for clip in clips]

    with ThreadPoolExecutor(4) as pool:
        threads = set(pool.map(lambda _: torch.get_num_threads(), range(8)))
        found = list(pool.map(lambda clip: encoder.embed(clip).vector, clips * 4))

    assert threads == {1}
    np.testing.assert_allclose(found, expected * 4, atol=1e-6)


def test_nothing_stays_in_the_temporary_directory(
    saved: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    saved.vouched().open().embed(sung(120))
    saved.weights.write_bytes(b"other")
    with pytest.raises(ModelDamaged):
        saved.open()

    assert list(scratch.iterdir()) == []

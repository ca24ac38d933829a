"""The SpeechBrain encoder on a small checkpoint that is made here, saved as SpeechBrain saves, loaded by its loader."""

import hashlib
import importlib
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
from checkpoints import DIM, SMALL, Place, lay_out, sung
from hub import serving

from voiceid.encode import pins
from voiceid.encode.ecapa import Ecapa, trust
from voiceid.encode.pull import pull
from voiceid.errors import ModelDamaged, ModelUnavailable, UnpinnedModel, VoiceIdError

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def sb() -> Any:
    """SpeechBrain's parts; imported here and not above, for whoever only collects the tests."""
    return importlib.import_module("speechbrain_parts")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return lay_out(tmp_path)


@pytest.fixture
def saved(place: Place, sb: Any) -> Place:
    sb.save(place.folder, seed=1)
    return place


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


def test_the_canary_would_have_sung(sb: Any, place: Place, tmp_path: Path) -> None:
    """Control: SpeechBrain's own loader runs such a file."""
    canary = tmp_path / "canary"
    place.hyperparams.write_text(f"x: !apply:os.system ['touch {shlex.quote(str(canary))}']\npretrainer: nothing\n")
    with pytest.raises(AttributeError):  # later, over the pretrainer
        sb.EncoderClassifier.from_hparams(source=str(place.folder))

    assert canary.exists()


class _Bomb:
    """A pickle that runs a command when it is read."""
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {shlex.quote(str(self.canary))}",)


def test_weights_that_hold_code_are_refused_and_nothing_runs(
    sb: Any, saved: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    canary = tmp_path / "canary"
    sb.torch.save({"fc.conv.weight": _Bomb(canary)}, saved.weights)
    saved.vouched()
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # an operator's shell must not open the door either

    for refuse in (saved.open, lambda: trust(saved.folder, saved.models_dir)):
        with pytest.raises(UnpinnedModel, match="more than tensors"):
            refuse()
    assert not canary.exists()

    sb.torch.load(saved.weights, weights_only=False)  # control: it would have sung
    assert canary.exists()


def test_it_embeds_as_the_modules_do_by_hand(sb: Any, saved: Place) -> None:
    modules = sb.parts(seed=1)
    trust(saved.folder, saved.models_dir)
    encoder = saved.open()

    for pitch_hz in (110, 220):
        speech = sung(pitch_hz)
        embedding = encoder.embed(speech)
        assert embedding.vector.shape == (encoder.dim,) == (DIM,)
        assert embedding.vector.dtype == np.float32
        assert embedding.model_id == encoder.model_id
        assert np.linalg.norm(embedding.vector) == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(embedding.vector, sb.by_hand(modules, speech.samples), atol=1e-6)

    assert encoder.embed(sung(110)).vector @ encoder.embed(sung(220)).vector < 0.999


def test_it_embeds_as_speechbrain_does_with_the_folder_itself(sb: Any, saved: Place) -> None:
    """SpeechBrain reads the whole folder, classifier and labels too; we read two files and write one anew."""
    speech = sung(150)
    expected = sb.embedded_by_speechbrain(saved.folder, speech.samples)

    found = saved.vouched().open().embed(speech).vector

    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_features_are_those_that_torchaudio_computes(sb: Any) -> None:
    """Its spectrum under SpeechBrain's mel triangles, which are of a shape of their own, and which the weights know."""
    samples = sung(180).samples

    found, expected = sb.features_both_ways(samples)

    assert found.shape == (1 + len(samples) // 160, 20)
    np.testing.assert_allclose(found, expected, atol=1e-3)  # of some 60 dB


def test_a_checkpoint_of_another_rate_gets_its_rate(sb: Any, place: Place) -> None:
    """It is torchaudio that resamples; soxr, which is none of its code, agrees."""
    text = SMALL.replace("    n_mels: !ref <n_mels>\n", "    n_mels: !ref <n_mels>\n    sample_rate: 8000\n", 1)
    modules = sb.save(place.folder, seed=3, text=text)
    speech = sung(130)

    found = place.vouched().open().embed(speech).vector

    assert found @ sb.by_hand(modules, soxr.resample(speech.samples, 16_000, 8_000)) > 0.999
    assert found @ sb.by_hand(modules, speech.samples) < 0.999


def test_the_id_follows_the_files(sb: Any, saved: Place) -> None:
    first = trust(saved.folder, saved.models_dir)
    assert first == saved.open().model_id
    assert len(bytes.fromhex(first.removeprefix("ecapa@"))) == 6

    sb.save(saved.folder, seed=2)
    second = trust(saved.folder, saved.models_dir)
    saved.hyperparams.write_text(f"# a remark\n{SMALL}")
    third = trust(saved.folder, saved.models_dir)

    assert len({first, second, third}) == 3
    sb.save(saved.folder, seed=1)
    assert trust(saved.folder, saved.models_dir) == first


def pulled(place: Place) -> dict[str, pins.PinnedModel]:
    """Pin the checkpoint's weights, put them on a hub, and pull them from there."""
    content = place.weights.read_bytes()
    pin = pins.Pin(hashlib.sha256(content).hexdigest(), len(content))
    catalogue = {"small": pins.PinnedModel("someone/small", "0" * 40, {pins.WEIGHTS: pin}, place.hyperparams)}
    with serving("someone/small", "0" * 40, {pins.WEIGHTS: content}) as hub:
        pull("small", place.models_dir, hub=hub.url, catalogue=catalogue)
    return catalogue


@pytest.mark.parametrize("name", ["small", "someone/small"])
def test_a_pulled_model_loads_by_either_name(sb: Any, saved: Place, name: str) -> None:
    catalogue = pulled(saved)

    encoder = Ecapa.open(name, saved.models_dir, catalogue=catalogue)

    expected = sb.by_hand(sb.parts(seed=1), sung(140).samples)
    np.testing.assert_allclose(encoder.embed(sung(140)).vector, expected, atol=1e-6)


def test_a_pulled_model_that_was_changed_is_refused(saved: Place) -> None:
    catalogue = pulled(saved)
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
def test_weights_of_another_network_are_refused(sb: Any, saved: Place, change: Callable[[Any], Any]) -> None:
    """SpeechBrain itself would warn and go on with random numbers."""
    sb.torch.save(change(dict(sb.parts(seed=1)["embedding_model"].state_dict())), saved.weights)

    with pytest.raises(ModelDamaged, match=pins.WEIGHTS):
        saved.vouched().open()
    with pytest.raises(ModelDamaged):
        trust(saved.folder, saved.models_dir)


def test_weights_that_are_no_checkpoint_are_refused(saved: Place) -> None:
    for content in (b"", b"weights", pickle.dumps({"a": 1}, protocol=2), saved.weights.read_bytes()[:1000]):
        saved.weights.write_bytes(content)
        with pytest.raises(VoiceIdError, match=pins.WEIGHTS):
            saved.vouched().open()


def test_an_answer_without_direction_is_an_error(sb: Any, saved: Place) -> None:

    tensors = sb.parts(seed=1)["embedding_model"].state_dict()
    tensors["fc.conv.weight"] *= sb.torch.nan
    sb.torch.save(tensors, saved.weights)

    with pytest.raises(ModelDamaged, match="no direction"):
        saved.vouched().open().embed(sung(120))


def test_it_is_shared_by_threads_and_each_clip_runs_on_one(sb: Any, saved: Place) -> None:

    encoder = saved.vouched().open()
    clips = [sung(100 + 10 * step) for step in range(8)]
    expected = [encoder.embed(clip).vector for clip in clips]

    with ThreadPoolExecutor(4) as pool:
        threads = set(pool.map(lambda _: sb.torch.get_num_threads(), range(8)))
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

"""Which checkpoints the SpeechBrain encoder refuses, before torch is as much as imported."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from checkpoints import AS_PUBLISHED, CHANNELS, DIM, SMALL, Place, lay_out
from hypothesis import example, given
from hypothesis import strategies as st

from voiceid.encode import pins
from voiceid.encode.ecapa import Ecapa, trust
from voiceid.encode.hyperparams import read_recipe
from voiceid.errors import InvalidRequest, MissingExtra, ModelDamaged, ModelUnavailable, UnpinnedModel

pytest.importorskip("yaml", reason="PyYAML comes with the extra `speechbrain`")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return lay_out(tmp_path)


def test_importing_it_needs_no_torch() -> None:
    heavy = {"torch", "torchaudio", "speechbrain", "yaml", "httpx"}
    code = f"import voiceid.encode.ecapa, sys; print(sorted({heavy} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"


@pytest.mark.parametrize("name", ["speechbrain/spkrec-xvect-voxceleb", "someone/else", "ecapa2", "../ecapa", ""])
def test_a_name_without_a_pin_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnpinnedModel):
        Ecapa.open(name, tmp_path)


@pytest.mark.parametrize("name", ["ecapa", "speechbrain/spkrec-ecapa-voxceleb"])
def test_a_pinned_model_that_is_not_here_names_the_command(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of that name where the command happens to run is not taken for it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir(parents=True)

    with pytest.raises(ModelUnavailable, match="voiceid model pull ecapa"):
        Ecapa.open(name, tmp_path / "models")


def test_a_folder_that_nobody_vouched_for_names_the_command(place: Place) -> None:
    with pytest.raises(UnpinnedModel, match=f"voiceid model trust {place.folder}"):
        place.open()


def test_vouching_inside_the_folder_itself_counts_for_nothing(place: Place) -> None:
    """Whoever can write the checkpoint must not be able to vouch for it."""
    Place(place.folder, place.folder).vouched()

    with pytest.raises(UnpinnedModel, match="nobody vouched"):
        place.open()


def test_vouching_for_one_folder_does_not_vouch_for_another(place: Place) -> None:
    place.vouched()
    other = place.folder.with_name("other")
    place.folder.rename(other)

    with pytest.raises(UnpinnedModel, match="nobody vouched"):
        Place(other, place.models_dir).open()


def test_what_was_vouched_for_can_be_checked_with_coreutils(place: Place) -> None:
    place.vouched()
    checked = ["sha256sum", "--check", "--strict", str(place.models_dir / pins.TRUST_FILE)]
    assert subprocess.run(checked, check=False, capture_output=True).returncode == 0

    place.weights.write_bytes(b"others!")

    assert subprocess.run(checked, check=False, capture_output=True).returncode == 1


def test_vouching_again_replaces_and_keeps_the_others(place: Place, tmp_path: Path) -> None:
    place.vouched()
    (tmp_path / "second").mkdir()
    pins.vouch(tmp_path / "second", place.models_dir, {pins.HYPERPARAMS: "a" * 64, pins.WEIGHTS: "b" * 64})
    place.weights.write_bytes(b"trained anew")
    place.vouched()

    lines = (place.models_dir / pins.TRUST_FILE).read_text().splitlines()

    assert len(lines) == 4
    assert pins.trusted_digests(place.folder, place.models_dir)[pins.WEIGHTS] == pins.file_sha256(place.weights)


@pytest.mark.parametrize("name", ["two\nlines", "back\\slash"])
def test_a_path_that_would_not_stay_one_line_is_refused(place: Place, name: str) -> None:
    with pytest.raises(InvalidRequest):
        pins.vouch(place.folder / name, place.models_dir, {})


CODE = {
    "apply": "x: !apply:os.system ['{canary}']",
    "new": "x: !new:os.popen ['{canary}']",
    "apply, deep inside": "x: [{{y: [!apply:os.system ['{canary}']]}}]",
    "apply, as a name": "? !apply:os.system ['{canary}']\n: x",
    "PyYAML's own": "x: !!python/object/apply:os.system ['{canary}']",
    "the full tag": "x: !<tag:yaml.org,2002:python/object/apply:os.system> ['{canary}']",
    "a shorthand for a tag": "%TAG !e! !apply:os.\n---\nx: !e!system ['{canary}']",
    "a function": "x: !name:os.system ['{canary}']",
    "a module": "x: !module:antigravity",
    "another file": "x: !include:other.yaml",
    "a class from elsewhere": "x: !new:speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN.evil {{}}",
    "a placeholder": "x: !PLACEHOLDER",
    "an alias": "x: &a [1]\ny: *a",
}


@pytest.mark.parametrize("line", CODE.values(), ids=CODE)
def test_a_file_that_names_code_is_refused_and_nothing_runs(place: Place, tmp_path: Path, line: str) -> None:
    """Also when the operator vouched for it: vouching is for weights."""
    canary = tmp_path / "canary"
    line = line.format(canary=f"touch {shlex.quote(str(canary))}")
    place.hyperparams.write_text(f"{line}\n{SMALL}")
    place.vouched()

    for refuse in (place.open, lambda: trust(place.folder, place.models_dir)):
        with pytest.raises(UnpinnedModel, match=r"hyperparams\.yaml"):
            refuse()

    assert not canary.exists()


MALFORMED = {
    "empty": "",
    "a list": "[1, 2]",
    "not YAML": "a: [1",
    "two documents": "a: 1\n---\nb: 2",
    "a name twice": f"n_mels: 3\n{SMALL}",
    "no modules": SMALL.replace("modules:", "parts:"),
    "no network": SMALL.replace("    embedding_model: !ref <embedding_model>\n    mean", "    mean"),
    "network and features swapped": SMALL.replace(
        "    compute_features: !ref <compute_features>", "    compute_features: !ref <embedding_model>"
    ),
    "a circle": SMALL.replace("n_mels: 20", "n_mels: !ref <n_mels>"),
    "arithmetic": SMALL.replace("input_size: !ref <n_mels>", "input_size: !ref <n_mels> * 2"),
    "a reference to nothing": SMALL.replace("input_size: !ref <n_mels>", "input_size: !ref <mels>"),
    "a mapping for a number": SMALL.replace("attention_channels: 8", "attention_channels: {a: 1}"),
    "a list in a list": SMALL.replace("dilations: [1,", "dilations: [[1],"),
    "no such number": SMALL.replace("attention_channels: 8", "attention_channels: !!int eight"),
    "no such truth": SMALL.replace("std_norm: False", "std_norm: !!bool perhaps"),
    "statistics that are not stored": SMALL.replace("norm_type: sentence", "norm_type: global"),
    "no length": SMALL.replace("lin_neurons: 24", "lin_neurons: many"),
    "deeper than any": "[" * 2_000 + "]" * 2_000,
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_a_file_that_describes_no_encoder_is_refused(place: Place, text: str) -> None:
    assert text != SMALL
    with pytest.raises(ModelDamaged):
        read_recipe(text)


TAGS = ["!!int ", "!!bool ", "!new:x ", "!ref <n_mels>", "&a ", "*a ", "<<: ", "? ", "- ", "[", "{"]
SCRAPS = st.text() | st.sampled_from(TAGS)


@given(st.lists(st.tuples(st.integers(0, len(SMALL)), st.integers(0, 9), SCRAPS), min_size=1, max_size=4))
@example([(SMALL.index("kernel_sizes") + 1, 0, "!new:")])
def test_no_text_fails_in_a_way_we_did_not_foresee(edits: list[tuple[int, int, str]]) -> None:
    text = SMALL
    for at, dropped, put in edits:
        text = text[:at] + put + text[at + dropped :]

    try:
        recipe = read_recipe(text)
    except (ModelDamaged, UnpinnedModel):
        return

    assert recipe.dim > 0
    assert recipe.to_yaml().count("!new:") == 5


@pytest.mark.parametrize("content", [b"#" * 70_000, b"\xff\xfe\x00"], ids=["too long", "not text"])
def test_a_file_that_is_no_such_text_is_refused(place: Place, content: bytes) -> None:
    place.hyperparams.write_bytes(content)

    with pytest.raises(ModelDamaged, match=r"hyperparams\.yaml"):
        place.vouched().open()


def test_a_pipe_in_place_of_a_file_does_not_hang(place: Place) -> None:
    place.vouched()
    place.hyperparams.unlink()
    os.mkfifo(place.hyperparams)

    with pytest.raises(ModelUnavailable):
        place.open()


def test_the_rewritten_file_says_the_same(place: Place) -> None:
    text = SMALL.replace("std_norm: False", "std_norm: False\n    epsilon: 1.0e-10", 1)

    recipe = read_recipe(text)

    assert recipe.normalization["epsilon"] == 1e-10
    assert recipe.network["channels"] == CHANNELS
    assert (recipe.dim, recipe.sample_rate_hz) == (DIM, 16_000)
    assert read_recipe(recipe.to_yaml()) == recipe
    assert "pretrained_path" not in recipe.to_yaml()


def test_our_description_of_the_published_model_is_the_published_one(place: Place) -> None:
    published = AS_PUBLISHED.format(
        n_mels=80, speakers=7205, features="", channels=[1024] * 4 + [3072], attention=128, dim=192
    )
    text, _ = pins.read_hyperparams(pins.PINNED["ecapa"].hyperparams)

    assert read_recipe(text) == read_recipe(published)


BEHIND_TORCH = [
    pytest.param(name, marks=pytest.mark.torch) for name in ("torchaudio", "speechbrain.inference.classifiers")
]


@pytest.mark.parametrize("missing", ["yaml", "torch", *BEHIND_TORCH])
def test_a_missing_extra_is_named(place: Place, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    place.vouched()
    monkeypatch.setitem(sys.modules, missing, None)

    with pytest.raises(MissingExtra, match=r"pip install 'voiceid\[speechbrain\]'"):
        place.open()

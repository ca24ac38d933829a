"""Reads a checkpoint's `hyperparams.yaml` without running it.

SpeechBrain's format can name any Python object (`!new:`, `!apply:`, `!name:`, `!module:`) or pull in another file
(`!include:`), and its loader then calls it. So a stranger's file never reaches that loader. Here it is parsed into bare
nodes, every tag is held against a short list, and three descriptions in plain numbers are taken out: features,
normalization, network. From these alone a new file is written, and that one SpeechBrain may load.
"""

import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from voiceid.errors import MissingExtra, ModelDamaged, UnpinnedModel
from voiceid.types import SAMPLE_RATE_HZ

BUILT: Mapping[str, str] = {
    "compute_features": "speechbrain.lobes.features.Fbank",
    "mean_var_norm": "speechbrain.processing.features.InputNormalization",
    "embedding_model": "speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN",
}
"""The modules that make an embedding, and the only classes they may be."""

_NAMED_BUT_NOT_BUILT = frozenset(
    {
        "speechbrain.lobes.models.ECAPA_TDNN.Classifier",
        "speechbrain.dataio.encoder.CategoricalEncoder",
        "speechbrain.utils.parameter_transfer.Pretrainer",
        "torch.nn.Identity",
    }
)
_PLAIN = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq", "str", "int", "float", "bool", "null"))
_REFERENCE = re.compile(r"<([A-Za-z_][A-Za-z0-9_]*)>")
_LONGEST_CHAIN = 8
_FORMAT = """\
{features}
{normalization}
{network}
modules:
    compute_features: !ref <compute_features>
    mean_var_norm: !ref <mean_var_norm>
    embedding_model: !ref <embedding_model>
    classifier: !new:torch.nn.Identity
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        embedding_model: !ref <embedding_model>
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to build the encoder, as plain keyword arguments. Nothing in it can run."""

    features: Mapping[str, Any]
    normalization: Mapping[str, Any]
    network: Mapping[str, Any]

    @property
    def dim(self) -> int:
        """Length of the embedding; 192 unless the file says otherwise."""
        dim: int = self.network.get("lin_neurons", 192)
        return dim

    @property
    def sample_rate_hz(self) -> int:
        """The rate that the features are computed at; 16 kHz unless the file says otherwise."""
        rate_hz: int = self.features.get("sample_rate", SAMPLE_RATE_HZ)
        return rate_hz

    def to_yaml(self) -> str:
        """A new file in SpeechBrain's format, with nothing in it but these arguments and `embedding_model.ckpt`."""
        features, normalization, network = BUILT
        return _FORMAT.format(
            features=f"{features}: !new:{BUILT[features]} {_flow(self.features)}",
            normalization=f"{normalization}: !new:{BUILT[normalization]} {_flow(self.normalization)}",
            network=f"{network}: !new:{BUILT[network]} {_flow(self.network)}",
        )


def read_recipe(text: str) -> Recipe:
    """Take the three descriptions out of a `hyperparams.yaml`.

    Raises: UnpinnedModel, when it names anything outside of the list; ModelDamaged, when it does not describe an
        ECAPA-TDNN; MissingExtra.
    """
    yaml = _yaml()
    try:
        top = dict(_entries(_checked(yaml.compose(text, Loader=yaml.SafeLoader))))
    except (yaml.YAMLError, RecursionError) as broken:
        raise ModelDamaged("hyperparams.yaml is not well-formed YAML") from broken
    modules = dict(_entries(top["modules"])) if "modules" in top else {}
    recipe = Recipe(*(_arguments(name, modules.get(name), top) for name in BUILT))
    if recipe.normalization.get("norm_type") not in ("sentence", "batch"):
        raise ModelDamaged("hyperparams.yaml: mean_var_norm must have norm_type: sentence, which needs no statistics")
    if not all(type(number) is int and number > 0 for number in (recipe.dim, recipe.sample_rate_hz)):
        raise ModelDamaged("hyperparams.yaml: lin_neurons and sample_rate must be positive numbers")
    return recipe


def _checked(root: Any) -> Any:
    """The root, once every node below it is plain data or names something on the list."""
    if root is None:
        raise ModelDamaged("hyperparams.yaml is empty")
    allowed = _PLAIN | {"!ref"} | {f"!new:{name}" for name in _NAMED_BUT_NOT_BUILT | set(BUILT.values())}
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            raise UnpinnedModel("hyperparams.yaml uses a YAML alias, which no checkpoint needs")
        seen.add(id(node))
        if node.tag not in allowed:
            raise UnpinnedModel(f"hyperparams.yaml names {node.tag[:80]!r}, not on the list: that could run anything")
        if node.id != "scalar":
            waiting += [child for entry in node.value for child in (entry if isinstance(entry, tuple) else (entry,))]
    return root


def _entries(node: Any) -> Iterator[tuple[str, Any]]:
    """Names and nodes of a mapping; a name that stands twice is refused."""
    if node.id == "scalar" and not node.value:  # `!new:some.Class` without arguments
        return
    if node.id != "mapping":
        raise ModelDamaged("hyperparams.yaml: a mapping of names to values was expected")
    seen: set[str] = set()
    for key, value in node.value:
        if key.id != "scalar" or key.value in seen or not str(key.value).isidentifier():
            raise ModelDamaged("hyperparams.yaml: every name must be a word and stand once")
        seen.add(key.value)
        yield key.value, value


def _arguments(name: str, node: Any, top: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments of one module, in plain values."""
    target = _followed(node, top) if node is not None else None
    if target is None or target.tag != f"!new:{BUILT[name]}":
        raise ModelDamaged(f"hyperparams.yaml: modules must hold {name}, a {BUILT[name]}")
    return {argument: _plain(value, top) for argument, value in _entries(target)}


def _followed(node: Any, top: Mapping[str, Any]) -> Any:
    """The node that a chain of `!ref <name>` ends at."""
    for _ in range(_LONGEST_CHAIN):
        if node.tag != "!ref":
            return node
        reference = _REFERENCE.fullmatch(str(node.value))
        if reference is None or reference[1] not in top:
            raise ModelDamaged("hyperparams.yaml: a `!ref` must name one entry of this file, with no arithmetic")
        node = top[reference[1]]
    raise ModelDamaged("hyperparams.yaml: its references go in a circle")


def _plain(node: Any, top: Mapping[str, Any]) -> Any:
    """A number, word, truth value, nothing, or a flat list of these."""
    node = _followed(node, top)
    if node.id == "sequence" and node.tag in _PLAIN:
        return [_scalar(_followed(item, top)) for item in node.value]
    return _scalar(node)


def _scalar(node: Any) -> Any:
    if node.id != "scalar" or node.tag not in _PLAIN:
        raise ModelDamaged("hyperparams.yaml: arguments must be plain values or flat lists of them")
    try:
        return _yaml().SafeLoader("").construct_object(node)
    except (ValueError, LookupError) as broken:
        raise ModelDamaged("hyperparams.yaml: a value is not what its tag says") from broken


def _flow(arguments: Mapping[str, Any]) -> str:
    return str(_yaml().safe_dump(dict(arguments), default_flow_style=True, width=float("inf"))).strip()


def _yaml() -> Any:
    """PyYAML, which comes with SpeechBrain."""
    try:
        return importlib.import_module("yaml")
    except ImportError as missing:
        raise MissingExtra("this needs SpeechBrain: pip install 'voiceid[speechbrain]'") from missing

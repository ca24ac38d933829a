"""CAM++ once more, in steps that take half the time: the same weights, arranged for a processor.

`build()` writes the network twice. Without ranges in single precision, with every place where whole numbers could stand
as an output, to be measured; with ranges in 8 bits:

- Sound stays channels last, so that nothing is transposed.
- A mask is computed per second and only then spread over the frames, each by one small matrix product: of the published
  network's time a fifth went into computing it in each frame.
- The batch norm before a dense layer becomes a lower bound: relu(a x + b) = a max(x, -b/a) + b, and a and b go to the
  layer's weights. Five of 30,000 channels have a negative a, all small: they are taken as constant.
- Channels are scaled so that those which share one range of whole numbers are equally loud.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from campplus_turns import OUTPUT, turns
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Floats = NDArray[np.float64]
OPSET = 17
RUNTIME = "com.microsoft"
"""ONNX Runtime's own operators, part of it since 1.12."""
BLOCKS = ((12, 1), (24, 2), (16, 2))
"""Layers and dilation of the three dense blocks."""
GROWTH = 32
FIRST = 128
"""Channels that enter the first block."""
POOLED = 100
"""Frames that are pooled together."""
_SILENT = 1e-6


class Weights:
    """The numbers of `campplus.onnx`, by the layer's name."""

    def __init__(self, path: Path) -> None:
        graph = onnx.load(path).graph
        self.tells_turns = any(one.name == OUTPUT for one in graph.output)
        """Whether the network has the second output, which tells where a voice changes."""
        held = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
        held |= {n.output[0]: numpy_helper.to_array(n.attribute[0].t) for n in graph.node if n.op_type == "Constant"}
        self.conv: dict[str, tuple[Floats, Floats]] = {}
        self.norm: dict[str, tuple[Floats, Floats]] = {}
        for node in graph.node:
            name = node.name.removeprefix("/network/").removeprefix("xvector/").rpartition("/")[0]
            if node.op_type == "Conv":
                kernel = held[node.input[1]].astype(np.float64)
                bias = held[node.input[2]].astype(np.float64) if len(node.input) > 2 else np.zeros(len(kernel))  # noqa: PLR2004 data, kernel, bias
                self.conv[name] = kernel, bias
            elif node.op_type == "BatchNormalization":
                scale, shift, mean, variance = (held[value].astype(np.float64) for value in node.input[1:])
                factor = scale / np.sqrt(variance + next(a.f for a in node.attribute if a.name == "epsilon"))
                self.norm[name] = factor, shift - mean * factor
        self.gain = dict(_gains(self.norm))
        """What multiplies each channel that a block's entry (`block2`) or a layer (`block2/tdnnd7`) hands on."""
        self.local = {name: np.ones(GROWTH) for name in self.gain if "/" in name}
        """What multiplies the channels of a layer's own convolution, before its mask."""


def _gains(norms: Mapping[str, tuple[Floats, Floats]]) -> dict[str, Floats]:
    """The geometric mean of what the readers of a channel multiply it with."""
    found: dict[str, Floats] = {}
    entering = FIRST
    for block, (layers, _) in enumerate(BLOCKS, 1):
        readers = [f"block{block}/tdnnd{layer}/nonlinear1" for layer in range(1, layers + 1)]
        factors = [norms[f"{name}/batchnorm"][0] for name in [*readers, f"transit{block}/nonlinear"]]
        total, count = np.zeros(entering + GROWTH * layers), np.zeros(entering + GROWTH * layers)
        for factor in factors:
            total[: len(factor)] += np.log(np.maximum(np.abs(factor), _SILENT))
            count[: len(factor)] += 1
        gain = np.exp(total / count)
        found[f"block{block}"] = gain[:entering]
        for layer in range(layers):
            found[f"block{block}/tdnnd{layer + 1}"] = gain[entering + GROWTH * layer :][:GROWTH]
        entering = len(gain) // 2
    return found


@dataclass(frozen=True, slots=True)
class Range:
    """How a whole number 0..255 stands for a real one: `scale * (whole - zero)`."""

    scale: float
    zero: int

    @classmethod
    def over(cls, low: float, high: float) -> "Range":
        """The range that holds everything between both."""
        low = min(low, 0.0)
        scale = max(high - low, _SILENT) / 255
        return cls(scale, round(-low / scale))


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One product of weights and what comes in."""

    reads: str
    """The place it reads."""
    kernel: Floats
    """(out, in, *taps)."""
    bias: Floats
    geometry: Mapping[str, list[int]]
    """Strides, pads and dilations as ONNX has them."""


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """A layer's weights as whole numbers: `scale[out] * kernel`."""

    kernel: NDArray[np.int8]
    scale: Floats
    bias: Floats


@dataclass(frozen=True, slots=True)
class Plan:
    """What turns real numbers into whole ones: by place, and by layer."""

    ranges: Mapping[str, Range]
    layers: Mapping[str, Whole]


class Graph:
    """Nodes and constants of a network, and the steps that exist in both precisions."""

    def __init__(self, plan: Plan | None) -> None:
        self._plan = plan
        self._nodes: list[Any] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._held: dict[str, Any] = {}
        self.places: dict[str, str] = {}
        """In single precision: the tensor at each place."""
        self.layers: dict[str, Layer] = {}

    def op(self, kind: str, *inputs: Any, domain: str = "", **attributes: Any) -> str:
        """Add one node; arrays among its inputs become constants. The name of its output."""
        output = f"{kind}_{len(self._nodes)}"
        named = [one if isinstance(one, str) else self._constant(np.asarray(one, order="C")) for one in inputs]
        self._nodes.append(helper.make_node(kind, named, [output], domain=domain, **attributes))
        return output

    def enter(self, place: str, real: str) -> str:
        """From real numbers to whole ones."""
        if self._plan is None:
            self.places[place] = real
            return real
        return self.op("QuantizeLinear", real, *self._range(place))

    def leave(self, place: str, whole: str) -> str:
        """From whole numbers to real ones."""
        return whole if self._plan is None else self.op("DequantizeLinear", whole, *self._range(place))

    def conv(
        self, place: str, reads: str, x: str, kernel: Floats, bias: Floats, *, relu: bool = False, **how: list[int]
    ) -> str:
        """A convolution, channels last, from one place to another."""
        self.layers[place] = Layer(reads, kernel, bias, how)
        taps = kernel.ndim - 2
        how = {
            "strides": [1] * taps,
            "pads": [0] * 2 * taps,
            "dilations": [1] * taps,
            "kernel_shape": list(kernel.shape[2:]),
        } | how
        if self._plan is None:
            x = self.op("Transpose", x, perm=[0, taps + 1, *range(1, taps + 1)])
            y = self.op("Conv", x, kernel.astype("f"), bias.astype("f"), **how)
            y = self.op("Transpose", self.op("Relu", y) if relu else y, perm=[0, *range(2, taps + 2), 1])
            return self.enter(place, y)
        whole, scale = self._plan.layers[place], self._plan.ranges[reads].scale
        return self.op(
            "QLinearConv", x, *self._range(reads), *_kernel(whole), *self._range(place),
            np.round(whole.bias / (scale * whole.scale)).astype(np.int32), domain=RUNTIME, channels_last=1, **how,
        )  # fmt: skip

    def product(self, place: str, x: str, kernel: Floats, bias: Floats) -> str:
        """A matrix product whose result is real."""
        self.layers[f"{place}/product"] = Layer(place, kernel, bias, {})
        if self._plan is None:
            return self.op("Add", self.op("MatMul", x, kernel[:, :, 0].T.astype("f")), bias.astype("f"))
        whole, (scale, zero) = self._plan.layers[f"{place}/product"], self._range(place)
        weights, scales, zeros = _kernel(whole)
        return self.op(
            "MatMulIntegerToFloat", x, weights[:, :, 0].T, scale, scales, zero, zeros, whole.bias.astype("f"),
            domain=RUNTIME,
        )  # fmt: skip

    def add_relu(self, place: str, first: tuple[str, str], second: tuple[str, str]) -> str:
        """The sum of two places; what is negative falls off the range."""
        (one, x), (other, y) = first, second
        if self._plan is None:
            return self.enter(place, self.op("Relu", self.op("Add", x, y)))
        return self.op("QLinearAdd", x, *self._range(one), y, *self._range(other), *self._range(place), domain=RUNTIME)

    def model(self, embedding: str, turning: str | None) -> onnx.ModelProto:
        """The whole as ONNX; in single precision every place is an output beside the embedding."""
        real, value = TensorProto.FLOAT, helper.make_tensor_value_info
        self._nodes.append(helper.make_node("Identity", [embedding], ["embedding"]))
        outputs = [value("embedding", real, ["batch", 192])]
        if turning is not None:
            self._nodes.append(helper.make_node("Identity", [turning], [OUTPUT]))
            outputs.append(value(OUTPUT, real, ["batch", "cuts"]))
        outputs += [value(name, real, None) for name in dict.fromkeys(self.places.values())]
        constants = [numpy_helper.from_array(array, name) for name, array in self._held.items()]
        features = value("features", real, ["batch", "frames", 80])
        graph = helper.make_graph(self._nodes, "campplus", [features], outputs, constants)
        domains = [helper.make_opsetid("", OPSET), helper.make_opsetid(RUNTIME, 1)]
        return helper.make_model(graph, opset_imports=domains, ir_version=8)

    def _range(self, place: str) -> tuple[np.float32, np.uint8]:
        if self._plan is None:
            raise TypeError("real numbers have no range")
        chosen = self._plan.ranges[place]
        return np.float32(chosen.scale), np.uint8(chosen.zero)

    def _constant(self, array: NDArray[Any]) -> str:
        name = self._constants.setdefault((array.dtype.str, array.shape, array.tobytes()), f"c{len(self._constants)}")
        self._held[name] = array
        return name


def _kernel(whole: Whole) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.int8]]:
    return whole.kernel, whole.scale.astype(np.float32), np.zeros(len(whole.scale), np.int8)


def build(weights: Weights, plan: Plan | None = None) -> tuple[Graph, onnx.ModelProto]:
    """The network: in single precision to be measured, or with a plan in whole numbers."""
    graph = Graph(plan)
    x = graph.leave("tdnn", _front(graph, weights, whole=plan is not None))
    steps = graph.op("Gather", graph.op("Shape", x), np.int64(1), axis=0)
    pool, spread = _pooling(graph, steps)
    for block, (layers, dilation) in enumerate(BLOCKS, 1):
        for layer in range(1, layers + 1):
            x = _dense(graph, weights, f"block{block}/tdnnd{layer}", x, dilation, pool, spread)
        x = _transit(graph, weights, block, x)
    return graph, graph.model(*_statistics(graph, weights, graph.op("Relu", x), steps))


def _front(graph: Graph, weights: Weights, *, whole: bool) -> str:
    """(batch, frames, 80) -> (batch, steps, 128): the residual network over time and frequency, and the first TDNN."""
    kernel, bias = _time_first(weights, "head/conv1")
    x = graph.op("Unsqueeze", "features", np.array([1], np.int64))
    x = graph.op("Relu", graph.op("Conv", x, kernel.astype("f"), bias.astype("f"), kernel_shape=[3, 3], pads=[1] * 4))
    last = [0, 2, 3, 1]
    at = "head/in"
    x = (
        graph.op("Transpose", graph.enter(at, x), perm=last)
        if whole
        else graph.enter(at, graph.op("Transpose", x, perm=last))
    )
    for name in ("layer1.0", "layer1.1", "layer2.0", "layer2.1"):
        here = f"head/{name.partition('.')[0]}/{name}"
        halves = name.endswith("0")
        strides = [1, 2] if halves else [1, 1]
        inner = graph.conv(
            f"{here}/1", at, x, *_time_first(weights, f"{here}/conv1"), relu=True, strides=strides, pads=[1] * 4
        )
        outer = graph.conv(f"{here}/2", f"{here}/1", inner, *_time_first(weights, f"{here}/conv2"), pads=[1] * 4)
        beside = at, x
        if halves:
            short = graph.conv(
                f"{here}/0", at, x, *_time_first(weights, f"{here}/shortcut/shortcut.0"), strides=strides
            )
            beside = f"{here}/0", short
        x, at = graph.add_relu(here, (f"{here}/2", outer), beside), here
    x = graph.conv("head", at, x, *_time_first(weights, "head/conv2"), relu=True, strides=[1, 2], pads=[1] * 4)
    x = graph.op("Reshape", x, np.array([0, 0, 320], np.int64))
    kernel, bias = weights.conv["tdnn/linear"]  # it reads channel after channel; here frequency comes first
    kernel = kernel.reshape(FIRST, 32, 10, 5).transpose(0, 2, 1, 3).reshape(FIRST, 320, 5)
    gain = weights.gain["block1"]
    return graph.conv("tdnn", "head", x, kernel * gain[:, None, None], bias * gain, relu=True, strides=[2], pads=[2, 2])


def _time_first(weights: Weights, name: str) -> tuple[Floats, Floats]:
    kernel, bias = weights.conv[name]
    return kernel.transpose(0, 1, 3, 2), bias


def _pooling(graph: Graph, steps: str) -> tuple[str, str]:
    """Two matrices: frames to the mean of their second plus that of the clip, and seconds back to frames."""
    second = graph.op("Div", graph.op("Range", np.int64(0), steps, np.int64(1)), np.int64(POOLED))
    seconds = graph.op("Div", graph.op("Add", steps, np.int64(POOLED - 1)), np.int64(POOLED))
    spread = graph.op("OneHot", second, seconds, np.array([0, 1], np.float32), axis=-1)
    share = graph.op("Div", spread, graph.op("ReduceSum", spread, np.array([0], np.int64), keepdims=1))
    whole = graph.op("Div", np.float32(1), graph.op("Cast", steps, to=TensorProto.FLOAT))
    return graph.op("Transpose", graph.op("Add", share, whole), perm=[1, 0]), spread


def _dense(graph: Graph, weights: Weights, name: str, x: str, dilation: int, pool: str, spread: str) -> str:
    """One densely connected layer: its 32 channels behind those that came in."""
    entry = f"{name}/x"
    factor, shift = weights.norm[f"{name}/nonlinear1/batchnorm"]
    gain = _entering(weights, name, len(factor))
    rises = factor > 0
    bound = np.where(rises, -shift / np.where(rises, factor, 1) * gain, 0)
    kernel, bias = weights.conv[f"{name}/linear1"]
    bias = bias + kernel[:, :, 0] @ np.where(rises, shift, np.maximum(shift, 0))
    kernel = kernel * np.where(rises, factor / gain, 0)[None, :, None]
    inner = graph.conv(
        f"{name}/h", entry, graph.enter(entry, graph.op("Max", x, bound.astype("f"))), kernel, bias, relu=True
    )
    mask = graph.op("MatMul", pool, graph.leave(f"{name}/h", inner))
    for number, after in ((1, "Relu"), (2, "Sigmoid")):
        kernel, bias = weights.conv[f"{name}/cam_layer/linear{number}"]
        mask = graph.op("Add", graph.op("MatMul", mask, kernel[:, :, 0].T.astype("f")), bias.astype("f"))
        mask = graph.op(after, mask)
    local = weights.local[name]
    mask = graph.op("MatMul", spread, graph.op("Mul", mask, (weights.gain[name] / local).astype("f")))
    kernel, bias = weights.conv[f"{name}/cam_layer/linear_local"]
    own = graph.conv(
        f"{name}/v", f"{name}/h", inner, kernel * local[:, None, None], bias, pads=[dilation] * 2, dilations=[dilation]
    )
    return graph.op("Concat", x, graph.op("Mul", graph.leave(f"{name}/v", own), mask), axis=-1)


def _transit(graph: Graph, weights: Weights, block: int, x: str) -> str:
    """From one block to the next: half the channels."""
    factor, shift = weights.norm[f"transit{block}/nonlinear/batchnorm"]
    x = graph.op("Mul", x, (factor / _entering(weights, f"transit{block}", len(factor))).astype("f"))
    x = graph.op("Relu", graph.op("Add", x, shift.astype("f")))
    kernel, bias = weights.conv[f"transit{block}/linear"]
    gain = weights.gain.get(f"block{block + 1}", np.ones(len(kernel)))
    place = f"transit{block}/x"
    return graph.product(place, graph.enter(place, x), kernel * gain[:, None, None], bias * gain)


def _entering(weights: Weights, name: str, channels: int) -> Floats:
    """The gains of what a layer or transit reads."""
    block = name.partition("/")[0].replace("transit", "block")
    gains = [gain for where, gain in weights.gain.items() if where.partition("/")[0] == block]
    return np.concatenate(gains)[:channels]


def _statistics(graph: Graph, weights: Weights, x: str, steps: str) -> tuple[str, str | None]:
    """Mean and spread over the clip, the last layer with its norm; where the voice changes, if the network tells."""
    mean = graph.op("ReduceMean", x, axes=[1], keepdims=1)
    off = graph.op("Sub", x, mean)
    power = graph.op("ReduceSum", graph.op("Mul", off, off), np.array([1], np.int64), keepdims=0)
    free = graph.op("Cast", graph.op("Sub", steps, np.int64(1)), to=TensorProto.FLOAT)
    spread = graph.op("Sqrt", graph.op("Div", power, free))
    both = graph.op("Concat", graph.op("Squeeze", mean, np.array([1], np.int64)), spread, axis=-1)
    weight, _ = weights.conv["dense/linear"]
    factor, bias = weights.norm["dense/nonlinear/batchnorm"]
    kernel, shift = (weight[:, :, 0] * factor[:, None]).astype("f"), bias.astype("f")
    embedding = graph.op("Gemm", both, kernel, shift, transB=1)
    return embedding, turns(graph.op, x, kernel, shift) if weights.tells_turns else None

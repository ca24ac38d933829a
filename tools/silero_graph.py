"""Silero VAD once more, in steps that take less than half the time: the same weights, arranged for a processor.

The published network convolves each frame by itself: four steps of time, so that every product is a small one. Here
all frames of a clip are the rows of one matrix. A convolution over four steps is a product with a matrix in which its
kernel stands once for each step; what is left of time, the recurrent layer, stays as it is.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 16
FRAME, CONTEXT, HOP = 512, 64, 128
WINDOW = 2 * HOP
"""Samples of one step, of which a frame with its context and its mirrored end has four."""
LINES = HOP + 1
"""Of the spectrum: cosines, and behind them as many sines."""
STRIDES = (1, 2, 2, 1)
"""Of the four convolutions, three taps each."""
HIDDEN = 128
Floats = NDArray[np.float32]


class Graph:
    """Nodes and constants."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._held: list[Any] = []

    def op(self, kind: str, *inputs: str | NDArray[Any], gives: Sequence[str] = (), **attributes: Any) -> str:
        """Add one node; arrays among its inputs become constants. The name of its first output."""
        outputs = list(gives) or [f"{kind}_{len(self._nodes)}"]
        named = [one if isinstance(one, str) else self._constant(one) for one in inputs]
        self._nodes.append(helper.make_node(kind, named, outputs, **attributes))
        return outputs[0]

    def model(self) -> onnx.ModelProto:
        """The whole as ONNX, with the inputs and outputs of the published file."""
        real, value = TensorProto.FLOAT, helper.make_tensor_value_info
        state = [1, 1, HIDDEN]
        inputs = [value("input", real, ["frames", CONTEXT + FRAME]), value("h", real, state), value("c", real, state)]
        outputs = [value("speech_probs", real, ["frames"]), value("hn", real, state), value("cn", real, state)]
        graph = helper.make_graph(self._nodes, "silero_vad", inputs, outputs, self._held)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
        onnx.checker.check_model(made)
        return made

    def _constant(self, array: NDArray[Any]) -> str:
        name = f"c{len(self._held)}"
        self._held.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name


def arranged(published: bytes) -> bytes:
    """The published network, arranged."""
    held = {one.name: numpy_helper.to_array(one) for one in onnx.load_from_string(published).graph.initializer}
    graph = Graph()
    x = _spectrum(graph, held["stft.forward_basis_buffer"][:, 0])
    steps = 4
    for number, stride in enumerate(STRIDES):
        kernel, bias = held[f"encoder.{number}.weight"], held[f"encoder.{number}.bias"]
        left = -(-steps // stride)
        matrix = _dense(graph, kernel, steps, left, stride)
        x = graph.op("Relu", graph.op("Gemm", x, matrix, np.tile(bias, left)))
        steps = left
    x = graph.op("Unsqueeze", x, _whole(1))
    recurrent = [held[f"onnx::LSTM_{number}"] for number in (209, 210, 211)]
    x = graph.op("LSTM", x, *recurrent, "", "h", "c", gives=("spoken", "hn", "cn"), hidden_size=HIDDEN)
    x = graph.op("Relu", graph.op("Reshape", x, _whole(-1, HIDDEN)))
    x = graph.op("Gemm", x, held["output.weight"].reshape(HIDDEN, 1), held["output.bias"])
    graph.op("Reshape", graph.op("Sigmoid", x), _whole(-1), gives=("speech_probs",))
    made: bytes = graph.model().SerializeToString()
    return made


def _spectrum(graph: Graph, basis: Floats) -> str:
    """(frames, 576) -> (frames, 4 * 129): the magnitude of each line, step after step."""
    last = CONTEXT + FRAME - 2
    one = _whole(1)
    mirrored = graph.op("Slice", "input", _whole(last), _whole(last - CONTEXT), one, _whole(-1))
    x = graph.op("Concat", "input", mirrored, axis=1)
    x = graph.op("Reshape", x, _whole(-1, 5, HOP))
    halves = [graph.op("Slice", x, _whole(first), _whole(first + 4), one) for first in (0, 1)]
    x = graph.op("Reshape", graph.op("Concat", *halves, axis=2), _whole(-1, WINDOW))
    x = graph.op("MatMul", x, basis.T)
    parts = ("cosines", "sines")
    graph.op("Split", graph.op("Mul", x, x), _whole(LINES, LINES), gives=parts, axis=1)
    x = graph.op("Sqrt", graph.op("Add", *parts))
    return graph.op("Reshape", x, _whole(-1, 4 * LINES))


def _dense(graph: Graph, kernel: Floats, steps: int, left: int, stride: int) -> str:
    """A convolution over so many steps as one matrix, shape (steps * in, left * out); beyond the ends lies nothing.

    It is put together when the network is loaded: the file holds each tap once.
    """
    outof, into, taps = kernel.shape
    tap = [graph.op("Identity", kernel[:, :, number].T) for number in range(taps)]
    nothing = graph.op("Identity", np.zeros((into, outof), np.float32))
    rows = []
    for before in range(steps):
        at = [before - after * stride + 1 for after in range(left)]
        rows.append(graph.op("Concat", *(tap[one] if 0 <= one < taps else nothing for one in at), axis=1))
    return graph.op("Concat", *rows, axis=0)


def _whole(*numbers: int) -> NDArray[np.int64]:
    return np.array(numbers, np.int64)

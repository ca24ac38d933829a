"""One more output for CAM++: how alike the voice is before and after each moment of a clip.

The frames that the network pools into one embedding are pooled again, up to three seconds before and after a cut, for a
cut every fifth of a second that has a second on either side. Two pools that point in different directions are two
voices. It costs next to nothing beside the frames themselves.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

STEPS_PER_S = 50
LEAST, MOST, EVERY = STEPS_PER_S, 3 * STEPS_PER_S, STEPS_PER_S // 5
"""Steps on either side of a cut, and from one cut to the next."""
OUTPUT = "turns"

Op = Callable[..., str]


def turns(op: Op, frames: str, kernel: NDArray[np.float32], shift: NDArray[np.float32]) -> str:
    """(batch, steps, 512) -> (batch, cuts), cosines; `kernel` (192, 1024) and `shift` make an embedding of a pool."""
    steps = op("Gather", op("Shape", frames), np.int64(1), axis=0)
    cuts = op("Range", np.int64(LEAST), op("Sub", steps, np.int64(LEAST - 1)), np.int64(EVERY))
    first = op("Max", op("Sub", cuts, np.int64(MOST)), np.int64(0))
    last = op("Min", op("Add", cuts, np.int64(MOST)), steps)
    mean = op("ReduceMean", frames, axes=[1], keepdims=1)
    off = op("Sub", frames, mean)  # sums of what is small lose less
    sums = _running(op, off)
    squares = _running(op, op("Mul", off, off))
    sides = []
    for start, stop in ((first, cuts), (cuts, last)):
        count = op("Unsqueeze", op("Cast", op("Sub", stop, start), to=TensorProto.FLOAT), np.array([1], np.int64))
        total, square = (
            op("Sub", op("Gather", running, stop, axis=1), op("Gather", running, start, axis=1))
            for running in (sums, squares)
        )
        middle = op("Div", total, count)
        power = op("Sub", square, op("Mul", total, middle))
        spread = op("Sqrt", op("Max", op("Div", power, op("Sub", count, np.float32(1))), np.float32(0)))
        both = op("Concat", op("Add", middle, mean), spread, axis=-1)
        sides.append(op("Add", op("MatMul", both, kernel.T), shift))
    before, after = sides
    product, *powers = (
        op("Einsum", one, other, equation="bkd,bkd->bk")
        for one, other in ((before, after), (before, before), (after, after))
    )
    return op("Div", product, op("Sqrt", op("Mul", *powers)))


def _running(op: Op, values: str) -> str:
    """Sums up to each step, nought before the first."""
    return op("Pad", op("CumSum", values, np.int64(1)), np.array([0, 1, 0, 0, 0, 0], np.int64))


def add_turns(model: onnx.ModelProto) -> None:
    """Give the exported network its second output."""
    graph = model.graph
    held = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    held |= {n.output[0]: numpy_helper.to_array(n.attribute[0].t) for n in graph.node if n.op_type == "Constant"}
    norm = next(node for node in reversed(graph.node) if node.op_type == "BatchNormalization")
    dense = next(node for node in reversed(graph.node) if node.op_type == "Conv")
    pooled = next(node for node in reversed(graph.node) if node.op_type == "ReduceMean")
    scale, bias, mean, variance = (held[name].astype(np.float64) for name in norm.input[1:])
    factor = scale / np.sqrt(variance + next(one.f for one in norm.attribute if one.name == "epsilon"))
    kernel, shift = held[dense.input[1]][:, :, 0] * factor[:, None], bias - mean * factor
    constants: dict[bytes, str] = {}

    def op(kind: str, *inputs: Any, **attributes: Any) -> str:
        names = []
        for one in inputs:
            if isinstance(one, str):
                names.append(one)
                continue
            array = np.asarray(one, order="C")
            content = f"{array.dtype}{array.shape}".encode() + array.tobytes()
            if content not in constants:
                constants[content] = f"turns/c{len(constants)}"
                graph.initializer.append(numpy_helper.from_array(array, constants[content]))
            names.append(constants[content])
        output = f"turns/{kind}_{len(graph.node)}"
        graph.node.append(helper.make_node(kind, names, [output], name=output, **attributes))
        return output

    frames = op("Transpose", pooled.input[0], perm=[0, 2, 1])
    found = turns(op, frames, kernel.astype(np.float32), shift.astype(np.float32))
    graph.node.append(helper.make_node("Identity", [found], [OUTPUT]))
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", "cuts"]))
    onnx.checker.check_model(model)

"""Networks on ONNX Runtime. The only importer of onnxruntime.

A shipped network is read from the package, compared with the digest on its card, and run with one thread: how many
clips are worked on at once is the caller's choice, not the runtime's.
"""

import hashlib
import json
import os
from functools import cache
from importlib.resources import as_file, files
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from voiceid.errors import ModelDamaged

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
"""From 1.29 on the runtime would report to its maker, and keep an id of this machine; only this stops all of it."""
import onnxruntime  # noqa: E402 the variable counts only if it is set before

_MIB = 1024 * 1024
_MODELS = files("voiceid") / "encode" / "models"
_LONG = {"features": 28_000, "input": 63_000}
"""Values of an input, by its name, from which on a call hands its working memory back: 3.5 s of sound. What a longer
clip needs would else stay for good."""
_ON = ["CPUExecutionProvider"]
_AT_FIRST = 6 * _MIB
"""What the store holds from the beginning, and for good: 3 s of sound in one piece. For a second thread at once it
takes as much again. Had from the beginning for two, it comes to 9 MB more."""

onnxruntime.create_and_register_allocator(
    onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    ),
    onnxruntime.OrtArenaCfg(
        {
            "arena_extend_strategy": 0, "max_power_of_two_extend_bytes": 2 * _MIB,
            "initial_chunk_size_bytes": _AT_FIRST, "max_dead_bytes_per_chunk": 64 * 1024,
        }
    ),
)  # fmt: skip
"""One store of working memory for all networks. By itself it doubles each time; grown by just what is asked for, clips
of different lengths leave holes in it."""


class Network:
    """A loaded network. Calls from several threads do not disturb each other.

    The second call of a shape takes its working memory in one piece. Taken value by value, threads wait for each other
    at the store, and get what another core has just written. How to part that piece is kept for each shape, 26 KB for
    `campplus`, 51 for `campplus-int8` and 1 for `silero_vad`: so whoever calls bounds how many shapes there are.

    Raises: ModelDamaged, when the file does not have the SHA-256 that its card states.
    """

    def __init__(self, path: Path, sha256: str) -> None:
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            self.digest = hashlib.sha256(content).hexdigest()  # in one go: each piece would wait for Python's lock anew
        """SHA-256 of the file, 64 hexadecimal digits."""
        if self.digest != sha256:
            raise ModelDamaged(f"the model {path.stem} is not the one that its card describes")
        self._session = onnxruntime.InferenceSession(path, _options(), providers=_ON)
        self._outputs = [output.name for output in self._session.get_outputs()]

    @classmethod
    def shipped(cls, name: str) -> Self:
        """Load `name`.onnx from the package, if it is the file that `name`.json describes.

        Raises: ModelDamaged, when file or card is missing, or the digest differs.
        """
        try:
            sha256 = json.loads((_MODELS / f"{name}.json").read_bytes())["sha256"]
            with as_file(_MODELS / f"{name}.onnx") as path:
                return cls(path, sha256)
        except (OSError, ValueError, LookupError, TypeError) as missing:
            raise ModelDamaged(f"the model {name} or its card cannot be read") from missing

    def run(self, inputs: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Compute every output, in the order in which the network declares them."""
        outputs: list[NDArray[np.float32]] = self._session.run(self._outputs, inputs)
        if any(inputs[name].size > most for name, most in _LONG.items() if name in inputs):
            outputs = [one.copy() for one in outputs]
            hand_back()
        return outputs


def hand_back() -> None:
    """Give the system what is free of the store beyond what it began with.

    The runtime does so at the end of a call that asks for it, when that call's own results still lie there and hold all
    that was taken at once with them. So a call asks that has none.
    """
    run = onnxruntime.RunOptions()
    run.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    _idle().run(None, {"x": np.zeros(0, np.float32)}, run)


@cache
def _idle() -> Any:
    """A network of one node, y = Identity(x), as ONNX is written: it gives back what it is given."""
    node, real = b'\n\x01x\x12\x01y"\x08Identity', b"\x12\x04\n\x02\x08\x01"
    graph = b"\n\x10" + node + b"\x12\x01n" + b"Z\t\n\x01x" + real + b"b\t\n\x01y" + real
    return onnxruntime.InferenceSession(b"\x08\x08B\x02\x10\x11:+" + graph, _options(), providers=_ON)


def _options() -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.enable_mem_pattern = True
    options.enable_mem_reuse = False  # planning it took half of the start; the store gives the same places again anyway
    options.log_severity_level = 3  # errors only: warnings would reach standard error
    return options

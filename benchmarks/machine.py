"""What machine this is, what it can do at best, and how much others disturbed it meanwhile."""

import importlib.metadata
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np

TOO_NOISY = 0.25
"""Noise beyond which no figure in seconds is held against a goal."""
_SIDE = 512
_COPY_BYTES = 64 * 1024 * 1024
_PAGE = bytes(4096)
_FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "neon", "asimddp", "sha_ni")
_LIBRARIES = ("faiss-cpu", "fastapi", "numpy", "onnxruntime", "sqlalchemy", "uvicorn")


class Noise:
    """A fixed piece of work, repeated throughout a run: what it takes beyond its best time is the noise."""

    def __init__(self) -> None:
        self._matrix = np.random.default_rng(0).random((_SIDE, _SIDE), dtype=np.float32)
        self._taken: list[float] = []
        self.listen()

    def listen(self, seconds: float = 0.3) -> None:
        """Take a few more samples."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            self._taken.append(timed(lambda: self._matrix @ self._matrix))

    @property
    def share(self) -> float:
        """By how much the median exceeds the best: 0 on an idle machine."""
        return statistics.median(self._taken) / min(self._taken) - 1

    @property
    def quiet(self) -> bool:
        return self.share <= TOO_NOISY


def describe(noise: Noise, **more: Any) -> dict[str, Any]:
    """The machine as JSON."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "architecture": platform.machine(),
        "instructions": _flags(),
        "system": platform.system(),
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "sgemm_gflops": round(sgemm_gflops(), 1),
        "copy_gb_per_s": round(copy_gb_per_s(), 1),
        "sync_ms": round(sync_s() * 1000, 2),
        "load": round(os.getloadavg()[0], 2),
        "noise": round(noise.share, 3),
        "quiet": noise.quiet,
        **more,
    }


def sgemm_gflops() -> float:
    """The best of this machine's single-precision matrix product, one thread."""
    one = np.random.default_rng(0).random((_SIDE, _SIDE), dtype=np.float32)
    return 2 * _SIDE**3 / best(lambda: one @ one) / 1e9


def copy_gb_per_s() -> float:
    """The best rate at which memory is read and written, one thread."""
    source = np.ones(_COPY_BYTES, dtype=np.uint8)
    target = np.empty_like(source)
    return 2 * _COPY_BYTES / best(lambda: np.copyto(target, source)) / 1e9


def sync_s() -> float:
    """What the disk under the temporary directory takes to confirm one page: median, seconds."""
    with tempfile.TemporaryDirectory() as folder, Syncing(Path(folder)) as sync:
        return statistics.median(timed(sync) for _ in range(20))


class Syncing:
    """Writes one page into a file and waits until the disk has it."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / "page", os.O_RDWR | os.O_CREAT, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def __call__(self) -> None:
        os.pwrite(self._file, _PAGE, 0)
        os.fdatasync(self._file)


def resident_mb(pid: int) -> float:
    """Memory that a process holds, MB of 10^6 bytes; Linux."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:")) / 1e6


def processor_s(pid: int) -> float:
    """Processor time that a process has used so far, seconds; Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def handles(pid: int) -> int:
    """Files and sockets that a process holds open; Linux."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 names alone: the entries may be gone before they are read


def threads(pid: int) -> int:
    """Threads of a process; Linux."""
    return len(os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208 same


def timed(call: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def best(call: Callable[[], object], times: int = 15) -> float:
    """The shortest of several calls, seconds."""
    return min(timed(call) for _ in range(times))


def _flags() -> list[str]:
    """Instruction sets that matter to matrix products; Linux tells."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    words = {word for line in text.splitlines() if line.startswith(("flags", "Features")) for word in line.split()}
    return [flag for flag in _FLAGS if flag in words]

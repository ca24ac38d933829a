"""From nothing to ready, and what the installation weighs."""

import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks import voices
from benchmarks.bench import Bench
from benchmarks.machine import timed
from benchmarks.rows import Goal, Row, paired, plain_row, timed_row
from benchmarks.server import Household, Server, environment

READY_S = 1.0
INSTALLED_MB = 450.0
LIBRARIES = (
    "cryptography.hazmat.primitives.ciphers.aead", "faiss", "fastapi", "jinja2", "msgspec", "numpy",
    "onnxruntime", "prometheus_client", "pydantic", "soundfile", "soxr", "sqlalchemy", "uvicorn",
)  # fmt: skip
"""What any service on this stack imports, sooner or later."""
_IMPORTS = (sys.executable, "-c", "import " + ", ".join(LIBRARIES))
_PEER = "importing its libraries alone"
_ROOT = Path(__file__).resolve().parents[1]


def ready(bench: Bench) -> Iterator[Row]:
    """Start the service again and again, in turns with a process that only imports the same libraries.

    What is loaded only after it is ready shows in how long the first answer takes, and then the first of what is not
    recognition, both counted from the start as well.
    """
    sound = voices.wav(voices.seconds_of(voices.GUEST, 3))
    home = bench.folder("start")
    with Server(home) as server:
        first = [server.ready_s]
        household = Household(server)
        household.enroll("ada", "none")
    for _ in range(0 if bench.quick else 3):
        with Server(bench.folder("start")) as server:
            first.append(server.ready_s)
    answered, complete = [], []
    seen: list[tuple[float, float]] = []
    for _ in range(1 if bench.quick else 8):
        with Server(home) as server:
            caller = server.caller(household.token)
            answered.append(server.ready_s + timed(partial(household.recognize, sound, by=caller)))
            complete.append(answered[-1] + timed(partial(caller, "GET", "/v1/policy")))
            seen.append((server.ready_s, _import(home)))
    goal, quiet = Goal("figure", READY_S), bench.noise.quiet
    libraries_s = min(taken for _, taken in seen)
    yield timed_row("ready, first start", paired(first, [libraries_s] * len(first)), _PEER, goal, unit="s", quiet=quiet)
    again = paired([one for one, _ in seen], [other for _, other in seen])
    yield timed_row("ready, later starts", again, _PEER, goal, unit="s", quiet=quiet)
    for what, taken in (("first answer", answered), ("everything else asked for at once", complete)):
        asked = paired(taken, [ready_s for ready_s, _ in seen])
        yield timed_row(f"{what}, later starts, from the start on", asked, "ready", unit="s")


def installed(_bench: Bench) -> Iterator[Row]:
    """Bytes of the base installation: every distribution it needs, as its own records list the files."""
    needed = {_plain("voiceid"): _tree("voiceid") + _tree("enrollment")} | _requirements("voiceid")
    goal = Goal("figure", INSTALLED_MB)
    heaviest = max((name for name in needed if name != "voiceid"), key=lambda name: needed[name])
    yield plain_row(
        f"base install, {len(needed)} distributions", sum(needed.values()) / 1e6, "MB", f"{heaviest}, the heaviest",
        needed[heaviest] / 1e6, goal,
    )  # fmt: skip
    yield plain_row("voiceid itself, models included", needed["voiceid"] / 1e6, "MB")


def _import(home: Path) -> float:
    return timed(lambda: subprocess.run(_IMPORTS, env=environment(home), check=True))


def _requirements(name: str) -> dict[str, int]:
    """Bytes of each distribution that this one needs, directly or not, without extras."""
    found: dict[str, int] = {}
    asked = [name]
    while asked:
        for line in importlib.metadata.requires(asked.pop()) or ():
            wanted = _plain(re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0])
            if "extra ==" in line or wanted in found:
                continue
            try:
                found[wanted] = _files(wanted)
            except importlib.metadata.PackageNotFoundError:
                continue  # for another platform or Python
            asked.append(wanted)
    return found


def _files(name: str) -> int:
    paths = [file.locate() for file in importlib.metadata.files(name) or ()]
    return sum(Path(str(path)).stat().st_size for path in paths if Path(str(path)).is_file())


def _tree(package: str) -> int:
    """Bytes of one of our own packages, which an editable install does not list."""
    files = [path for path in (_ROOT / package).rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return sum(path.stat().st_size for path in files)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

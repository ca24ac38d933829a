"""Reads another process's memory, as a debugger could: /proc/PID/mem, every page that is there to be read."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from voiceid.scan.markers import Marker, all_patterns
from voiceid.scan.needles import Needles

_PIECE = 1 << 20
_NOT_MEMORY = ("[vvar", "[vsyscall]", "/dev/")


class MemoryScanner:
    """Markers, ready to be looked for in any process that this one may read: its children, for one."""

    def __init__(self, markers: Sequence[Marker]) -> None:
        self._needles = Needles(((marker.name, form), raw) for marker, form, raw in all_patterns(tuple(markers)))

    def scan(self, pid: int) -> list[tuple[str, str, str]]:
        """What is found: marker, form, mapping. Each once.

        Raises: OSError, when the process is gone or may not be read.
        """
        found: dict[tuple[str, str, str], None] = {}
        for name, piece in _pieces(pid, self._needles.longest):
            if piece.count(0) == len(piece):
                continue  # reserved, and never written
            for _, (marker, form) in self._needles.within(piece):
                found[marker, form, name] = None
        return list(found)


def _pieces(pid: int, overlap: int) -> Iterator[tuple[str, bytes]]:
    """The process's memory, mapping by mapping; read-only files of the system hold nothing of it."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps:
            span, mode, _, _, _, *rest = line.split(maxsplit=5)
            name = rest[0] if rest else "anonymous"
            if not mode.startswith("rw") or name.startswith(_NOT_MEMORY):
                continue
            start, stop = (int(end, 16) for end in span.split("-"))
            for at in range(start, stop, _PIECE):
                try:
                    memory.seek(max(start, at - overlap))
                    yield name, memory.read(min(stop, at + _PIECE) - max(start, at - overlap))
                except OSError:
                    continue  # unmapped in the meantime

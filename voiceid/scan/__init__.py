"""The one scanner: whether anything of somebody is left, anywhere, in any form that could still be read.

    left = scan([data_dir, keys_dir, log_dir], [Text("name", "Benedict Okoro"), Clip("request", samples)])

It reads every file below the folders as bytes, in every encoding that a marker could have; takes databases apart page
by page, their logs and what was deleted included; looks for keys in every file, and tries each on everything that is
sealed; decodes what it opened and compares sound with sound and numbers with numbers. It shares no code with the store
that it checks. Findings say where and how, never what.
"""

import binascii
import json
import os
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voiceid.scan.keys import find_keys, opened
from voiceid.scan.markers import SAME_VECTOR, Clip, Marker, Text, Vector, all_patterns, numbers_in
from voiceid.scan.needles import Needles
from voiceid.scan.pages import Pages, is_database
from voiceid.scan.sound import SAME_SOUND, hear

_CHUNK = 8 << 20
_BATCH = 16 << 20
"""Bytes of sealed values that are held at a time."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A marker was found."""

    marker: str
    where: str
    """The file, from the folder on."""
    how: str
    """In which form, and whether a key opened it."""


class Scanner:
    """Markers, ready to be looked for any number of times."""

    def __init__(self, markers: Sequence[Marker]) -> None:
        self._markers = tuple(markers)
        patterns = (((marker.name, form), raw) for marker, form, raw in all_patterns(self._markers))
        self._needles: Needles[tuple[str, str]] = Needles(patterns)

    def scan(self, folders: Iterable[Path]) -> list[Finding]:
        """Everything that is found below these folders, each marker once per file and form."""
        files = [path for folder in folders for path in _files(folder)]
        keys = find_keys(files)
        found: dict[Finding, None] = {}
        for path in files:
            where = f"{path.parent.name}/{path.name}"
            for marker, how in self._in_file(path, keys):
                found[Finding(marker, where, how)] = None
        return list(found)

    def _in_file(self, path: Path, keys: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
        try:
            yield from self._in_bytes(path)
            with Pages(path) as pages:
                for batch in _batches(pages.values()):
                    yield from self._in_values(batch, keys)
        except (OSError, ValueError):
            return  # gone in the meantime, or no database

    def _in_bytes(self, path: Path) -> Iterator[tuple[str, str]]:
        overlap = self._needles.longest
        with path.open("rb") as file:
            before, first = b"", True
            while chunk := file.read(_CHUNK):
                if first and not is_database(chunk):
                    yield from self._in_content(chunk)
                else:
                    yield from (meaning for _, meaning in self._needles.within(before + chunk))
                before, first = chunk[-overlap:] if overlap else b"", False

    def _in_values(self, values: Sequence[bytes], keys: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
        for value in values:
            yield from self._alike(value)
        for _, _, content in opened(values, keys):
            for marker, how in self._in_content(content):
                yield marker, f"{how}, opened with a key that is left"

    def _in_content(self, content: bytes) -> Iterator[tuple[str, str]]:
        """Look at something whole: its bytes, what it sounds like, and what is written in it."""
        for part in _parts(content):
            yield from (meaning for _, meaning in self._needles.within(part))
            yield from self._alike(part)

    def _alike(self, content: bytes) -> Iterator[tuple[str, str]]:
        sound = hear(content)
        numbers = [] if sound else numbers_in(content)
        for marker in self._markers:
            match marker:
                case Clip() if sound and sound.like(marker.template) >= SAME_SOUND:
                    yield marker.name, "sound"
                case Vector() if any(marker.like(run) >= SAME_VECTOR for run in numbers):
                    yield marker.name, "numbers"


def scan(folders: Iterable[Path], markers: Sequence[Marker]) -> list[Finding]:
    """Look once."""
    return Scanner(markers).scan(folders)


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        for name in sorted(names):
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _batches(values: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Values without repetition, some at a time."""
    batch: dict[bytes, None] = {}
    held = 0
    for value in values:
        if value not in batch:
            batch[value] = None
            held += len(value)
        if held > _BATCH:
            yield list(batch)
            batch, held = {}, 0
    yield list(batch)


def _parts(content: bytes) -> Iterator[bytes]:
    """The content, and what the texts in a JSON document encode."""
    yield content
    if content[:1] in (b"{", b"["):
        try:
            yield from _encoded(json.loads(content))
        except ValueError:
            return


def _encoded(value: Any) -> Iterator[bytes]:
    match value:
        case dict():
            for one in value.values():
                yield from _encoded(one)
        case list():
            for one in value:
                yield from _encoded(one)
        case str():
            for decode in (bytes.fromhex, b64decode):
                try:
                    yield decode(value)
                except (ValueError, binascii.Error):
                    continue


__all__ = ["Clip", "Finding", "Marker", "Scanner", "Text", "Vector", "scan"]

"""Reads the values of SQLite tables out of raw pages: of the file, of every frame of its log, of what was deleted.

It shares no code with the store that it checks, opens no database, and takes no lock.
"""

import os
import re
import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

_FILE_MAGIC = b"SQLite format 3\0"
_LOG_MAGIC = (0x377F0682, 0x377F0683)
_LOG_HEAD, _FRAME_HEAD = 32, 24
_TABLE_LEAF = b"\x0d"
_LARGEST = 1 << 27
_FIRST_BLOB = 12
"""Codes from here on are blobs where even, texts where odd; below, numbers of these lengths."""
_PREFIX = 28
"""Bytes by which a sealed value is known again: nonces do not repeat."""
_KEY_ID = re.compile(rb"[0-9a-f]{40}")
"""What stands right before a sealed value in every row, also in a row that was deleted."""


@dataclass(frozen=True, slots=True)
class _Image:
    """Where one page stands as it was at one moment."""

    moment: int
    """Which transaction wrote it: 0 for the file, the log's from 1."""
    number: int
    file: BinaryIO
    at: int
    size: int

    @property
    def content(self) -> bytes:
        return os.pread(self.file.fileno(), self.size, self.at)


class Pages:
    """All page images of one database: of the file, then of the log in the order of its frames, however old."""

    def __init__(self, path: Path) -> None:
        """Open the database at `path` and its write-ahead log, as plain files.

        Raises: ValueError, when it is no SQLite database; OSError.
        """
        self._files = [path.open("rb")]
        head = self._files[0].read(100)
        if not is_database(head):
            self.close()
            raise ValueError("not a database")
        size = struct.unpack(">H", head[16:18])[0]
        self._size = 65536 if size == 1 else size
        self._usable = self._size - head[20]
        self._images = list(self._of_file(self._files[0]))
        log = path.with_name(path.name + "-wal")
        if log.exists():
            self._files.append(log.open("rb"))
            self._images += self._of_log(self._files[1])
        self._versions: dict[int, list[_Image]] = defaultdict(list)
        for image in self._images:
            self._versions[image.number].append(image)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for file in self._files:
            file.close()

    def values(self) -> Iterator[bytes]:
        """Every blob of every row, and what follows a key's id in what is left of deleted ones."""
        rows: set[bytes] = set()
        for image in self._images:
            content = image.content
            for value in self._rows(image, content):
                rows.add(value[:_PREFIX])
                yield value
            for found in _KEY_ID.finditer(content):
                if content[found.end() : found.end() + _PREFIX] not in rows:
                    yield content[found.end() :]

    def _of_file(self, file: BinaryIO) -> Iterator[_Image]:
        for number in range(os.fstat(file.fileno()).st_size // self._size):
            yield _Image(0, number + 1, file, number * self._size, self._size)

    def _of_log(self, log: BinaryIO) -> Iterator[_Image]:
        head = log.read(_LOG_HEAD)
        if len(head) < _LOG_HEAD or struct.unpack(">I", head[:4])[0] not in _LOG_MAGIC:
            return
        step, moment = self._size + _FRAME_HEAD, 1
        for frame in range((os.fstat(log.fileno()).st_size - _LOG_HEAD) // step):
            at = _LOG_HEAD + frame * step
            number, commits = struct.unpack(">II", os.pread(log.fileno(), 8, at))
            yield _Image(moment, number, log, at + _FRAME_HEAD, self._size)
            moment += commits != 0

    def _rows(self, image: _Image, page: bytes) -> Iterator[bytes]:
        start = 100 if image.number == 1 else 0
        if page[start : start + 1] != _TABLE_LEAF:
            return
        cells = struct.unpack(">H", page[start + 3 : start + 5])[0]
        for cell in range(min(cells, self._size // 4)):
            at = start + 8 + 2 * cell
            try:
                place = struct.unpack(">H", page[at : at + 2])[0]
                yield from _fields(self._payload(image.moment, page, place))
            except (IndexError, struct.error, ValueError):
                continue  # an image that was overwritten by something else

    def _payload(self, moment: int, page: bytes, at: int) -> bytes:
        """The whole record of a cell, with the pages it flows over to.

        Raises: ValueError, for a length that cannot be.
        """
        length, at = _varint(page, at)
        _, at = _varint(page, at)
        if not 0 < length < _LARGEST:
            raise ValueError("not a record")
        local = self._local(length)
        parts = [page[at : at + local]]
        if local < length:
            following = struct.unpack(">I", page[at + local : at + local + 4])[0]
            parts += self._overflow(following, moment, length - local)
        return b"".join(parts)[:length]

    def _local(self, length: int) -> int:
        """How much of a record stands in its own page; see the file format's document, section 1.6."""
        most, least = self._usable - 35, (self._usable - 12) * 32 // 255 - 23
        if length <= most:
            return length
        wanted = least + (length - least) % (self._usable - 4)
        return wanted if wanted <= most else least

    def _overflow(self, number: int, moment: int, length: int) -> Iterator[bytes]:
        """Follow the chain through the pages as they were at that moment."""
        while length > 0 and number in self._versions:
            versions = self._versions[number]  # oldest first
            content = next((one for one in reversed(versions) if one.moment <= moment), versions[0]).content
            part = content[4 : min(self._usable, 4 + length)]
            yield part
            length -= max(1, len(part))
            number = struct.unpack(">I", content[:4])[0]


def _fields(record: bytes) -> Iterator[bytes]:
    """The blobs of one record; its texts are found as they stand in the file."""
    end, at = _varint(record, 0)
    place = end
    while at < end:
        kind, at = _varint(record, at)
        length = (kind - 12) // 2 if kind >= _FIRST_BLOB else (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0)[kind]
        if kind >= _FIRST_BLOB and kind % 2 == 0:
            yield record[place : place + length]
        place += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of one to nine bytes, and where it ends."""
    value = 0
    for length in range(8):
        byte = data[at + length]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:  # noqa: PLR2004 the last byte
            return value, at + length + 1
    return value << 8 | data[at + 8], at + 9


def is_database(head: bytes) -> bool:
    """Whether a file that begins like this is an SQLite database."""
    return head.startswith(_FILE_MAGIC)

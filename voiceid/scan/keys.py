"""Every key that can be found, and what it opens: whatever is left of a key store is tried on whatever is sealed."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray

from voiceid.scan.pages import is_database

KEY_BYTES = 32
NONCE_BYTES, TAG_BYTES, NAME_BYTES = 12, 16, 16
_WRAPPED_BYTES = NONCE_BYTES + KEY_BYTES + TAG_BYTES
_LARGEST = 1 << 20
"""Bytes of a file in which keys are looked for at every offset."""
_HEAD = 32
"""Bytes of a value that are opened to see whether a key fits."""
_TEXT_MAGIC = (b"fLaC", b"RIFF", b"OggS", b"PK\x03\x04")


def find_keys(files: Sequence[Path]) -> dict[str, bytes]:
    """Keys by their names, hexadecimal: those that any file of 32 bytes unwraps from any place of any other file.

    A file of 32 bytes that are no text may be a key itself, and is returned too. Databases are not looked at.
    """
    contents = {path: _read(path) for path in files}
    masters = {content for content in contents.values() if len(content) == KEY_BYTES and not content.isascii()}
    found = {f"file {number}": master for number, master in enumerate(sorted(masters))}
    for master in masters:
        aead = AESGCM(master)
        for content in contents.values():
            found |= dict(_unwrapped(content, aead))
    return found


def opened(values: Sequence[bytes], keys: Mapping[str, bytes]) -> Iterator[tuple[int, str, bytes]]:
    """What any of the keys makes of any of the values, where it makes sense: place of the value, key, content.

    A value is nonce (12), ciphertext, tag (16), as AES-256-GCM leaves it. Which record it was sealed for does not
    matter: the content is computed without the tag, so not even a moved or cut-off row is safe from it.
    """
    places = [at for at, value in enumerate(values) if len(value) > NONCE_BYTES + TAG_BYTES]
    if not places:
        return
    heads = np.zeros((len(places), _HEAD), dtype=np.uint8)
    lengths = np.zeros(len(places), dtype=np.int64)
    counters = bytearray()
    for row, place in enumerate(places):
        head = values[place][NONCE_BYTES:-TAG_BYTES][:_HEAD]
        heads[row, : len(head)] = np.frombuffer(head, np.uint8)
        lengths[row] = len(head)
        nonce = values[place][:NONCE_BYTES]
        counters += nonce + b"\0\0\0\x02" + nonce + b"\0\0\0\x03"
    beyond = np.arange(_HEAD)[np.newaxis] >= lengths[:, np.newaxis]
    for name, key in keys.items():
        stream = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(bytes(counters))  # noqa: S305 the keystream of GCM's counter mode, block by block
        plain = heads ^ np.frombuffer(stream, np.uint8).reshape(-1, _HEAD)
        plain[beyond] = ord(" ")
        for fits in np.flatnonzero(_sensible(plain)).tolist():
            yield places[fits], name, _decrypt(key, values[places[fits]])


def _decrypt(key: bytes, value: bytes) -> bytes:
    counter = value[:NONCE_BYTES] + b"\0\0\0\x02"
    return Cipher(algorithms.AES(key), modes.CTR(counter)).decryptor().update(value[NONCE_BYTES:-TAG_BYTES])


def _sensible(plain: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether each head, (n, 32), could be what somebody stored: a sound file, text, or numbers."""
    magic = np.zeros(len(plain), dtype=bool)
    for word in _TEXT_MAGIC:
        magic |= (plain[:, :4] == np.frombuffer(word, np.uint8)).all(axis=1)
    written = ((plain >= ord(" ")) | (plain == ord("\n")) | (plain == ord("\t"))).all(axis=1)
    text = np.array([bool(sure) and _is_text(head.tobytes()) for sure, head in zip(written, plain, strict=True)])
    with np.errstate(all="ignore"):  # most bytes are no numbers
        numbers: NDArray[np.bool_] = magic
        for form in ("<f4", ">f4", "<f2"):
            size = np.abs(plain.view(form).astype(np.float64))
            numbers = numbers | ((size < 2) & ((size > 1e-7) | (size == 0))).all(axis=1)  # noqa: PLR2004 a unit vector's
    sensible: NDArray[np.bool_] = numbers | text
    return sensible


def _is_text(head: bytes) -> bool:
    """UTF-8, perhaps cut off within its last character."""
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3
    return True


def _unwrapped(content: bytes, master: AESGCM) -> Iterator[tuple[str, bytes]]:
    """The keys that a master key opens in these bytes: a name (16) that stands before the wrapped key (60)."""
    if not NAME_BYTES + _WRAPPED_BYTES <= len(content) <= _LARGEST:
        return
    empty = bytes(NONCE_BYTES)
    for at in range(len(content) - NAME_BYTES - _WRAPPED_BYTES + 1):
        nonce = content[at + NAME_BYTES : at + NAME_BYTES + NONCE_BYTES]
        if nonce == empty:
            continue
        name = content[at : at + NAME_BYTES]
        sealed = content[at + NAME_BYTES + NONCE_BYTES : at + NAME_BYTES + _WRAPPED_BYTES]
        try:
            yield name.hex(), master.decrypt(nonce, sealed, name)
        except InvalidTag:
            continue


def _read(path: Path) -> bytes:
    """A file that could hold keys; empty for one that is too large, a database, or gone in the meantime."""
    try:
        content = path.read_bytes() if path.stat().st_size <= _LARGEST else b""
    except OSError:
        return b""
    return b"" if is_database(content) or path.name.endswith(("-wal", "-shm")) else content

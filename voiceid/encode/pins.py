"""Which model files may be loaded: those pinned here, and folders that the operator vouched for.

A checkpoint comes from strangers. Its hyperparameters can name any Python function, its weights decide who is who, so
nothing is read before its sha256 is one that was written down: for a model of a hub in this file, for a folder of the
operator's own in `trusted.sha256`, which lies outside of that folder and can be checked with `sha256sum -c`.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from voiceid.errors import InvalidRequest, ModelDamaged, ModelUnavailable, UnpinnedModel

HYPERPARAMS = "hyperparams.yaml"
WEIGHTS = "embedding_model.ckpt"
TRUST_FILE = "trusted.sha256"

_BLOCK = 1 << 20
_TRUST_LINE = re.compile(rb"([0-9a-f]{64})  (.+)")
_HYPERPARAMS_MAX = 64 << 10


@dataclass(frozen=True, slots=True)
class Pin:
    """What one published file must be."""

    sha256: str
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class PinnedModel:
    """A model of a hub at one revision. Its weights are fetched; what builds the network is ours."""

    repo: str
    """Owner and name on the hub."""
    revision: str
    """The commit, 40 hex digits; never a branch, which moves."""
    files: Mapping[str, Pin]
    hyperparams: Path
    """Our own description of the network, in SpeechBrain's format: nothing that could run comes from the hub."""


PINNED: Mapping[str, PinnedModel] = MappingProxyType(
    {
        "ecapa": PinnedModel(
            repo="speechbrain/spkrec-ecapa-voxceleb",
            revision="0f99f2d0ebe89ac095bcc5903c4dd8f72b367286",
            files=MappingProxyType(
                {WEIGHTS: Pin("0575cb64845e6b9a10db9bcb74d5ac32b326b8dc90352671d345e2ee3d0126a2", 83_316_686)}
            ),
            hyperparams=Path(__file__).with_name("models") / "ecapa.yaml",
        )
    }
)
"""Where each digest comes from is told in `models/ecapa.md`."""


def find_pinned(name: str, catalogue: Mapping[str, PinnedModel] = PINNED) -> str | None:
    """The short name of a model, given that (`ecapa`) or its name on the hub; None when no such model is pinned."""
    return next((short for short, model in catalogue.items() if name in (short, model.repo)), None)


def checkpoint_digest(sha256s: Mapping[str, str]) -> str:
    """The sha256 over a checkpoint's files: over what `sha256sum` prints for them, sorted by name."""
    listing = "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(sha256s.items()))
    return hashlib.sha256(listing.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """The sha256 of a file, 64 hex digits.

    Raises: ModelUnavailable, when it is missing, no regular file, or cannot be read.
    """
    digest = hashlib.sha256()
    for block in _blocks(path):
        digest.update(block)
    return digest.hexdigest()


def copy_verified(source: Path, target: Path, sha256: str) -> None:
    """Copy a file and prove the copy: whoever swaps the source afterwards changes nothing.

    Raises: ModelDamaged, when its digest is another; ModelUnavailable, when it cannot be read or copied.
    """
    digest = hashlib.sha256()
    try:
        with target.open("xb") as copy:
            for block in _blocks(source):
                digest.update(block)
                copy.write(block)
    except OSError as failed:
        raise ModelUnavailable(f"cannot copy {source.name} to a temporary directory: {failed.strerror}") from failed
    if digest.hexdigest() != sha256:
        raise _not_as_pinned(source)


def read_hyperparams(path: Path, sha256: str | None = None) -> tuple[str, str]:
    """Text and sha256 of a `hyperparams.yaml`, at most 64 KiB of it.

    Raises: ModelDamaged, when it is no such text, or its digest is not the one given; ModelUnavailable, when it cannot
        be read.
    """
    raw = b"".join(_blocks(path, most=_HYPERPARAMS_MAX + 1))
    found = hashlib.sha256(raw).hexdigest()
    if sha256 is not None and found != sha256:
        raise _not_as_pinned(path)
    if len(raw) > _HYPERPARAMS_MAX:
        raise ModelDamaged(f"{path.name} is longer than {_HYPERPARAMS_MAX} bytes")
    try:
        return raw.decode(), found
    except UnicodeDecodeError as broken:
        raise ModelDamaged(f"{path.name} is not text") from broken


def trusted_digests(folder: Path, models_dir: Path) -> dict[str, str]:
    """What the operator wrote down for a folder: name of the file -> sha256.

    Raises: UnpinnedModel, when nothing or not everything was written down.
    """
    home = folder.resolve()
    sha256s = {path.name: sha256 for path, sha256 in _trust_lines(models_dir) if path.parent == home}
    if set(sha256s) != {HYPERPARAMS, WEIGHTS}:
        raise UnpinnedModel(f"nobody vouched for this folder yet: voiceid model trust {home}")
    return sha256s


def vouch(folder: Path, models_dir: Path, sha256s: Mapping[str, str]) -> None:
    """Write down that these files, as they are now, may be loaded from this folder; replaces what stood there.

    Raises: InvalidRequest, for a path with a line break or a backslash; ModelUnavailable, when nothing can be written.
    """
    home = folder.resolve()
    if set("\n\r\\") & set(str(home)):
        raise InvalidRequest("the folder's path must not hold line breaks or backslashes")
    kept = {path: sha256 for path, sha256 in _trust_lines(models_dir) if path.parent != home}
    lines = kept | {home / name: sha256 for name, sha256 in sha256s.items()}
    text = b"".join(b"%s  %s\n" % (sha256.encode(), os.fsencode(path)) for path, sha256 in sorted(lines.items()))
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        _replace(models_dir / TRUST_FILE, text)
    except OSError as failed:
        raise ModelUnavailable(f"cannot write {TRUST_FILE}: {failed.strerror}") from failed


def _trust_lines(models_dir: Path) -> Iterator[tuple[Path, str]]:
    """Path and sha256 of each line. A line that cannot be read vouches for nothing."""
    try:
        text = (models_dir / TRUST_FILE).read_bytes()
    except FileNotFoundError:
        return
    for line in text.split(b"\n"):
        if known := _TRUST_LINE.fullmatch(line):
            yield Path(os.fsdecode(known[2])), known[1].decode()


def _replace(path: Path, text: bytes) -> None:
    """Write a whole file or none."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
        try:
            new.write(text)
            new.flush()
            os.fsync(new.fileno())
            Path(new.name).chmod(0o644)
            Path(new.name).replace(path)
        except OSError:
            Path(new.name).unlink(missing_ok=True)
            raise


def _blocks(path: Path, most: int | None = None) -> Iterator[bytes]:
    """Read a file block by block, up to `most` bytes."""
    if not path.is_file():  # a pipe would never end
        raise ModelUnavailable(f"{path.name} is not there")
    left = most
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK if left is None else min(_BLOCK, left)):
                if left is not None:
                    left -= len(block)
                yield block
    except OSError as failed:
        raise ModelUnavailable(f"cannot read {path.name}: {failed.strerror}") from failed


def _not_as_pinned(path: Path) -> ModelDamaged:
    return ModelDamaged(f"{path.name} does not have the sha256 that was written down for it")

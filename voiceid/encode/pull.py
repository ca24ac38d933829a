"""Fetches a pinned model: an outbound connection, made only when the operator says `voiceid model pull`.

Nothing counts as installed before its sha256 is the pinned one: a file grows under a name of its own (`.part`) and gets
its real name in one step. A connection that breaks leaves the part for the next try; any other failure removes it.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from voiceid.encode.pins import PINNED, Pin, PinnedModel, file_sha256, find_pinned
from voiceid.errors import ModelDamaged, ModelUnavailable, UnpinnedModel

HUB_URL = "https://huggingface.co"

Progress = Callable[[str, int, int], None]
"""Called with a file's name, the bytes that are here, and the bytes it will have."""

_TIMEOUT = httpx.Timeout(30, connect=10)
_HEADERS = {"Accept-Encoding": "identity"}  # a compressed answer could not be taken up in the middle


def pull(
    name: str,
    models_dir: Path,
    *,
    hub: str = HUB_URL,
    catalogue: Mapping[str, PinnedModel] = PINNED,
    progress: Progress = lambda _file, _here, _all: None,
) -> Path:
    """Fetch what is not here yet of a pinned model; return its folder.

    Raises: UnpinnedModel, for a name that is not pinned; ModelUnavailable, when the hub or the disk fails;
        ModelDamaged, when the hub's file is not the pinned one.
    """
    short = find_pinned(name, catalogue)
    if short is None:
        raise UnpinnedModel(f"no model of that name is pinned; pinned are: {', '.join(sorted(catalogue))}")
    model = catalogue[short]
    folder = models_dir / short
    with _alone_in(folder), httpx.Client(timeout=_TIMEOUT, headers=_HEADERS, follow_redirects=True) as client:
        for file, pin in model.files.items():
            if not _is_here(folder / file, pin):
                _fetch(client, f"{hub}/{model.repo}/resolve/{model.revision}/{file}", folder / file, pin, progress)
    return folder


def installed(models_dir: Path, catalogue: Mapping[str, PinnedModel] = PINNED) -> tuple[str, ...]:
    """The pinned models that are here whole, every digest checked."""
    return tuple(
        name
        for name, model in sorted(catalogue.items())
        if all(_is_here(models_dir / name / file, pin) for file, pin in model.files.items())
    )


def _is_here(path: Path, pin: Pin) -> bool:
    try:
        return path.stat().st_size == pin.size and file_sha256(path) == pin.sha256
    except (OSError, ModelUnavailable):
        return False


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Make the folder and keep every other pull out of it: two would write into the same part.

    Raises: ModelUnavailable, when another one is in it, or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as failed:
        raise ModelUnavailable(f"the folder for this model cannot be made: {failed.strerror}") from failed
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as busy:
            raise ModelUnavailable("another command is fetching this model") from busy
        yield
    finally:
        os.close(handle)


def _fetch(client: httpx.Client, url: str, target: Path, pin: Pin, progress: Progress) -> None:
    """Fetch one file, taking up where an earlier try broke off.

    Raises: ModelUnavailable, ModelDamaged.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        _download(client, url, part, pin, lambda here: progress(target.name, here, pin.size))
        _prove(part, pin)
        part.replace(target)
    except (httpx.HTTPError, httpx.InvalidURL) as broken:
        raise ModelUnavailable(f"{target.name}: the connection failed; say it again to go on from here") from broken
    except ModelDamaged:
        part.unlink(missing_ok=True)
        raise
    except OSError as failed:
        part.unlink(missing_ok=True)
        raise ModelUnavailable(f"{target.name} cannot be written: {failed.strerror}") from failed


def _download(client: httpx.Client, url: str, part: Path, pin: Pin, progress: Callable[[int], None]) -> None:
    """Append what is missing, and never more bytes than the pin allows.

    Raises: ModelUnavailable, ModelDamaged, httpx.HTTPError, OSError.
    """
    here = part.stat().st_size if part.exists() else 0
    if here >= pin.size:
        return
    with client.stream("GET", url, headers={"Range": f"bytes={here}-"} if here else {}) as answer:
        if answer.status_code == httpx.codes.OK:  # the whole file, asked for or not
            here = 0
        elif answer.status_code != httpx.codes.PARTIAL_CONTENT or not _starts_at(answer, here):
            raise ModelUnavailable(f"{part.stem}: the hub answered {answer.status_code}")
        with part.open("ab" if here else "wb") as file:
            for block in answer.iter_raw():
                here += len(block)
                if here > pin.size:
                    raise ModelDamaged(f"{part.stem}: the hub sends more than the {pin.size} bytes that were published")
                file.write(block)
                progress(here)
            file.flush()
            os.fsync(file.fileno())
    if here < pin.size:
        raise ModelUnavailable(f"{part.stem} broke off at {here} of {pin.size} bytes; say it again to go on from there")


def _prove(part: Path, pin: Pin) -> None:
    """Hold the whole file, also what an earlier try left, against its pin.

    Raises: ModelDamaged.
    """
    if file_sha256(part) != pin.sha256:
        raise ModelDamaged(f"{part.stem}: what the hub sent is not what was published, and was removed")


def _starts_at(answer: httpx.Response, offset: int) -> bool:
    return str(answer.headers.get("Content-Range", "")).startswith(f"bytes {offset}-")

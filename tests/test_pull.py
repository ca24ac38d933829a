"""`voiceid model pull` against a small hub on loopback: real sockets, every way that a fetch can go wrong."""

import fcntl
import hashlib
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hub import Hub, serving

from voiceid.encode.pins import PINNED, Pin, PinnedModel
from voiceid.encode.pull import installed, pull
from voiceid.errors import ModelDamaged, ModelUnavailable, UnpinnedModel

WEIGHTS = bytes(range(256)) * 1024
NOTES = b"a small file\n"
REVISION = "c0ffee" * 6 + "c0ff"


def pin(content: bytes) -> Pin:
    return Pin(hashlib.sha256(content).hexdigest(), len(content))


CATALOGUE = {
    "tiny": PinnedModel(
        repo="someone/tiny-model",
        revision=REVISION,
        files={"embedding_model.ckpt": pin(WEIGHTS), "notes.txt": pin(NOTES)},
        hyperparams=Path("unused.yaml"),
    )
}


@pytest.fixture
def hub() -> Iterator[Hub]:
    files = {"embedding_model.ckpt": WEIGHTS, "notes.txt": NOTES}
    with serving("someone/tiny-model", REVISION, files) as running:
        yield running


@contextmanager
def no_file_longer_than(length: int) -> Iterator[None]:
    """Let the kernel refuse every write beyond `length` bytes, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_a_model_arrives_whole_by_either_of_its_names(hub: Hub, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []

    folder = pull(
        "someone/tiny-model", tmp_path, hub=hub.url, catalogue=CATALOGUE, progress=lambda *step: seen.append(step)
    )

    assert folder == tmp_path / "tiny"
    assert (folder / "embedding_model.ckpt").read_bytes() == WEIGHTS
    assert names(tmp_path) == {"embedding_model.ckpt", "notes.txt"}
    assert ("embedding_model.ckpt", len(WEIGHTS), len(WEIGHTS)) in seen
    assert installed(tmp_path, CATALOGUE) == ("tiny",)


def test_what_is_here_is_not_fetched_again_and_what_was_changed_is(hub: Hub, tmp_path: Path) -> None:
    folder = pull("tiny", tmp_path, hub=hub.url, catalogue=CATALOGUE)
    (folder / "notes.txt").write_bytes(b"b" + NOTES[1:])
    hub.asked.clear()
    assert installed(tmp_path, CATALOGUE) == ()

    pull("tiny", tmp_path, hub=hub.url, catalogue=CATALOGUE)

    assert [path.rpartition("/")[2] for path in hub.asked] == ["notes.txt"]
    assert installed(tmp_path, CATALOGUE) == ("tiny",)


def test_a_name_without_a_pin_is_refused_before_anything_is_asked(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(UnpinnedModel, match="pinned are: tiny"):
        pull("someone/other-model", tmp_path, hub=hub.url, catalogue=CATALOGUE)

    assert hub.asked == []
    assert list(tmp_path.iterdir()) == []


OTHER_FILES = {
    "other bytes": (WEIGHTS[:-1] + b"x", "not what was published"),
    "more bytes": (WEIGHTS * 9, f"more than the {len(WEIGHTS)} bytes"),
}


@pytest.mark.parametrize(("sent", "told"), OTHER_FILES.values(), ids=OTHER_FILES)
def test_another_file_than_the_published_one_is_removed(hub: Hub, tmp_path: Path, sent: bytes, told: str) -> None:
    hub.serves("embedding_model.ckpt", sent)

    with pytest.raises(ModelDamaged, match=told):
        pull("tiny", tmp_path, hub=hub.url, catalogue=CATALOGUE)

    assert names(tmp_path) == set()
    assert installed(tmp_path, CATALOGUE) == ()


def test_a_broken_connection_is_taken_up_where_it_broke(hub: Hub, tmp_path: Path) -> None:
    hub.breaks_off_after = len(WEIGHTS) // 2
    with pytest.raises(ModelUnavailable, match="say it again"):
        pull("tiny", tmp_path, hub=hub.url, catalogue=CATALOGUE)
    assert names(tmp_path) == {"embedding_model.ckpt.part"}
    assert installed(tmp_path, CATALOGUE) == ()
    hub.asked.clear()

    folder = pull("tiny", tmp_path, hub=hub.url, catalogue=CATALOGUE)

    assert hub.asked[0].endswith(f"bytes={len(WEIGHTS) // 2}-")
    assert (folder / "embedding_model.ckpt").read_bytes() == WEIGHTS
    assert names(tmp_path) == {"embedding_model.ckpt", "notes.txt"}


def test_a_hub_that_cannot_go_on_in_the_middle_starts_over(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "embedding_model.ckpt.part").write_bytes(b"something else")
    hub.knows_ranges = False

    folder = pull("tiny", tmp_path, hub=hub.url, catalogue=CATALOGUE)

    assert (folder / "embedding_model.ckpt").read_bytes() == WEIGHTS


def test_a_spoilt_part_is_found_out_and_the_next_try_is_clean(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "embedding_model.ckpt.part").write_bytes(b"something else")

    with pytest.raises(ModelDamaged):
        pull("tiny", tmp_path, hub=hub.url, catalogue=CATALOGUE)

    assert names(tmp_path) == set()
    pull("tiny", tmp_path, hub=hub.url, catalogue=CATALOGUE)
    assert installed(tmp_path, CATALOGUE) == ("tiny",)


def test_a_file_that_the_hub_does_not_have_is_named(hub: Hub, tmp_path: Path) -> None:
    hub.serves("notes.txt", None)

    with pytest.raises(ModelUnavailable, match=r"notes\.txt: the hub answered 404"):
        pull("tiny", tmp_path, hub=hub.url, catalogue=CATALOGUE)

    assert names(tmp_path) == {"embedding_model.ckpt"}
    assert installed(tmp_path, CATALOGUE) == ()


def test_a_hub_out_of_reach_is_an_error_of_ours(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="the connection failed"):
        pull("tiny", tmp_path, hub="http://127.0.0.1:1", catalogue=CATALOGUE)

    assert names(tmp_path) == set()


def test_a_full_disk_leaves_nothing_half_done(hub: Hub, tmp_path: Path) -> None:
    with no_file_longer_than(len(WEIGHTS) // 3), pytest.raises(ModelUnavailable, match="cannot be written"):
        pull("tiny", tmp_path, hub=hub.url, catalogue=CATALOGUE)

    assert names(tmp_path) == set()
    pull("tiny", tmp_path, hub=hub.url, catalogue=CATALOGUE)
    assert installed(tmp_path, CATALOGUE) == ("tiny",)


def test_a_folder_that_cannot_be_made_is_an_error_of_ours(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file, not a folder")

    with pytest.raises(ModelUnavailable, match="cannot be made"):
        pull("tiny", tmp_path / "models", hub=hub.url, catalogue=CATALOGUE)


def test_two_pulls_do_not_write_into_the_same_part(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    other = os.open(tmp_path / "tiny", os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ModelUnavailable, match="another command"):
            pull("tiny", tmp_path, hub=hub.url, catalogue=CATALOGUE)
    finally:
        os.close(other)

    assert hub.asked == []


def test_what_ships_is_pinned_in_full_and_told_in_its_card() -> None:
    card = (Path(PINNED["ecapa"].hyperparams).parent / "ecapa.md").read_text("utf-8")
    for model in PINNED.values():
        assert len(bytes.fromhex(model.revision)) == 20
        assert model.repo in card
        assert model.revision in card
        for name, published in model.files.items():
            assert len(bytes.fromhex(published.sha256)) == 32
            assert f"`{name}`" in card
            assert published.sha256 in card
            assert f"{published.size:,}" in card

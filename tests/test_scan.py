"""The scanner finds every marker in every form it could have, and stops finding it once the key is gone."""

import base64
import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sabotaged_server as sabotage
from home import Home
from numpy.typing import NDArray

from enrollment.purge import Purge
from voiceid import scan as scanner
from voiceid.decode import decode, to_flac
from voiceid.encode import open_encoder
from voiceid.scan import Clip, Finding, Marker, Scanner, Text, Vector, scan
from voiceid.scan.keys import find_keys, opened
from voiceid.scan.pages import Pages
from voiceid.scan.sound import SAME_SOUND, Heard, Template
from voiceid.speech import SpeechCheck
from voiceid.store import keys, vault
from voiceid.store.keys import FileKeyStore
from voiceid.store.vault import Place, Vault
from voiceid.types import Pcm, Samples, Unusable

WORDS = "Zoë wants 3 lemons"


@pytest.fixture(scope="module")
def ada(voices: Path) -> Samples:
    return samples(voices, "ada", "enroll_1")


@pytest.fixture(scope="module")
def direction() -> NDArray[np.float32]:
    """A unit vector with zeros in it, as the shipped encoder makes them."""
    drawn = np.maximum(np.random.default_rng(7).normal(size=192), 0).astype(np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn))


def samples(voices: Path, who: str, clip: str) -> Samples:
    return decode((voices / who / f"{clip}.flac").read_bytes(), max_s=60).samples


def found_in(folder: Path, content: bytes, *markers: Marker, name: str = "file") -> list[Finding]:
    (folder / name).write_bytes(content)
    return scan([folder], markers)


def pcm16(sound: Samples) -> NDArray[np.int16]:
    return np.rint(sound * 2**15).astype(np.int16)


TEXT_FORMS = {
    "utf-8": WORDS.encode(),
    "utf-16": WORDS.encode("utf-16-le"),
    "utf-16, big-endian": WORDS.encode("utf-16-be"),
    "JSON": json.dumps(WORDS).encode(),
    "hex": WORDS.encode().hex().encode(),
    "upper hex of utf-16": WORDS.encode("utf-16-le").hex().upper().encode(),
}


@pytest.mark.parametrize("form", TEXT_FORMS.values(), ids=TEXT_FORMS)
def test_a_text_is_found_in_every_form(form: bytes, tmp_path: Path) -> None:
    (found,) = {finding.marker for finding in found_in(tmp_path, b"before" + form + b"after", Text("words", WORDS))}
    assert found == "words"


@pytest.mark.parametrize("before", [b"", b"1", b"12", b"123"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_text_within_base64_is_found_at_any_place(before: bytes, encode: object, tmp_path: Path) -> None:
    text = "ÿÿÿ~~~???>>>"  # so that both alphabets differ
    assert callable(encode)
    assert found_in(tmp_path, encode(before + text.encode() + b"after"), Text("words", text))


def test_a_text_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(4_000_000)
    assert found_in(tmp_path, noise + WORDS[:-1].encode(), Text("words", WORDS)) == []


def test_a_text_that_chance_would_find_is_refused() -> None:
    with pytest.raises(ValueError, match="6 bytes"):
        Text("name", "Benny")


def test_a_marker_across_two_chunks_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanner, "_CHUNK", 64)
    for before in range(40, 70):
        assert found_in(tmp_path, b"." * before + WORDS.encode(), Text("words", WORDS)), before


def test_files_that_cannot_be_followed_are_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "empty").touch()
    (tmp_path / "false-database").write_bytes(b"SQLite format 3\0" + b"\x10" * 200 + WORDS.encode())
    (found,) = scan([tmp_path], [Text("words", WORDS)])
    assert found.where.endswith("/false-database")


SOUND_FORMS = {
    "PCM16": lambda sound: pcm16(sound).tobytes(),
    "PCM16, big-endian": lambda sound: pcm16(sound).astype(">i2").tobytes(),
    "float32": lambda sound: sound.astype("<f4").tobytes(),
    "float32, big-endian": lambda sound: sound.astype(">f4").tobytes(),
    "hex": lambda sound: pcm16(sound).tobytes().hex().encode(),
    "base64": lambda sound: base64.b64encode(b"?" + sound.astype("<f4").tobytes()),
    "its FLAC": lambda sound: to_flac(Pcm(sound)),
    "a piece of its FLAC": lambda sound: to_flac(Pcm(sound))[20_000:24_000],
    "FLAC, shorter and louder": lambda sound: to_flac(Pcm((sound * 1.4).astype(np.float32)[: len(sound) * 4 // 5])),
}


@pytest.mark.parametrize("form", SOUND_FORMS.values(), ids=SOUND_FORMS)
def test_a_clip_is_found_in_every_form(form: object, ada: Samples, voices: Path, tmp_path: Path) -> None:
    assert callable(form)
    assert found_in(tmp_path, form(ada), Clip("clip", ada))
    other = samples(voices, "ada", "enroll_2")
    assert found_in(tmp_path, form(ada), Clip("another clip", other)) == []


def test_the_file_that_was_sent_is_found(voices: Path, ada: Samples, tmp_path: Path) -> None:
    sent = (voices / "ada" / "enroll_1.flac").read_bytes()
    assert found_in(tmp_path, b"." * 100 + sent[5_000:8_000], Clip("clip", ada, (sent,)))


def test_a_clip_is_known_again_after_noise_and_shift_and_no_other_is(voices: Path, ada: Samples) -> None:
    rng = np.random.default_rng(1)
    worn = np.concatenate([np.zeros(1234, np.float32), ada * 0.3]) + rng.normal(0, 0.005, len(ada) + 1234)
    template = Template.of(ada)
    assert Heard(worn.astype(np.float32)).like(template) > SAME_SOUND
    others = [Heard(samples(voices, who, "enroll_1")).like(template) for who in ("ben", "cleo", "guest_eve")]
    others += [Heard(samples(voices, "ada", f"enroll_{number}")).like(template) for number in (2, 3, 4)]
    assert max(others) < SAME_SOUND


def test_silence_is_nothing(ada: Samples, tmp_path: Path) -> None:
    quiet = np.zeros(16_000, np.float32)
    assert Heard(quiet).like(Template.of(ada)) == 0
    assert found_in(tmp_path, bytes(100_000), Clip("quiet", quiet)) == []
    assert found_in(tmp_path, to_flac(Pcm(quiet)), Clip("clip", ada)) == []


VECTOR_FORMS = {
    "float32": lambda vector: vector.astype("<f4").tobytes(),
    "float32, big-endian": lambda vector: vector.astype(">f4").tobytes(),
    "float16": lambda vector: vector.astype("<f2").tobytes(),
    "float64": lambda vector: vector.astype("<f8").tobytes(),
    "hex": lambda vector: vector.astype("<f4").tobytes().hex().encode(),
    "base64": lambda vector: base64.b64encode(b"??" + vector.astype("<f4").tobytes()),
    "JSON": lambda vector: json.dumps(vector.tolist()).encode(),
    "hex within JSON": lambda vector: json.dumps({"vector": vector.astype("<f4").tobytes().hex()}).encode(),
    "rounded": lambda vector: np.round(vector, 3).astype("<f4").tobytes(),
    "a mean with others": lambda vector: (vector * 3 + np.roll(vector, 1)).astype("<f4").tobytes(),
}


@pytest.mark.parametrize("form", VECTOR_FORMS.values(), ids=VECTOR_FORMS)
def test_a_vector_is_found_in_every_form(form: object, direction: NDArray[np.float32], tmp_path: Path) -> None:
    assert callable(form)
    assert found_in(tmp_path, form(direction), Vector("voiceprint", direction))
    other = np.abs(np.random.default_rng(8).normal(size=192)).astype(np.float32)
    other /= np.linalg.norm(other)
    assert found_in(tmp_path, form(direction), Vector("another voiceprint", other)) == []


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FileKeyStore]:
    (tmp_path / "home").mkdir()
    opened_store = FileKeyStore(tmp_path / "home" / "keys", installation="x" * 32, create=True)
    yield opened_store
    opened_store.close()


def test_what_is_sealed_is_opened_with_any_key_that_is_left(store: FileKeyStore, tmp_path: Path) -> None:
    """Also under the name of another record; and no longer once its key is overwritten, whatever copy there is."""
    sealed = Vault(store).seal(Place("h", "p", "transcript", "r"), WORDS.encode())
    home = tmp_path / "home"
    database = sqlite3.connect(home / "some.db")
    with database:
        database.execute("CREATE TABLE anything (a TEXT, b BLOB)")
        database.execute("INSERT INTO anything VALUES ('moved', ?)", (sealed.sealed,))
    database.close()
    shutil.copy(home / "some.db", home / "old-copy")
    markers = [Text("words", WORDS)]
    assert {finding.where for finding in scan([home], markers)} == {"home/some.db", "home/old-copy"}

    store.destroy([sealed.key_id])
    assert scan([home], markers) == []
    shutil.copytree(home / "keys", home / "keys-2")
    assert scan([home], markers) == []


def test_a_copied_key_slot_is_enough_to_open(store: FileKeyStore, tmp_path: Path) -> None:
    """As left behind by a careless copy, at any place in a file of any name."""
    sealed = Vault(store).seal(Place("h", "p", "transcript", "r"), WORDS.encode())
    slots = (tmp_path / "home" / "keys" / "slots.bin").read_bytes()
    store.destroy([sealed.key_id])
    (tmp_path / "home" / "careless.txt").write_bytes(b"12345" + slots[:200])
    found = find_keys([path for path in (tmp_path / "home").rglob("*") if path.is_file()])
    assert sealed.key_id[8:] in found
    assert [content for _, _, content in opened([sealed.sealed], found)] == [WORDS.encode()]


def test_pages_hold_what_the_database_holds_and_what_it_held(tmp_path: Path) -> None:
    """Short rows, rows over many pages, rows in the log alone, and rows that were deleted."""
    rng = np.random.default_rng(3)
    contents = [rng.bytes(length) for length in (30, 500, 4055, 4062, 9_000, 200_000)]
    path = tmp_path / "some.db"
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA wal_autocheckpoint=0")
    database.execute("CREATE TABLE kept (name TEXT, content BLOB, number INT)")
    database.executemany("INSERT INTO kept VALUES ('a name', ?, 7)", [(content,) for content in contents[:3]])
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.executemany("INSERT INTO kept VALUES (NULL, ?, -7)", [(content,) for content in contents[3:]])
    with Pages(path) as pages:
        assert set(contents) <= set(pages.values())
    database.execute("DELETE FROM kept")
    with Pages(path) as pages:
        assert set(contents) <= set(pages.values())
    database.execute("PRAGMA secure_delete=ON")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.execute("VACUUM")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with Pages(path) as pages:
        assert set(contents) & set(pages.values()) == set()
    database.close()


@pytest.fixture(scope="module")
def of_ben(voices: Path) -> list[Marker]:
    """Everything that Ben could leave behind."""
    encoder, check = open_encoder("campplus", Path()), SpeechCheck.shipped()
    markers: list[Marker] = [Text("words", "Ben's very own words")]
    for clip in ("enroll_1", "enroll_2", "enroll_3", "enroll_4", "request_1"):
        sound = (voices / "ben" / f"{clip}.flac").read_bytes()
        pcm = decode(sound, max_s=60)
        markers.append(Clip(clip, pcm.samples, (sound,)))
        speech = check(pcm)
        assert not isinstance(speech, Unusable)
        if clip != "request_1":
            markers.append(Vector(f"vector of {clip}", encoder.embed(speech).vector))
    return markers


def comes_and_goes(home: Home, of_ben: list[Marker], voices: Path) -> tuple[int, int, int]:
    """How many markers are found while Ben agrees, after he withdrew, and after that in a copy made before."""
    look = Scanner(of_ben)
    home.enrolls("ben").grants("ben", "transcripts")
    sound = (voices / "ben" / "request_1.flac").read_bytes()
    form = {"files": {"audio": ("a", sound, "audio/flac")}, "data": {"transcript": "Ben's very own words"}}
    assert home.ok("POST", "recognize", home.owner, **form)["stored"]
    before = {finding.marker for finding in look.scan([home.root])}
    copy = home.root.parent / "copy"
    shutil.copytree(home.root / "data", copy)
    home.withdraws("ben")
    after = {finding.marker for finding in look.scan([home.root])}
    with_copy = {finding.marker for finding in look.scan([home.root, copy])}
    return len(before), len(after), len(with_copy)


@pytest.mark.slow
def test_all_is_found_before_a_withdrawal_and_nothing_after(of_ben: list[Marker], voices: Path, tmp_path: Path) -> None:
    with Home(tmp_path / "home", real=voices) as home:
        assert comes_and_goes(home, of_ben, voices) == (len(of_ben), 0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("control", ["purge", "keys", "encryption"])
def test_without_a_protection_it_is_found_again(
    control: str, of_ben: list[Marker], voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Purge off: everywhere. Keys kept or nothing encrypted: at least in the copy."""
    for owner, names in ((Purge, ("_destroy", "_erase")), (keys.FileKeyStore, ("destroy",)), (vault, ("AESGCM",))):
        for name in names:
            monkeypatch.setattr(owner, name, getattr(owner, name))  # put back afterwards
    sabotage.SABOTAGE[control]()
    with Home(tmp_path / "home", real=voices) as home:
        before, after, with_copy = comes_and_goes(home, of_ben, voices)
    assert (before, with_copy) == (len(of_ben), len(of_ben))
    assert after == len(of_ben) or control != "purge"

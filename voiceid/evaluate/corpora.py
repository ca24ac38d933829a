"""Folders of recordings -> speakers: `corpus/speaker/utterance.*`."""

import csv
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from voiceid.errors import InvalidRequest

CONTENT_TYPES = {
    ".flac": "audio/flac",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".wav": "audio/wav",
}
SPLIT_SEED = 2
"""Draws the halves of a corpus. Changing it would move test speakers into the calibration."""

TRAITS = ("sex", "native")
"""Columns of `speakers.tsv` by which rates are told apart."""

Half = Literal["a", "b"]


@dataclass(frozen=True, slots=True)
class Speaker:
    """One folder: who, and every clip of theirs."""

    name: str
    clips: tuple[Path, ...]

    @property
    def corpus(self) -> str:
        """What stands before the first underscore: figures are kept apart by it."""
        return self.name.split("_", 1)[0]


def read_corpus(folder: Path) -> list[Speaker]:
    """Every speaker of a folder, by name.

    Raises: InvalidRequest, when it holds no folder with a clip in it.
    """
    people = [
        Speaker(entry.name, clips)
        for entry in sorted(folder.iterdir() if folder.is_dir() else ())
        if entry.is_dir()
        and (clips := tuple(sorted(p for p in entry.iterdir() if p.suffix.lower() in CONTENT_TYPES)))
    ]
    if not people:
        raise InvalidRequest("the corpus must be a folder of speakers' folders with audio files in them")
    return people


def traits(folder: Path) -> dict[str, dict[str, str]]:
    """Sex and native language of a corpus' speakers, from a `speakers.tsv` beside it; nothing where there is none.

    Its columns are named; `speaker` holds `<corpus' folder>/<speaker's folder>`. What is not known (`?`) is left out.
    """
    file = folder.resolve().parent / "speakers.tsv"
    if not file.is_file():
        return {}
    with file.open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines, delimiter="\t") if row["speaker"].startswith(f"{folder.name}/")]
    found = {row["speaker"].partition("/")[2]: {t: row[t] for t in TRAITS if row.get(t, "?") != "?"} for row in rows}
    return {speaker: told for speaker, told in found.items() if told}


def half(people: Sequence[Speaker], which: Half) -> list[Speaker]:
    """One half of the speakers of every corpus, the same at every call; `a` has the odd one."""
    by_corpus: dict[str, list[Speaker]] = defaultdict(list)
    for person in sorted(people, key=lambda p: p.name):
        by_corpus[person.corpus].append(person)
    chosen: list[Speaker] = []
    for corpus in sorted(by_corpus):
        group = by_corpus[corpus]
        random.Random(f"{SPLIT_SEED}/{corpus}").shuffle(group)
        middle = (len(group) + 1) // 2
        chosen += group[:middle] if which == "a" else group[middle:]
    return sorted(chosen, key=lambda p: p.name)

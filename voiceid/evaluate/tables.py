"""Figures as Markdown tables, for people to read: `python -m voiceid.evaluate.tables figures.json`."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

COLUMNS = (
    ("FNIR, shipped bar", "fnir_shipped"),
    ("guests named", "fpir_shipped"),
    ("misnamed", "misnamed"),
    ("FNIR at FPIR 1 %", "fnir_at_fpir_1"),
    ("EER", "eer"),
)


def tables(figures: Mapping[str, Any]) -> str:
    """One table for the shipped recognizer, one for plain cosine, one for the storage bar; shares in per cent."""
    parts = [
        _table("As shipped", figures["corpora"]),
        _table("Plain cosine, one bar", figures["baseline"]),
        _storage(figures["corpora"]),
    ]
    return "\n\n".join(parts)


def _table(title: str, corpora: Mapping[str, Any]) -> str:
    shares = [name for name, _ in COLUMNS]
    head = ["corpus, condition", "net speech", *shares, "Cllr - minCllr", "requests (members / guests), speakers"]
    rows = [
        [name, f"{length} s", *(_share(found, key) for _, key in COLUMNS), _loss(found), _trials(found["trials"])]
        for name, length, found in _rows(corpora)
    ]
    return f"**{title}**\n\n{_markdown(head, rows)}"


def _storage(corpora: Mapping[str, Any]) -> str:
    head = ["corpus, condition", "net speech", "guests pass", "members pass"]
    rows = [
        [name, f"{length} s", _share(found, "guests_stored"), _share(found, "members_stored")]
        for name, length, found in _rows(corpora)
    ]
    return f"**Storage bar**\n\n{_markdown(head, rows)}"


def _rows(corpora: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for name, corpus in corpora.items():
        for length, found in corpus["by_speech_s"].items():
            yield name, length, found


def _share(found: Mapping[str, Any], key: str) -> str:
    low, high = found["ci95"][key]
    return f"{100 * found[key]:.2f} ({100 * low:.2f} to {100 * high:.2f})"


def _loss(found: Mapping[str, Any]) -> str:
    return f"{found['cllr'] - found['min_cllr']:.3f}"


def _trials(trials: Mapping[str, int]) -> str:
    return f"{trials['distinct_member_requests']} / {trials['distinct_guest_requests']}, {trials['speakers']}"


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(tables(json.loads(Path(sys.argv[1]).read_text())) + "\n")

"""Measure speed and size on this machine, each figure against a named peer in the same run.

    python -m benchmarks [--quick] [--json]

Bounded to ten minutes, with --quick to one. With --json exactly one document goes to standard output.
"""

import os

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # one thread against one, set before numpy loads

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import encoder, flame, forgetting, households, machine, recognition, scale, sound, start, streams
from benchmarks.bench import Bench, Section
from benchmarks.rows import Row, missing_row

SECTIONS = (
    Section("installed", start.installed, 1, 0.5),
    Section("features", encoder.features, 5, 1.5),
    Section("encoder", encoder.embedding, 60, 7),
    Section("search", scale.search, 15, 1.5),
    Section("decoding", sound.decoding, 18, 3),
    Section("recognition", recognition.recognition, 175, 30),
    Section("start", start.ready, 35, 8),
    Section("live", streams.live, 40),
    Section("request", flame.flame, 8, 3),
    Section("withdrawal", forgetting.withdrawal, 25, 3),
    Section("torch", encoder.in_torch, 25),
    Section("households", households.households, 190),
)
"""Each gets its share of the time; where it runs out all the same, the last are left out."""
_LEAST = 0.4
"""Share of what a section would like to have, below which it is not begun."""
_MARKS = {True: "[green]met", False: "[red]missed", None: ""}


def main() -> None:
    """Measure, then print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="what fits into a minute")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--only", action="append", choices=[section.name for section in SECTIONS], help="these alone")
    asked = parser.parse_args()
    progress = Console(stderr=True, quiet=asked.json and not sys.stderr.isatty())
    with tempfile.TemporaryDirectory(prefix="voiceid-bench-") as scratch:
        bench = Bench(Path(scratch), asked.quick)
        rows = list(_measure(bench, asked.only, progress))
    took = round(bench.limit_s - bench.left_s, 1)
    about = machine.describe(bench.noise, quick=asked.quick, seconds=took)
    if asked.json:
        print(json.dumps({"machine": about, "rows": [asdict(row) for row in rows]}, indent=1))
    else:
        _show(about, rows)


def _measure(bench: Bench, only: list[str] | None, progress: Console) -> Iterator[Row]:
    asked = [section for section in SECTIONS if section.name in (only or [one.name for one in SECTIONS])]
    if bench.quick:
        yield from (missing_row(one.name, "-", "only in a full run") for one in asked if not one.quick_s)
        asked = [section for section in asked if section.quick_s]
    for number, section in enumerate(asked):
        if bench.left_s < _LEAST * section.share(quick=bench.quick):
            yield missing_row(section.name, "-", "not measured: the time was up")
            continue
        bench.enter(section, asked[number + 1 :])
        progress.print(f"{section.name} …", style="dim")
        yield from section.rows(bench)
        bench.noise.listen()


def _show(about: dict[str, Any], rows: list[Row]) -> None:
    table = Table("what", "figure", "against", "ratio", "goal", "verdict")
    for column in (1, 3):
        table.columns[column].justify = "right"
    for row in rows:
        figure = "-" if row.figure is None else f"{row.figure:g} {row.unit}"
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
        verdict = "no verdict" if row.goal and row.ok is None else _MARKS[row.ok]
        table.add_row(row.name, figure, row.peer, ratio, row.goal or "", verdict)
    console = Console()
    console.print(table)
    quiet = "quiet" if about["quiet"] else "too noisy: no figure in seconds is held against a goal"
    console.print(
        f"{about['cores']} cores ({', '.join(about['instructions'])}), sgemm {about['sgemm_gflops']:g} GFLOP/s and copy"
        f" {about['copy_gb_per_s']:g} GB/s on one thread, sync {about['sync_ms']:g} ms."
    )
    console.print(f"Noise {about['noise']:.0%} ({quiet}); a ratio is left out where its interval is too wide.")


main()

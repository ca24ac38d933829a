"""Write docs/performance.md and its curves from a run of the benchmarks.

    python -m benchmarks --json > run.json
    python -m benchmarks.soak --minutes 10 --json > soak.json
    python tools/make_performance.py run.json [--soak soak.json]

The flame graph beside them is drawn by `python -m benchmarks.flame docs/performance-request.svg`.
"""

import argparse
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs"
Row = Mapping[str, Any]
Points = list[tuple[float, float]]
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 300, 60, 40
_COLOURS = ("#1b6ca8", "#c2571a", "#3c8d40")


def main() -> None:
    """Read, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--soak", type=Path)
    parser.add_argument("--into", type=Path, default=DOCS)
    asked = parser.parse_args()
    run = json.loads(asked.run.read_text())
    soak = json.loads(asked.soak.read_text()) if asked.soak else None
    words = Path(__file__).with_name("performance.template.md").read_text()
    filled = {"machine": machine(run["machine"]), "table": table(run["rows"]), "soak": _soak(soak)}
    (asked.into / "performance.md").write_text(words.format(**filled))
    encoders = curves(run["rows"], r"(?P<line>campplus(-int8)?), (?P<at>\d+) s of speech", peer="sherpa")
    (asked.into / "performance-encoder.svg").write_text(plot(encoders, "seconds of speech", "ms"))
    clients = curves(run["rows"], r"(?P<at>\d+) (?P<line>clients): time per answer", peer="alone")
    (asked.into / "performance-clients.svg").write_text(plot(clients, "clients at once", "ms per answer"))


def machine(about: Mapping[str, Any]) -> str:
    """What was measured on, in words."""
    quiet = "quiet" if about["quiet"] else "noisy: no figure in seconds is held against a goal"
    short = "a short run, `--quick`" if about["quick"] else "a full run"
    libraries = ", ".join(f"{name} {version}" for name, version in about["libraries"].items())
    return (
        f"{about['cores']} cores, {about['architecture']} with {', '.join(about['instructions'])};"
        f" {about['memory_gib']} GiB; {about['system']}, Python {about['python']}, {libraries}."
        " On one thread a matrix product in single precision makes"
        f" {about['sgemm_gflops']} GFLOP/s and a copy {about['copy_gb_per_s']} GB/s; the disk confirms a page in"
        f" {about['sync_ms']} ms. Noise {about['noise']:.0%} ({quiet}); {short} of {about['seconds']:.0f} s."
    )


def table(rows: Iterable[Row]) -> str:
    """The rows as Markdown."""
    lines = ["| what | figure | against | ratio | goal | verdict |", "|---|---:|---|---:|---|---|"]
    for row in rows:
        figure = "-" if row["figure"] is None else f"{row['figure']:g} {row['unit']}".strip()
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}"
        verdict = {True: "met", False: "**missed**", None: "no verdict" if row["goal"] else ""}[row["ok"]]
        lines.append(f"| {row['name']} | {figure} | {row['peer']} | {ratio} | {row['goal'] or ''} | {verdict} |")
    return "\n".join(lines)


def _soak(run: Mapping[str, Any] | None) -> str:
    if run is None:
        return ""
    about = run["machine"]
    head = f"\n{about['minutes']:g} minutes at {about['load']:.0%} load, {about['rate']} requests a second:\n"
    return "\n".join([head, table(run["rows"]), ""])


def curves(rows: Iterable[Row], pattern: str, peer: str = "") -> dict[str, Points]:
    """Figures whose name fits the pattern, by its group `line`, at its group `at`."""
    found: dict[str, Points] = defaultdict(list)
    for row in rows:
        fits = re.fullmatch(pattern, row["name"])
        if fits and row["figure"] is not None and peer in row["peer"]:
            found[fits["line"]].append((float(fits["at"]), float(row["figure"])))
    return {line: sorted(points) for line, points in found.items()}


def plot(lines: Mapping[str, Points], across: str, up: str) -> str:
    """Lines over axes that begin at nought, as an SVG."""
    points = [point for line in lines.values() for point in line]
    most_x, most_y = (_round_up(max((point[axis] for point in points), default=1.0)) for axis in (0, 1))

    def place(x: float, y: float) -> tuple[float, float]:
        wide, high = _WIDTH - _LEFT - 20, _HEIGHT - _BOTTOM - 20
        return _LEFT + x / most_x * wide, _HEIGHT - _BOTTOM - y / most_y * high

    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif"'
    drawn = [f'{head} font-size="12">',
             f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>']  # fmt: skip
    for part in range(5):
        x, y = place(most_x * part / 4, most_y * part / 4)
        drawn.append(f'<line x1="{_LEFT}" x2="{_WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        drawn.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{most_y * part / 4:g}</text>')
        drawn.append(
            f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{most_x * part / 4:g}</text>'
        )
    drawn.append(f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 6}" text-anchor="middle">{across}</text>')
    drawn.append(f'<text x="6" y="14">{up}</text>')
    for (name, line), colour in zip(lines.items(), _COLOURS, strict=False):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line))
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y in (place(*point) for point in line):
            drawn.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
        drawn.append(f'<text x="{x - 6:.1f}" y="{y - 8:.1f}" text-anchor="end" fill="{colour}">{name}</text>')
    return "\n".join([*drawn, "</svg>", ""])


def _round_up(value: float) -> float:
    step: float = 10.0 ** math.floor(math.log10(value))
    return math.ceil(value / step) * step


if __name__ == "__main__":
    main()

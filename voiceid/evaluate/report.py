"""Trials and figures -> one HTML file that needs nothing else, and its pictures as PNG."""

import base64
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from numpy.typing import NDArray

from voiceid.evaluate import HEADLINE_S, Measured, plots
from voiceid.evaluate.figures import Outcome
from voiceid.evaluate.protocol import GUEST, Trials
from voiceid.evaluate.tables import per_cent, rows

WORST = 20
CONFUSED = 12

TITLES = {
    "det": "Misses against false alarms, one comparison at a time; plain cosine dashed",
    "scores": "What the scores are worth: evidence for the person who spoke, and for others",
    "reliability": "Confidence against truth",
    "confusion": "Members taken for each other",
    "sizes": "Households of other sizes",
}
"""The pictures, in the order of the page."""


@dataclass(slots=True)
class Pair:
    """Two speakers who met in a household."""

    asked: str
    """The folder of who spoke."""
    taken_for: str
    """The folder of the member."""
    channel: str
    together: int = 0
    """Requests of the one in households with the other."""
    likeliest: int = 0
    """Requests in which the other was the most likely member; a guest's only if more likely than a guest, too."""
    named: int = 0
    as_member: int = 0
    """Of `together`: both were members."""


@dataclass(slots=True)
class Report:
    """Collects what is measured; `write` makes the page."""

    folder: Path
    _curves: dict[str, dict[str, tuple[plots.Curve, plots.Curve]]] = field(default_factory=lambda: defaultdict(dict))
    _claims: dict[str, list[tuple[plots.Floats, NDArray[np.bool_]]]] = field(default_factory=lambda: defaultdict(list))
    _pairs: dict[tuple[str, str, str], Pair] = field(default_factory=dict)

    def add(self, measured: Measured) -> None:
        """Take in one corpus in one condition; only the headline's length is drawn."""
        if measured.speech_s != HEADLINE_S:
            return
        corpus, _, channel = measured.name.partition("@")
        channel = channel or "clean"
        trials, outcome = measured.trials, measured.ours
        both = _evidence(trials, outcome), _evidence(measured.untouched, measured.plain)
        self._curves[corpus][channel] = both
        if outcome.confidence is not None:
            right = (outcome.column == trials.own)[trials.heard]
            self._claims[channel].append((outcome.confidence[trials.heard], right))
        self._meet(measured, channel)

    def write(self, figures: Mapping[str, Any]) -> Path:
        """Draw the pictures and the page; returns the page's path."""
        self.folder.mkdir(parents=True, exist_ok=True)
        drawn = self._draw(figures)
        for name, picture in drawn.items():
            (self.folder / f"{name}.png").write_bytes(picture)
        inline = {name: base64.b64encode(picture).decode() for name, picture in drawn.items()}
        pages = Environment(
            loader=PackageLoader("voiceid", "evaluate"), autoescape=select_autoescape(default=True),
            undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        page = pages.get_template("report.html.j2").render(
            figures=figures, pictures=inline, titles=TITLES, worst=self.worst(), rows=rows, per_cent=per_cent,
            keys=_keys(figures),
        )  # fmt: skip
        file = self.folder / "report.html"
        file.write_text(page, encoding="utf-8")
        return file

    def worst(self) -> list[Pair]:
        """The pairs to listen to: who was named as another most often, then who came closest to it."""
        risky = [pair for pair in self._pairs.values() if pair.likeliest]
        return sorted(risky, key=lambda p: (-p.named / p.together, -p.likeliest / p.together, p.asked))[:WORST]

    def _draw(self, figures: Mapping[str, Any]) -> dict[str, bytes]:
        drawn: dict[str, bytes] = {}
        if self._curves:
            drawn["det"] = plots.png(plots.det(self._curves))
            flat = {f"{c}, {channel}": pair[0] for c, told in self._curves.items() for channel, pair in told.items()}
            drawn["scores"] = plots.png(plots.histograms(flat))
        if self._claims:
            claims = {c: (np.concatenate([x for x, _ in p]), np.concatenate([y for _, y in p]))
                      for c, p in self._claims.items()}  # fmt: skip
            drawn["reliability"] = plots.png(plots.reliability(claims))
        names, share = self._confused()
        if names:
            drawn["confusion"] = plots.png(plots.confusion(names, share))
        by_size = {name: {int(s): told for s, told in found.items()} for name, found in figures["sizes"].items()}
        if any(by_size.values()):
            drawn["sizes"] = plots.png(plots.sizes(by_size))
        return drawn

    def _confused(self) -> tuple[list[str], plots.Floats]:
        """The members most often taken for another, and how often for whom."""
        members = [pair for pair in self._pairs.values() if pair.as_member]
        missed: dict[str, int] = defaultdict(int)
        for pair in members:
            missed[pair.asked] += pair.likeliest
            missed[pair.taken_for] += pair.likeliest
        names = sorted(sorted((name for name in missed if missed[name]), key=lambda name: -missed[name])[:CONFUSED])
        share = np.zeros((len(names), len(names)))
        asked = np.zeros_like(share)
        for pair in members:
            if pair.asked in names and pair.taken_for in names:
                at = names.index(pair.asked), names.index(pair.taken_for)
                share[at] += pair.likeliest
                asked[at] += pair.together
        return names, np.divide(share, asked, out=np.zeros_like(share), where=asked > 0)

    def _meet(self, measured: Measured, channel: str) -> None:
        trials, outcome = measured.trials, measured.ours
        spoke = np.broadcast_to(trials.speaker[:, None], trials.members.shape)
        other = trials.members != spoke
        likeliest = np.arange(trials.members.shape[1]) == outcome.column[:, None]
        named = likeliest & outcome.named[:, None]
        member = np.broadcast_to((trials.own != GUEST)[:, None], other.shape)
        closest = likeliest & trials.heard[:, None] & (member | (outcome.best > 0)[:, None])
        count = len(measured.speakers)
        for kind in (False, True):
            part = other & (member == kind)
            met = spoke[part] * count + trials.members[part]
            keys, place = np.unique(met, return_inverse=True)
            told = [np.bincount(place, what[part], minlength=len(keys)).astype(int)
                    for what in (np.ones_like(part), closest, named)]  # fmt: skip
            for key, together, likely, given in zip(keys, *told, strict=True):
                asked, taken_for = (measured.speakers[i] for i in divmod(int(key), count))
                suffix = "member" if kind else "guest"
                self._pairs[f"{asked}/{suffix}", taken_for, channel] = Pair(
                    asked, taken_for, channel, int(together), int(likely), int(given), int(together) if kind else 0
                )


def _evidence(trials: Trials, outcome: Outcome) -> plots.Curve:
    same = np.arange(trials.scores.shape[1]) == trials.own[:, None]
    heard = np.broadcast_to(trials.heard[:, None], same.shape)
    return outcome.llr[heard & same], outcome.llr[heard & ~same]


def _keys(figures: Mapping[str, Any]) -> list[str]:
    """The columns of the table, by the names they have in this protocol."""
    one_to_one = figures["protocol"]["name"] == "verification"
    told = ["fnir_shipped", "fpir_shipped", "misnamed", "fnir_at_fpir_01", "fnir_at_fpir_1", "fnir_at_fpir_5", "eer"]
    if not one_to_one:
        return told
    return [key.replace("fnir", "fnmr").replace("fpir", "fmr") for key in told if key != "misnamed"]

"""Measured trials -> pictures. The only importer of matplotlib; nothing is shown, everything is drawn in memory."""

import io
from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from voiceid.evaluate import metrics

Floats = NDArray[np.float64]
Curve = tuple[Floats, Floats]
"""Evidence for the right person, and for others."""

_TICKS = (0.0005, 0.002, 0.01, 0.05, 0.2, 0.5)
_EDGES = (3e-4, 0.6)
_LEAST = 1e-4
_POINTS = 300
_DPI = 110
_BINS = 60
_COLUMNS = 4


def png(figure: Figure) -> bytes:
    """The picture as a file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, bbox_inches="tight")
    return buffer.getvalue()


def det(curves: Mapping[str, Mapping[str, tuple[Curve, Curve]]]) -> Figure:
    """Misses over false alarms, by corpus and channel: ours drawn through, plain cosine dashed; normal deviates."""
    figure, places = _grid(len(curves), 3.6)
    for place, (corpus, channels) in zip(places, curves.items(), strict=False):
        for number, (channel, pair) in enumerate(channels.items()):
            for curve, style in zip(pair, ("-", "--"), strict=True):
                miss, alarm = metrics.errors(curve[0], curve[1], None)
                step = max(1, len(miss) // _POINTS)
                label = channel if style == "-" else None
                place.plot(_probit(alarm[::step]), _probit(miss[::step]), style, color=f"C{number % 10}", label=label)
        ticks = _probit(np.array(_TICKS))
        place.set_xticks(ticks, [f"{100 * t:g}" for t in _TICKS])
        place.set_yticks(ticks, [f"{100 * t:g}" for t in _TICKS])
        place.set(title=corpus, xlabel="others accepted, %", ylabel="the person missed, %")
        place.set(xlim=_probit(np.array(_EDGES)), ylim=_probit(np.array(_EDGES)))
        place.grid(alpha=0.3)
        place.legend(fontsize=7)
    return figure


def histograms(curves: Mapping[str, Curve]) -> Figure:
    """Evidence for the right person and for others, one field for each corpus and condition."""
    figure, places = _grid(len(curves), 2.4)
    for place, (name, (target, nontarget)) in zip(places, curves.items(), strict=False):
        low, high = np.quantile(nontarget, 0.001), np.quantile(target, 0.999)
        edges = np.linspace(low, max(high, low + 1e-6), _BINS).tolist()
        place.hist(np.clip(nontarget, low, high), edges, density=True, alpha=0.6, color="C1", label="others")
        place.hist(np.clip(target, low, high), edges, density=True, alpha=0.6, color="C0", label="the person")
        place.axvline(0, color="0.4", linewidth=0.8)
        place.set_title(name, fontsize=9)
        place.set_xlabel("evidence, natural log", fontsize=8)
        place.set_yticks([])
        place.legend(fontsize=7)
    return figure


def reliability(claims: Mapping[str, tuple[Floats, NDArray[np.bool_]]]) -> Figure:
    """How often the most likely member was speaking, by the confidence that was claimed; one line per channel."""
    figure = Figure(figsize=(5.2, 4.6))
    place = figure.subplots()
    place.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
    for channel, (confidence, right) in claims.items():
        claimed, found, _ = calibrated(confidence, right)
        place.plot(claimed, found, "o-", markersize=3, label=channel)
    place.set(xlabel="confidence", ylabel="share that was right", title="Reliability", xlim=(0, 1), ylim=(0, 1))
    place.legend(fontsize=7)
    return figure


def calibrated(confidence: Floats, right: NDArray[np.bool_]) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Mean claim, share that was right and number, in each tenth of the scale that has any."""
    bins = np.minimum((confidence * 10).astype(np.int64), 9)
    count = np.bincount(bins, minlength=10)
    some = count > 0
    claimed = np.bincount(bins, confidence, minlength=10)[some] / count[some]
    found = np.bincount(bins, right, minlength=10)[some] / count[some]
    return claimed, found, count[some]


def confusion(names: Sequence[str], share: Floats) -> Figure:
    """Whom the members with the most confusions were taken for, most likely member by speaker; shape (n, n)."""
    figure = Figure(figsize=(max(4.0, 0.42 * len(names) + 2), max(3.4, 0.36 * len(names) + 1.6)))
    place = figure.subplots()
    image = place.imshow(100 * share, cmap="magma_r", vmin=0, vmax=max(1.0, 100 * float(share.max(initial=0))))
    place.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    place.set_yticks(range(len(names)), names, fontsize=7)
    place.set(xlabel="most likely member", ylabel="speaker", title="Taken for another member, % of requests together")
    figure.colorbar(image, ax=place)
    return figure


def sizes(rates: Mapping[str, Mapping[int, Mapping[str, float]]]) -> Figure:
    """Members missed and guests named by household size, one line per corpus."""
    figure = Figure(figsize=(8, 3.2))
    for place, (key, title) in zip(
        figure.subplots(1, 2), (("fnir_shipped", "members missed"), ("fpir_shipped", "guests named")), strict=True
    ):
        for corpus, by_size in rates.items():
            place.plot(list(by_size), [100 * told[key] for told in by_size.values()], "o-", label=corpus)
        place.set(title=title, xlabel="members of the household", ylabel="%")
        place.legend(fontsize=7)
    figure.tight_layout()
    return figure


def _grid(count: int, side: float) -> tuple[Figure, list[Axes]]:
    columns = min(_COLUMNS, max(1, count))
    rows = -(-max(1, count) // columns)
    figure = Figure(figsize=(side * 1.15 * columns, side * rows), layout="constrained")
    places = list(np.ravel(figure.subplots(rows, columns, squeeze=False)))
    for place in places[count:]:
        place.set_axis_off()
    return figure, places


def _probit(share: Floats) -> Floats:
    normal = NormalDist()
    return np.array([normal.inv_cdf(float(x)) for x in np.clip(share, _LEAST, 1 - _LEAST)])

"""What the recognizer must reach, and whether the figures say that it does."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MET, NOT_MET, OPEN = "met", "not met", "too few requests to tell"


@dataclass(frozen=True, slots=True)
class Goal:
    """One line: numbers as they are printed, shares in per cent."""

    what: str
    goal: str
    value: str
    interval: str
    upper: str
    plain: str
    """Plain cosine with one bar, at the same place."""
    verdict: str


FNIR = (
    ("clean, 3 s", "clean", "3", 0.003),
    ("clean, 2 s", "clean", "2", 0.01),
    ("clean, 1 s", "clean", "1", 0.05),
    ("room and 10 dB noise, 3 s", "room-noise10", "3", 0.05),
    ("telephone request, wideband enrollment, 3 s", "tel", "3", 0.12),
    ("telephone both, 3 s", "tel-both", "3", 0.03),
)
"""Members missed: condition, channel, net speech, at most."""
GUESTS, GUESTS_UPPER = 0.01, 0.03
LOSS = 0.05
MISNAMED_UPPER = 0.003
STORED_GUESTS, STORED_MEMBERS = 0.001, 0.8


def goals(figures: Mapping[str, Any]) -> list[Goal]:
    """The goals that these figures can speak to, each with its verdict."""
    return [*_missed(figures), *_guests(figures), *_calibration(figures), *_misnamed(figures), *_storage(figures)]


def _missed(figures: Mapping[str, Any]) -> Iterator[Goal]:
    for what, channel, length, most in FNIR:
        found, beside = _at(figures, channel, length)
        if found:
            met = found["fnir_shipped"] <= most
            yield _line(f"FNIR, {what}", f"<= {100 * most:g} %", (found, beside), "fnir_shipped", met=met)


def _guests(figures: Mapping[str, Any]) -> Iterator[Goal]:
    """Pooled in each condition, then each corpus and condition that could break the bound."""
    for what, channel, length, _ in FNIR:
        found, beside = _at(figures, channel, length)
        if found:
            met = found["fpir_shipped"] <= GUESTS
            yield _line(f"guests named, {what}", "<= 1 %", (found, beside), "fpir_shipped", met=met)
    for name, told in figures["corpora"].items():
        for length, found in told["by_speech_s"].items():
            if not _asked_for(name, length):
                continue
            beside = figures["baseline"][name]["by_speech_s"][length]
            met = found["upper95"]["fpir_shipped"] <= GUESTS_UPPER
            what = f"guests named, {name}, {length} s"
            line = _line(what, "upper bound <= 3 %", (found, beside), "fpir_shipped", met=met)
            yield _bounded(line, found["fpir_shipped"], GUESTS_UPPER, found["trials"]["distinct_guest_requests"])


def _calibration(figures: Mapping[str, Any]) -> Iterator[Goal]:
    for name, told in figures["corpora"].items():
        for length, found in told["by_speech_s"].items():
            if not _asked_for(name, length):
                continue
            low, high = found["ci95"]["loss"]
            beside = figures["baseline"][name]["by_speech_s"][length]["loss"]
            verdict = MET if found["loss"] <= LOSS else NOT_MET
            yield Goal(f"Cllr - minCllr, {name}, {length} s", f"<= {LOSS:g}", f"{found['loss']:.3f}",
                       f"{low:.3f} to {high:.3f}", "", f"{beside:.3f}", verdict)  # fmt: skip


def _misnamed(figures: Mapping[str, Any]) -> Iterator[Goal]:
    found, beside = _at(figures, "all", "all")
    if found:
        met = found["upper95"]["misnamed"] <= MISNAMED_UPPER
        what = "members named as another, everything together"
        line = _line(what, "upper bound <= 0.3 %", (found, beside), "misnamed", met=met)
        yield _bounded(line, found["misnamed"], MISNAMED_UPPER, found["trials"]["distinct_member_requests"])


def _storage(figures: Mapping[str, Any]) -> Iterator[Goal]:
    found, beside = _at(figures, "all", "all")
    if found:
        met = found["guests_stored"] <= STORED_GUESTS
        what = "guests pass the storage bar, everything together"
        yield _line(what, "<= 0.1 %", (found, beside), "guests_stored", met=met)
    found, beside = _at(figures, "clean", "3")
    if found:
        met = found["members_stored"] >= STORED_MEMBERS
        yield _line("members pass the storage bar, clean, 3 s", ">= 80 %", (found, beside), "members_stored", met=met)


def _at(figures: Mapping[str, Any], channel: str, length: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Ours and plain cosine's, corpora together; empty where that was not measured."""
    pooled = figures["pooled"]
    ours, plain = (pooled[place].get(channel, {}).get(length, {}) for place in ("corpora", "baseline"))
    return ours, plain


def _asked_for(name: str, length: str) -> bool:
    """Whether a goal speaks of this condition at this length."""
    channel = name.partition("@")[2] or "clean"
    return any((channel, length) == (wanted, at) for _, wanted, at, _ in FNIR)


def _line(what: str, goal: str, both: tuple[Mapping[str, Any], Mapping[str, Any]], key: str, *, met: bool) -> Goal:
    found, beside = both
    low, high = (_percent(bound) for bound in found["ci95"][key])
    upper = _percent(found["upper95"][key]) if key in found["upper95"] else ""
    verdict = MET if met else NOT_MET
    return Goal(what, goal, _percent(found[key]), f"{low} to {high}", upper, _percent(beside[key]), verdict)


def _bounded(line: Goal, value: float, most: float, requests: int) -> Goal:
    """Where not even nought errors could have brought the upper bound below the goal, nothing was tested."""
    untestable = value <= most and 1 - 0.05 ** (1 / max(requests, 1)) > most
    if line.verdict == MET or not untestable:
        return line
    return Goal(line.what, line.goal, line.value, line.interval, line.upper, line.plain, OPEN)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"

"""Rates by speaker -> rates over corpora, conditions and groups of people, with intervals over all speakers.

Every request counts the same, whichever corpus it is from. The bootstrap draws people: who was heard in several
conditions is drawn in all of them at once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from voiceid.evaluate.figures import FPIRS, OF_GUESTS, OF_MEMBERS, ROUNDS, UPPER, Tally, interval, plain_number
from voiceid.evaluate.protocol import Floats
from voiceid.evaluate.weighted import draws

NAMES = (*FPIRS, *OF_MEMBERS, *OF_GUESTS)


def together(tallies: Sequence[Tally], names: Sequence[str] = NAMES) -> dict[str, Any]:
    """The rates of all these speakers and conditions taken together: shares 0..1, `ci95`, `upper95`, `trials`."""
    people = sorted({name for tally in tallies for name in tally.speakers})
    drawn = draws(len(people), ROUNDS, seed=0)
    place = {name: number for number, name in enumerate(people)}
    found: dict[str, Any] = {"ci95": {}, "upper95": {}}
    for name in names:
        events, asked = _counts(tallies, name, place)
        with np.errstate(invalid="ignore"):  # a round in which nobody asks has no share
            series = (drawn @ events) / (drawn @ asked)
        low, high, upper = interval(series, int(asked.sum()))
        found[name] = plain_number(float(series[0]))
        found["ci95"][name] = [plain_number(low), plain_number(high)]
        if name in UPPER:
            found["upper95"][name] = plain_number(upper)
    requests = {kind: int(sum(tally.requests[kind].sum() for tally in tallies)) for kind in ("members", "guests")}
    trials = {f"distinct_{kind.removesuffix('s')}_requests": count for kind, count in requests.items()}
    return {**found, "trials": {**trials, "speakers": len(people)}}


def difference(before: Sequence[Tally], after: Sequence[Tally], names: Sequence[str]) -> dict[str, Any]:
    """What changes where the same people ask the same things: `difference` and its `ci95`, for each rate."""
    people = sorted({name for tally in before for name in tally.speakers})
    drawn = draws(len(people), ROUNDS, seed=0)
    place = {name: number for number, name in enumerate(people)}
    found: dict[str, Any] = {}
    for name in names:
        (old, asked), (new, _) = _counts(before, name, place), _counts(after, name, place)
        with np.errstate(invalid="ignore"):  # a round in which nobody asks has no share
            series = (drawn @ (new - old)) / (drawn @ asked)
        bounds = np.nanpercentile(series[1:], [2.5, 97.5])
        found[name] = {"difference": plain_number(float(series[0])), "ci95": [plain_number(float(b)) for b in bounds]}
    return found


def _counts(tallies: Sequence[Tally], name: str, place: Mapping[str, int]) -> tuple[Floats, Floats]:
    """How often it happened to each speaker, and how often it could have."""
    events, asked = np.zeros(len(place)), np.zeros(len(place))
    for tally in tallies:
        at = [place[speaker] for speaker in tally.speakers]
        count = _asked(tally, name)
        asked[at] += count
        events[at] += np.where(count > 0, np.nan_to_num(tally.rates[name]) * count, 0.0)
    return events, asked


def _asked(tally: Tally, name: str) -> Floats:
    """Distinct requests behind each speaker's rate; none where there is no rate."""
    count = tally.requests["guests" if name in OF_GUESTS else "members"].astype(np.float64)
    return np.where(np.isfinite(tally.rates[name]), count, 0.0)


def pooled(tallies: Mapping[tuple[str, str, float], Tally]) -> dict[str, Any]:
    """Over the corpora of one condition, `<channel>` -> `<seconds>` -> shares; and over everything, under `all`.

    `tallies`: by corpus, channel and seconds of net speech. `mean_of_corpora` counts every corpus the same instead.
    """
    result: dict[str, Any] = {}
    for channel in sorted({channel for _, channel, _ in tallies}):
        lengths = sorted({s for _, c, s in tallies if c == channel})
        parts = {s: [t for (_, c, at), t in tallies.items() if (c, at) == (channel, s)] for s in lengths}
        result[channel] = {f"{s:g}": {**together(some), "mean_of_corpora": _mean(some)} for s, some in parts.items()}
    if tallies:
        result["all"] = {"all": together(list(tallies.values()))}
    return result


def _mean(tallies: Sequence[Tally]) -> dict[str, float | None]:
    alone = [together([tally]) for tally in tallies]
    return {name: plain_number(float(np.mean([one[name] for one in alone if one[name] is not None] or [np.nan])))
            for name in NAMES}  # fmt: skip


def by_group(
    tallies: Mapping[tuple[str, str, float], Tally], traits: Mapping[str, Mapping[str, str]], speech_s: float
) -> dict[str, Any]:
    """`<channel>` -> trait -> value -> rates, for the traits that the corpus tells; children were not measured.

    `traits`: by speaker, such as sex and native language.
    """
    kinds = sorted({kind for told in traits.values() for kind in told})
    result: dict[str, Any] = {}
    for channel in sorted({channel for _, channel, _ in tallies}):
        some = [t for (_, c, s), t in tallies.items() if (c, s) == (channel, speech_s)]
        heard = {name for tally in some for name in tally.speakers}
        result[channel] = {
            kind: {
                value: together([tally.only(group) for tally in some])
                for value in sorted({traits[name][kind] for name in heard if kind in traits.get(name, {})})
                if (group := frozenset(name for name in heard if traits.get(name, {}).get(kind) == value))
            }
            for kind in kinds
        }
    return result

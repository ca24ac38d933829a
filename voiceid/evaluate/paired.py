"""Two encoders on the same trials, each with its own bars: what changes for people, decision by decision.

`python -m voiceid.evaluate.paired ../shared/speech/test --out docs/paired.json`

The difference is taken within each request, so that what both get wrong does not widen its interval.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from voiceid.calibration import Policy
from voiceid.evaluate import CACHE, HEADLINE_S, Measured, evaluate
from voiceid.evaluate.figures import tally
from voiceid.evaluate.together import difference, together

NAMES = ("fnir_shipped", "fpir_shipped", "misnamed", "members_stored", "guests_stored")
POLICY: Policy = "balanced"
CHANNELS = ("clean", "room-noise10", "tel")
LENGTHS_S = (1.0, 2.0, HEADLINE_S)


def compare(before: Sequence[Measured], after: Sequence[Measured]) -> dict[str, Any]:
    """`<channel> <seconds> s` and `all` -> share of the same answers; each rate before, after, and their difference.

    Raises: ValueError, when the trials are not the same.
    """
    pairs = list(zip(before, after, strict=True))
    if not all(_same_trials(*pair) for pair in pairs):
        raise ValueError("these are not the same trials: other people enrolled, or other requests")
    places = list(dict.fromkeys(_place(one) for one, _ in pairs))
    found = {place: _compared([pair for pair in pairs if _place(pair[0]) == place]) for place in places}
    return {**found, "all": _compared(pairs)}


def _place(one: Measured) -> str:
    return f"{one.name.partition('@')[2] or 'clean'} {one.speech_s:g} s"


def _same_trials(one: Measured, other: Measured) -> bool:
    alike = (one.name, one.speech_s, one.speakers) == (other.name, other.speech_s, other.speakers)
    parts = ("own", "speaker", "request", "members")
    return alike and all(np.array_equal(getattr(one.trials, part), getattr(other.trials, part)) for part in parts)


def _compared(pairs: Sequence[tuple[Measured, Measured]]) -> dict[str, Any]:
    same = np.concatenate(list(_same_answers(pairs)))
    sides = [[tally(one.trials, one.ours, one.speakers) for one in side] for side in zip(*pairs, strict=True)]
    rates = [together(side, NAMES) for side in sides]
    changes = difference(sides[0], sides[1], NAMES)
    found: dict[str, Any] = {
        name: {"before": rates[0][name], "after": rates[1][name], **changes[name]} for name in NAMES
    }
    return {"same": float(same.mean()), "trials": len(same), **found}


def _same_answers(pairs: Sequence[tuple[Measured, Measured]]) -> Iterator[Any]:
    """Whether both name the same person, or nobody, for each trial."""
    for one, other in pairs:
        a, b = one.ours, other.ours
        yield (a.named == b.named) & (~a.named | (a.column == b.column))


def table(found: dict[str, Any]) -> str:
    """The comparison in Markdown; shares in per cent, the difference with its 95 % interval."""
    plain, fast = found["encoders"]
    head = f"| condition | the same answer | FNIR, `{plain}` | `{fast}` | difference | guests named | | difference |"
    lines = [head, "|" + " --- |" * 8]
    for place, told in found["conditions"].items():
        cells = [place, f"{100 * told['same']:.2f}"]
        for name in ("fnir_shipped", "fpir_shipped"):
            one = told[name]
            low, high = (f"{100 * bound:+.2f}" for bound in one["ci95"])
            cells += [f"{100 * one['before']:.2f}", f"{100 * one['after']:.2f}",
                      f"{100 * one['difference']:+.2f} ({low} to {high})"]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Command line: embed with both, compare, write."""
    parser = argparse.ArgumentParser(prog="python -m voiceid.evaluate.paired", description=main.__doc__)
    parser.add_argument("corpus", type=Path, help="folder speaker/utterance.*")
    parser.add_argument("--encoders", nargs=2, default=("campplus", "campplus-int8"), metavar="ENCODER")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    heard: list[list[Measured]] = []
    models = []
    for name in options.encoders:
        measured: list[Measured] = []
        told = evaluate(
            options.corpus, encoder=name, policy=POLICY, channels=CHANNELS, lengths_s=LENGTHS_S, sizes=(), peers=False,
            cache=CACHE, tell=print, watch=measured.append,
        )  # fmt: skip
        heard.append(measured)
        models.append(told["encoder"])
    command = f"python -m voiceid.evaluate.paired {options.corpus} --out {options.out}"
    found = {"command": command, "encoders": models, "policy": POLICY, "conditions": compare(*heard)}
    options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Figures as Markdown tables, for people to read: `python -m voiceid.evaluate.tables figures.json`.

The goals first, each with its value, its interval and whether it is met; then what they rest on.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from voiceid.evaluate.goals import goals

COLUMNS = (
    ("FNIR, shipped bar", "fnir_shipped"),
    ("guests named", "fpir_shipped"),
    ("misnamed", "misnamed"),
    ("FNIR at FPIR 0.1 %", "fnir_at_fpir_01"),
    ("FNIR at FPIR 1 %", "fnir_at_fpir_1"),
    ("FNIR at FPIR 5 %", "fnir_at_fpir_5"),
    ("EER", "eer"),
)
STORAGE = (("guests pass", "guests_stored"), ("members pass", "members_stored"))


def tables(figures: Mapping[str, Any]) -> str:
    """Every table of docs/accuracy.md that comes from figures; shares in per cent, intervals at 95 %."""
    if figures["protocol"]["name"] == "verification":
        columns = [(title, key.replace("fnir", "fnmr").replace("fpir", "fmr")) for title, key in COLUMNS]
        columns = [(t.replace("FNIR", "FNMR").replace("FPIR", "FMR").replace("guests named", "others accepted"), key)
                   for t, key in columns if key != "misnamed"]  # fmt: skip
        kinds = (("As shipped, one to one", "corpora"), ("Plain cosine, one bar, one to one", "baseline"))
        return "\n\n".join(_table(title, figures[place], columns) for title, place in kinds)
    parts = [
        _goals(figures),
        _pooled(figures["pooled"]),
        _table("As shipped", figures["corpora"], COLUMNS),
        _table("Plain cosine, one bar", figures["baseline"], COLUMNS),
        _few("Storage bar", "corpus, condition", rows(figures["corpora"]), STORAGE),
        _sizes(figures["sizes"]),
        _similar(figures),
        _groups(figures["by_group"]),
        _peers(figures),
    ]
    return "\n\n".join(part for part in parts if part)


def rows(corpora: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Corpus and condition, seconds, figures."""
    for name, corpus in corpora.items():
        for length, found in corpus["by_speech_s"].items():
            yield name, length, found


def per_cent(found: Mapping[str, Any], key: str) -> str:
    """A share with its interval; a dash where there was nothing to count."""
    if found.get(key) is None:
        return "-"
    low, high = found["ci95"][key]
    return f"{100 * found[key]:.2f} ({100 * low:.2f} to {100 * high:.2f})"


def _goals(figures: Mapping[str, Any]) -> str:
    head = ["what", "goal", "value", "95 % interval", "upper 95 % bound", "plain cosine", ""]
    told = [[g.what, g.goal, g.value, g.interval, g.upper, g.plain, g.verdict] for g in goals(figures)]
    return f"**Goals** (household of four, shipped bar)\n\n{markdown(head, told)}" if told else ""


def _pooled(pooled: Mapping[str, Any]) -> str:
    """Ours with plain cosine beside it, every request counting the same."""
    head = ["condition", "net speech", "FNIR, shipped", "guests named", "misnamed", "plain: FNIR",
            "plain: guests named", "plain: FNIR at its own FPIR 1 %",
            "requests (members / guests), speakers"]  # fmt: skip
    told = []
    for channel, lengths in pooled["corpora"].items():
        for length, found in lengths.items():
            beside = pooled["baseline"][channel][length]
            shares = [per_cent(found, key) for key in ("fnir_shipped", "fpir_shipped", "misnamed")]
            shares += [per_cent(beside, key) for key in ("fnir_shipped", "fpir_shipped", "fnir_at_fpir_1")]
            seconds = length if length == "all" else f"{length} s"
            told.append([channel, seconds, *shares, _trials(found["trials"])])
    return f"**Corpora together**\n\n{markdown(head, told)}"


def _table(title: str, corpora: Mapping[str, Any], columns: Any) -> str:
    shares = [name for name, _ in columns]
    costs = ["Cllr", "Cllr - minCllr", "minDCF(0.01)"]
    head = ["corpus, condition", "net speech", *shares, *costs, "requests (members / guests), speakers"]
    told = [
        [name, f"{length} s", *(per_cent(found, key) for _, key in columns), *_costs(found), _trials(found["trials"])]
        for name, length, found in rows(corpora)
    ]
    return f"**{title}**\n\n{markdown(head, told)}"


def _few(title: str, first: str, found: Any, columns: tuple[tuple[str, str], ...]) -> str:
    head = [first, "net speech", *(name for name, _ in columns)]
    told = [[name, f"{length} s", *(per_cent(part, key) for _, key in columns)] for name, length, part in found]
    return f"**{title}**\n\n{markdown(head, told)}"


def _sizes(sizes: Mapping[str, Any]) -> str:
    shown = COLUMNS[:3]
    told = [
        [corpus, size, *(per_cent(found, key) for _, key in shown), _trials(found["trials"])]
        for corpus, by_size in sizes.items()
        for size, found in by_size.items()
    ]
    head = ["corpus", "members", *(name for name, _ in shown), "requests (members / guests), speakers"]
    return f"**Household sizes, clean, 3 s**\n\n{markdown(head, told)}" if told else ""


def _similar(figures: Mapping[str, Any]) -> str:
    shown = COLUMNS[:3]
    told = [
        [corpus, who, *(per_cent(found, key) for _, key in shown)]
        for corpus, similar in figures.get("similar", {}).items()
        for who, found in (("any", figures["corpora"][corpus]), ("most like the members", similar))
    ]
    head = ["corpus", "guests", *(name for name, _ in shown)]
    return f"**Guests of similar voice, clean, 3 s**\n\n{markdown(head, told)}" if told else ""


def _groups(groups: Mapping[str, Any]) -> str:
    shown = COLUMNS[:3]
    told = [
        [channel, kind, value, *(per_cent(found, key) for _, key in shown), _trials(found["trials"])]
        for channel, kinds in groups.items()
        for kind, values in kinds.items()
        for value, found in values.items()
    ]
    head = ["condition", "by", "group", *(name for name, _ in shown), "requests (members / guests), speakers"]
    children = "Children were not measured: there are no recordings of any."
    if not told:
        return children
    return f"**By sex and native language, where the corpus tells, 3 s**\n\n{markdown(head, told)}\n\n{children}"


def _peers(figures: Mapping[str, Any]) -> str:
    """Each at its own bar, so that nothing but the encoder and the scoring counts; ours beside them."""
    shown = [column for column in COLUMNS if column[1] not in {"fnir_shipped", "fpir_shipped", "misnamed"}]
    peers: dict[str, Any] = {
        "voiceid, as shipped": _clean(figures["corpora"]),
        f"{figures['encoder']}, plain cosine": _clean(figures["baseline"]),
        **{f"{name}, plain cosine": found for name, found in figures["peers"].items()},
    }
    told = []
    for peer, found in peers.items() if figures["peers"] else ():
        if "missing" in found:
            told.append([peer, f"not measured: {found['missing']}", *("" for _ in shown), ""])
        told += [
            [peer, corpus, *(per_cent(part, key) for _, key in shown), f"{part['min_dcf']:.3f}"]
            for corpus, part in found.items() if isinstance(part, Mapping)
        ]  # fmt: skip
    head = ["encoder", "corpus", *(name for name, _ in shown), "minDCF(0.01)"]
    return f"**Other encoders on the same trials, clean, 3 s**\n\n{markdown(head, told)}" if told else ""


def _clean(corpora: Mapping[str, Any]) -> dict[str, Any]:
    """Figures at 3 s of the corpora as they are."""
    return {name: found for name, found in corpora.items() if "@" not in name}


def _costs(found: Mapping[str, Any]) -> list[str]:
    loss_low, loss_high = found["ci95"]["loss"]
    loss = f"{found['loss']:.3f} ({loss_low:.3f} to {loss_high:.3f})"
    return [f"{found['cllr']:.3f}", loss, f"{found['min_dcf']:.3f}"]


def _trials(trials: Mapping[str, int]) -> str:
    return f"{trials['distinct_member_requests']} / {trials['distinct_guest_requests']}, {trials['speakers']}"


def markdown(head: list[str], rows_told: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows_told]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(tables(json.loads(Path(sys.argv[1]).read_text())) + "\n")

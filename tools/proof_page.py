"""Write what a run of the proofs found into docs/proof.md: python tools/proof_page.py REPORT.json.

REPORT is what `voiceid proof --json` printed. Nothing of it is typed by hand; what was found is shown as it was found.
"""

import json
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[1] / "docs" / "proof.md"
BEGIN, END = "<!-- What a run found: made by tools/proof_page.py. -->\n", "<!-- End of what a run found. -->\n"
_SHORT = 60


def section(report: dict[str, Any]) -> str:
    """The run as Markdown: one row for each check, a sentence for the whole."""
    checks = [(part["proof"], check) for part in report["sections"] for check in part["checks"]]
    held = sum(check["ok"] for _, check in checks)
    took = ", ".join(f"{part['proof']} {part['seconds']:.0f} s" for part in report["sections"])
    rows = [
        f"| {proof} | {check['name']} | {check['planned']} | {check['done']} | {_told(check['expected'])} "
        f"| {_told(check['found'])} | {'yes' if check['ok'] else '**no**'} |"
        for proof, check in checks
    ]
    whole = (
        f"`\"ok\": {json.dumps(report['ok'])}`: {held} of {len(checks)} checks held, in {report['seconds']:.0f} s on "
        f"{report['processors']} processors, two proofs at a time ({took})."
    )
    heads = ("proof", "check", "planned", "done", "expected", "found", "held")
    return "\n".join([whole, "", f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|", *rows, ""])


def page(text: str, report: dict[str, Any]) -> str:
    """The page with this run in its place.

    Raises: ValueError, for a page without that place.
    """
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError("the page has no place for a run")
    return f"{before}{BEGIN}\n{section(report)}\n{END}{after}"


def _told(value: Any) -> str:
    """A value in one cell; long lists by their length."""
    match value:
        case list() if len(value) > 3:  # noqa: PLR2004 what fits into a line
            return f"{len(value)} of them"
        case _:
            told = json.dumps(value, ensure_ascii=False).replace("|", "\\|")
            return f"`{told if len(told) <= _SHORT else told[:_SHORT] + ' …'}`"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(), json.loads(Path(sys.argv[1]).read_text())))

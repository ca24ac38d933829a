"""Write what a household may expect, from figures that `voiceid eval` measured: the page and `/v1/policy` show it.

    voiceid eval ../shared/speech/test --json test.json
    python tools/make_expected.py test.json

Only what was measured with the policy that the figures name is shown, and only while the same encoder runs.
"""

import argparse
import json
from pathlib import Path

EXPECTED = Path(__file__).resolve().parents[1] / "voiceid" / "data" / "expected.json"


def expected(figures: dict[str, object], condition: str) -> dict[str, object]:
    """The shares of one condition, by seconds of speech, over all corpora."""
    pooled = figures["pooled"]["corpora"][condition]  # type: ignore[index]  # as `voiceid eval` writes it
    return {
        "encoder": figures["encoder"],
        "policy": figures["policy"],
        "measured_on": f"{figures['corpus']}, {condition}",
        "household": figures["protocol"]["size"],  # type: ignore[index]  # same
        "by_speech_s": {
            seconds: {
                "members_named": round(1 - found["fnir_shipped"], 4), "guests_named": round(found["fpir_shipped"], 4),
            }
            for seconds, found in pooled.items()
        },
    }


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", type=Path)
    parser.add_argument("--condition", default="clean")
    asked = parser.parse_args()
    found = expected(json.loads(asked.figures.read_text()), asked.condition)
    EXPECTED.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

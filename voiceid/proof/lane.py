"""`python -m voiceid.proof.lane PROOF ROOT SIZES`: one proof; a JSON line for each check as soon as it is done."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from voiceid.proof import canaries, crashes, model, race, trouble
from voiceid.proof.report import Check, Sizes, as_dict

PROVE: Mapping[str, Callable[[Path, Sizes], Iterator[Check]]] = {
    "canaries": canaries.prove,
    "crashes": crashes.prove,
    "model": model.prove,
    "race": race.prove,
    "speech-race": race.prove_on_speech,
    "trouble": trouble.prove,
}


def main(words: list[str]) -> None:
    """Run it; what breaks it off goes to standard error, and ends in exit code 1."""
    proof, root, sizes = words
    for check in PROVE[proof](Path(root), Sizes(**json.loads(sizes))):
        print(json.dumps(as_dict(check)), flush=True)  # noqa: T201 read by the process that started this


if __name__ == "__main__":
    main(sys.argv[1:])

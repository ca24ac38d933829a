"""The proofs at the size of the ordinary tests: `voiceid proof` runs the same at full size."""

from collections import Counter

import pytest

from voiceid.proof import PROOFS, QUICK, run

CONTROLS = {
    "canaries": 6,  # purge, key destruction, encryption, tombstones, overwriting memory, registration of a table
    "crashes": 1,  # resuming
    "model": 2,  # the gate, the epoch check
    "race": 3,  # consent at search, consent at writing, epoch check
    "speech-race": 0,
    "trouble": 1,  # the chain
}


@pytest.mark.slow
@pytest.mark.parametrize("proof", PROOFS)
def test_the_proof_holds_and_would_notice(proof: str) -> None:
    report = run(QUICK, (proof,))

    (section,) = report.sections
    assert [check for check in section.checks if not check["ok"]] == []
    assert report.ok
    kinds = Counter(check["name"].startswith("control, ") for check in section.checks)
    assert kinds[False] >= 1
    assert kinds[True] == CONTROLS[proof]

"""The published description is true: whatever schemathesis makes of it is answered as documented, and never with a 5xx.

Every operation is asked by every role, with ids that exist and ids that do not, with good and broken bodies; sound is a
clip that can be read, one that cannot, or noise.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from home import Home, clip, decision, voice
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from make_app import described, operations
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.openapi import from_dict
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from voiceid.service.openapi import AUDIO_TYPES

PIN = "493018"
EXAMPLES = 2
"""For each operation, role and way of asking: sensibly, with ids that are none, with something wrong on purpose."""
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
INTENDED = 503
"""`Not right now`: documented, with `Retry-After`."""

GOOD = clip(voice("ada"))
BROKEN = [b"", b"RIFF", GOOD[:40], GOOD[:2000], b"fLaC" + bytes(60), b"OggS" + bytes(200), b"\xff\xfb" * 300,
          GOOD[:4] + b"\xff\xff\xff\x7f" + GOOD[8:], clip(voice("ada"), 0.2)]  # fmt: skip
SOUND = st.sampled_from([GOOD, *BROKEN]) | st.binary(max_size=200)

schemathesis.openapi.format("binary", SOUND)
for _kind in AUDIO_TYPES:
    schemathesis.openapi.media_type(_kind, SOUND)


@dataclass(frozen=True)
class Household:
    """What callers could know: tokens of every role, ids of everything there is, values that nobody could guess."""

    home: Home
    callers: dict[str, dict[str, str]]
    ids: dict[str, str]
    receipt: dict[str, Any]

    def asked(self, path: str) -> dict[str, str]:
        """The ids of this path."""
        ids = self.ids | ({"person": self.home["mia"].id} if path.endswith("/guardians") else {})
        return {name: value for name, value in ids.items() if "{" + name + "}" in path}

    def body(self, home: Home, method: str, path: str) -> Any:
        """A body that no generator could come to; None where any will do."""
        known: dict[tuple[str, str], Callable[[], Any]] = {
            ("PUT", "/consents/{purpose}"): decision,
            ("PUT", "/guardians"): lambda: {"guardians": [self.ids["person"]]},
            ("POST", "/v1/session"): lambda: {"code": _code(home)},
            ("PUT", "/pin"): lambda: {"pin": PIN},
            ("POST", "/v1/session/pin"): lambda: _name_and_pin(home),
            ("POST", "/v1/receipts/verify"): lambda: {"jws": self.receipt["jws"]},
            ("POST", "/reviews"): lambda: {"recording": self.ids["recording"], "reviewer": "R", "reason": "x"},
            ("POST", "/people"): lambda: {"display_name": "Noa", "kind": "child", "guardians": [self.ids["person"]]},
        }
        return next((make() for (verb, end), make in known.items() if verb == method and path.endswith(end)), None)


@pytest.fixture(scope="module")
def household(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    """Ada is enrolled, something of hers is kept, a receipt exists, another enrollment is ready; Mia is her child."""
    with Home(tmp_path_factory.mktemp("home")) as home:
        home.enrolls("ada").grants("ada", "transcripts", "human_review", "adapt")
        ada = home["ada"]
        home.ok("PATCH", ada.path, ada.headers, json={"verify_by_device": True})
        home.joins("mia", kind="child", guardians=("ada",))
        assert home.hears("ada")["stored"]
        callers = {
            "admin": home.admin, "owner": home.owner, "self": ada.headers, "child": home["mia"].headers,
            "device": home.token("device"), "skill": home.token("skill", "lights"), "nobody": {},
        }  # fmt: skip
        kept = home.ok("GET", f"{ada.path}/interactions", ada.headers)["items"][0]
        receipt = home.withdraws("ada", "adapt")
        ids = {
            "household": home.id, "person": ada.id, "intent": "weather", "purpose": "adapt", "receipt": receipt["id"],
            "interaction": kept["id"], "recording": kept["recording"], "enrollment": home.reads("ada"),
            "token": home.ok("GET", "tokens", home.owner)["items"][0]["id"],
        }  # fmt: skip
        yield Household(home, callers, ids, receipt)


@pytest.mark.parametrize(("method", "path"), operations())
def test_every_operation_answers_as_documented(
    household: Household, tmp_path: Path, method: str, path: str
) -> None:
    seen: Counter[int] = Counter()
    with household.home.twin(tmp_path) as home:
        operation, ids = _schema()[path][method], household.asked(path)
        operation.app = _schema().app = home.client.app

        def asks(role: str, *, sensible: bool) -> Callable[[Case], None]:
            def ask(case: Case) -> None:
                good = household.body(home, method, path) if sensible else None
                if good is not None:
                    case.body, case.media_type = good, "application/json"
                case.headers = {**household.callers[role]}
                answered = case.call()
                seen[answered.status_code] += 1
                checks = [] if answered.status_code == INTENDED else [not_a_server_error]
                case.validate_response(answered, checks=[*CHECKS, *checks])

            return ask

        for role in household.callers:
            _each(operation.as_strategy(path_parameters=ids), asks(role, sensible=True))
        for role in ("owner", "self"):
            _each(operation.as_strategy(), asks(role, sensible=False))
            with suppress(Unsatisfiable):  # where nothing can be got wrong
                _each(operation.as_strategy(GenerationMode.NEGATIVE, path_parameters=ids), asks(role, sensible=False))
    assert any(200 <= status < 300 for status in seen), seen


@cache
def _schema() -> Any:
    """Read once: that takes longer than asking."""
    return from_dict(described())


def _code(home: Home) -> str:
    return str(home.ok("POST", f"{home['mia'].path}/invitations", home.owner)["code"])


def _name_and_pin(home: Home) -> dict[str, str]:
    home.ok("PUT", f"{home['ada'].path}/pin", home["ada"].headers, json={"pin": PIN})
    return {"name": "Ada", "pin": PIN, "household": home.id}


def _each(cases: st.SearchStrategy[Case], ask: Callable[[Case], None]) -> None:
    """Ask some of these cases, the same ones in every run."""
    bounded = settings(
        max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    bounded(given(cases)(ask))()

"""Who may do what: one test for each cell of DESIGN's table, for each endpoint of its row, and for strangers."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from home import Home, bearer, clip, decision, voice
from starlette.websockets import WebSocketDisconnect

TABLE = """
                                  admin  owner  self  guardian  child  member  device  skill
make and list households          yes    -      -     -         -      -       -       -
see, rename, delete a household   yes    yes    -     -         -      -       -       -
tokens of the household           yes    yes    -     -         -      -       -       -
metrics                           yes    -      -     -         -      -       -       -
add a person                      -      yes    -     -         -      -       -       -
invite, rename, remove a person   -      yes    yes   yes       yes    -       -       -
choose guardians                  -      -      -     yes       -      -       -       -
grant                             -      -      yes   yes       -      -       -       -
enroll                            -      -      yes   yes       yes    -       -       -
withdraw                          -      -      yes   yes       yes    -       -       -
hear, read, export, activity      -      -      yes   yes       yes    -       -       -
let a reviewer hear               -      -      yes   -         (409)  -       -       -
set a PIN                         -      -      yes   -         yes    -       -       -
see who has voice ID on           -      yes    yes   yes       yes    yes     -       -
recognize                         -      yes    yes   yes       yes    yes     yes     yes
verify                            -      -      yes   yes       yes    -       yes     -
read response texts               -      yes    yes   yes       yes    yes     -       -
write response texts              -      yes    -     -         -      -       -       -
"""
"""DESIGN.md section 4, its rows split where one row names several things; `child` is the child itself, `member` anybody
else of the household. `device`: of somebody who opted in."""

COLUMNS, *_LINES = [line for line in TABLE.splitlines() if line.strip()]
CELLS = {
    (line[:34].strip(), column): word == "yes"
    for line in _LINES
    for column, word in zip(COLUMNS.split(), line[34:].split(), strict=True)
    if word in {"yes", "-"}
}

SOUND: dict[str, Any] = {"content": clip(voice("ada")), "headers": {"content-type": "audio/wav"}}


@dataclass(frozen=True)
class Endpoint:
    """One operation: the row it belongs to and how it is asked."""

    row: str
    method: str
    path: str
    """With `{person}` and so on; one that does not begin with `/` belongs to the household."""
    status: int = 200
    more: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def _json(**body: Any) -> dict[str, Any]:
    return {"json": body}


ENDPOINTS = (
    Endpoint("make and list households", "POST", "/v1/households", 201, _json(name="Next door")),
    Endpoint("make and list households", "GET", "/v1/households"),
    Endpoint("see, rename, delete a household", "GET", ""),
    Endpoint("see, rename, delete a household", "PATCH", "", 200, _json(name="Home")),
    Endpoint("see, rename, delete a household", "DELETE", ""),
    Endpoint("tokens of the household", "POST", "tokens", 201, _json(role="device", label="kitchen")),
    Endpoint("tokens of the household", "GET", "tokens"),
    Endpoint("tokens of the household", "DELETE", "tokens/{token}", 204),
    Endpoint("metrics", "GET", "/metrics"),
    Endpoint("add a person", "POST", "people", 201, _json(display_name="Noa")),
    Endpoint("invite, rename, remove a person", "POST", "people/{person}/invitations", 201),
    Endpoint("invite, rename, remove a person", "PATCH", "people/{person}", 200, _json(display_name="Noa")),
    Endpoint("invite, rename, remove a person", "DELETE", "people/{person}"),
    Endpoint("choose guardians", "PUT", "people/{person}/guardians", 200, _json(guardians=["{ben}"])),
    Endpoint("grant", "PUT", "people/{person}/consents/adapt", 200, _json(**decision())),
    Endpoint("enroll", "POST", "people/{person}/enrollments", 201),
    Endpoint("enroll", "POST", "people/{person}/enrollments/{enrollment}/takes", 200, SOUND),
    Endpoint("enroll", "POST", "people/{person}/enrollments/{enrollment}/complete"),
    Endpoint("enroll", "DELETE", "people/{person}/enrollments/{enrollment}", 204),
    Endpoint("withdraw", "DELETE", "people/{person}/consents/voice_id"),
    Endpoint("withdraw", "DELETE", "people/{person}/consents"),
    Endpoint("withdraw", "DELETE", "people/{person}/voiceprint"),
    Endpoint("withdraw", "DELETE", "people/{person}/recordings/{recording}"),
    Endpoint("withdraw", "DELETE", "people/{person}/interactions"),
    Endpoint("withdraw", "DELETE", "people/{person}/interactions/{interaction}"),
    Endpoint("withdraw", "POST", "people/{person}/interactions/{interaction}/not-me"),
    Endpoint("hear, read, export, activity", "GET", "people/{person}/consents"),
    Endpoint("hear, read, export, activity", "GET", "people/{person}/recordings"),
    Endpoint("hear, read, export, activity", "GET", "people/{person}/recordings/{recording}"),
    Endpoint("hear, read, export, activity", "GET", "people/{person}/interactions"),
    Endpoint("hear, read, export, activity", "GET", "people/{person}/export"),
    Endpoint("hear, read, export, activity", "GET", "people/{person}/activity"),
    Endpoint("hear, read, export, activity", "GET", "people/{person}/guardians"),
    Endpoint(
        "let a reviewer hear", "POST", "people/{person}/reviews", 201,
        _json(recording="{recording}", reviewer="Support", reason="I am not recognized"),
    ),
    Endpoint("set a PIN", "GET", "people/{person}/pin"),
    Endpoint("set a PIN", "PUT", "people/{person}/pin", 204, _json(pin="493018")),
    Endpoint("set a PIN", "DELETE", "people/{person}/pin", 204),
    Endpoint("see who has voice ID on", "GET", "people"),
    Endpoint("see who has voice ID on", "GET", "people/{person}"),
    Endpoint("recognize", "POST", "recognize", 200, SOUND),
    Endpoint("verify", "POST", "people/{person}/verify", 200, SOUND),
    Endpoint("read response texts", "GET", "responses/greeting"),
    Endpoint("write response texts", "PUT", "responses/greeting", 200, _json(personal="Hi {{ name }}", anonymous="Hi")),
)  # fmt: skip
OPEN_TO_ALL = {
    "/healthz", "/readyz", "/v1/policy", "/v1/receipts/{receipt}", "/v1/receipts/verify",
    "/.well-known/voiceid-keys.json", "/v1/session", "/v1/session/pin", "/v1/qr", "/v1/lan",
}  # fmt: skip


@dataclass(frozen=True)
class Cast:
    """The household of these tests, and who asks."""

    home: Home
    callers: dict[str, dict[str, str]]
    ids: dict[str, dict[str, str]]
    """The ids to fill in, for what Ada and for what her child Mia owns."""

    def asks(self, home: Home, endpoint: Endpoint, by: dict[str, str] | None, whose: str) -> Any:
        ids = self.ids[whose]
        more = _filled(endpoint.more, ids)
        return home.call(endpoint.method, _filled(endpoint.path, ids), by, **more)


def _filled(part: Any, ids: dict[str, str]) -> Any:
    match part:
        case str() if "{" in part and "{{" not in part:
            return part.format(**ids)
        case dict():
            return {name: _filled(value, ids) for name, value in part.items()}
        case list():
            return [_filled(value, ids) for value in part]
        case _:
            return part


@pytest.fixture(scope="module")
def cast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cast]:
    """Ada and her child Mia are enrolled, each with something kept and an enrollment under way; Ben lives there too."""
    with Home(tmp_path_factory.mktemp("home")) as home:
        home.enrolls("ada").grants("ada", "transcripts", "human_review").joins("ben")
        home.joins("mia", kind="child", guardians=("ada",))
        home.grants("mia", "save_recordings", "voice_id", "transcripts", by="ada")
        home.completes("mia", home.reads("mia", by="ada"), by="ada")
        callers = {
            "admin": home.admin, "owner": home.owner, "self": home["ada"].headers, "guardian": home["ada"].headers,
            "child": home["mia"].headers, "member": home["ben"].headers,
            "device": home.token("device"), "skill": home.token("skill", "lights"),
        }  # fmt: skip
        tokens = home.ok("GET", "tokens", home.owner)["items"]
        common = {"ben": home["ben"].id, "token": next(one["id"] for one in tokens if one["role"] == "device")}
        yield Cast(home, callers, {name: _owns(home, name) | common for name in ("ada", "mia")})


def _owns(home: Home, name: str) -> dict[str, str]:
    who = home[name]
    assert home.hears(name)["stored"]
    home.ok("PATCH", who.path, who.headers, json={"verify_by_device": True})
    enrollment = home.reads(name, by="ada")
    (kept,) = home.ok("GET", f"{who.path}/interactions", who.headers)["items"]
    ids = {"person": who.id, "enrollment": enrollment}
    return ids | {"interaction": kept["id"], "recording": kept["recording"]}


def _cells(*, allowed: bool) -> list[Any]:
    return [
        pytest.param(endpoint, column, id=f"{column}: {endpoint}")
        for endpoint in ENDPOINTS
        for (row, column), may in CELLS.items()
        if row == endpoint.row and may is allowed
    ]


def test_a_child_shares_nothing_with_reviewers(cast: Cast) -> None:
    """The child itself may ask, and is told that this is not offered: nobody can have agreed to it."""
    (endpoint,) = (one for one in ENDPOINTS if one.row == "let a reviewer hear")
    answered = cast.asks(cast.home, endpoint, cast.callers["child"], "mia")
    assert (answered.status_code, answered.json()["type"]) == (409, "/problems/consent-missing")


def _whose(endpoint: Endpoint, column: str) -> str:
    """Whose data is asked for: the child's, where the column or the row is about children."""
    of_a_child = column in {"guardian", "child"} or (endpoint.row == "choose guardians" and column != "self")
    return "mia" if of_a_child else "ada"


@pytest.mark.parametrize(("endpoint", "column"), _cells(allowed=True))
def test_who_may_does(cast: Cast, tmp_path: Path, endpoint: Endpoint, column: str) -> None:
    with cast.home.twin(tmp_path) as home:
        answered = cast.asks(home, endpoint, cast.callers[column], _whose(endpoint, column))
        assert answered.status_code == endpoint.status, answered.text


@pytest.mark.parametrize(("endpoint", "column"), _cells(allowed=False))
def test_who_may_not_is_refused(cast: Cast, endpoint: Endpoint, column: str) -> None:
    answered = cast.asks(cast.home, endpoint, cast.callers[column], _whose(endpoint, column))
    assert answered.status_code == 403, answered.text
    assert answered.json()["type"] == "/problems/not-allowed"


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
def test_without_a_token_nothing_is_answered(cast: Cast, endpoint: Endpoint) -> None:
    for by in (None, bearer("vid_" + "a" * 24 + "_" + "b" * 52), {"Authorization": "Basic YTpi"}):
        answered = cast.asks(cast.home, endpoint, by, "ada")
        assert answered.status_code == 401, answered.text
        assert answered.headers["WWW-Authenticate"] == "Bearer"


@pytest.fixture(scope="module")
def strangers(cast: Cast) -> dict[str, dict[str, str]]:
    """Tokens of every kind, of another household of the same installation."""
    home = cast.home
    away = f"/v1/households/{home.ok('POST', '/v1/households', home.admin, json={'name': 'Next door'})['id']}"
    made = {}
    for role, skill in (("owner", None), ("device", None), ("skill", "lights")):
        body = {"role": role, "label": "theirs"} | ({"skill": skill} if skill else {})
        made[role] = bearer(home.ok("POST", f"{away}/tokens", home.admin, json=body)["token"])
    person = home.ok("POST", f"{away}/people", made["owner"], json={"display_name": "Zoe"})["id"]
    code = home.ok("POST", f"{away}/people/{person}/invitations", made["owner"])["code"]
    return made | {"person": bearer(home.ok("POST", "/v1/session", json={"code": code})["token"])}


@pytest.mark.parametrize("column", ["owner", "device", "skill", "person"])
@pytest.mark.parametrize("endpoint", [one for one in ENDPOINTS if not one.path.startswith("/")], ids=str)
def test_another_household_is_not_even_there(
    cast: Cast, strangers: dict[str, dict[str, str]], endpoint: Endpoint, column: str
) -> None:
    answered = cast.asks(cast.home, endpoint, strangers[column], "ada")
    assert answered.status_code == 404, answered.text
    assert answered.json()["type"] == "/problems/not-found"


def test_every_operation_stands_in_the_table(cast: Cast) -> None:
    """An endpoint that nobody thought of is open to nobody's knowledge."""
    described = {
        (method.upper(), path)
        for path, methods in cast.home.ok("GET", "/openapi.json")["paths"].items()
        for method in methods
        if path not in OPEN_TO_ALL
    }
    household = "/v1/households/{household}"
    tested = set()
    for one in ENDPOINTS:
        path = one.path if one.path.startswith("/") else f"{household}/{one.path}".rstrip("/")
        path = path.replace("consents/adapt", "consents/{purpose}").replace("consents/voice_id", "consents/{purpose}")
        tested.add((one.method, path.replace("responses/greeting", "responses/{intent}")))
    assert tested == described


@pytest.mark.parametrize("column", ["admin", "owner", "self", "child", "member", "device", "skill"])
def test_listening_is_recognizing(cast: Cast, column: str) -> None:
    """The WebSocket asks the same table."""
    path = f"{cast.home.path}/listen"
    if CELLS["recognize", column]:
        with cast.home.client.websocket_connect(path, headers=cast.callers[column]) as socket:
            assert socket.receive_json()["type"] == "listening"
        return
    with cast.home.client.websocket_connect(path, headers=cast.callers[column]) as socket:
        assert socket.receive_json()["problem"]["status"] == 403
        with pytest.raises(WebSocketDisconnect):
            socket.receive_json()


def test_devices_verify_only_whoever_opted_in(cast: Cast, tmp_path: Path) -> None:
    with cast.home.twin(tmp_path) as home:
        home.ok("PATCH", home["ada"].path, home["ada"].headers, json={"verify_by_device": False})
        answered = home.call("POST", f"{home['ada'].path}/verify", cast.callers["device"], **SOUND)
        assert answered.status_code == 403


def test_an_owner_changes_the_name_and_nothing_else(cast: Cast) -> None:
    for change in ({"preferences": {"a": 1}}, {"verify_by_device": True}, {"locale": "de"}):
        answered = cast.home.call("PATCH", cast.home["ada"].path, cast.home.owner, json=change)
        assert answered.status_code == 403


def test_the_household_sees_names_and_voice_id_alone(cast: Cast) -> None:
    for column in ("owner", "member"):
        shown = cast.home.ok("GET", cast.home["ada"].path, cast.callers[column])
        assert shown["preferences"] is shown["verify_by_device"] is shown["voiceprint"] is None
    assert cast.home.ok("GET", cast.home["ada"].path, cast.callers["self"])["voiceprint"]["takes"] == 4


def test_an_owner_chooses_guardians_only_where_there_are_none(cast: Cast, tmp_path: Path) -> None:
    """So that no owner can make themselves a child's guardian; when the last one is gone, somebody has to."""
    with cast.home.twin(tmp_path) as home:
        chosen = {"guardians": [home["ben"].id]}
        assert home.call("PUT", f"{home['mia'].path}/guardians", home.owner, json=chosen).status_code == 403
        home.ok("DELETE", home["ada"].path, home.owner)
        home.ok("PUT", f"{home['mia'].path}/guardians", home.owner, json=chosen)


def test_a_session_ends_by_itself_and_by_signing_out(cast: Cast, tmp_path: Path) -> None:
    with cast.home.twin(tmp_path) as home:
        home.ok("DELETE", "/v1/session", home["ben"].headers)
        assert home.call("GET", "people", home["ben"].headers).status_code == 401
        home.clock.forward(days=91)
        assert home.call("GET", "people", home["ada"].headers).status_code == 401
        assert home.call("DELETE", "/v1/session", home.owner).status_code == 403

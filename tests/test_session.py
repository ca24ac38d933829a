"""Sessions of the page: one-time codes, cookies that only the page can use, and their end."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from fastapi.testclient import TestClient
from home import Home, bearer, decision

from voiceid.service import wiring

PERSON, OWNER = {"voiceid-session": "person"}, {"voiceid-session": "owner"}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home(tmp_path) as made:
        yield made.joins("ada")


def comes_in(home: Home, name: str = "ada", **headers: str) -> httpx2.Response:
    """Redeem a new invitation for a cookie."""
    code = home.ok("POST", f"{home[name].path}/invitations", home.owner)["code"]
    return home.call("POST", "/v1/session", json={"code": code, "cookie": True}, headers=headers)


def test_the_token_lies_in_a_cookie_that_no_script_can_read(home: Home) -> None:
    answered = comes_in(home)
    assert answered.status_code == 201
    assert answered.json().keys() == {"role", "household", "person", "expires_at"}
    cookie = answered.headers["set-cookie"]
    for word in ("voiceid_person=vid_", "HttpOnly", "SameSite=strict", "Path=/", "Max-Age="):
        assert word in cookie
    assert "Secure" not in cookie


@pytest.mark.parametrize("path", ["/v1/policy", "people", "recognize"])
def test_other_cookies_are_not_read(home: Home, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """To take the quotes off 63 KB takes Python before 3.12.6 five seconds, on the loop, and anybody may send them."""
    cookie = comes_in(home).headers["set-cookie"].partition(";")[0]
    read: list[str] = []
    monkeypatch.setattr("http.cookies._unquote", lambda text: read.append(text) or text)
    others = ('x="' + "\\\\" * 31_000 + '"', 'voiceid_person="\\101"', 'voiceid_owner_2="\\101"', "y", " z = 1")
    method = "POST" if path == "recognize" else "GET"
    statuses = [
        home.call(method, path, headers={**PERSON, "cookie": ";".join(sent)}).status_code
        for sent in ((*others, cookie, *others), others)
    ]
    assert statuses == {"/v1/policy": [200, 200], "people": [200, 401], "recognize": [422, 401]}[path]
    assert not [text for text in read if '"' in text or "\\" in text]


def test_over_https_the_cookie_never_travels_in_the_clear(home: Home) -> None:
    client, cookie = over_https(home)
    assert {"Secure", "Path=/"} <= set(cookie.split("; "))
    assert cookie.startswith("__Host-voiceid_person=vid_")
    assert client.get(f"{home['ada'].path}/consents", headers=PERSON).status_code == 200


def test_a_page_in_plain_http_can_neither_replace_that_cookie_nor_use_it(home: Home) -> None:
    """Anybody on the network may forge such a page, under the service's own address."""
    client, cookie = over_https(home)
    token, path = cookie.partition("=")[2].partition(";")[0], f"{home['ada'].path}/consents"
    planted = TestClient(home.client.app, base_url="https://testserver", cookies={"voiceid_person": token})
    assert planted.get(path, headers=PERSON).status_code == 401
    assert planted.get("/v1/session").json() == {"sessions": []}
    assert client.get(path, headers={**PERSON, "origin": "http://testserver"}).status_code == 403
    assert client.get(path, headers={**PERSON, "origin": "https://testserver"}).status_code == 200
    with client.websocket_connect(
        f"wss://testserver{home.path}/listen?session=person", headers={"origin": "http://testserver"}
    ) as live:
        assert live.receive_json()["problem"]["type"] == "/problems/not-allowed"


def test_where_tls_ends_in_front_of_the_service_the_cookie_is_secure_too(home: Home) -> None:
    cookie = comes_in(home, origin="https://testserver").headers["set-cookie"]
    assert "Secure" in cookie
    headers = {**PERSON, "cookie": cookie.partition(";")[0], "origin": "https://testserver"}
    assert home.call("GET", f"{home['ada'].path}/consents", headers=headers).status_code == 200


def over_https(home: Home) -> tuple[TestClient, str]:
    """A browser in which Ada is signed in, and its cookie."""
    client = TestClient(home.client.app, base_url="https://testserver")
    code = home.ok("POST", f"{home['ada'].path}/invitations", home.owner)["code"]
    return client, client.post("/v1/session", json={"code": code, "cookie": True}).headers["set-cookie"]


def test_a_request_must_say_for_which_session_it_speaks(home: Home) -> None:
    comes_in(home)
    assert home.call("GET", f"{home['ada'].path}/consents").status_code == 401
    assert home.call("GET", f"{home['ada'].path}/consents", OWNER).status_code == 401
    assert home.call("GET", f"{home['ada'].path}/consents", PERSON).status_code == 200


@pytest.mark.parametrize("headers", [
    {"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "http://testserver:8000"}, {"origin": "http://["},
    {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
])  # fmt: skip
def test_another_sites_page_can_neither_use_a_session_nor_plant_one(home: Home, headers: dict[str, str]) -> None:
    comes_in(home)
    path = f"{home['ada'].path}/consents/voice_id"
    refused = home.call("PUT", path, PERSON, json=decision(), headers=headers)
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/not-allowed")
    assert comes_in(home, **headers).status_code == 403
    assert home.call("PUT", path, PERSON, json=decision(), headers={"origin": "http://testserver"}).status_code == 200


def test_a_bearer_token_is_nobodys_to_forge_so_its_origin_does_not_matter(home: Home) -> None:
    headers = {**home["ada"].headers, "origin": "http://evil.example"}
    assert home.call("GET", f"{home['ada'].path}/consents", headers=headers).status_code == 200


def test_a_browser_is_told_its_sessions_without_their_tokens(home: Home) -> None:
    assert home.ok("GET", "/v1/session") == {"sessions": []}
    comes_in(home)
    home.ok("POST", "/v1/session", json={"code": wiring.sign_in_code(home.services), "cookie": True})
    found = home.call("GET", "/v1/session")
    assert sorted((one["role"], one["person"]) for one in found.json()["sessions"]) == [
        ("owner", None), ("person", home["ada"].id),
    ]  # fmt: skip
    assert "vid_" not in found.text


def test_signing_out_ends_the_session_everywhere(home: Home) -> None:
    token = comes_in(home).headers["set-cookie"].partition("=")[2].partition(";")[0]
    assert home.call("GET", f"{home['ada'].path}/consents", bearer(token)).status_code == 200
    gone = home.call("DELETE", "/v1/session", PERSON)
    assert gone.status_code == 204
    dropped = [cookie for cookie in gone.headers.get_list("set-cookie") if "Max-Age=0" in cookie]
    assert [cookie.partition("=")[0] for cookie in dropped] == ["voiceid_person", "__Host-voiceid_person"]
    assert "Secure" in dropped[1]
    assert home.call("GET", f"{home['ada'].path}/consents", bearer(token)).status_code == 401


def test_the_link_that_serve_prints_makes_an_owner_once(home: Home) -> None:
    code = wiring.sign_in_code(home.services)
    session = home.ok("POST", "/v1/session", json={"code": code})
    assert (session["person"], session["household"]) == (None, home.id)
    owner = bearer(session["token"])
    assert home.call("GET", "tokens", owner).status_code == 200
    assert home.call("GET", f"{home['ada'].path}/recordings", owner).status_code == 403
    assert home.call("PUT", f"{home['ada'].path}/consents/voice_id", owner, json=decision()).status_code == 403
    assert home.call("POST", "/v1/session", json={"code": code}).json()["type"] == "/problems/code-spent"


def test_a_newer_link_makes_the_older_one_void(home: Home) -> None:
    older, newer = wiring.sign_in_code(home.services), wiring.sign_in_code(home.services)
    assert home.call("POST", "/v1/session", json={"code": older}).status_code == 401
    assert home.call("POST", "/v1/session", json={"code": newer}).status_code == 201


def test_a_link_and_the_session_it_opened_run_out(home: Home) -> None:
    code = wiring.sign_in_code(home.services)
    session = home.ok("POST", "/v1/session", json={"code": code, "cookie": True})
    later = wiring.sign_in_code(home.services)
    home.clock.forward(hours=home.settings.invitation_hours + 1)
    assert home.call("POST", "/v1/session", json={"code": later}).status_code == 401
    assert home.call("GET", "tokens", OWNER).status_code == 200
    home.clock.forward(days=home.settings.session_days)
    assert home.call("GET", "tokens", OWNER).status_code == 401
    assert session["expires_at"] < home.clock().isoformat()


def test_the_owners_session_can_be_ended_and_a_minted_token_only_be_revoked(home: Home) -> None:
    home.ok("POST", "/v1/session", json={"code": wiring.sign_in_code(home.services), "cookie": True})
    assert home.call("DELETE", "/v1/session", home.owner).status_code == 403
    assert home.call("DELETE", "/v1/session", OWNER).status_code == 204
    assert home.call("GET", "tokens", OWNER).status_code == 401
    assert home.call("GET", "tokens", home.owner).status_code == 200

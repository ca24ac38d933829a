"""A PIN on a shared screen: one's own to set, kept as a hash, tried slowly, a short session, gone with its person."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from home import Home, bearer
from sqlalchemy import select

from voiceid.errors import PinRefused, TooManyTries
from voiceid.store import tables
from voiceid.store.pins import FREE_TRIES, wait_after
from voiceid.store.vault import Place

PIN, OTHER = "493018", "771204"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """Ada has a PIN, Ben has none."""
    with Home(tmp_path) as made:
        made.joins("ada").joins("ben")
        sets(made, "ada", PIN)
        yield made


def sets(home: Home, name: str, pin: str, status: int = 204) -> Any:
    answered = home.call("PUT", f"{home[name].path}/pin", home[name].headers, json={"pin": pin})
    assert answered.status_code == status, answered.text
    return answered


def tries(home: Home, pin: str, name: str = "Ada", source: str = "testclient", **more: Any) -> Any:
    """One attempt from an address."""
    client = TestClient(home.client.app, client=(source, 50000), raise_server_exceptions=False)
    return client.post("/v1/session/pin", json={"name": name, "pin": pin, **more})


def code(answered: Any) -> str:
    return str(answered.json()["type"]).removeprefix("/problems/")


def test_name_and_pin_open_a_short_session_beside_the_others(home: Home) -> None:
    opened = tries(home, PIN, " ADA ")
    assert opened.status_code == 201
    shared = bearer(opened.json()["token"])
    assert home.call("GET", f"{home['ada'].path}/consents", shared).status_code == 200
    assert home.call("GET", f"{home['ada'].path}/consents", home["ada"].headers).status_code == 200
    assert home.call("GET", f"{home['ben'].path}/consents", shared).status_code == 403
    home.clock.forward(minutes=home.settings.pin_session_minutes)
    assert home.call("GET", f"{home['ada'].path}/consents", shared).status_code == 401
    assert home.call("GET", f"{home['ada'].path}/consents", home["ada"].headers).status_code == 200


def test_the_page_gets_a_cookie_that_no_script_can_read(home: Home) -> None:
    client = TestClient(home.client.app, base_url="https://testserver")
    answered = client.post("/v1/session/pin", json={"name": "Ada", "pin": PIN, "cookie": True})
    cookie = answered.headers["set-cookie"]
    for word in ("voiceid_person=vid_", "HttpOnly", "SameSite=strict", "Secure", "Max-Age=900"):
        assert word in cookie
    assert "vid_" not in answered.text
    refused = client.post("/v1/session/pin", json={"name": "Ada", "pin": PIN}, headers={"origin": "http://evil.example"})
    assert (refused.status_code, code(refused)) == (403, "not-allowed")


def test_what_is_wrong_is_not_told(home: Home) -> None:
    answers = [tries(home, OTHER), tries(home, PIN, "Ben"), tries(home, PIN, "Nobody"),
               tries(home, PIN, household="a" * 24)]  # fmt: skip
    assert {answered.text for answered in answers} == {answers[0].text}
    assert (answers[0].status_code, code(answers[0])) == (401, "pin-refused")


def test_five_tries_then_growing_delays_for_one_person_from_wherever(home: Home) -> None:
    """Each try comes from an address of its own, as from somebody who has many."""
    found = [tries(home, OTHER, source=f"10.0.0.{n}").status_code for n in range(FREE_TRIES)]
    assert found == [401] * FREE_TRIES
    refused = tries(home, PIN, source="10.0.1.1")
    assert (refused.status_code, code(refused)) == (429, "too-many-tries")
    assert refused.headers["retry-after"] == str(refused.json()["retry_after_s"]) == "30"
    home.clock.forward(seconds=31)
    assert tries(home, OTHER, source="10.0.1.2").status_code == 401
    home.clock.forward(seconds=31)
    assert tries(home, PIN, source="10.0.1.3").json()["retry_after_s"] == 29
    home.clock.forward(seconds=30)
    assert tries(home, PIN, source="10.0.1.4").status_code == 201
    assert [tries(home, OTHER, source=f"10.0.2.{n}").status_code for n in range(FREE_TRIES)] == [401] * FREE_TRIES


def test_five_tries_then_growing_delays_from_one_source_at_whomever(home: Home) -> None:
    sets(home, "ben", OTHER)
    found = [tries(home, "111213", f"Nobody {n}", "10.0.0.9").status_code for n in range(FREE_TRIES + 1)]
    assert found == [401] * FREE_TRIES + [429]
    assert tries(home, PIN, "Ada", "10.0.0.9").status_code == 429
    assert tries(home, OTHER, "Ben", "10.0.0.8").status_code == 201
    home.clock.forward(seconds=31)
    assert tries(home, PIN, "Ada", "10.0.0.9").status_code == 201


def test_a_network_of_ipv6_addresses_is_one_source(home: Home) -> None:
    found = [tries(home, OTHER, "Nobody", f"fd00::{n:x}").status_code for n in range(FREE_TRIES + 1)]
    assert found[-1] == 429
    assert tries(home, OTHER, "Nobody", "fd00:0:0:1::1").status_code == 401


def test_waiting_survives_a_restart_and_many_at_once_are_no_way_around_it(home: Home) -> None:
    def attempt(number: int) -> type[Exception]:
        with pytest.raises((PinRefused, TooManyTries)) as raised:
            home.services.pins.sign_in(home.id, [home["ada"].id], OTHER, f"10.1.0.{number}")
        return raised.type

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(attempt, range(8)))
    assert found.count(PinRefused) == FREE_TRIES
    home.restarts()
    assert tries(home, PIN, source="10.1.1.1").status_code == 429
    activity = home.ok("GET", f"{home['ada'].path}/activity", home["ada"].headers)["items"]
    assert ("pin tried", "5 in a row") in {(entry["action"], entry["why"]) for entry in activity}


def test_delays_double_up_to_an_hour() -> None:
    assert [wait_after(n).total_seconds() for n in (0, 4, 5, 6, 7, 11, 12, 40)] == [0, 0, 30, 60, 120, 1920, 3600, 3600]


def test_a_pin_that_is_short_or_the_first_guess_is_refused_and_not_repeated(home: Home) -> None:
    fullwidth = "".join(chr(ord(digit) + 0xFEE0) for digit in PIN)
    for pin in ("12345", "1234567890123", "12345a", fullwidth, "000000", "123456", "987654", "890123"):
        assert pin not in sets(home, "ada", pin, 422).text
    assert tries(home, PIN).status_code == 201


def test_a_new_pin_ends_what_the_old_one_opened_and_nothing_else(home: Home) -> None:
    shared = bearer(tries(home, PIN).json()["token"])
    keys = home.keys()
    sets(home, "ada", OTHER)
    assert home.call("GET", f"{home['ada'].path}/pin", shared).status_code == 401
    assert home.ok("GET", f"{home['ada'].path}/pin", home["ada"].headers) == {"set": True}
    assert tries(home, PIN).status_code == 401
    assert tries(home, OTHER).status_code == 201
    assert len(keys - home.keys()) == 1
    assert home.call("DELETE", f"{home['ada'].path}/pin", home["ada"].headers).status_code == 204
    assert home.ok("GET", f"{home['ada'].path}/pin", home["ada"].headers) == {"set": False}
    assert tries(home, OTHER).status_code == 401


def test_a_pin_is_kept_as_a_salted_hash_under_a_key_of_its_own(home: Home) -> None:
    longest = "493018264957"  # six digits stand in hashes by chance
    sets(home, "ada", longest)
    sets(home, "ben", longest)
    rows = home.rows(tables.pin)
    vault = home.services.store.vault
    opened = [
        vault.open(Place(home.id, row.person_id, "pin", row.pin_id), row.key_id, row.sealed).decode() for row in rows
    ]
    assert len(set(opened)) == len({row.key_id for row in rows}) == 2
    assert all(re.match(r"\$argon2id\$v=19\$m=19456,t=2,p=1\$", one) for one in opened)
    assert [path for path, content in home.bytes_on_disk().items() if longest.encode() in content] == []


def test_a_pin_goes_with_its_person_and_is_counted_again(home: Home) -> None:
    receipt = home.ok("DELETE", home["ada"].path, home["ada"].headers)
    counted = {store["store"]: (store["found"], store["left"]) for store in receipt["stores"]}
    assert counted["pins"] == (1, 0)
    with home.services.store.database.reader() as tx:
        assert tx.execute(select(tables.pin)).all() == []
    assert tries(home, PIN).status_code == 401


def test_withdrawing_every_consent_leaves_the_pin(home: Home) -> None:
    """It opens the way to the receipts."""
    home.grants("ada", "voice_id").withdraws("ada")
    assert tries(home, PIN).status_code == 201


def test_where_several_households_live_one_must_be_named(home: Home) -> None:
    home.ok("POST", "/v1/households", home.admin, json={"name": "Next door"})
    assert tries(home, PIN).status_code == 422
    assert tries(home, PIN, household=home.id).status_code == 201

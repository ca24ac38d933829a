"""The page in Chromium, without a microphone: guardians, owners, the shared screen, reviewers, phones."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest
from browser import DESKTOP, PHONE, PageServer, Visitor, chromium, visit
from httpx import Client, Response
from playwright.sync_api import Browser, sync_playwright

from voiceid.store import tables

pytestmark = [pytest.mark.browser, pytest.mark.slow]
on_a_phone = pytest.mark.parametrize("visitor", [(PHONE, "dark")], indirect=True, ids=["phone"])
on_a_desktop = pytest.mark.parametrize("visitor", [(DESKTOP, "light")], indirect=True, ids=["desktop"])
PIN = "493018"
_ASKS = """
window.tracks = [];
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wish) => {
  await new Promise((resume) => { window.allow = resume; });
  const stream = await ask(wish);
  window.tracks.push(...stream.getTracks());
  return stream;
};
"""
"""The browser asks whether the page may listen, and somebody takes their time."""
_ALL_ENDED = "tracks.length > 0 && tracks.every((one) => one.readyState === 'ended') && tracks.splice(0).length > 0"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    started = PageServer(tmp_path_factory.mktemp("home"))
    started.in_the_home_network()
    yield started
    started.stop()


@pytest.fixture
def server(house: PageServer) -> Iterator[PageServer]:
    yield house
    house.clear()


@pytest.fixture(scope="module")
def browser(browser_path: str) -> Iterator[Browser]:
    with sync_playwright() as player, chromium(player, browser_path, None) as started:
        yield started


@pytest.fixture
def visitor(request: pytest.FixtureRequest, browser: Browser, server: PageServer) -> Iterator[Visitor]:
    """Somebody whose every screen must be clean and whose every request must stay here."""
    size, scheme = request.param
    with visit(browser, server, size, scheme) as somebody:
        yield somebody
        assert somebody.abroad() == []
        assert somebody.complaints == []


def look(visitor: Visitor, screen: str) -> None:
    assert visitor.axe(screen) == []
    assert not visitor.too_wide(), screen


def get(server: PageServer, path: str, token: str) -> Response:
    with Client(base_url=server.url, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as client:
        return client.get(path)


@on_a_phone
def test_a_guardian_decides_for_a_child_and_takes_it_back(
    visitor: Visitor, browser: Browser, server: PageServer, voices: Path
) -> None:
    codes = {name: server.enroll(voices, name) for name in ("ada", "ben")}
    visitor.owns(server)
    visitor.page.get_by_label("Name").fill("Mia")
    visitor.page.get_by_label("This is").select_option("child")
    visitor.page.get_by_label("Who decides").select_option("Ada")
    visitor.press("Join here")
    visitor.page.locator(".person", has_text="Mia").wait_for()
    visitor.press("Sign the owner out here")
    visitor.sees("Signed out")
    visitor.comes(codes["ada"])
    visitor.to("guardian", "Guardian")
    look(visitor, "guardian")
    visitor.page.get_by_role("link", name="Decide for Mia").click()
    visitor.headline("Decide for Mia")
    assert visitor.page.get_by_role("switch").count() == 4  # no human review of a child
    look(visitor, "consent for a child")
    visitor.allow("Save recordings of my voice", "Recognize me by my voice")
    visitor.press("Yes, to what")
    visitor.page.get_by_role("button", name="Start with the microphone").wait_for()
    visitor.to("guardian", "Guardian")
    visitor.page.get_by_role("link", name="What is kept of Mia").click()
    visitor.headline("The voice of Mia")
    child = visitor.page.url.rpartition("/")[2]
    assert visitor.switch("Recognize me by my voice").is_checked()
    assert visitor.page.get_by_role("heading", name="PIN").count() == 0
    look(visitor, "a child's voice")
    with visit(browser, server) as ben:
        ben.comes(codes["ben"])
        assert ben.page.get_by_role("link", name="Guardian").count() == 0
        ben.page.goto(f"{server.url}/#voice/{child}")
        ben.sees("This is not yours to do.")
    visitor.press("Forget my voice", exact=True)
    visitor.press("Forget my voice now")
    visitor.page.locator("dialog .qr").wait_for()
    visitor.press("Done")
    visitor.page.locator("#consent-voice_id:not(:checked)").wait_for()


@on_a_desktop
def test_the_owner_lets_a_skill_in_and_each_person_decides_what_it_is_told(
    visitor: Visitor, server: PageServer, voices: Path
) -> None:
    code = server.enroll(voices, "ada")
    visitor.owns(server)
    visitor.to("household", "Home")
    visitor.page.get_by_label("Which one").fill("Radio")
    visitor.page.get_by_label("What it is").select_option("skill")
    visitor.press("Add")
    token = visitor.page.locator("dialog code").inner_text()
    look(visitor, "a new token")
    visitor.press("Done")
    visitor.sees("Is told only of those who share with it")
    words = visitor.page.locator(".words li")
    assert [words.nth(at).locator("strong").inner_text() for at in range(3)] == ["Convenient", "Balanced", "Strict"]
    assert visitor.page.locator(".words [aria-current]").inner_text().startswith("Balanced")
    look(visitor, "household")
    home = f"/v1/households/{server.household}"
    assert get(server, f"{home}/people", token).status_code == 403

    visitor.press("Sign the owner out here")
    visitor.sees("Signed out")
    visitor.comes(code)
    visitor.to("voice", "My voice")
    share = visitor.switch("Let radio know that it is me")
    assert not share.is_checked()
    share.check()
    visitor.page.locator("[role=switch][id='consent-share:radio']:checked").wait_for()
    look(visitor, "sharing")
    visitor.page.locator("li.purpose", has=share).get_by_text("History (1)").wait_for()  # drawn anew
    visitor.switch("Let radio know that it is me").uncheck()
    visitor.press("Take it back")
    visitor.page.locator("dialog .qr").wait_for()
    visitor.press("Done")
    visitor.page.locator("[role=switch][id='consent-share:radio']:not(:checked)").wait_for()

    visitor.press("Sign me out here")
    visitor.sees("Signed out")
    visitor.owns(server)
    visitor.to("household", "Home")
    visitor.press("Revoke Radio")
    visitor.sees("Radio can ask nothing any more.")
    assert get(server, f"{home}/people", token).status_code == 401


@on_a_phone
def test_a_pin_opens_ones_own_voice_on_the_shared_screen(visitor: Visitor, server: PageServer, voices: Path) -> None:
    visitor.comes(server.enroll(voices, "ada"))
    visitor.to("voice", "My voice")
    visitor.page.get_by_label("New PIN").fill("123456")
    visitor.press("Set the PIN")
    visitor.sees("too easy to guess")
    visitor.page.get_by_label("New PIN").fill(PIN)
    visitor.press("Set the PIN")
    visitor.sees("You have a PIN.")
    look(visitor, "a PIN is set")
    visitor.press("Sign me out here")

    visitor.headline("Your household's own Voice ID")
    form = visitor.page.get_by_role("form", name="PIN for the shared screen")
    form.get_by_label("Name").fill("ada")
    form.get_by_label("PIN", exact=True).fill("493019")
    form.get_by_role("button").click()
    visitor.sees("Name and PIN do not fit.")
    look(visitor, "welcome")
    form.get_by_label("PIN", exact=True).fill(PIN)
    form.get_by_role("button").click()
    visitor.headline("My voice")
    visitor.sees("Recordings (4)")
    visitor.press("Sign me out here")
    visitor.sees("Signed out")

    visitor.owns(server)
    visitor.press("Come in as Ada")
    look(visitor, "asked for the PIN")
    visitor.page.locator("dialog").get_by_label("PIN").fill(PIN)
    visitor.press("Come in with the PIN")
    visitor.headline("My voice")
    visitor.press("Remove the PIN")
    visitor.sees("Your session has ended")


@on_a_desktop
def test_whoever_said_no_is_not_asked_again_so_soon(visitor: Visitor, server: PageServer) -> None:
    visitor.comes(server.refuse("ben"))
    visitor.page.locator(".person", has_text="Ben").wait_for()
    assert visitor.page.url.endswith("#home")


@on_a_desktop
def test_one_reviewer_hears_one_recording_and_a_copy_of_everything_is_sealed(
    visitor: Visitor, server: PageServer, voices: Path, tmp_path: Path
) -> None:
    visitor.comes(server.enroll(voices, "ada", "human_review"))
    visitor.to("voice", "My voice")
    visitor.page.get_by_role("button", name="Let one person hear").first.click()
    visitor.page.get_by_label("Who", exact=True).fill("Sam from support")
    visitor.page.get_by_label("Why", exact=True).fill("I am not recognized in the kitchen")
    look(visitor, "asked for a review")
    visitor.press("Allow it for a day")
    token = visitor.page.locator("dialog code").inner_text()
    visitor.sees("Give this key to Sam from support.")
    visitor.press("Done")
    visitor.page.get_by_role("cell", name="let one person hear a recording").first.wait_for()
    mine = visitor.page.evaluate("fetch('/v1/session').then((r) => r.json()).then((s) => s.sessions[0].person)")
    recordings = f"/v1/households/{server.household}/people/{mine}/recordings"
    ids = visitor.page.evaluate(
        f"fetch('{recordings}', {{headers: {{'voiceid-session': 'person'}}}}).then((r) => r.json())"
        ".then((page) => page.items.map((one) => one.id))"
    )
    assert sorted(get(server, f"{recordings}/{one}", token).status_code for one in ids) == [200, 403, 403, 403]

    visitor.page.get_by_label("Passphrase").fill("correct horse battery")
    with visitor.page.expect_download() as saved:
        visitor.press("Take a copy of everything")
    assert saved.value.suggested_filename == "voiceid-export.zip.age"
    saved.value.save_as(tmp_path / "copy")
    copy = pyrage.passphrase.decrypt((tmp_path / "copy").read_bytes(), "correct horse battery")
    assert "index.html" in zipfile.ZipFile(io.BytesIO(copy)).namelist()


@on_a_phone
def test_a_phone_learns_to_trust_the_household_and_is_invited_to_where_it_can_come(
    visitor: Visitor, server: PageServer, voices: Path, tmp_path: Path
) -> None:
    visitor.to("trust", "Let this device trust your household")
    assert visitor.page.locator("code").inner_text() == server.app.state.lan.certified.fingerprint
    with visitor.page.expect_download() as saved:
        visitor.page.get_by_role("link", name="Download the certificate").click()
    saved.value.save_as(tmp_path / "ca.crt")
    assert (tmp_path / "ca.crt").read_text() == server.app.state.lan.certified.authority
    for system in ("iPhone", "Android", "Windows", "macOS"):
        visitor.page.get_by_text(system).first.click()
    assert visitor.page.locator("details[open]").count() >= 4
    look(visitor, "trust")
    server.enroll(voices, "ada")
    visitor.owns(server)
    visitor.press("Invite Ada")
    assert visitor.page.locator("dialog code").inner_text().startswith(f"https://127.0.0.2:{server.port}/#")
    look(visitor, "an invitation")
    visitor.page.goto(f"{server.url}/docs")
    visitor.headline("The API")
    look(visitor, "docs")


@on_a_desktop
def test_a_microphone_that_is_allowed_too_late_hears_nobody(
    visitor: Visitor, server: PageServer, voices: Path
) -> None:
    """Whoever has left the screen, or pressed Stop, is not listened to behind their back."""
    page = visitor.page
    page.add_init_script(_ASKS)
    visitor.comes(server.enroll(voices, "ada"))
    begins = (("home", "Home", "Listen"), ("join", "Read a few sentences", "Start with the microphone"))
    for screen, headline, button in begins:
        visitor.to(screen, headline)
        visitor.press(button, exact=True)
        visitor.until("!!window.allow")
        visitor.to("proof", "Proof")
        page.evaluate("allow(); window.allow = null")
        visitor.until(_ALL_ENDED)
    visitor.to("home", "Home")
    visitor.press("Listen", exact=True)
    visitor.until("!!window.allow")
    visitor.press("Stop listening")
    page.evaluate("allow()")
    visitor.until(_ALL_ENDED)
    assert [url for url in visitor.requests if url.startswith("ws") or url.endswith("/enrollments")] == []


@on_a_phone
def test_a_screen_that_nobody_touches_lets_go_when_the_session_ends(
    visitor: Visitor, server: PageServer, voices: Path
) -> None:
    """On a shared screen the next one to look must not see it: also not behind a question that was left open."""
    visitor.page.clock.install()
    visitor.comes(server.enroll(voices, "ada"))
    visitor.to("voice", "My voice")
    visitor.press("Forget my voice", exact=True)
    with server.services.store.database.writer(server.household) as tx:
        tx.execute(tables.token.delete().where(tables.token.c.role == "person"))
    visitor.page.clock.fast_forward(61_000)
    visitor.sees("Your session has ended")
    visitor.headline("Your household's own Voice ID")
    assert visitor.page.locator("dialog").count() == 0
    assert "Ada" not in visitor.page.locator("body").inner_text()
    look(visitor, "welcome after the end")


@on_a_desktop
def test_the_page_can_be_used_with_the_keyboard_alone(visitor: Visitor, server: PageServer) -> None:
    page = visitor.page
    page.goto(server.link())
    page.get_by_label("Name").focus()
    page.keyboard.type("Ada")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="No, thank you").wait_for()
    assert page.evaluate("document.activeElement.tagName") == "H1"
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.get_by_role("switch").first.is_checked()
    for _ in range(5):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "No, thank you"
    page.keyboard.press("Enter")
    page.get_by_role("heading", level=1, name="That is fine").wait_for()

"""Take the pictures in docs/screens: Ada's way through the page, on a phone and on a desktop. `make docs` calls it.

    python tools/make_screens.py

It starts the service on fresh data, and Chromium with a microphone that plays the synthetic voices.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser import DESKTOP, PHONE, PageServer, Scheme, Visitor, chromium, microphone  # noqa: E402 (beside the tests)

SCREENS = ROOT / "docs" / "screens"
VOICES = ROOT / "voiceid" / "demo" / "voices"
CLIPS = (1.0, *(part for number in range(1, 5) for part in (f"ada/enroll_{number}", 3.0)))
RECORD, RECOGNIZE = "Save recordings of my voice", "Recognize me by my voice"
SHOWN = {"phone": (PHONE, "light"), "desktop": (DESKTOP, "dark")}

Picture = Callable[[str], None]


def decide(ada: Visitor, server: PageServer, picture: Picture) -> None:
    """From the link to a yes."""
    ada.page.goto(server.url)
    ada.headline("Your household's own Voice ID")
    picture("welcome")
    ada.to("trust", "Let this device trust your household")
    picture("trust")
    ada.page.goto(server.link())
    ada.page.get_by_label("Name").fill("Ada")
    ada.press("Join here")
    ada.page.get_by_role("button", name="No, thank you").wait_for()
    picture("consent")
    ada.allow(RECORD, RECOGNIZE)
    ada.press("Yes, to what")


def enroll(ada: Visitor, picture: Picture) -> None:
    """Four sentences, and the first answer."""
    ada.page.get_by_role("button", name="Start with the microphone").wait_for()
    for number in range(1, 9):
        done = ada.take()
        if number == 2:  # noqa: PLR2004 (half way)
            picture("takes")
        if done == "done":
            break
    ada.press("Listen", exact=True)
    ada.page.locator(".said", has_text="Ada").wait_for(timeout=30_000)
    picture("try")
    ada.press("Stop listening")


def look_around(ada: Visitor, server: PageServer, picture: Picture) -> None:
    """What the household sees, what Ada sees."""
    for screen, headline in (("home", "Home"), ("household", "Home"), ("guardian", "Guardian"), ("voice", "My voice")):
        ada.page.goto(f"{server.url}/#{screen}")
        ada.headline(headline)
        picture(screen)


def forget(ada: Visitor, server: PageServer, picture: Picture) -> None:
    """The purge, the receipt, the proof."""
    ada.press("Forget my voice", exact=True)
    ada.press("Forget my voice now")
    ada.page.locator("dialog .qr").wait_for()
    ada.page.locator("dialog .receipt").scroll_into_view_if_needed()
    picture("purge")
    address = ada.page.get_by_role("link", name="Verify it").get_attribute("href")
    ada.press("Done")
    ada.page.goto(f"{server.url}/{address}")
    ada.sees("This receipt is genuine.")
    picture("proof")


def take_pictures(folder: Path, browser_path: str, size: tuple[int, int], scheme: Scheme, name: str) -> None:
    """All screens in one size and colour scheme."""
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as player:
        server = PageServer(Path(scratch))
        try:
            sound = microphone(Path(scratch) / "ada.wav", VOICES, CLIPS)
            server.in_the_home_network()
            with chromium(player, browser_path, sound) as started:
                ada = Visitor.of(started, server, size, scheme)

                def picture(screen: str) -> None:
                    whole = ada.page.locator("dialog").count() == 0
                    ada.page.screenshot(path=folder / f"{screen}-{name}.png", full_page=whole)

                decide(ada, server, picture)
                enroll(ada, picture)
                look_around(ada, server, picture)
                forget(ada, server, picture)
        finally:
            server.stop()


def browser() -> str | None:
    """Where Chromium is, if there is one."""
    return shutil.which("chromium") or shutil.which("google-chrome")


def write(folder: Path = SCREENS) -> None:
    """Write every picture.

    Raises: SystemExit, when there is no Chromium.
    """
    browser_path = browser()
    if browser_path is None:
        raise SystemExit("no browser on this machine (Debian: apt install chromium)")
    folder.mkdir(parents=True, exist_ok=True)
    for name, (size, scheme) in SHOWN.items():
        take_pictures(folder, browser_path, size, scheme, name)  # type: ignore[arg-type]  # the literals of SHOWN
        print(f"{name}: {len(list(folder.glob(f'*-{name}.png')))} screens")


if __name__ == "__main__":
    write()

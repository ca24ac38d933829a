"""Walk the page as a stranger: `voiceid serve` in an empty folder, Chromium with a microphone, no documentation.

    python tools/walk.py

Each step is found by what the screen shows, and timed; the table says how long until somebody is recognized by name.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser import PHONE, chromium, microphone  # noqa: E402 (beside the tests)

VOICES = ROOT / "voiceid" / "demo" / "voices"
CLIPS = (1.5, *(part for number in range(1, 5) for part in (f"ada/enroll_{number}", 4.0)))
"""Ada reads at the pace of somebody who first has to find the next sentence."""


@dataclass
class Steps:
    """What was done, and when."""

    began: float = field(default_factory=time.monotonic)
    done: list[tuple[str, float]] = field(default_factory=list)

    def step(self, what: str) -> None:
        """One step is over."""
        self.done.append((what, round(time.monotonic() - self.began, 1)))


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Run `voiceid serve` in an empty folder; the link that it prints."""
    words = [sys.executable, "-m", "voiceid", "serve", "--port", "0"]
    server = subprocess.Popen(words, cwd=folder, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ours
    try:
        yield (server.stdout.readline() if server.stdout else "").split()[-1]
    finally:
        server.terminate()
        server.wait(15)


def join(page: Page, steps: Steps) -> None:
    """From the first screen to the takes: a name, two switches, a yes."""
    page.get_by_label("Name").fill("Ada")
    page.get_by_role("button", name="Join here").click()
    page.get_by_role("button", name="No, thank you").wait_for()
    steps.step("type a name, press: Join here")
    for name in ("Save recordings of my voice", "Recognize me by my voice"):
        page.get_by_role("switch", name=name).check()
    page.get_by_role("button", name="Yes, to what").click()
    page.get_by_role("button", name="Start with the microphone").wait_for()
    steps.step("read, switch on what is needed, press: Yes")


def read(page: Page, steps: Steps) -> None:
    """The takes, as many as it wants."""
    for number in range(1, 9):
        page.locator(".take button.big").click()
        page.locator("[data-take='going on']").wait_for()
        seen = page.locator("[data-take=accepted], [data-take=refused], .live").first
        seen.wait_for(timeout=30_000)
        steps.step(f"read sentence {number}: {seen.get_attribute('data-take') or 'the last'}")
        if page.locator(".live").count():
            return


def main() -> None:
    """Walk, and print the steps as JSON."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        raise SystemExit("no browser on this machine (Debian: apt install chromium)")
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as player:
        sound, steps = microphone(Path(scratch) / "ada.wav", VOICES, CLIPS), Steps()
        (Path(scratch) / "home").mkdir()
        with served(Path(scratch) / "home") as link, chromium(player, found, sound) as browser:
            steps.step("voiceid serve prints its link")
            page = browser.new_page(viewport={"width": PHONE[0], "height": PHONE[1]}, locale="en-US")
            page.goto(link)
            page.get_by_label("Name").wait_for()
            steps.step("open the link")
            arrived = steps.done[-1][1]
            join(page, steps)
            read(page, steps)
            enrolled = steps.done[-1][1]
            page.get_by_role("button", name="Listen", exact=True).click()
            page.locator(".said", has_text="Ada").wait_for(timeout=30_000)
            steps.step("press: Listen, speak, be called by name")
    told = {"steps": steps.done, "from the link to enrolled, s": round(enrolled - arrived, 1),
            "to the first personal answer, s": round(steps.done[-1][1] - arrived, 1)}  # fmt: skip
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()

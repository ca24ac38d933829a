"""The page in a real browser: a server of its own, Chromium with a microphone that plays a file, eyes on all of it."""

import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
import uvicorn
from home import as_served
from httpx import Client
from playwright.sync_api import Browser, BrowserContext, Page, Playwright

from voiceid.policy import version
from voiceid.service import wiring
from voiceid.service.application import create_app
from voiceid.service.lan import prepare
from voiceid.settings import Settings
from voiceid.types import SAMPLE_RATE_HZ

Scheme = Literal["light", "dark"]
PHONE, DESKTOP = (360, 740), (1280, 900)
_FLAGS = (
    "--no-sandbox", "--use-fake-device-for-media-stream", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--disable-gpu", "--disable-quic",
)  # fmt: skip
_AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
_WATCH = """
window.longTasks = [];
window.lookedAt = 0;
new PerformanceObserver((list) => window.longTasks.push(...list.getEntries()))
  .observe({ type: "longtask", buffered: true });
window.held = new Set();
const [hold, drop] = [URL.createObjectURL, URL.revokeObjectURL];
URL.createObjectURL = (blob) => { const url = hold.call(URL, blob); window.held.add(url); return url; };
URL.revokeObjectURL = (url) => { window.held.delete(url); drop.call(URL, url); };
"""
"""What the page does that nobody sees: tasks over 50 ms, and files that it goes on holding."""
_LONGEST = "Math.max(0, ...longTasks.filter((one) => one.startTime >= lookedAt).map((one) => one.duration))"
_UNSAID = re.compile(r"(?<!/)\{\w+\}|\b(?:null|undefined|NaN)\b|\[object")
"""What a page shows that has not thought to the end."""
_RULES = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']"
_LOOK = f"""async () => {{
  const longest = {_LONGEST};
  const {{ violations }} = await axe.run(document, {{ runOnly: {_RULES} }});
  window.lookedAt = performance.now();
  return {{ longest, violations }};
}}"""


class PageServer:
    """The service on a loopback port; it can be stopped and started again on the same data."""

    def __init__(self, root: Path) -> None:
        self.settings = Settings(data_dir=root / "data", keys_dir=root / "keys")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.owner_token = ""
        self.start()

    def start(self) -> None:
        self.services = wiring.build(self.settings)
        first = wiring.first_start(self.services)
        self.owner_token = first.owner_token if first else self.owner_token
        self.household = first.household if first else self.services.households.page("", 1)[0].id
        self.app = create_app(self.services)
        config = uvicorn.Config(
            as_served(self.app), log_level="warning", ws="websockets-sansio", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        listening = socket.create_server(("127.0.0.1", self.port))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]})
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.02)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()

    close = stop

    def clear(self) -> None:
        """Let nobody live here any more, as before the first test."""
        home, headers = f"/v1/households/{self.household}", {"Authorization": f"Bearer {self.owner_token}"}
        with Client(base_url=self.url, headers=headers, trust_env=False, timeout=30) as owner:
            for kind in ("people", "tokens"):
                for one in owner.get(f"{home}/{kind}").json()["items"]:
                    if one.get("label") != "first owner":
                        owner.delete(f"{home}/{kind}/{one['id']}").raise_for_status()

    def in_the_home_network(self) -> None:
        """Say that it also runs there, as with `--lan`."""
        settings = replace(self.settings, host="127.0.0.2")
        self.app.state.lan = prepare(settings, self.port, datetime.now(UTC))

    def link(self) -> str:
        """What `voiceid serve` prints."""
        return f"{self.url}/#{wiring.sign_in_code(self.services)}"

    def enroll(self, voices: Path, name: str, *purposes: str) -> str:
        """Enroll somebody over the API, with further purposes granted; the code of a new invitation for them."""
        with self._owner() as owner:
            mine, me = self._answers(owner, name, "granted", "save_recordings", "voice_id", *purposes)
            enrollment = owner.post(f"{mine}/enrollments", headers=me).json()["id"]
            for number in range(1, 5):
                taken = owner.post(
                    f"{mine}/enrollments/{enrollment}/takes", headers={**me, "content-type": "audio/flac"},
                    content=(voices / name / f"enroll_{number}.flac").read_bytes(),
                )
                assert taken.json()["accepted"]
            assert owner.post(f"{mine}/enrollments/{enrollment}/complete", headers=me).is_success
            return str(owner.post(f"{mine}/invitations").json()["code"])

    def refuse(self, name: str) -> str:
        """Somebody who said no; the code of a new invitation for them."""
        with self._owner() as owner:
            mine, _ = self._answers(owner, name, "denied", "save_recordings", "voice_id")
            return str(owner.post(f"{mine}/invitations").json()["code"])

    def _owner(self) -> Client:
        headers = {"Authorization": f"Bearer {self.owner_token}"}
        return Client(base_url=self.url, headers=headers, trust_env=False, timeout=30)

    def _answers(self, owner: Client, name: str, said: str, *purposes: str) -> tuple[str, dict[str, str]]:
        """Add a person who says so; their path, and the headers of their session."""
        home = f"/v1/households/{self.household}"
        person = owner.post(f"{home}/people", json={"display_name": name.title()}).json()["id"]
        mine = f"{home}/people/{person}"
        code = owner.post(f"{mine}/invitations").json()["code"]
        token = owner.post("/v1/session", json={"code": code}).json()["token"]
        me = {"Authorization": f"Bearer {token}"}
        word = {"decision": said, "policy_version": version(), "language": "en", "method": "screen"}
        for purpose in purposes:
            assert owner.put(f"{mine}/consents/{purpose}", json=word, headers=me).is_success
        return mine, me


def microphone(path: Path, voices: Path, clips: Sequence[str | float]) -> Path:
    """A WAV file for the fake microphone: clips, and seconds of near silence."""
    hiss = np.random.default_rng(1)
    parts = [
        hiss.normal(0, 2e-4, int(clip * SAMPLE_RATE_HZ)).astype(np.float32) if isinstance(clip, float)
        else _clip(voices, clip)
        for clip in clips
    ]
    soundfile.write(path, np.concatenate(parts), SAMPLE_RATE_HZ, subtype="PCM_16")
    return path


def _clip(voices: Path, clip: str) -> Any:
    """`ada/enroll_1`, or its beginning: `ada/enroll_1:0.9` seconds."""
    name, _, seconds = clip.partition(":")
    samples, _ = soundfile.read(voices / f"{name}.flac", dtype="float32")
    return samples[: int(float(seconds) * SAMPLE_RATE_HZ)] if seconds else samples


@contextmanager
def chromium(player: Playwright, path: str, sound: Path | None, *, allowed: bool = True) -> Iterator[Browser]:
    """One browser launch, which hears one file, once."""
    flags = [*_FLAGS, *(["--use-fake-ui-for-media-stream"] if allowed else ["--deny-permission-prompts"])]
    if sound is not None:
        flags.append(f"--use-file-for-fake-audio-capture={sound}%noloop")
    browser = player.chromium.launch(executable_path=path, args=flags)
    try:
        yield browser
    finally:
        browser.close()


@dataclass
class Visitor:
    """One browser context with one page, and what it did that it should not."""

    page: Page
    origin: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    weight: int = 0
    longest_ms: dict[str, float] = field(default_factory=dict)
    """The longest task on the way to each screen that was looked at."""

    @classmethod
    def of(
        cls, browser: Browser, server: PageServer, size: tuple[int, int] = DESKTOP, scheme: Scheme = "light",
        language: str = "en-US",
    ) -> "Visitor":
        context: BrowserContext = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, locale=language,
            reduced_motion="reduce", accept_downloads=True,
        )
        context.add_init_script(_AXE)
        context.add_init_script(_WATCH)
        visitor = cls(context.new_page(), server.url)
        visitor._watch()
        return visitor

    def _watch(self) -> None:
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", lambda connection: self.requests.append(connection.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console", lambda said: self.complaints.append(said.text) if _matters(said.type, said.text) else None
        )
        self.page.on("requestfinished", lambda request: self._weigh(request.sizes()))

    def _weigh(self, sizes: Any) -> None:
        self.weight += sizes["responseBodySize"] + sizes["responseHeadersSize"]

    def abroad(self) -> list[str]:
        """Requests that left the origin."""
        own = re.compile(rf"^(https?|wss?|blob:https?)://{re.escape(self.origin.removeprefix('http://'))}/")
        return [url for url in self.requests if not own.match(url)]

    def axe(self, screen: str) -> list[str]:
        """What axe-core finds wrong on the screen as it is; axe's own work is no task of the page."""
        found = self.page.evaluate(_LOOK)
        self.longest_ms[screen] = found["longest"]
        unsaid = _UNSAID.findall(self.page.locator("body").inner_text())
        return [f"{screen}: {word}" for word in unsaid] + [
            f"{screen}: {wrong['id']}: {[node['html'][:120] for node in wrong['nodes']]}"
            for wrong in found["violations"]
        ]

    def longest_task_ms(self) -> float:
        """Since the screen was loaded, or axe looked at it."""
        return float(self.page.evaluate(_LONGEST))

    def holds_nothing(self) -> None:
        """Wait until no recording, QR code or file is held any more."""
        self.until("held.size === 0")

    def until(self, what: str, timeout_s: float = 10) -> None:
        """Wait until a JavaScript expression is true; Playwright's own way would need `eval`, which is forbidden."""
        deadline = time.monotonic() + timeout_s
        while not self.page.evaluate(what):
            assert time.monotonic() < deadline, what
            self.page.wait_for_timeout(50)

    def too_wide(self) -> bool:
        """Whether the screen has to be scrolled sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > innerWidth"))

    def press(self, name: str, *, exact: bool = False) -> None:
        self.page.get_by_role("button", name=name, exact=exact).click()

    def comes(self, code: str) -> None:
        """Follow an invitation of somebody who is enrolled."""
        self.page.goto(f"{self.origin}/#{code}")
        self.page.locator("nav").get_by_role("link", name="My voice").wait_for()
        self.headline("Home")

    def owns(self, server: PageServer) -> None:
        """Follow the link that `voiceid serve` prints."""
        self.page.goto(server.link())
        self.page.locator("nav").get_by_role("link", name="Household").wait_for()
        self.headline("Home")

    def to(self, screen: str, headline: str) -> None:
        """Go to a screen."""
        self.page.goto(f"{self.origin}/#{screen}")
        self.headline(headline)

    def switch(self, name: str) -> Any:
        return self.page.get_by_role("switch", name=name)

    def sees(self, text: str, timeout_s: float = 10) -> None:
        """Wait until a text can be seen."""
        self.page.get_by_text(text).first.wait_for(timeout=timeout_s * 1000)

    def headline(self, text: str, timeout_s: float = 10) -> None:
        self.page.get_by_role("heading", level=1, name=text).wait_for(timeout=timeout_s * 1000)

    def allow(self, *switches: str) -> None:
        for name in switches:
            self.page.get_by_role("switch", name=name).check()

    def take(self) -> str:
        """Press the button of the takes and wait for what comes of it: accepted, refused, lost, or done."""
        self.read()
        return self.outcome()

    def read(self) -> None:
        """Press the button of the takes."""
        self.page.locator(".take button.big").click()
        self.page.locator("[data-take='going on']").or_(self.page.locator("[data-take=lost]")).first.wait_for()

    def outcome(self) -> str:
        """What comes of the take that is going on."""
        seen = self.page.locator("[data-take=accepted], [data-take=refused], [data-take=lost], .live")
        seen.first.wait_for(timeout=30_000)
        return seen.first.get_attribute("data-take") or "done"


@contextmanager
def visit(browser: Browser, server: PageServer, *how: Any) -> Iterator[Visitor]:
    """Somebody with a browser context of their own."""
    visitor = Visitor.of(browser, server, *how)
    yield visitor
    visitor.page.context.close()


def _matters(kind: str, text: str) -> bool:
    """A refused request is also an error to the console; the tests look at those themselves."""
    return kind in {"error", "warning"} and "Failed to load resource" not in text

"""The README's tour, typed as it stands, against a real server."""

import json
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docs_rules
import pytest
import uvicorn
from machine import ROOT, absent

from voiceid.service.application import create_app
from voiceid.service.wiring import FirstStart, build, first_start
from voiceid.settings import Settings


@pytest.fixture
def first(tmp_path: Path) -> Iterator[tuple[str, FirstStart]]:
    """A server on a free loopback port with nothing in it yet: its address and its first tokens."""
    services = build(Settings(data_dir=tmp_path / "data", keys_dir=tmp_path / "keys"))
    start = first_start(services)
    assert start is not None
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(create_app(services), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", start
        server.should_exit = True
        thread.join()


def tour() -> str:
    """The shell blocks between the headline of the tour and the next headline."""
    text = (ROOT / "README.md").read_text()
    section = re.search(r"^## Five minutes with curl\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    blocks = docs_rules.blocks(section[1])
    assert blocks[0].strip() == "make serve"
    return "\n".join(blocks[1:])


def documents(printed: str) -> list[Any]:
    """The JSON documents that follow each other."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(printed):
        document, at = decoder.raw_decode(printed, at)
        found.append(document)
        at = len(printed) - len(printed[at:].lstrip())
    return found


@pytest.mark.slow
def test_the_tour_works_as_it_is_written(first: tuple[str, FirstStart], tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        absent("needs curl")
    url, start = first
    voices = str(ROOT / "voiceid/demo/voices")
    given = {"OWNER": start.owner_token, "HOUSE": start.household, "URL": url, "CLIPS": voices}
    names = re.compile(rf"^({'|'.join(given)})=.*$", re.MULTILINE)
    script = names.sub(lambda line: f"{line[1]}={given[line[1]]}", tour())
    bash = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(bash, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    unknown, *consents, known, guest, verified, forgotten = documents(done.stdout)

    assert (unknown["mode"], unknown["stored"]) == ("anonymous", False)
    assert unknown["response"]["text"]
    assert [step["change"] for step in consents[:2]] == ["granted", "granted"]
    assert [take["accepted"] for take in consents[2:6]] == [True] * 4
    assert consents[6]["voiceprint"]["takes"] == 4
    assert known["person"]["display_name"] == "Ada"
    assert (guest["mode"], guest["stored"]) == ("anonymous", False)
    assert verified["valid"] is True
    assert (forgotten["mode"], forgotten["person"]) == ("anonymous", None)
    receipt = json.loads((tmp_path / "receipt.json").read_text())
    assert (receipt["state"], {store["left"] for store in receipt["stores"]}) == ("complete", {0})

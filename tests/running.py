"""A real server on a free loopback port, in this process: the store and the routes that ship, voices made to order."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from home import BARS, FixedEncoder, as_served, clip, everything_is_speech, voice

from voiceid.client import Client
from voiceid.service import wiring
from voiceid.service.application import create_app
from voiceid.service.run import _HTTP
from voiceid.service.services import Services
from voiceid.settings import Settings


@dataclass(frozen=True)
class Running:
    """Where it answers, and the tokens of its first start."""

    url: str
    household: str
    admin: str
    owner: str
    services: Services


@contextmanager
def running(root: Path, **settings: Any) -> Iterator[Running]:
    """Serve a new installation in `root` until the context ends."""
    chosen = Settings(data_dir=root / "data", keys_dir=root / "keys", **settings)
    services = wiring.build(chosen, encoder=FixedEncoder(), check=everything_is_speech, bars=BARS)
    first = wiring.first_start(services)
    assert first is not None
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(
            as_served(create_app(services)), log_config=None, access_log=False, http=_HTTP, ws="websockets-sansio"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            yield Running(url, first.household, first.admin_token, first.owner_token, services)
        finally:
            server.should_exit = True
            thread.join()


def spoken(name: str) -> bytes:
    """A WAV file in this made-up voice."""
    return clip(voice(name))


def joined(service: Running, name: str) -> tuple[str, str]:
    """Enter a person and redeem their invitation: id and token."""
    with Client(service.url, service.owner) as owner:
        person = owner.add_person(name).id
        return person, owner.sign_in(owner.invite(person).code).token

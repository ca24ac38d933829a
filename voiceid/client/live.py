"""Live recognition from a program: sound goes out in one thread, events come in in the other."""

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode, urlsplit

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from voiceid.client.problem import problem_of
from voiceid.errors import InvalidRequest, ServiceUnreachable

_OPEN_S = 5
_MOST_BYTES = 64 * 1024


def listen(
    url: str, authorization: str, household: str, sound: Iterable[bytes], wish: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """Send chunks of PCM16 and yield every event, until the last decision after the sound has ended.

    Raises: the VoiceIdError that ended the connection; ServiceUnreachable; InvalidRequest, for an address that is none.
    """
    address = urlsplit(url)
    if address.scheme not in {"http", "https"}:
        raise InvalidRequest("url: not an http address")
    scheme = "wss" if address.scheme == "https" else "ws"
    query = f"?{urlencode(wish)}" if wish else ""
    target = f"{scheme}://{address.netloc}/v1/households/{household}/listen{query}"
    headers = {"Authorization": authorization} if authorization else {}
    try:
        with connect(
            target, additional_headers=headers, open_timeout=_OPEN_S, max_size=_MOST_BYTES, proxy=None
        ) as socket:
            yield from _talk(socket, sound)
    except (OSError, WebSocketException):
        raise ServiceUnreachable(f"the connection to {url} could not be made, or broke") from None


def _talk(socket: ClientConnection, sound: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    stopped = threading.Event()
    sender = threading.Thread(target=_send, args=(socket, sound, stopped), daemon=True)
    sender.start()
    greeted = False
    try:
        for message in socket:
            event = json.loads(message)
            if event["type"] == "error":
                raise problem_of(event["problem"], event["problem"].get("status", 500))
            if event["type"] == "listening" and greeted:
                return  # said again: all that was sent has been decided on
            greeted = True
            yield event
    finally:
        stopped.set()


def _send(socket: ClientConnection, sound: Iterable[bytes], stopped: threading.Event) -> None:
    with suppress(ConnectionClosed):  # the reader tells why
        for chunk in sound:
            if stopped.is_set():
                return
            socket.send(chunk)
        socket.send(json.dumps({"type": "end"}))

"""Speak to a running service: `Client`, and `AsyncClient` with the same operations to await.

    with Client("http://127.0.0.1:8443", token) as home:
        ada = home.add_person("Ada")
        answer = home.recognize(Path("request.flac").read_bytes(), intent="weather")

Every operation is written once, as the request it makes and how its answer reads (`people.py`, `voice.py`); the two
clients only send differently. What the service refuses is raised as the error that the service raised. Connections go
straight to the address given: no proxy that the environment names ever hears a voice.
"""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import httpx

from voiceid.client import live
from voiceid.client.call import Call
from voiceid.client.people import ConsentOperations, HouseholdOperations, PersonOperations
from voiceid.client.problem import problem_of
from voiceid.client.results import ConsentList, MintedToken, Page, PersonDetail, Verified
from voiceid.client.voice import EnrollmentOperations, PublicOperations, RecognitionOperations, TraceOperations
from voiceid.errors import InvalidRequest, ServiceUnreachable
from voiceid.store import ids
from voiceid.types import HouseholdId

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8443"
_TIMEOUT = httpx.Timeout(60, connect=5)


class Operations(
    HouseholdOperations, PersonOperations, ConsentOperations, EnrollmentOperations, RecognitionOperations,
    TraceOperations, PublicOperations,
):  # fmt: skip
    """Every operation of the service."""


class Client(Operations):
    """Speaks to the service and waits for each answer. Close it, or use it as a context."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        token: str | None = None,
        household: str | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Nothing is sent yet. The household is the token's own unless one is named.

        Raises: InvalidRequest, for an address that is none.
        """
        self.url, self.household, self.has_token = url, _household(token, household), bool(token)
        with _reachable(url):
            self._http = httpx.Client(**_options(url, token), transport=transport)

    def send(self, call: Call[T], /) -> T:
        """Send one call.

        Raises: the VoiceIdError that the service answered with; ServiceUnreachable.
        """
        with _reachable(self.url):
            response = self._http.request(call.method, call.path, **call.options)
        return call.read(_checked(response))

    def every(self, listing: Callable[..., Page[T]], *args: Any) -> Iterator[T]:
        """All items of a list, page by page: `client.every(client.people)`."""
        page = listing(*args)
        yield from page.items
        while page.next is not None:
            page = listing(*args, cursor=page.next)
            yield from page.items

    def listen(self, sound: Iterable[bytes], **wish: str) -> Iterator[dict[str, Any]]:
        """Send PCM16 (16 kHz mono, chunks of 20 to 100 ms) and hear who speaks: one event after the other.

        `wish` may hold `intent` and `locale`. The last decision comes once the sound has ended.
        Raises: the VoiceIdError that ended the connection; ServiceUnreachable.
        """
        if self.household is None:
            raise InvalidRequest("household: name one, or use a token of one")
        return live.listen(self.url, self._http.headers.get("authorization", ""), self.household, sound, wish)

    def close(self) -> None:
        """Give the connection back."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(Operations):
    """Speaks to the service; every operation is awaited. Close it, or use it as a context."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        token: str | None = None,
        household: str | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Nothing is sent yet. The household is the token's own unless one is named.

        Raises: InvalidRequest, for an address that is none.
        """
        self.url, self.household, self.has_token = url, _household(token, household), bool(token)
        with _reachable(url):
            self._http = httpx.AsyncClient(**_options(url, token), transport=transport)

    async def send(self, call: Call[T], /) -> T:
        """Send one call.

        Raises: the VoiceIdError that the service answered with; ServiceUnreachable.
        """
        with _reachable(self.url):
            response = await self._http.request(call.method, call.path, **call.options)
        return call.read(_checked(response))

    async def every(self, listing: Callable[..., Awaitable[Page[T]]], *args: Any) -> AsyncIterator[T]:
        """All items of a list, page by page: `async for person in client.every(client.people)`."""
        page = await listing(*args)
        while True:
            for item in page.items:
                yield item
            if page.next is None:
                return
            page = await listing(*args, cursor=page.next)

    async def close(self) -> None:
        """Give the connection back."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _options(url: str, token: str | None) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return {"base_url": url, "headers": headers, "timeout": _TIMEOUT, "trust_env": False, "verify": _trust(url)}


def _trust(url: str) -> ssl.SSLContext:
    """The authorities that the system trusts; none where nothing is encrypted, which saves reading them."""
    return ssl.create_default_context() if url.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _household(token: str | None, household: str | None) -> HouseholdId | None:
    if household is not None:
        return HouseholdId(household)
    parts = ids.parse_token(token) if token else None
    return parts.household if parts else None


def _checked(response: httpx.Response) -> httpx.Response:
    """The response, if it is a success.

    Raises: the error whose code the problem carries.
    """
    if response.is_success:
        return response
    try:
        problem = response.json()
    except ValueError:
        problem = None
    raise problem_of(problem, response.status_code)


@contextmanager
def _reachable(url: str) -> Iterator[None]:
    """Turn what httpx raises into one line."""
    try:
        yield
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError):
        raise InvalidRequest("url: not an http address") from None
    except httpx.ConnectError:
        raise ServiceUnreachable(f"nothing answers at {url}: start the service with `voiceid serve`") from None
    except httpx.TimeoutException:
        raise ServiceUnreachable(f"the service at {url} did not answer in time") from None
    except httpx.TransportError:
        raise ServiceUnreachable(f"the connection to {url} broke") from None


__all__ = [
    "DEFAULT_URL", "AsyncClient", "Client", "ConsentList", "MintedToken", "Page", "PersonDetail", "Verified",
]  # fmt: skip

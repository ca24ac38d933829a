"""The service in the home network: HTTPS that clients can check, by one authority that vouches for the home alone."""

import json
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient
from httpx import Client, Response
from starlette.websockets import WebSocketDisconnect
from websockets.sync.client import connect

from voiceid.demo.server import _end, _environment
from voiceid.errors import InvalidSettings, KeysUnavailable
from voiceid.service import authority
from voiceid.service.hosts import AllowedHosts, host_of
from voiceid.service.lan import Lan, prepare
from voiceid.settings import Settings

ADDRESS = "127.0.0.2"
"""Stands for the machine's address in the home network: a packet to it stays here."""
NAMES = (ADDRESS, "kitchen.local", "localhost")
NOW = datetime(2026, 3, 2, tzinfo=UTC)


@dataclass(frozen=True)
class Served:
    """A running `voiceid serve --lan`."""

    said: dict[str, str]
    port: int
    keys: Path

    def trusting(self) -> ssl.SSLContext:
        """A client that trusts this household's authority and nobody else, and looks closely."""
        context = ssl.create_default_context(cafile=self.keys / "tls" / "authority.crt")
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    def ask(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> Response:
        """One request over TLS."""
        with Client(base_url=self.said["lan_url"], verify=self.trusting(), trust_env=False) as client:
            return client.request(method, path, json=body, headers=headers)

    def reach(self, name: str, client: ssl.SSLContext) -> str | None:
        """The version of TLS that a client agrees on who looks for this name."""
        with socket.create_connection((ADDRESS, self.port), 5) as plain, \
                client.wrap_socket(plain, server_hostname=name) as secure:  # fmt: skip
            return secure.version()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("lan")
    for name in ("tmp", "log"):
        (folder / name).mkdir()
    words = (sys.executable, "-m", "voiceid", "serve", "--json", "--lan", "--host", ADDRESS)
    more = {"VOICEID_ALLOWED_HOSTS": "Voice.lan, tablet.home"}
    server = subprocess.Popen(words, env=_environment(folder) | more, stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        said = json.loads(server.stdout.readline())
        yield Served(said, int(said["url"].rpartition(":")[2]), folder / "keys")
    finally:
        _end(server)


def test_a_client_that_trusts_the_household_alone_can_check_whom_it_speaks_to(served: Served) -> None:
    assert served.said["lan_url"] == f"https://{ADDRESS}:{served.port}"
    assert served.ask("/healthz").json() == {"status": "ok"}
    for name in (ADDRESS, "localhost", "voice.lan", "tablet.home"):
        assert served.reach(name, served.trusting()) == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        served.reach("other.lan", served.trusting())
    with pytest.raises(ssl.SSLCertVerificationError, match="local issuer"):
        served.reach(ADDRESS, ssl.create_default_context())


def test_plain_http_is_for_loopback_alone(served: Served) -> None:
    assert httpx.get(f"{served.said['url']}/healthz", trust_env=False).status_code == 200
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://{ADDRESS}:{served.port}/healthz", trust_env=False)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "kitchen.lan:443", ""])
def test_another_sites_name_is_refused_over_tls_and_plain(served: Served, host: str) -> None:
    """Whoever makes a name of theirs lead here must not get answers under it."""
    plain = httpx.get(f"{served.said['url']}/v1/policy", headers={"Host": host}, trust_env=False)
    for answered in (served.ask("/v1/policy", Host=host), plain):
        assert (answered.status_code, answered.json()["type"]) == (421, "/problems/wrong-host")


@pytest.mark.parametrize("host", ["LOCALHOST:1", "127.0.0.1:8443", "[::1]:8443", "voice.lan", "192.168.1.5"])
def test_its_own_names_and_any_address_are_answered(served: Served, host: str) -> None:
    assert served.ask("/v1/policy", Host=host).status_code == 200


def test_what_the_page_needs_is_told(served: Served) -> None:
    told = served.ask("/v1/lan").json()
    assert told["url"] == served.said["lan_url"]
    assert told["fingerprint"] == served.said["fingerprint"]
    assert {"voice.lan", "tablet.home", "localhost"} <= set(told["names"])
    given = served.ask("/household-ca.crt")
    assert given.headers["content-type"] == "application/x-x509-ca-cert"
    pem = given.content
    assert pem == (served.keys / "tls/authority.crt").read_bytes()
    digest = x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256())
    assert told["fingerprint"].replace(":", "") == digest.hex().upper()


def test_a_session_over_tls_never_travels_in_the_clear_and_opens_the_live_connection(served: Served) -> None:
    owner = {"Authorization": f"Bearer {served.said['owner_token']}"}
    people = f"/v1/households/{served.said['household']}/people"
    person = served.ask(people, "POST", {"display_name": "Ada"}, **owner).json()["id"]
    code = served.ask(f"{people}/{person}/invitations", "POST", **owner).json()["code"]
    cookie = served.ask("/v1/session", "POST", {"code": code, "cookie": True}).headers["set-cookie"]
    assert {"Secure", "HttpOnly", "SameSite=strict"} <= set(cookie.split("; "))
    live = f"wss://{ADDRESS}:{served.port}/v1/households/{served.said['household']}/listen?session=person"
    headers = {"Cookie": cookie.partition(";")[0]}
    with connect(live, ssl=served.trusting(), additional_headers=headers, origin=served.said["lan_url"]) as socket_:  # type: ignore[arg-type]  # any text is an origin
        assert json.loads(socket_.recv())["type"] == "listening"


def test_keys_and_certificates_are_for_the_service_alone(served: Served) -> None:
    for path in (served.keys / "tls").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((served.keys / "tls").stat().st_mode) == 0o700


def test_keys_that_were_copied_for_all_to_read_are_shut_again(tmp_path: Path) -> None:
    settings = Settings(host=ADDRESS, keys_dir=tmp_path)
    prepare(settings, 8443, NOW)
    for path, mode in ((tmp_path / "tls", 0o755), (tmp_path / "tls/authority.key", 0o644)):
        path.chmod(mode)
    prepare(settings, 8443, NOW)
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "tls/authority.key").stat().st_mode) == 0o600


def test_a_live_connection_under_another_name_is_refused_too() -> None:
    app = FastAPI()

    @app.websocket("/listen")
    async def listen(socket_: WebSocket) -> None:
        await socket_.accept()

    for host, taken in (("127.0.0.1", True), ("evil.example", False)):
        client = TestClient(AllowedHosts(app, ()))
        try:
            with client.websocket_connect(f"ws://{host}/listen"):
                assert taken
        except WebSocketDisconnect:
            assert not taken


def test_the_host_is_read_as_browsers_write_it() -> None:
    assert [host_of(header) for header in ("a.lan:80", "A.LAN.", "[fd00::1]:8443", "10.0.0.1", "", ":80")] == [
        "a.lan", "a.lan", "fd00::1", "10.0.0.1", "", "",
    ]  # fmt: skip


def test_a_certificate_is_kept_until_it_is_nearly_over_or_the_names_change(tmp_path: Path) -> None:
    first = authority.certify(tmp_path, NAMES, NOW)
    content = first.certificate.read_bytes()
    again = authority.certify(tmp_path, NAMES, NOW + timedelta(days=300))
    assert (again, again.certificate.read_bytes()) == (first, content)
    for names, days in ((NAMES, 340), ((*NAMES, "10.1.2.3"), 341), (NAMES, -5)):
        later = authority.certify(tmp_path, names, NOW + timedelta(days=days))
        assert later.certificate.read_bytes() != content
        assert (later.fingerprint, later.names) == (first.fingerprint, names)
        content = later.certificate.read_bytes()
    replaced = authority.certify(tmp_path, NAMES, NOW + timedelta(days=authority.AUTHORITY_DAYS - 100))
    assert replaced.fingerprint != first.fingerprint


def test_while_the_service_runs_it_is_renewed_in_time(tmp_path: Path) -> None:
    lan = Lan((ADDRESS,), 8443, authority.certify(tmp_path, NAMES, NOW))
    assert lan.renewed(NOW + timedelta(days=300)) is None
    newer = lan.renewed(NOW + timedelta(days=340))
    assert newer is not None
    assert newer.certified.until > lan.certified.until + timedelta(days=300)


def test_a_damaged_key_is_told_and_a_stranger_s_certificate_is_not_used(tmp_path: Path) -> None:
    authority.certify(tmp_path / "a", NAMES, NOW)
    authority.certify(tmp_path / "b", NAMES, NOW)
    for name in ("service.crt", "service.key"):
        (tmp_path / "a" / name).write_bytes((tmp_path / "b" / name).read_bytes())
    theirs = (tmp_path / "a/service.crt").read_bytes()
    assert authority.certify(tmp_path / "a", NAMES, NOW).certificate.read_bytes() != theirs
    (tmp_path / "a/authority.key").write_bytes(b"nothing")
    with pytest.raises(KeysUnavailable):
        authority.certify(tmp_path / "a", NAMES, NOW)


@pytest.mark.parametrize("name", ["bank.example", "notlocal", "8.8.8.8", "2001:db8::1"])
def test_the_authority_vouches_for_nothing_but_the_home(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidSettings):
        authority.certify(tmp_path, (name,), NOW)


def test_whoever_steals_the_authority_s_key_can_still_play_no_site_of_the_internet(tmp_path: Path) -> None:
    """The constraint stands in the certificate that devices trust, so they enforce it."""
    now = datetime.now(UTC)
    made = authority.certify(tmp_path, NAMES, now)
    root = x509.load_pem_x509_certificate(made.authority.encode())
    stolen = serialization.load_pem_private_key((tmp_path / "authority.key").read_bytes(), None)
    for name, trusted in (("kitchen.local", True), ("bank.example", False), ("8.8.8.8", False)):
        key = authority.ec.generate_private_key(authority.ec.SECP256R1())
        subject = x509.Name([])
        forged = (
            authority._begun(subject, root.subject, key, now, 30)
            .add_extension(x509.SubjectAlternativeName([authority._general(name)]), critical=True)
            .sign(stolen, hashes.SHA256())  # type: ignore[arg-type]  # an elliptic key, as written above
        )
        authority._write_key(tmp_path / "forged.key", key)
        (tmp_path / "forged.crt").write_bytes(forged.public_bytes(serialization.Encoding.PEM))
        assert _handshake(tmp_path, made.authority, name) is trusted, name


def _handshake(folder: Path, trusted: str, name: str) -> bool:
    """Whether a client that trusts the authority takes the forged certificate for this name."""
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(folder / "forged.crt", folder / "forged.key")
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_side.wrap_bio(up, down, server_side=True)
    client = ssl.create_default_context(cadata=trusted).wrap_bio(down, up, server_hostname=name)
    for _ in range(6):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as refused:
                return "permitted subtree violation" not in str(refused)
    return True


def test_a_machine_without_a_home_network_says_so() -> None:
    for host in ("8.8.8.8", "kitchen"):
        with pytest.raises(InvalidSettings, match="home network"):
            prepare(Settings(host=host), 8443, NOW)

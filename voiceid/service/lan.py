"""The service in the home network: where it can be reached, and with which certificate."""

import fcntl
import ipaddress
import socket
import ssl
import struct
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from voiceid.errors import InvalidSettings, KeysUnavailable
from voiceid.service.authority import HOME_NETWORKS, RENEW_DAYS, Certified, certify, host_name
from voiceid.service.hosts import HERE, extra_hosts, is_address
from voiceid.settings import Settings

_ANYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 compared, not bound
_GET_ADDRESS = 0x8915
"""SIOCGIFADDR of Linux: the IPv4 address of one interface."""
_ROUTES = Path("/proc/net/route")


@dataclass(frozen=True, slots=True)
class Lan:
    """How other devices of the household reach the service."""

    addresses: tuple[str, ...]
    """Where it listens, the most usual one first."""
    port: int
    certified: Certified

    @property
    def url(self) -> str:
        """What to open on another device."""
        return f"https://{self.addresses[0]}:{self.port}"

    @property
    def names(self) -> tuple[str, ...]:
        """Host names by which the service may be called."""
        return tuple(name for name in self.certified.names if not is_address(name))

    def tls(self) -> ssl.SSLContext:
        """A server's side of TLS 1.2 or newer."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certified.certificate, self.certified.key)
        context.set_alpn_protocols(["http/1.1"])
        return context

    def renewed(self, now: datetime) -> "Lan | None":
        """The same with a new certificate, if this one is near its end; else None.

        Raises: KeysUnavailable.
        """
        if self.certified.until - now > timedelta(days=RENEW_DAYS):
            return None
        return replace(self, certified=certify(self.certified.key.parent, self.certified.names, now))


def prepare(settings: Settings, port: int, now: datetime) -> Lan:
    """Find out this machine's addresses, and have a certificate for them.

    Raises: InvalidSettings, when there is no address of a home network; KeysUnavailable.
    """
    addresses = _addresses(settings.host)
    own = host_name()
    names = (f"{own}.local",) if own and own not in HERE else ()  # not bare: "dev" would vouch for a whole TLD
    listed = [name for name in extra_hosts(settings) if name not in names and not is_address(name)]
    folder = settings.keys_dir / "tls"
    _shut(folder)
    certified = certify(folder, (*addresses, *names, *HERE, *listed), now)
    return Lan(addresses, port, certified)


def _shut(folder: Path) -> None:
    """Take away what others may do with the keys: whoever copied or restored them may have let everybody read them.

    Raises: KeysUnavailable.
    """
    try:
        for path in (folder, *folder.glob("*.key")):
            if path.exists() and path.stat().st_mode & 0o077:
                path.chmod(path.stat().st_mode & 0o700)
    except OSError as error:
        raise KeysUnavailable(f"the household's keys are open to others: {error}") from error


def _addresses(host: str) -> tuple[str, ...]:
    """Where to listen: the one address that was asked for, else all of this machine in home networks.

    Raises: InvalidSettings.
    """
    chosen = host not in _ANYWHERE and host != Settings.host
    found = [host] if chosen else _own_addresses()
    at_home = [one for one in found if is_address(one) and any(ipaddress.ip_address(one) in n for n in HOME_NETWORKS)]
    if not at_home:
        raise InvalidSettings("this machine has no address in a home network; name one with --host")
    return tuple(at_home)


def _own_addresses() -> list[str]:
    """IPv4 addresses of this machine but for loopback; first the one through which it reaches others."""
    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            with suppress(OSError):  # no IPv4 address
                told = fcntl.ioctl(asked.fileno(), _GET_ADDRESS, struct.pack("256s", name.encode()[:15]))
                found[name] = socket.inet_ntoa(told[20:24])
    first = _usual_interface()
    ordered = sorted(found, key=lambda name: (name != first, name))
    return [found[name] for name in ordered if not ipaddress.ip_address(found[name]).is_loopback]


def _usual_interface() -> str:
    with suppress(OSError):
        for line in _ROUTES.read_text().splitlines()[1:]:
            name, destination, *_ = line.split()
            if int(destination, 16) == 0:
                return name
    return ""

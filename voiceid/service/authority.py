"""The household's own certificate authority, for HTTPS in the home network. The only user of X.509.

It may vouch for private addresses and for names that exist only at home: a device that trusts it trusts it with nothing
else, whoever gets hold of its key.
"""

import ipaddress
import os
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from voiceid.errors import InvalidSettings, KeysUnavailable

HOME_NETWORKS = tuple(map(ipaddress.ip_network, (
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", "127.0.0.0/8",
    "fc00::/7", "fe80::/10", "::1/128",
)))  # fmt: skip
"""Private, link-local, shared and loopback addresses: nobody's on the Internet."""
HOME_DOMAINS = ("local", "lan", "home", "home.arpa", "internal", "localhost", "fritz.box")
"""Domains that no public name ends in, and the one that many home routers use."""
AUTHORITY_DAYS, LEAF_DAYS = 3650, 397
RENEW_DAYS = 60
"""A certificate is made anew at the start, and while the service runs, once it has so few days left."""
_SKEW = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Certified:
    """What a TLS server needs, and what its guests compare."""

    certificate: Path
    key: Path
    authority: str
    """The authority's certificate, PEM: what a device is to trust."""
    fingerprint: str
    """SHA-256 of the authority's certificate, as devices show it."""
    until: datetime
    names: tuple[str, ...]
    """Addresses and host names that the certificate is for."""


def certify(folder: Path, names: Sequence[str], now: datetime) -> Certified:
    """The certificate for these addresses and names; what is missing, too old or for other names is made anew.

    Raises: KeysUnavailable, when the folder cannot be used; InvalidSettings, for a name that is not the home's own.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        authority, authority_key = _authority(folder, now)
        return _leaf(folder, authority, authority_key, tuple(names), now)
    except (OSError, ValueError, TypeError) as error:
        raise KeysUnavailable(f"the household's certificates cannot be used: {error}") from error


def permitted(authority: x509.Certificate, name: str) -> bool:
    """Whether the authority may vouch for this name or address."""
    subtrees = authority.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or []
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        bases = [one.value for one in subtrees if isinstance(one, x509.DNSName)]
        return any(name == base or name.endswith("." + base) for base in bases)
    networks = [one.value for one in subtrees if isinstance(one.value, ipaddress.IPv4Network | ipaddress.IPv6Network)]
    return any(address in network for network in networks)


def host_name() -> str:
    """What this machine calls itself, without a domain."""
    return socket.gethostname().partition(".")[0].lower()


def _authority(folder: Path, now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    path, key_path = folder / "authority.crt", folder / "authority.key"
    if path.exists() and key_path.exists():
        found, key = x509.load_pem_x509_certificate(path.read_bytes()), _read_key(key_path)
        if found.not_valid_after_utc - now > timedelta(days=LEAF_DAYS):
            return found, key
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"voiceid household {secrets.token_hex(2)}")])
    allowed = [*map(x509.DNSName, HOME_DOMAINS), *map(x509.IPAddress, HOME_NETWORKS)]
    made = (
        _begun(name, name, key, now, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.NameConstraints(allowed, None), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write_key(key_path, key)
    _write(path, made.public_bytes(serialization.Encoding.PEM))
    return made, key


def _leaf(
    folder: Path, authority: x509.Certificate, authority_key: ec.EllipticCurvePrivateKey, names: tuple[str, ...],
    now: datetime,
) -> Certified:
    path, key_path = folder / "service.crt", folder / "service.key"
    strange = [name for name in names if not permitted(authority, name)]
    if strange:
        raise InvalidSettings(f"the household's authority may not vouch for {', '.join(strange)}")
    found = _still_good(path, key_path, authority, names, now)
    if found is None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "voiceid")])
        issuer_id = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        found = (
            _begun(subject, authority.subject, key, now, LEAF_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False
            )
            .sign(authority_key, hashes.SHA256())
        )
        _write_key(key_path, key)
        _write(path, found.public_bytes(serialization.Encoding.PEM))
    digest = authority.fingerprint(hashes.SHA256()).hex(":").upper()
    pem = authority.public_bytes(serialization.Encoding.PEM).decode()
    return Certified(path, key_path, pem, digest, found.not_valid_after_utc, names)


def _still_good(
    path: Path, key_path: Path, authority: x509.Certificate, names: tuple[str, ...], now: datetime
) -> x509.Certificate | None:
    if not (path.exists() and key_path.exists()):
        return None
    found = x509.load_pem_x509_certificate(path.read_bytes())
    stated = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    try:
        found.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError):
        return None
    mine = found.public_key() == _read_key(key_path).public_key()
    fresh = found.not_valid_after_utc - now > timedelta(days=RENEW_DAYS) and found.not_valid_before_utc <= now
    return found if mine and fresh and list(stated) == [_general(name) for name in names] else None


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=days) - _SKEW)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates, key_cert_sign=signs_certificates, crl_sign=signs_certificates,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path.name} holds a key of another kind")
    return key


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    _write(path, key.private_bytes(pem, form, serialization.NoEncryption()))


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, for the owner alone."""
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)

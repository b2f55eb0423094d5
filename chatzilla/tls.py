"""HTTPS without a proxy: with a certificate of the operator's, or with one that the server signs itself.

Browsers hand out cameras and microphones to pages that came by HTTPS, or from this machine, and to no others. A
certificate of our own is for a home or an office, where nobody signs one: it is made for every address of this machine,
kept in the data folder, and made anew before it ends or when an address is missing in it. Browsers warn of it once on
each device.

A certificate is read again when its file changes, so that whoever renews it need not restart anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import fcntl
import ipaddress
import logging
import os
import socket
import ssl
import sys
from typing import TYPE_CHECKING, Final

from chatzilla.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

logger = logging.getLogger(__name__)

OWN_FILE: Final = "certificate.pem"
"""Our own certificate with its key, in the data folder."""

LASTS_DAYS: Final = 397
"""How long a certificate of our own is good: as long as browsers take any."""

RENEWED_BEFORE_DAYS: Final = 30

LOOK_EVERY_SECONDS: Final = 3600.0

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Certificates:
    """What this server shows of itself, kept fresh."""

    def __init__(self, certificate: Path, key: Path, *, made_for: Iterable[str] | None = None) -> None:
        """Read a certificate, or make it where it is our own.

        Args:
            certificate: the file of the certificate, with those above it.
            key: the file of its key; for our own, the same file.
            made_for: the names of this machine, where the certificate is our own.

        Raises:
            StartError: a file cannot be read or written, or does not hold what it should.
        """
        self._certificate = certificate
        self._key = key
        self._made_for = None if made_for is None else tuple(made_for)
        self._read_at: object = None
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.set_alpn_protocols(["http/1.1"])
        self._make()
        self._read()

    @property
    def own(self) -> bool:
        """Whether the server signs its certificate itself."""
        return self._made_for is not None

    async def watch(self) -> None:
        """Renew it, or read it again, when it is time to; until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            self.look()  # here, since nobody may shake hands meanwhile; it takes a few milliseconds

    def look(self) -> None:
        """Renew it, or read it again, if it is time to. What does not work leaves it as it is."""
        try:
            self._make()
            self._read()
        except StartError as error:
            logger.warning("%s The server goes on with the certificate that it has.", error)

    def _make(self) -> None:
        if self._made_for is None:
            return
        names, addresses = _told_apart((*self._made_for, *own_names()))
        if not _is_good(self._certificate, names, addresses):
            _write(self._certificate, names, addresses)
            logger.info("made a certificate for %s", ", ".join((*names, *map(str, addresses))))

    def _read(self) -> None:
        """Take what the files hold, if they are others than the last time; who is connected stays as they are."""
        try:
            found = [(file.stat().st_mtime_ns, file.stat().st_ino) for file in (self._certificate, self._key)]
            if found == self._read_at:
                return
            # A pair that does not fit would leave the context that is in use between the two.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._certificate, self._key, _no_password)
            self.context.load_cert_chain(self._certificate, self._key, _no_password)
        except ssl.SSLError as error:
            raise StartError(
                f"{self._certificate} and {self._key} are no certificate with its key, in PEM: {error.reason or error}."
            ) from error
        except OSError as error:
            raise StartError(f"{error.filename or self._certificate} cannot be read: {error.strerror}.") from error
        self._read_at = found


def own_names() -> list[str]:
    """By what names and addresses this machine is reached from around it. Nothing is sent to find out."""
    host = socket.gethostname()
    names = ["localhost", "127.0.0.1", "::1", host]
    if "." not in host:
        names.append(f"{host}.local")  # as mDNS has it (RFC 6762)
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # UDP: it only asks by which address one would go
        names.append(probe.getsockname()[0])
    return names + (_addresses_of_interfaces() if sys.platform == "linux" else [])


def _addresses_of_interfaces() -> list[str]:
    """The IPv4 addresses of every network that this machine is in. Those of IPv6 change by the day (RFC 8981)."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):
                request = name.encode()[:15].ljust(40, b"\0")
                answer = fcntl.ioctl(asker.fileno(), 0x8915, request)  # SIOCGIFADDR, see netdevice(7)
                found.append(socket.inet_ntoa(answer[20:24]))
    return found


def _told_apart(found: Iterable[str]) -> tuple[list[str], list[Address]]:
    """Names and addresses, each once."""
    names: dict[str, None] = {}
    addresses: dict[Address, None] = {}
    for each in found:
        bare = each.strip("[]").partition("%")[0]
        try:
            address = ipaddress.ip_address(bare)
        except ValueError:
            if bare and len(bare) <= 253 and bare.isascii():
                names[bare.lower()] = None
        else:
            if not address.is_unspecified and not (address.version == 6 and address.is_link_local):
                addresses[address] = None
    return list(names), list(addresses)


def _no_password() -> str:
    """Asked for by OpenSSL for a key that has one; else it would ask at the terminal."""
    raise StartError("The key of the certificate has a password. Chatzilla reads keys that have none.")


def _is_good(file: Path, names: list[str], addresses: list[Address]) -> bool:
    """Whether our own certificate is there, lasts, and is for all of these."""
    from cryptography import x509

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file)
        made = x509.load_pem_x509_certificate(file.read_bytes())
        alternatives = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except FileNotFoundError:
        return False
    except (ValueError, ssl.SSLError, x509.ExtensionNotFound):
        logger.warning("%s holds no certificate of ours with its key; it is made anew", file)
        return False
    except OSError as error:
        raise StartError(f"{file} cannot be read: {error.strerror}.") from error
    left = made.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return (
        left > datetime.timedelta(days=RENEWED_BEFORE_DAYS)
        and set(names) <= set(alternatives.get_values_for_type(x509.DNSName))
        and set(addresses) <= set(alternatives.get_values_for_type(x509.IPAddress))
    )


def _write(file: Path, names: list[str], addresses: list[Address]) -> None:
    """Make a certificate, and put it where the old one was, whole or not at all; its owner alone reads it."""
    from cryptography.hazmat.primitives import serialization

    made, key = _signed(names, addresses)
    pem = made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    fresh = file.with_suffix(".new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(pem)
            opened.flush()
            os.fsync(opened.fileno())
        fresh.replace(file)
    except OSError as error:
        raise StartError(f"{file} cannot be written: {error.strerror}.") from error


def _signed(names: list[str], addresses: list[Address]) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A key, and a certificate for it that it has signed itself (RFC 5280)."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    whose = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Chatzilla")])
    now = datetime.datetime.now(datetime.UTC)
    alternatives = [x509.DNSName(name) for name in names] + [x509.IPAddress(address) for address in addresses]
    made = (
        x509.CertificateBuilder()
        .subject_name(whose)
        .issuer_name(whose)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # another machine's clock may be behind
        .not_valid_after(now + datetime.timedelta(days=LASTS_DAYS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return made, key

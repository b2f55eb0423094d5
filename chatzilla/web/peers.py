"""Who is really calling: the address, scheme and host of a request, seen through the proxies that we trust.

Each trusted proxy appends to `X-Forwarded-For` the address that it saw, so with n proxies in front the caller is
the n-th entry from the right; everything further left was written by strangers. Without trusted proxies the
headers mean nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Sequence


_PAGE_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
"""Traefik names a WebSocket handshake by the scheme of its own; the page around it came by http or https."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a request came from, and what it was sent to."""

    address: str
    scheme: str
    host: str

    @property
    def origin(self) -> str:
        """The origin of our own pages, as this caller sees them (RFC 6454)."""
        return f"{self.scheme}://{self.host}".lower()


_PEER: Final = web.RequestKey("peer", Peer)


@dataclass(frozen=True, slots=True)
class Peers:
    """Reads requests with so many trusted proxies in front."""

    proxies: int
    origins: Sequence[str] = ()
    """Whose pages may connect besides our own, in lower case."""
    any_name: bool = True
    """Whether we may be called by a name that is not among these. A stranger's name may lead here, too, once their page
    has been loaded from somewhere else (DNS rebinding); an address is no name, and cannot lie."""

    def of(self, request: web.Request) -> Peer:
        """Who sent this; worked out once for each request."""
        known = request.get(_PEER)
        if known is None:
            known = request[_PEER] = self._read(request)
        return known

    def _read(self, request: web.Request) -> Peer:
        address = _forwarded(request, "X-Forwarded-For", self.proxies) or request.remote or "unknown"
        scheme = _forwarded(request, "X-Forwarded-Proto", self.proxies) or request.scheme
        host = _forwarded(request, "X-Forwarded-Host", self.proxies) or request.host
        return Peer(address, _PAGE_SCHEMES.get(scheme.lower(), request.scheme), host)

    def admits(self, origin: str | None, request: web.Request) -> bool:
        """Whether a page of this origin may connect: our own pages, and those the operator has named.

        A caller without an origin is no browser, and none of its cookies count.
        """
        if origin is None:
            return True
        peer = self.of(request)
        own = origin.lower() == peer.origin and (self.any_name or _is_no_name(peer.host))
        return own or origin.lower() in self.origins


def _is_no_name(host: str) -> bool:
    """Whether a host is an address, or this machine."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ip_address(name))
    except ValueError:
        return False


def _forwarded(request: web.Request, header: str, proxies: int) -> str | None:
    if not proxies:
        return None
    entries = [entry.strip() for line in request.headers.getall(header, []) for entry in line.split(",")]
    entries = [entry for entry in entries if entry]
    if not entries:
        return None
    return entries[max(0, len(entries) - proxies)]

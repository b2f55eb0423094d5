"""Who is calling, and which pages may: read through the proxies that we trust, and through no others."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from chatzilla.web.peers import Peers

SOCKET = "203.0.113.250"
"""What the socket says: the nearest proxy, or the caller where there is none."""


class _Transport:
    """A connection from `SOCKET`."""

    def get_extra_info(self, name: str, default: object = None) -> object:
        return (SOCKET, 40000) if name == "peername" else default


def request_with(*headers: tuple[str, str]) -> web.Request:
    return make_mocked_request("GET", "/", CIMultiDict([("Host", "chat.example"), *headers]), transport=_Transport())


def forwarded(*lines: str) -> list[tuple[str, str]]:
    return [("X-Forwarded-For", line) for line in lines]


@pytest.mark.parametrize(
    ("proxies", "lines", "address"),
    [
        (0, [], SOCKET),
        (0, ["198.51.100.1"], SOCKET),
        (0, ["198.51.100.1, 198.51.100.2"], SOCKET),
        (1, [], SOCKET),
        (1, [""], SOCKET),
        (1, ["198.51.100.1"], "198.51.100.1"),
        (1, ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        (1, ["6.6.6.6,7.7.7.7,198.51.100.1"], "198.51.100.1"),
        (1, ["6.6.6.6", "198.51.100.1"], "198.51.100.1"),
        (1, ["6.6.6.6, 7.7.7.7", "8.8.8.8, 198.51.100.1"], "198.51.100.1"),
        (1, ["6.6.6.6, , 198.51.100.1 ,"], "198.51.100.1"),
        (1, ["2001:db8::1"], "2001:db8::1"),
        (2, ["198.51.100.1, 10.0.0.1"], "198.51.100.1"),
        (2, ["198.51.100.1", "10.0.0.1"], "198.51.100.1"),
        (2, ["6.6.6.6, 198.51.100.1, 10.0.0.1"], "198.51.100.1"),
        (2, ["6.6.6.6", "198.51.100.1, 10.0.0.1"], "198.51.100.1"),
        (2, ["198.51.100.1"], "198.51.100.1"),
    ],
)
def test_the_address_is_what_the_outermost_trusted_proxy_saw(proxies: int, lines: list[str], address: str) -> None:
    """Entries are counted from the right, over all lines of the header; what a stranger wrote stands further left."""
    assert Peers(proxies).of(request_with(*forwarded(*lines))).address == address


def test_underscores_are_no_hyphens() -> None:
    """Some servers take one for the other, so that a stranger's header passes for a proxy's."""
    request = request_with(("X_Forwarded_For", "6.6.6.6"), ("X_Forwarded_Host", "evil.example"))
    peer = Peers(1).of(request)
    assert (peer.address, peer.host) == (SOCKET, "chat.example")


def test_without_trusted_proxies_no_forwarded_header_means_anything() -> None:
    request = request_with(
        ("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.example")
    )
    peer = Peers(0).of(request)
    assert (peer.address, peer.scheme, peer.host) == (SOCKET, "http", "chat.example")


@pytest.mark.parametrize(
    ("said", "scheme"),
    [
        ("https", "https"),
        ("http", "http"),
        ("HTTPS", "https"),
        ("http, https", "https"),
        ("wss", "https"),
        ("ws", "http"),
        ("gopher", "http"),
        ("", "http"),
    ],
)
def test_the_scheme_is_what_the_trusted_proxy_says(said: str, scheme: str) -> None:
    """Some proxies say `wss` of a WebSocket handshake; its page came by https all the same."""
    assert Peers(1).of(request_with(("X-Forwarded-Proto", said))).scheme == scheme


def test_the_host_is_the_one_that_people_typed() -> None:
    assert Peers(1).of(request_with()).host == "chat.example"
    assert Peers(1).of(request_with(("X-Forwarded-Host", "talk.example"))).host == "talk.example"


@pytest.mark.parametrize(
    ("origin", "admitted"),
    [
        ("https://chat.example", True),
        ("HTTPS://Chat.Example", True),
        (None, True),
        ("http://chat.example", False),
        ("https://chat.example:8443", False),
        ("https://chat.example.evil.example", False),
        ("https://evil-chat.example", False),
        ("https://chat.exampl", False),
        ("https://sub.chat.example", False),
        ("https://chat.example/", False),
        ("https://chat.example@evil.example", False),
        ("null", False),
        ("", False),
        ("*", False),
    ],
)
def test_pages_of_our_own_origin_may_connect_and_look_alikes_may_not(origin: str | None, admitted: bool) -> None:
    assert Peers(1).admits(origin, request_with(("X-Forwarded-Proto", "https"))) is admitted


@pytest.mark.parametrize(
    ("origin", "admitted"),
    [
        ("https://partner.example", True),
        ("https://Partner.example", True),
        ("http://partner.example", False),
        ("https://partner.example:444", False),
        ("https://partner.example.evil.example", False),
        ("https://not-partner.example", False),
        ("http://chat.example", True),
        ("null", False),
    ],
)
def test_the_operator_may_name_further_origins(origin: str, admitted: bool) -> None:
    assert Peers(0, ("https://partner.example",)).admits(origin, request_with()) is admitted


def test_a_host_that_a_stranger_forwarded_makes_no_origin_ours() -> None:
    request = request_with(("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Proto", "https"))
    assert not Peers(0).admits("https://evil.example", request)


@pytest.mark.parametrize(
    ("host", "admitted"),
    [
        ("evil.example", False),
        ("evil.example:5000", False),
        ("chat.example", True),
        ("127.0.0.1:5000", True),
        ("[::1]:5000", True),
        ("localhost:5000", True),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("[::1", False),
        ("", False),
    ],
)
def test_a_strangers_name_that_points_here_is_not_ours(host: str, admitted: bool) -> None:
    """DNS rebinding: page and host have the same name, and it is not one that the operator has named."""
    request = make_mocked_request("GET", "/", {"Host": host})
    assert Peers(0, ("http://chat.example",), any_name=False).admits(f"http://{host}", request) is admitted


def test_our_own_port_belongs_to_our_origin() -> None:
    request = make_mocked_request("GET", "/", {"Host": "localhost:5000"})
    assert Peers(0).admits("http://localhost:5000", request)
    assert not Peers(0).admits("http://localhost:5001", request)
    assert not Peers(0).admits("http://localhost", request)

"""What holds on every route and for every stranger: headers, pages of other sites, forged heads, logs, files.

The routes are asked from the application, so a new one is held to all of it without being named here.
"""

from __future__ import annotations

import ast
import asyncio
import logging
import os
import re
import stat
import uuid
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import pytest
from yarl import URL

from chatzilla.core.policy import Role
from chatzilla.core.tries import TRIES
from tests.helpers.clients import Client
from tests.helpers.mailed import DOMAIN, MailTown, mail_town
from tests.helpers.people import Town, town
from tests.helpers.servers import ROOT, Process, serving
from tests.helpers.tls_proxy import Certificate, tls_proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

FILLING: Final = {"version": "0", "name": "js/main.js", "room": "garden"}
"""What stands for a part of an address; for the rest, a name of nothing."""

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
SAFE: Final = {"GET", "HEAD", "OPTIONS", "TRACE"}

ELSEWHERE: Final[dict[str, dict[str, str]]] = {
    "evil": {"Origin": "https://evil.example"},
    "null": {"Origin": "null"},
    "no origin, as in a form of an old browser": {"Sec-Fetch-Site": "cross-site"},
    "a neighbour": {"Sec-Fetch-Site": "same-site", "Origin": "https://other.example"},
    "nothing said": {},
    "another port": {"Origin": "http://127.0.0.1:1"},
    "another scheme": {"Origin": "https://{host}"},
    "a look-alike": {"Origin": "http://{host}.evil.example"},
    "a prefix": {"Origin": "http://evil-{host}"},
    "with a user": {"Origin": "http://{host}@evil.example"},
    "two origins": {"Origin": "http://{host} https://evil.example"},
    "a forwarded host": {"Origin": "http://evil.example", "X-Forwarded-Host": "evil.example"},
    "a forwarded scheme": {"Origin": "https://{host}", "X-Forwarded-Proto": "https"},
    "RFC 7239": {"Origin": "https://evil.example", "Forwarded": "host=evil.example;proto=https"},
}
"""How a browser calls on behalf of a page that is not ours."""


class Route(NamedTuple):
    method: str
    path: str


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[MailTown]:
    """A server with every way in."""
    async with mail_town(tmp_path / "data") as opened:
        yield opened


def routes_of(place: MailTown) -> list[Route]:
    """Every route that the application has."""
    found = []
    for resource in place.server.runner.app.router.resources():
        path = re.sub(r"{(\w+)[^}]*}", lambda part: FILLING.get(part[1], "nothing"), resource.canonical)
        methods = {
            method for route in resource for method in (("GET", "POST") if route.method == "*" else [route.method])
        }
        found += [Route(method, path) for method in sorted(methods)]
    assert len(found) > 15
    return found


PUBLIC: Final = ("/api/v1/", "/api/v1/openapi.json")
"""The description of the API, which is the same for everybody."""


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
async def test_every_answer_of_every_route_has_the_headers(place: MailTown, accept: str) -> None:
    """Whatever the method, and whether it is answered or refused."""
    browser = (await place.browser()).http
    seen = set()
    paths = {route.path for route in routes_of(place)} | {"/nowhere", "/%00", "/static/../x"}
    for path in sorted(paths):
        for method in METHODS:
            async with browser.request(method, path, headers={"Accept": accept}, allow_redirects=False) as answer:
                where = f"{method} {path} {answer.status}"
                headers = answer.headers
                await answer.read()
            seen.add(answer.status)
            policy = headers.get("Content-Security-Policy", "")
            for nothing in ("default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"):
                assert nothing in policy, (where, headers)
            assert "unsafe" not in policy, where
            assert headers["X-Content-Type-Options"] == "nosniff", where
            assert headers["Referrer-Policy"] in ("no-referrer", "same-origin"), where
            assert headers["Cross-Origin-Opener-Policy"] == "same-origin", where
            assert headers["Cross-Origin-Resource-Policy"] == "same-origin", where
            assert headers["Server"] == "Chatzilla", where
            assert "Access-Control-Allow-Origin" not in headers, where
            assert "X-Powered-By" not in headers, where
            if headers.get("Content-Type", "").startswith("text/"):
                assert "charset=utf-8" in headers["Content-Type"], where
            says_something = method != "OPTIONS" and path not in PUBLIC
            if path.startswith(("/api/", "/in")) and answer.status < 300 and says_something:
                assert headers.get("Cache-Control") == "no-store", where
            if method in ("TRACE", "PROPFIND"):
                assert answer.status in (400, 404, 405), where
    assert {200, 401, 404, 405} <= seen


async def test_behind_tls_every_answer_says_so_and_every_cookie_is_this_hosts(tmp_path: Path) -> None:
    async with mail_town(tmp_path / "data", proxies=1, url="https://chat.example.com") as place:
        browser = (await place.browser()).http
        secure = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "chat.example.com"}
        for route in routes_of(place):
            async with browser.request(route.method, route.path, headers=secure, allow_redirects=False) as answer:
                assert answer.headers.get("Strict-Transport-Security") == "max-age=31536000", route
        form = {"email": f"alice@{DOMAIN}"}
        headers = secure | {"Origin": "https://chat.example.com"}
        async with browser.post("/in", data=form, headers=headers) as answer:
            assert answer.status == 200
            (browser_cookie,) = answer.headers.getall("Set-Cookie")
        mail = await place.office.next()
        cookie = {"Cookie": browser_cookie.partition(";")[0]}
        path = mail.link.removeprefix("https://chat.example.com")
        async with browser.post(
            path, data={"name": "Alice"}, headers=headers | cookie, allow_redirects=False
        ) as answer:
            assert answer.status == 303
            cookies = [*answer.headers.getall("Set-Cookie"), browser_cookie]
        for each in cookies:
            assert each.startswith("__Host-chatzilla-"), each
            for part in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
                assert f"; {part}" in each, each
            assert "Domain" not in each


@pytest.mark.parametrize("who", ELSEWHERE)
async def test_a_page_elsewhere_is_answered_as_if_there_were_no_cookie(place: MailTown, who: str) -> None:
    """On every route, by every method: with Alice's cookie and without, the answer is the same, and nothing is set."""
    async with town(place.server) as people:
        await elsewhere_with_a_cookie(place, people, who)


async def elsewhere_with_a_cookie(place: MailTown, people: Town, who: str) -> None:
    alice = await people.enters("Alice", Role.OWNER)
    _, invitation = await people.link()
    host = urlsplit(place.server.url).netloc
    headers = {name: value.format(host=host) for name, value in ELSEWHERE[who].items()}
    if who == "a forwarded scheme":
        assert place.server.house.peers.proxies == 0
    cookie = {"Cookie": f"chatzilla-session-{host.rpartition(':')[2]}={alice.token}"}
    routes = [route for route in routes_of(place) if headers or route.method not in SAFE]
    if headers:  # without any of them it is a program, which may use a link
        routes.append(Route("POST", f"/in/{invitation}"))
    routes += [Route("DELETE", f"/api/v1/sign-ins/{await alice.sign_in_id()}")]
    for route in routes:
        answers = []
        for cookies in (cookie, {}):
            got = await answer_to(place, route, headers | cookies)
            answers.append((got[0], re.sub(r'"sid":"[^"]+"', "", got[1]), got[2]))
        assert answers[0] == answers[1], route
        assert "Alice" not in answers[0][1], route
        assert "chatzilla-session" not in answers[0][2], route
    assert (await alice.ask("GET", "me"))[0] == 200
    assert len((await alice.ask("GET", "links"))[1]["links"]) == 1
    assert place.office.mails.empty()


async def answer_to(place: MailTown, route: Route, headers: dict[str, str]) -> tuple[int, str, str]:
    """What a request is answered that could change something."""
    async with aiohttp.ClientSession(place.server.url, cookie_jar=aiohttp.DummyCookieJar()) as http:
        body: dict[str, Any] = {}
        if route.method not in SAFE:
            as_form = route.path.startswith("/in")
            body = {"data": {"name": "Eve"}} if as_form else {"json": {"role": "owner"}}
        async with http.request(route.method, route.path, headers=headers, allow_redirects=False, **body) as answer:
            return answer.status, await answer.text(), ";".join(answer.headers.getall("Set-Cookie", []))


FOLLOWS: Final = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


async def test_whoever_follows_a_link_from_elsewhere_is_still_signed_in(place: MailTown) -> None:
    """And what a page elsewhere merely fetches or frames neither sees them nor signs them out."""
    alice = await place.enters(f"alice@{DOMAIN}", "Alice")
    page = await alice.opens("/r/garden", headers=FOLLOWS)
    assert 'name="chatzilla-me" content="Alice"' in page.text
    for changed in (
        {"Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Dest": "embed"},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Origin": "https://evil.example"},
    ):
        page = await alice.opens("/r/garden", headers=FOLLOWS | changed)
        assert "chatzilla-me" not in page.text, changed
        assert await alice.me() is not None, changed
    answer = await alice.posts("/api/v1/sign-out", {}, **FOLLOWS, Origin="https://evil.example")
    assert answer.status == 401
    assert await alice.me() is not None


# Connections.


class Doorway(NamedTuple):
    """A server as its visitors reach it, and somebody who is signed in."""

    url: str
    cookie: dict[str, str]
    connect: dict[str, Any]


@pytest.fixture(params=["plain", "behind TLS"])
async def doorway(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Doorway]:
    """On plain HTTP, where nothing is forwarded; and behind a proxy that ends TLS."""
    behind = request.param == "behind TLS"
    async with serving(tmp_path / "data", sign_in="links", proxies=int(behind)) as server, town(server) as people:
        alice = await people.enters("Alice")
        port = int(server.url.rpartition(":")[2])
        if not behind:
            cookie = {"Cookie": f"chatzilla-session-{port}={alice.token}"}
            yield Doorway(server.url.replace("127.0.0.1", "localhost"), cookie, {})
            return
        certificate = Certificate.make(tmp_path)
        async with tls_proxy(port, certificate) as url:
            cookie = {"Cookie": f"__Host-chatzilla-session-{url.rpartition(':')[2]}={alice.token}"}
            yield Doorway(url, cookie, {"ssl": certificate.trusted()})


async def opens(doorway: Doorway, transport: str, headers: dict[str, str], more: str = "") -> str:
    """What a page learns: nothing, because it is shut out; that it is nobody; or that it is Alice."""
    async with aiohttp.ClientSession(doorway.url, cookie_jar=aiohttp.DummyCookieJar()) as http:
        path = f"/socket.io/?EIO=4&transport={transport}{more}"
        if transport == "websocket":
            try:
                async with http.ws_connect(path, headers=headers, **doorway.connect) as ws:
                    await ws.receive_str()
                    await ws.send_str('40/chat,{"dialect":"full"}')
                    answer = await ws.receive_str()
            except aiohttp.WSServerHandshakeError as refusal:
                assert refusal.status == 403
                return "shut out"
        else:
            async with http.get(path, headers=headers, **doorway.connect) as opened:
                if opened.status == 403:
                    return "shut out"
                sid = re.search(r'"sid":"([^"]+)"', await opened.text())
            assert sid is not None
            path += f"&sid={sid[1]}"
            async with http.post(path, data='40/chat,{"dialect":"full"}', headers=headers, **doorway.connect) as sent:
                if sent.status == 403:
                    return "shut out"
            async with http.get(path, headers=headers, **doorway.connect) as polled:
                answer = await polled.text()
        return "Alice" if answer.startswith("40/chat,") else "nobody"


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_no_page_elsewhere_connects_and_a_good_one_does(doorway: Doorway, transport: str) -> None:
    host = urlsplit(doorway.url).netloc
    scheme = urlsplit(doorway.url).scheme
    other = {"http": "https", "https": "http"}[scheme]
    good = {"Origin": doorway.url} | doorway.cookie
    assert await opens(doorway, transport, good) == "Alice"
    assert await opens(doorway, transport, {"Origin": doorway.url}) == "nobody"
    assert await opens(doorway, transport, {}) == "nobody"
    # A page of ours that polls says nothing of itself where it only reads; that of a WebSocket is always told.
    nameless = await opens(doorway, transport, dict(doorway.cookie))
    assert nameless == {"polling": "Alice", "websocket": "nobody"}[transport]
    for site in ("cross-site", "same-site"):
        assert await opens(doorway, transport, doorway.cookie | {"Sec-Fetch-Site": site}) == "nobody"
    evil = {
        "evil": {"Origin": "https://evil.example"},
        "null": {"Origin": "null"},
        "empty": {"Origin": ""},
        "look-alike": {"Origin": f"{scheme}://{host}.evil.example"},
        "prefix": {"Origin": f"{scheme}://evil{host}"},
        "user": {"Origin": f"{scheme}://{host}@evil.example"},
        "port": {"Origin": f"{scheme}://{host.partition(':')[0]}:1"},
        "no port": {"Origin": f"{scheme}://{host.partition(':')[0]}"},
        "scheme": {"Origin": f"{other}://{host}"},
        "path": {"Origin": f"{scheme}://{host}/"},
        "a forwarded scheme": {"Origin": f"{other}://{host}", "X-Forwarded-Proto": other},
        "RFC 7239": {"Origin": "https://evil.example", "Forwarded": "host=evil.example;proto=https"},
        "X-Original-Host": {"Origin": "https://evil.example", "X-Original-Host": "evil.example"},
    }
    if scheme == "http":
        evil["a forwarded host"] = {"Origin": "http://evil.example", "X-Forwarded-Host": "evil.example"}
    for what, headers in evil.items():
        assert await opens(doorway, transport, headers | doorway.cookie) == "shut out", what


async def test_a_rebound_host_is_nobody(doorway: Doorway) -> None:
    """A name of a stranger's that leads to our address is an origin of its own: nobody's cookie is sent there, and the
    one that is counts for nothing where its name differs. On a loopback address without a proxy, no name is to be
    expected, and its page is shut out.
    """
    for transport in ("websocket", "polling"):
        scheme = urlsplit(doorway.url).scheme
        headers = {"Host": "rebound.example", "Origin": f"{scheme}://rebound.example"}
        learned = "nobody" if scheme == "https" else "shut out"
        assert await opens(doorway, transport, headers) == learned
        assert await opens(doorway, transport, headers | doorway.cookie) == learned


# Sign-ins.


async def test_a_sign_in_that_was_there_before_is_not_taken_over(place: MailTown) -> None:
    """Whatever cookies a browser brings: who signs in gets a sign-in that nobody knew, by mail and by link."""
    async with town(place.server) as people:
        eve = await people.enters("Mallory")
        port = place.server.url.rpartition(":")[2]
        planted = (
            f"chatzilla-session-{port}={eve.token}; chatzilla-session-{port}=x; chatzilla-browser-{port}={'e' * 22}"
        )
        _, invitation = await people.link()
        alice = await place.browser()
        for path, form in ((f"/in/{invitation}", {"name": "Alice"}),):
            entered = await alice.posts(path, form, Cookie=planted)
            assert entered.status == 303
        me = await alice.me()
        assert me is not None
        assert me["name"] == "Alice"
        assert (await eve.ask("GET", "me"))[0] == 401, "the one that was planted is over"
        tokens = {each.value for each in alice.http.cookie_jar if "session" in each.key}
        assert len(tokens) == 1
        assert eve.token not in tokens
        again = await alice.opens("/", headers={"Cookie": f"chatzilla-session-{port}={eve.token}x"})
        assert again.status == 200
        assert "Mallory" not in again.text


async def test_a_new_sign_in_ends_the_one_that_the_browser_had(place: MailTown) -> None:
    """By link and by mail; the old cookie opens no door any more, and its connections are closed."""
    async with town(place.server) as people:
        _, first = await people.link()
        _, second = await people.link()
        browser = await place.browser()
        tokens = []
        for link, name in ((first, "Alice"), (second, "Bob")):
            assert (await browser.posts(f"/in/{link}", {"name": name})).status == 303
            (token,) = [each.value for each in browser.http.cookie_jar if "session" in each.key]
            tokens.append(token)
        headers = {"Authorization": f"Bearer {tokens[0]}"}
        client = await Client(place.server.url).connect(auth={"dialect": "full", "token": tokens[1]})
        await client.joins()
        async with people.http.get(f"{place.server.url}/api/v1/me", headers=headers) as answer:
            assert answer.status == 401
        await place.enters(f"alice@{DOMAIN}", "Alice by mail", browser)
        assert (await client.hears("goodbye"))["code"] == "sign-in"
        await client.close()
        assert (await browser.me() or {})["name"] == "Alice by mail"


async def test_only_a_browsers_own_cookie_is_set_and_never_by_an_address(place: MailTown) -> None:
    """No token in an address counts, whatever it is called there."""
    async with town(place.server) as people:
        alice = await people.enters("Alice")
        for name in ("token", "access_token", "sid", "session", "auth", "jwt"):
            async with people.http.get(f"{place.server.url}/api/v1/me?{name}={alice.token}") as answer:
                assert answer.status == 401
            doorway = Doorway(place.server.url, {}, {})
            for transport in ("websocket", "polling") if name != "sid" else ():
                assert await opens(doorway, transport, {}, f"&{name}={alice.token}") == "nobody"


async def test_many_wrong_tokens_are_not_judged_and_right_ones_are(place: MailTown) -> None:
    async with town(place.server) as people:
        alice = await people.enters("Alice")
        statuses = []
        for at in range(TRIES + 3):
            status, _ = await alice.ask("GET", "me", headers={"Authorization": f"Bearer {alice.token}{at}"})
            statuses.append(status)
        assert statuses == [401] * TRIES + [429] * 3
        assert (await alice.ask("GET", "me"))[0] == 200


async def test_what_is_not_there_and_what_is_not_ones_own_look_the_same(place: MailTown) -> None:
    """Ids cannot be tried to learn what others have."""
    async with town(place.server) as people:
        alice, bob = await people.enters("Alice"), await people.enters("Bob")
        theirs = await bob.sign_in_id()
        ident, _ = await people.link(maker=bob.id)
        for kind, real in (("sign-ins", theirs), ("links", ident)):
            answers = {str(await alice.ask("DELETE", f"{kind}/{each}")) for each in (real, "nothing", "x" * len(real))}
            assert len(answers) == 1, answers
            assert answers.pop().startswith("(404")
        nobody = await alice.ask("DELETE", "sign-ins?account=nobody")
        assert nobody == await alice.ask("DELETE", f"sign-ins?account={bob.id}")


# What travels in a head.


@pytest.mark.parametrize("what", ["X-Test: 1", "Set-Cookie: chatzilla-session=x", "Location: https://evil.example"])
async def test_nothing_that_a_stranger_sends_becomes_a_header(place: MailTown, what: str) -> None:
    """By an address, a form, a room or a name; in the answers and in the mails."""
    name, _, value = what.partition(": ")
    breaks = ("%0D%0A", "%0A", "%0D", "%E5%98%8A%E5%98%8D", "%C4%8D%C4%8A", "%E2%80%A8", "%00")
    browser = await place.browser()
    for line in breaks:
        tail = f"{line}{name}:%20{value}"
        for path in (
            f"/r/Design{tail}",
            f"/{tail}",
            f"/in/x{tail}",
            f"/static/{tail}",
            f"/?next={tail}",
            f"/healthz{tail}",
        ):
            async with browser.http.get(URL(path, encoded=True), allow_redirects=False) as answer:
                assert answer.headers.get(name) != value, path
    for line in ("\r\n", "\n", "\r", "\u560a\u560d", "\u2028"):
        tail = f"{line}{what}"
        for form in ({"email": f"alice@{DOMAIN}{tail}"}, {"email": f"alice@{DOMAIN}", "room": f"garden{tail}"}):
            async with browser.http.post("/in", data=form, headers={"Origin": place.server.url}) as answer:
                assert answer.headers.get(name) != value
    while not place.office.mails.empty():
        mail = place.office.mails.get_nowait()
        assert mail.message[name] is None


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n Folded: yes\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    ],
)
async def test_a_request_whose_end_is_in_doubt_is_not_answered_as_one(place: MailTown, head: bytes) -> None:
    """Refused, and the connection closed: nothing after it is read as another request."""
    parts = urlsplit(place.server.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(head + b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(10):
            try:
                answer = await reader.read()
            except ConnectionResetError:
                answer = b""
        statuses = re.findall(rb"^HTTP/1\.\d (\d+)", answer, re.MULTILINE)
        assert statuses in ([], [b"400"], [b"431"]), answer
    finally:
        writer.close()


CLIMBS: Final = [
    "../pyproject.toml",
    "..%2fpyproject.toml",
    "%2e%2e/pyproject.toml",
    "%2e%2e%2fpyproject.toml",
    "%252e%252e%252fpyproject.toml",
    "..%5cpyproject.toml",
    "..;/pyproject.toml",
    "....//pyproject.toml",
    "..%c0%afpyproject.toml",
    "%uff0e%uff0e/pyproject.toml",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "js/../../pyproject.toml",
    "js/main.js/../../../pyproject.toml",
    "js/main.js%00.txt",
    "js/main.js/",
    ".git/config",
    "../.git/config",
    "../data/secret",
    "../templates/chat.html",
    "js/.",
    ".",
    "..",
]


async def test_no_route_with_a_name_in_it_leads_out_of_its_folder(place: MailTown) -> None:
    """Every route that takes a name, asked by a client that tidies nothing up."""
    main = re.search(r"/static/(\w+)/", (await (await place.browser()).opens("/")).text)
    assert main is not None
    roots = {f"/static/{main[1]}/", "/static/", "/"}
    roots |= {path.partition("nothing")[0] for _, path in routes_of(place) if "nothing" in path} | {"/r/"}
    parts = urlsplit(place.server.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        for root in sorted(roots):
            for climb in CLIMBS:
                writer.write(
                    f"GET {root}{climb} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: text/html\r\n\r\n".encode()
                )
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
                assert length is not None, (root, climb, head)
                body = await reader.readexactly(int(length[1]))
                status = int(head.split()[1])
                # Whatever another system calls a session is the name of a call: its page says nothing but that.
                assert status in (308, 400, 401, 404, 405, 429) or (root, status) == ("/call/", 200), (root, climb)
                for leaked in (b"[build-system]", b"root:x:", b"{% block", b"[core]"):
                    assert leaked not in body, (root, climb)
    finally:
        writer.close()


# Logs and files.


async def test_a_whole_day_at_the_finest_level_logs_nothing_that_anybody_said_or_holds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Everything that people do here, at debug level, as a process logs it: no text, token, link, address, key."""
    caplog.set_level(logging.DEBUG)
    for library in ("mail.log", "mail.debug", "aiosmtpd", "socketio.client", "engineio.client", "asyncio"):
        logging.getLogger(library).setLevel(logging.CRITICAL)  # of the test's own clients and mail server
    secrets = await live_a_day(tmp_path)
    assert len(secrets) > 15
    lines = [record.getMessage() for record in caplog.records]
    lines += [record.exc_text or "" for record in caplog.records]
    assert any("request" in line for line in lines)
    log = "\n".join(lines)
    leaked = sorted(what for what, text in secrets.items() if text in log or text.lower() in log.lower())
    assert not leaked, leaked


async def live_a_day(tmp_path: Path) -> dict[str, str]:
    """Do all that can be done; returns all that may not be told."""
    secrets: dict[str, str] = {}

    def secret(what: str, text: str) -> str:
        assert len(text) >= 8
        secrets[what] = text
        return text

    async with mail_town(tmp_path / "data") as place, town(place.server) as people:
        secret("the signing key", place.server.house.database.key)
        address = secret("an email address", f"verysecretmailbox@{DOMAIN}")
        alice = await place.browser()
        await alice.asks(address)
        link = (await place.office.next()).link
        secret("a link in a mail", link.rpartition("/")[2])
        await alice.opens(link)
        await alice.presses(link, secret("a name", "Mistress Quickly"))
        for each in alice.http.cookie_jar:
            secret(f"the cookie {each.key.rpartition('-')[0]}", each.value)
        await alice.opens(link)
        await alice.asks(secret("a mistyped address", "thisisno@@address.example"))
        owner = await people.enters(secret("an owner's name", "Olga the Owner"), Role.OWNER)
        secret("a token", owner.token)
        secret("the signature of a token", owner.token.rpartition(".")[2])
        _, made = await owner.ask("POST", "links", {"role": "member"})
        secret("a link", made["url"].rpartition("/")[2])
        _, wrong = await people.link()
        await people.use(secret("a link that is used", wrong), secret("another name", "Bobby Tables"))
        await people.use("wrong-" + secret("a guess", uuid.uuid4().hex), "Eve")
        await owner.ask("GET", "me", headers={"Authorization": "Bearer " + secret("a forged token", uuid.uuid4().hex)})
        await owner.ask("POST", "links", {"email": secret("an invited address", "invited-person@elsewhere.example")})
        bob: Client = await owner.connect()
        await bob.joins("garden")
        said = await bob.says("garden", secret("a message", "the treasure is below the oak"))
        await bob.call("edit", {"id": said["id"], "content": secret("an edit", "the treasure is below the elm")})
        await bob.call("edit", {"id": said["id"], "content": secret("an edit too long", "oversized ") * 2000})
        await bob.call("delete", {"id": said["id"]})
        await bob.call("typing", {"room": "garden"})
        await bob.call("read", {"room": "garden", "seq": 1})
        await bob.call("history", {"room": "garden"})
        await bob.call("no such event", secret("the argument of an unknown event", "unheard-of argument"))
        await bob.call("message", secret("a message with no sense", "tutorial words") + "\0")
        await bob.sio.eio.send(secret("no packet", "zzzz broken packet"))
        await bob.gone.wait()
        await bob.close()
        polling = await Client(place.server.url).connect(
            auth={"dialect": "full", "token": owner.token}, transports=("polling",)
        )
        await polling.joins()
        await polling.says("lobby", secret("a polled message", "polled treasure map"))
        await polling.close()
        async with people.http.get(f"{place.server.url}/?q=" + secret("a query", "query-with-a-secret")):
            pass
        broken = secret("a broken body", "{broken json body")
        async with people.http.post(f"{place.server.url}/api/v1/links", data=broken) as refused:
            assert refused.status >= 400
        await owner.ask("DELETE", f"sign-ins/{await owner.sign_in_id()}")
    return secrets


async def test_who_came_in_and_who_did_not_is_in_the_log(place: MailTown, caplog: pytest.LogCaptureFixture) -> None:
    """By ids and addresses, which lead to the person for the operator alone."""
    caplog.set_level(logging.INFO)
    async with town(place.server) as people:
        alice = await people.enters("Alice", Role.ADMIN)
        assert f"sign-in {await alice.sign_in_id()} of {alice.id} began, as admin" in caplog.text
        caplog.clear()
        await people.use("wrong", "Eve")
        await alice.ask("GET", "me", headers={"Authorization": "Bearer wrong"})
        doorway = Doorway(place.server.url, {}, {})
        assert await opens(doorway, "websocket", {}) == "nobody"
        assert caplog.text.count("a token or link from 127.0.0.1 was refused") == 2
        caplog.clear()
        await alice.ask("DELETE", f"sign-ins/{await alice.sign_in_id()}")
        assert "1 sign-ins ended" in caplog.text


async def test_whatever_the_umask_the_data_are_their_owners_alone(tmp_path: Path) -> None:
    """Also those that appear while it runs: the log of the database, the socket of commands."""
    server = Process(tmp_path / "data")
    before = os.umask(0)
    try:
        await server.start()
    finally:
        os.umask(before)
    try:
        client = await Client(server.url).connect(auth={"dialect": "full"})
        await client.joins(name="Bob")
        await client.says("lobby", "hello")
        await client.close()
        found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").iterdir()}
        assert {"chatzilla.db", "chatzilla.db-wal", "secret", "control"} <= found.keys()
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) & 0o077 == 0
        readable = {name for name, mode in found.items() if mode & 0o077 and name not in ("lock", "starts")}
        assert not readable, found
    finally:
        assert await server.stop() == 0


def test_nothing_in_the_sources_runs_what_it_is_given() -> None:
    """No evaluated text, no shell, no pickle, no YAML or XML, no hash that is broken, in what the server runs."""
    forbidden = re.compile(
        r"(?<!\.)\b(eval|exec|compile|__import__)\(|\bpickle\b|\bmarshal\b|\bshelve\b|\byaml\b|xml\.|subprocess|os\.system|"
        r"shell=True|\bmd5\b|\bsha1\(|\brandom\.|Markup\(|\|\s*safe\b|autoescape=False"
    )
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder, pattern in (("chatzilla", "*.py"), ("templates", "*.html"))
        for path in (ROOT / folder).rglob(pattern)
        for line in path.read_text().splitlines()
        if forbidden.search(line.partition("#")[0]) and "usedforsecurity=False" not in line
    ]
    assert not found


def test_nothing_in_the_page_makes_markup_of_text() -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc|setHTMLUnsafe|"
        r"createContextualFragment|DOMParser|setAttribute\(\s*[\"']on|javascript:|postMessage\([^)]*,\s*[\"']\*"
    )
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in (ROOT / "static/js").rglob("*.js")
        for line in path.read_text().splitlines()
        if forbidden.search(line)
    ]
    assert not found


CONNECTS: Final = {
    "mail/smtp.py": "the mail server of the settings",
    "media/janus_api.py": "Janus, as the settings name it",
    "media/stun.py": "the relay of the settings, for `doctor` alone",
    "tls.py": "nobody: it asks the system for its own address",
    "control.py": "the operator's own server, by a socket of the file system",
    "doctor.py": "nobody: it tries to listen",
}
"""The sources that open connections, and to whom."""


def test_connections_are_opened_to_what_the_settings_name_alone() -> None:
    """No hook, link or message makes the server call anybody: there is nothing that a stranger could aim."""
    opens = re.compile(
        r"ClientSession\(|open_connection\(|create_connection\(|datagram_endpoint\(|urlopen|SMTP\(|socket\.socket\("
    )
    sources = ROOT / "chatzilla"
    found = {
        str(path.relative_to(sources))
        for path in sources.rglob("*.py")
        for line in path.read_text().splitlines()
        if opens.search(line) and "def " not in line and "self.create_connection)" not in line
    }
    assert found == CONNECTS.keys()


def test_patterns_are_made_of_constants() -> None:
    """No regular expression is built from what people write; `scheme` is one of two words of `config`."""
    asked = 0
    for path in (ROOT / "chatzilla").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if not isinstance(node.func.value, ast.Name) or node.func.value.id != "re" or node.func.attr == "escape":
                continue
            asked += 1
            named = {each.id for each in ast.walk(node.args[0]) if isinstance(each, ast.Name)} - {"scheme"}
            assert all(re.fullmatch(r"_?[A-Z][A-Z0-9_]*", name) for name in named), (path, node.lineno)
    assert asked > 20

"""The pages as a browser meets them: what is linked exists, nothing foreign runs, and all of it is light."""

from __future__ import annotations

import asyncio
import gzip
import logging
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin, urlsplit

import aiohttp
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.helpers.servers import Server

FIRST_LOAD_BYTES: Final = 60_000
"""What a first visit may weigh, compressed: the page, all styles, all scripts."""

PAGE_POLICY: Final = {
    "default-src": {"'none'"},
    "script-src": {"'self'"},
    "style-src": {"'self'"},
    "img-src": {"'self'", "data:"},
    "connect-src": {"'self'"},
    "media-src": {"'self'"},
    "font-src": {"'self'"},
    "manifest-src": {"'self'"},
    "base-uri": {"'none'"},
    "form-action": {"'self'"},
    "frame-ancestors": {"'none'"},
    "require-trusted-types-for": {"'script'"},
    "trusted-types": {"'none'"},
}

HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

TYPES: Final = {
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "webmanifest": "application/manifest+json",
}

PERSON: Final = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}

_IMPORT: Final = re.compile(
    r"""^(?:import|export)\b[^"';]*?\bfrom\s*["']([^"']+)["']|^import\s*["']([^"']+)["']""", re.MULTILINE
)
"""A static import or re-export at the beginning of a line, and not one in a comment."""


class Markup(HTMLParser):
    """What a page names, and what the policy would not let run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.inline: list[str] = []
        self._bare = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "poster", "action")]
        self.inline += [f"<{tag} {name}>" for name in names if name == "style" or name.startswith("on")]
        self.inline += [f"<{tag} {name}>" for name, value in attrs if (value or "").strip().startswith("javascript:")]
        self._bare = tag if tag == "style" or (tag == "script" and "src" not in names) else ""
        if tag in ("base", "object", "embed", "iframe"):
            self.inline.append(f"<{tag}>")

    def handle_data(self, data: str) -> None:
        if self._bare and data.strip():
            self.inline.append(f"<{self._bare}>{data}")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._bare:
            self._bare = ""


@pytest.fixture
async def http(server: Server) -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client that neither follows nor unpacks, so that each answer is seen as it was sent."""
    skip = ("Accept-Encoding",)
    async with aiohttp.ClientSession(server.url, auto_decompress=False, skip_auto_headers=skip) as session:
        yield session


async def text_of(http: aiohttp.ClientSession, path: str) -> str:
    async with http.get(path) as answer:
        assert answer.status == 200, path
        return (await answer.read()).decode()


@pytest.mark.parametrize("path", ["/", "/r/lobby", "/r/design", "/r/0_-", "/r/" + "a" * 64])
async def test_a_page_is_the_landing_card_under_a_strict_policy(http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(path) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert policy_of(answer) == PAGE_POLICY
        assert answer.headers.items() >= HEADERS.items()
        assert "Strict-Transport-Security" not in answer.headers, "it is plain HTTP"
        assert "Set-Cookie" not in answer.headers
        assert "Welcome to Chatzilla" in await answer.text()


async def test_everything_the_page_names_is_ours_and_there(http: aiohttp.ClientSession) -> None:
    """Same origin, 200, the right type, for ever, and compressed for those who take it."""
    links = [link for link in Markup(await text_of(http, "/")).links if not link.startswith("#")]
    assert any(link.endswith(".js") for link in links)
    assert any(link.endswith(".css") for link in links)
    for link in links:
        assert not urlsplit(link).scheme, link
        assert not urlsplit(link).netloc, link
        async with http.get(link) as plain, http.get(link, headers={"Accept-Encoding": "br, gzip"}) as packed:
            assert (plain.status, packed.status) == (200, 200), link
            assert plain.headers["Content-Type"] == packed.headers["Content-Type"] == TYPES[link.rpartition(".")[2]]
            assert plain.headers["Cache-Control"] == "public, max-age=31536000, immutable", link
            assert plain.headers.items() >= HEADERS.items(), link
            assert "Content-Encoding" not in plain.headers, link
            body = await packed.read()
            if "Content-Encoding" in packed.headers:
                assert packed.headers["Content-Encoding"] == "gzip"
                assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
                body = gzip.decompress(body)
            else:
                assert link.endswith((".png", ".woff2")), link
            assert body == await plain.read(), link


async def test_the_page_travels_compressed_to_those_who_take_it(http: aiohttp.ClientSession) -> None:
    plain = await text_of(http, "/")
    async with http.get("/", headers={"Accept-Encoding": "gzip, br"}) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert "Accept-Encoding" in answer.headers["Vary"]
        assert gzip.decompress(await answer.read()).decode() == plain
    async with http.get("/", headers={"Accept-Encoding": "gzip;q=0"}) as answer:
        assert "Content-Encoding" not in answer.headers, "a weight of zero means no"


@pytest.mark.parametrize("path", ["/", "/r/design", "/r/no!room"])
async def test_no_page_needs_what_the_policy_forbids(http: aiohttp.ClientSession, path: str) -> None:
    """No script or style in the page itself, no `style=`, no `on…=`."""
    async with http.get(path, headers=PERSON) as answer:
        markup = Markup((await answer.read()).decode())
    assert markup.links
    assert not markup.inline


async def test_every_module_that_the_page_needs_is_there_and_is_announced(http: aiohttp.ClientSession) -> None:
    """Whatever a module imports, the page already names: no browser waits for one level of imports after another."""
    announced = {link for link in Markup(await text_of(http, "/")).links if link.endswith(".js")}
    needed = await modules(http, announced)
    assert set(needed) == announced


async def test_a_first_visit_is_light(http: aiohttp.ClientSession) -> None:
    """The page, its styles and every script it comes to need, as they travel."""
    links = Markup(await text_of(http, "/")).links
    scripts = await modules(http, {link for link in links if link.endswith(".js")})
    files = {"/", *scripts, *(link for link in links if link.endswith(".css"))}
    weights = {}
    for path in files:
        async with http.get(path, headers={"Accept-Encoding": "gzip"}) as answer:
            assert answer.headers["Content-Encoding"] == "gzip", path
            weights[path] = len(await answer.read())
    assert any(path.endswith("/vendor/socket.io.esm.min.js") for path in weights)
    assert sum(weights.values()) < FIRST_LOAD_BYTES, weights


async def test_a_room_has_one_address(http: aiohttp.ClientSession) -> None:
    async with http.get("/r/Design", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (308, "/r/design")
        assert answer.headers.items() >= HEADERS.items()


@pytest.mark.parametrize("room", ["no%20room", "no!room", "a" * 65, "caf%C3%A9", "a%2Fb", "%00", "a%0A"])
async def test_what_is_no_room_is_told_to_people_as_a_page(http: aiohttp.ClientSession, room: str) -> None:
    async with http.get(f"/r/{room}", headers=PERSON, allow_redirects=False) as answer:
        assert answer.status == 404
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert policy_of(answer) == PAGE_POLICY
        assert answer.headers.items() >= HEADERS.items()
        page = await answer.text()
        assert page.count("Not Found") == 2, "in the title and above the sentence"
        assert "There is no" in page
        assert 'href="/"' in page
    await is_a_problem(http, "GET", f"/r/{room}", 404, "Not Found")


@pytest.mark.parametrize(
    ("method", "path", "status", "title"),
    [
        ("GET", "/nowhere", 404, "Not Found"),
        ("GET", "/r/", 404, "Not Found"),
        ("GET", "/r/lobby/", 404, "Not Found"),
        ("GET", "/static/", 404, "Not Found"),
        ("GET", "/favicon.ico", 404, "Not Found"),
        ("POST", "/", 405, "Method Not Allowed"),
        ("DELETE", "/r/lobby", 405, "Method Not Allowed"),
        ("PUT", "/healthz", 405, "Method Not Allowed"),
    ],
)
async def test_an_error_is_told_to_programs_as_a_problem(
    http: aiohttp.ClientSession, method: str, path: str, status: int, title: str
) -> None:
    await is_a_problem(http, method, path, status, title)


@pytest.mark.parametrize("path", ["/", "/r/lobby", "/healthz"])
async def test_a_wrong_method_is_told_the_right_ones(http: aiohttp.ClientSession, path: str) -> None:
    """RFC 9110, 15.5.6 asks for it."""
    async with http.post(path) as answer:
        assert answer.status == 405
        assert {part.strip() for part in answer.headers["Allow"].split(",")} == {"GET", "HEAD"}


@pytest.mark.parametrize(
    "path",
    [
        "../chatzilla/app.py",
        "%2e%2e/chatzilla/app.py",
        "..%2f..%2fpyproject.toml",
        "..%5c..%5cpyproject.toml",
        "js/../../chatzilla/app.py",
        "js/%2e%2e/%2e%2e/pyproject.toml",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "js/main.js%00.css",
        "vendor/socket.io.esm.min.d.ts",
        "js/",
        "js",
    ],
)
async def test_nothing_but_the_static_files_is_reached_below_static(
    http: aiohttp.ClientSession, server: Server, path: str
) -> None:
    (main,) = {link for link in Markup(await text_of(http, "/")).links if link.endswith("/js/main.js")}
    root = main.removesuffix("js/main.js")
    assert await raw_status(server, f"{root}{path}") == 404
    assert await raw_status(server, f"/static/{path}") == 404


async def test_health_is_one_small_answer_that_is_never_kept(http: aiohttp.ClientSession) -> None:
    async with http.get("/healthz") as answer:
        assert (answer.status, answer.content_type) == (200, "application/json")
        assert (await answer.json())["status"] == "ok"
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "/r/design", "/healthz"])
async def test_head_is_get_without_the_body(http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(path) as get, http.head(path) as head:
        assert (head.status, await head.read()) == (200, b"")
        for name in ("Content-Type", "Content-Length", "Content-Security-Policy", "Cache-Control"):
            assert head.headers[name] == get.headers[name], name


async def test_a_visit_by_https_is_told_to_stay_there_only_if_a_trusted_proxy_says_so(
    http: aiohttp.ClientSession,
) -> None:
    async with http.get("/", headers={"X-Forwarded-Proto": "https"}) as answer:
        assert "Strict-Transport-Security" not in answer.headers


async def test_every_request_is_one_line_in_the_log(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    """A redirect and an error are requests too."""
    caplog.set_level(logging.INFO, logger="chatzilla.web.middleware")
    for path in ("/r/Design", "/nowhere", "/healthz"):
        async with http.get(path, allow_redirects=False):
            pass
    assert [line.rpartition(" ")[2] for line in requests_in(caplog)] == ["308", "404", "200"]


async def test_a_strangers_path_writes_no_line_of_its_own_into_the_log(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a new line nor anything that moves a terminal's cursor."""
    caplog.set_level(logging.INFO, logger="chatzilla.web.middleware")
    for path in ("/%0A2001-01-01 ERROR forged", "/%0D%1B[2J", "/%E2%80%A8%C2%85"):
        async with http.get(path) as answer:
            assert answer.status == 404
    lines = requests_in(caplog)
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines), lines


def requests_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "chatzilla.web.middleware"]


def policy_of(answer: aiohttp.ClientResponse) -> dict[str, set[str]]:
    """The Content-Security-Policy, taken apart; there has to be one and no more."""
    (policy,) = answer.headers.getall("Content-Security-Policy")
    directives = [directive.split() for directive in policy.split(";")]
    parsed = {name: set(values) for name, *values in directives}
    assert len(parsed) == len(directives), "a directive given twice counts once"
    return parsed


async def is_a_problem(http: aiohttp.ClientSession, method: str, path: str, status: int, title: str) -> None:
    """Check an error as a program sees it (RFC 9457)."""
    async with http.request(method, path, allow_redirects=False) as answer:
        assert answer.status == status
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        assert answer.headers.items() >= HEADERS.items()
        nothing = ("default-src", "base-uri", "form-action", "frame-ancestors")
        assert policy_of(answer) == {name: {"'none'"} for name in nothing}
        problem = await answer.json(content_type=None)
    assert (problem["type"], problem["title"], problem["status"]) == ("about:blank", title, status)
    assert problem["detail"] not in {"", title}


async def modules(http: aiohttp.ClientSession, roots: set[str]) -> dict[str, str]:
    """These scripts and everything that they import, by path."""
    found: dict[str, str] = {}
    waiting = sorted(roots)
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found[path] = await text_of(http, path)
        for match in _IMPORT.finditer(found[path]):
            target = match[1] or match[2]
            assert target.startswith(("./", "../")), f"{path} imports {target}, which is no relative name"
            waiting.append(urljoin(path, target))
    return found


async def raw_status(server: Server, target: str) -> int:
    """The status of a GET whose target no client has tidied up."""
    parts = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
    return int(answer.split()[1])

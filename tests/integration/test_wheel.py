"""Installed from a wheel: everything that the server needs is inside, and no checkout is near."""

from __future__ import annotations

import sys
import zipfile
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.helpers import installs
from tests.helpers.clients import Client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from a clean clone after `npm ci`."""
    checkout = installs.prepared_clone(tmp_path_factory)
    built = tmp_path_factory.mktemp("wheel")
    installs.run(sys.executable, "-m", "build", "--wheel", "--outdir", built, cwd=checkout)
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `chatzilla` command of a virtual environment that holds the pinned dependencies and the wheel."""
    dependencies = installs.dependencies(tmp_path_factory)
    venv = tmp_path_factory.mktemp("installed") / "venv"
    installs.run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=venv.parent)
    (ours,) = venv.glob("lib/python*/site-packages")
    (theirs,) = dependencies.glob("lib/python*/site-packages")
    (ours / "dependencies.pth").write_text(f"{theirs}\n")
    pip = (dependencies / "bin/python", "-m", "pip", "--python", venv / "bin/python", "--disable-pip-version-check")
    installs.run(*pip, "install", "--quiet", "--no-deps", wheel, cwd=venv.parent)
    return venv / "bin/chatzilla"


@pytest.fixture(scope="module")
def url(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that runs from the wheel, in a folder of its own."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    command = (installed, "serve", "--port", "0", "--data", elsewhere / "data")
    server = installs.Command(command, cwd=elsewhere, environ={})
    try:
        yield server.says(r"Chatzilla is at (http://127\.0\.0\.1:\d+)$")[1]
    finally:
        status = server.stop()
    assert status == 0, "".join(server.lines)


def test_the_wheel_holds_all_that_is_served_and_nothing_of_the_workshop(wheel: Path) -> None:
    """Static files with the browser's client, templates, migrations and the licence; no tests, no settings, no data."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert len(names) == len(set(names))
    assert "chatzilla/static/vendor/socket.io.esm.min.js" in names
    for kind in ("static/js/*.js", "static/css/*.css", "templates/*.html", "store/migrations/versions/*.py"):
        shipped = {path.name for path in _checked_out(wheel, kind)}
        folder = kind.rpartition("/")[0]
        packed = {name.rpartition("/")[2] for name in names if name.rpartition("/")[0] == f"chatzilla/{folder}"}
        assert shipped <= packed, kind
        assert shipped, kind
    assert [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"chatzilla"}
    assert not [name for name in names if name.endswith((".pyc", ".db", ".env")) or "/tests/" in name]


async def test_the_page_and_every_file_it_links_are_served_from_the_wheel(url: str) -> None:
    async with aiohttp.ClientSession(url) as http:
        async with http.get("/") as page:
            assert page.status == 200
            text = await page.text()
        assert "Welcome to Chatzilla" in text
        links = _Links()
        links.feed(text)
        assert links.found
        for link in links.found:
            async with http.get(link) as answer:
                assert answer.status == 200, link
        vendor = f"{_static_root(links.found)}/vendor/socket.io.esm.min.js"
        async with http.get(vendor) as answer:
            assert answer.status == 200
            assert b"socket.io" in (await answer.read()).lower()
        async with http.get("/healthz") as answer:
            assert (answer.status, (await answer.json())["status"]) == (200, "ok")


async def test_people_chat_on_a_server_installed_from_the_wheel(url: str) -> None:
    alice, bob = await Client(url).connect(), await Client(url).connect()
    assert await alice.call("join", "alice@example.com") == (True, "alice@example.com")
    assert await alice.call("message", "hello") == (True, "hello")
    assert await bob.hears() == {"sender": "alice@example.com", "content": "hello"}
    await alice.close()
    await bob.close()


def test_the_command_says_its_version(installed: Path, wheel: Path) -> None:
    """`chatzilla --version` agrees with the name of the wheel."""
    assert installs.run(installed, "--version", cwd=wheel.parent).split() == ["Chatzilla", wheel.name.split("-")[1]]


class _Links(HTMLParser):
    """The files that a page names."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "img"):
            self.found += [value for name, value in attrs if name in ("src", "href") and value and "/static/" in value]


def _static_root(links: list[str]) -> str:
    """`/static/<version>`, as the page's own links have it."""
    (root,) = {"/".join(link.split("/")[:3]) for link in links}
    return root


def _checked_out(wheel: Path, kind: str) -> list[Path]:
    """The files of this kind in the clone from which the wheel was built."""
    checkout = wheel.parent.parent / "clone"
    return [*checkout.glob(kind), *checkout.glob(f"chatzilla/{kind}")]

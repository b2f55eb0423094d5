"""What is installed is pinned with hashes, and no pin is known to be unsafe. The index that is asked is our own."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests import advisories
from tests.advisories import Finding, Pin
from tests.helpers.servers import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

KNOWN: Final = {
    "aliases": ["CVE-2024-34064", "GHSA-h75v-3vvj-5mfj"],
    "details": "The `xmlattr` filter in affected versions of Jinja accepts keys containing non-attribute characters.",
    "fixed_in": ["3.1.4"],
    "id": "GHSA-h75v-3vvj-5mfj",
    "link": "https://osv.dev/vulnerability/GHSA-h75v-3vvj-5mfj",
    "source": "osv",
    "summary": None,
    "withdrawn": None,
}
"""An advisory as the package index has it, about jinja2 3.1.3."""

WITHDRAWN: Final = KNOWN | {"id": "GHSA-0000", "withdrawn": "2025-01-01T00:00:00Z"}


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_what_is_installed_is_pinned_with_hashes(name: str) -> None:
    text = (ROOT / name).read_text()
    pinned = advisories.pins(text)
    assert len(pinned) > 10
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(pinned)
    assert all("--hash=sha256:" in entry for entry in entries)
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert all("integrity" in each for path, each in packages.items() if path)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_no_pin_is_known_to_be_unsafe(name: str) -> None:
    pinned = advisories.pins((ROOT / name).read_text())
    assert not advisories.below_mended(pinned)
    assert len({name for name, _ in pinned} & advisories.MENDED.keys()) >= 5, "what is held to it is there"


def test_an_old_pin_is_found() -> None:
    assert [each.name for each in advisories.below_mended([Pin("aiohttp", "3.9.1"), Pin("jinja2", "3.1.6")])] == [
        "aiohttp"
    ]


def test_what_the_index_tells_is_read() -> None:
    told: dict[str, Any] = {
        "vulnerabilities": [{"id": "A-1", "summary": "bad"}, {"id": "A-2", "withdrawn": "2026-01-01", "summary": "no"}]
    }
    assert list(advisories.findings([Pin("x", "1.0")], lambda *_: told)) == [Finding("x", "1.0", "A-1: bad")]
    assert list(advisories.findings([Pin("x", "1.0")], lambda *_: {"vulnerabilities": []})) == []


@pytest.mark.parametrize("answer", [None, {}, [], "", {"vulnerabilities": None}])
def test_an_index_that_tells_nothing_is_said_to(answer: Any) -> None:
    (line,) = advisories.findings([Pin("x", "1.0"), Pin("y", "2.0")], lambda *_: answer)
    assert "tells nothing" in str(line)


class Index:
    """A package index that speaks the JSON API, and knows something of two packages."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.known: dict[str, Any] = {
            "jinja2/3.1.3": {"info": {"name": "Jinja2", "version": "3.1.3"}, "vulnerabilities": [KNOWN]},
            "msgspec/0.22.0": {"info": {"name": "msgspec", "version": "0.22.0"}, "vulnerabilities": []},
            "pyjwt/2.10.1": {"info": {"name": "PyJWT", "version": "2.10.1"}, "vulnerabilities": [WITHDRAWN]},
            "mirrored/1.0": {"info": {"name": "mirrored", "version": "1.0"}},
        }

    async def answer(self, request: web.Request) -> web.Response:
        asked = f"{request.match_info['name']}/{request.match_info['version']}"
        self.asked.append(asked)
        known = self.known.get(asked)
        return web.json_response({"message": "Not Found"}, status=404) if known is None else web.json_response(known)


@pytest.fixture
async def index() -> AsyncIterator[tuple[Index, str]]:
    """The index, and its address."""
    serving, app = Index(), web.Application()
    app.router.add_get("/pypi/{name}/{version}/json", serving.answer)
    async with TestServer(app) as server:
        yield serving, str(server.make_url("/pypi"))


async def advise(address: str, path: Path, *pinned: str) -> tuple[int | None, list[str]]:
    """What `make advisories` does, as a process of its own; returns its status and its lines."""
    path.write_text("".join(f"{pin} \\\n    --hash=sha256:0\n" for pin in pinned))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.advisories", "--index", address, str(path)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode().splitlines()


async def test_an_advisory_of_the_index_is_reported_and_fails(index: tuple[Index, str], tmp_path: Path) -> None:
    serving, address = index
    pinned = ("msgspec==0.22.0", "jinja2==3.1.3", "pyjwt==2.10.1", "mirrored==1.0", "unheard-of==1.0")
    status, said = await advise(address, tmp_path / "requirements.txt", *pinned)
    assert serving.asked == [pin.replace("==", "/") for pin in pinned]
    assert status == 1
    reported = [line for line in said if "GHSA-" in line]
    assert reported == [f"jinja2 3.1.3: GHSA-h75v-3vvj-5mfj: {KNOWN['details']}"]
    assert "jinja2 3.1.3: CVE-2025-27516: a way out of the sandbox" in said, "what is written here is compared as well"
    assert "The package index tells nothing of: mirrored, unheard-of." in said


async def test_pins_without_an_advisory_pass(index: tuple[Index, str], tmp_path: Path) -> None:
    _, address = index
    status, said = await advise(address, tmp_path / "requirements.txt", "msgspec==0.22.0", "pyjwt==2.10.1")
    assert (status, said) == (0, ["No pin of 2 is known to be unsafe."])


async def test_an_index_that_is_not_there_is_said_to_be_silent(unused_tcp_port: int, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{unused_tcp_port}/pypi"
    status, said = await advise(address, tmp_path / "requirements.txt", "aiohttp==3.9.1", "msgspec==0.22.0")
    assert status == 1, "what is written here is compared all the same"
    assert said[0].startswith("aiohttp 3.9.1: CVE-2025-69223")
    assert said[1].startswith("The package index tells nothing of advisories here")

"""Static files: read once, named after their content, served as what they are."""

from __future__ import annotations

import gzip
import os
import re
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from chatzilla.errors import NotFound, StartError
from chatzilla.web.assets import CLIENT, Assets, lightened, shipped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiohttp.typedefs import Handler

Browser = TestClient[web.Request, web.Application]

SCRIPT = b"export const greeting = 'hello';\n" * 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small `static/`, the browser's client included."""
    files = {CLIENT: b"// client", "js/main.js": SCRIPT, "css/chat.css": b"a{}", "img/a.png": b"\x89PNG"}
    for name, body in files.items():
        (tmp_path / "static" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "static" / name).write_bytes(body)
    return tmp_path / "static"


@pytest.fixture
async def http(folder: Path) -> AsyncIterator[Browser]:
    """A client of an application that serves `folder` and nothing else; it does not unpack what it gets."""
    app = web.Application()
    app.router.add_get("/static/{version}/{name:.+}", _refusing(Assets(folder)))
    async with TestClient(TestServer(app), auto_decompress=False, skip_auto_headers=("Accept-Encoding",)) as client:
        yield client


def test_without_the_browsers_client_the_operator_is_told_what_to_run(folder: Path) -> None:
    (folder / CLIENT).unlink()
    with pytest.raises(StartError) as refused:
        Assets(folder)
    line = str(refused.value)
    assert str(folder / "vendor") in line
    assert "`make setup`" in line
    assert "`npm ci --omit=dev`" in line
    assert "\n" not in line


def test_the_version_changes_with_any_byte_and_any_name(folder: Path) -> None:
    first = Assets(folder).version
    assert Assets(folder).version == first
    (folder / "js/main.js").write_bytes(SCRIPT + b"\n")
    second = Assets(folder).version
    (folder / "js/main.js").rename(folder / "js/other.js")
    third = Assets(folder).version
    (folder / "js/added.js").touch()
    assert len({first, second, third, Assets(folder).version}) == 4


def test_the_version_does_not_change_with_a_date(folder: Path) -> None:
    """Two machines with the same files serve them under the same addresses."""
    first = Assets(folder).version
    os.utime(folder / "js/main.js", (0, 0))
    assert Assets(folder).version == first


def test_comments_types_and_indentation_stay_at_home_and_lines_stay_where_they_are() -> None:
    script = """// What it is for.
import { a } from "./a.js";

/**
 * @param {string} b  https://example.com/*
 */
export function c(b) { // why
  // reason
  /** @type {string} */
  const d = `${b} // no comment`;
  /** @type {string} */ (d).at(0);
  return d /* inline */ + "/**/" + /\\/\\*/u;
}
"""
    light = lightened(script)
    assert light.count("\n") == script.count("\n")
    kept = {at: line for at, line in enumerate(light.splitlines()) if line}
    assert kept == {
        1: 'import { a } from "./a.js";',
        6: "export function c(b) { // why",
        9: "const d = `${b} // no comment`;",
        10: "(d).at(0);",
        11: 'return d /* inline */ + "/**/" + /\\/\\*/u;',
        12: "}",
    }


def test_nothing_but_comments_and_types_is_left_out_of_our_scripts() -> None:
    for path in sorted(shipped("static").glob("js/**/*.js")):
        script = path.read_text()
        lines = [
            (line.strip(), left) for line, left in zip(script.splitlines(), lightened(script).splitlines(), strict=True)
        ]
        gone = [line for line, left in lines if line and not left]
        assert gone
        assert all(line.startswith(("// ", "/** ", "/**", "* ", "*/")) or line in {"*", "//"} for line in gone), path
        assert all(left == re.sub(r"/\*\* @\w+ [^`]*?\*/ ?", "", line) for line, left in lines if left), path
        assert "\n//" not in re.sub(r"`[^`]*`", "", lightened(script)), path
        for text in re.findall(r"`[^`]*`", lightened(script)):
            assert "\n" not in text, f"{path}: a text over several lines could hold what looks like a comment"


def test_a_template_that_asks_for_a_file_that_is_not_there_is_wrong(folder: Path) -> None:
    assets = Assets(folder)
    assert assets.url("js/main.js") == f"/static/{assets.version}/js/main.js"
    with pytest.raises(KeyError):
        assets.url("js/gone.js")


def test_types_and_maps_are_not_served(folder: Path) -> None:
    """What only developers' tools read stays at home, and does not change the version."""
    first = Assets(folder).version
    (folder / "js/main.d.ts").touch()
    (folder / "js/main.js.map").touch()
    assets = Assets(folder)
    assert assets.version == first
    with pytest.raises(KeyError):
        assets.url("js/main.d.ts")


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("js/main.js", "text/javascript; charset=utf-8"),
        ("css/chat.css", "text/css; charset=utf-8"),
        ("img/a.png", "image/png"),
    ],
)
async def test_a_file_is_served_as_what_it_is_and_for_ever(
    http: Browser, folder: Path, name: str, content_type: str
) -> None:
    answer = await http.get(Assets(folder).url(name))
    assert (answer.status, answer.headers["Content-Type"]) == (200, content_type)
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert await answer.read() == (folder / name).read_bytes()


@pytest.mark.parametrize(
    ("accepted", "zipped"),
    [("gzip, deflate, br", True), ("gzip;q=0.5", True), (None, False), ("br", False), ("identity", False)],
)
async def test_text_travels_compressed_where_the_browser_takes_it(
    http: Browser, folder: Path, accepted: str | None, zipped: bool
) -> None:
    headers = {"Accept-Encoding": accepted} if accepted else {}
    answer = await http.get(Assets(folder).url("js/main.js"), headers=headers)
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert (answer.headers.get("Content-Encoding") == "gzip") is zipped
    body = await answer.read()
    assert (gzip.decompress(body) if zipped else body) == SCRIPT


async def test_who_refuses_gzip_is_not_sent_it(http: Browser, folder: Path) -> None:
    """A weight of zero means no (RFC 9110, 12.5.3)."""
    answer = await http.get(Assets(folder).url("js/main.js"), headers={"Accept-Encoding": "gzip;q=0, identity"})
    assert "Content-Encoding" not in answer.headers
    assert await answer.read() == SCRIPT


async def test_a_picture_is_not_compressed_twice(http: Browser, folder: Path) -> None:
    answer = await http.get(Assets(folder).url("img/a.png"), headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in answer.headers


async def test_another_version_is_not_answered_with_this_one(http: Browser, folder: Path) -> None:
    """A page of an older release must not mix its files with newer ones."""
    assert (await http.get("/static/0123456789ab/js/main.js")).status == 404
    assert (await http.get(f"/static/{Assets(folder).version}/js/none.js")).status == 404


def test_a_checkout_ships_its_own_folders() -> None:
    for folder in ("static", "templates"):
        assert shipped(folder).is_dir()


def _refusing(assets: Assets) -> Handler:
    """The errors' middleware in small."""

    async def handle(request: web.Request) -> web.Response:
        try:
            return await assets.serve(request)
        except NotFound as error:
            raise web.HTTPNotFound from error

    return handle

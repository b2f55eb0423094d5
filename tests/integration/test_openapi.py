"""The document and the server agree: by their routes, and by a fuzzer that reads the one and attacks the other."""

from __future__ import annotations

import asyncio
import re
import sys
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import pytest

from chatzilla.app import HOUSE, REFERENCE, create_app
from chatzilla.config import Config
from chatzilla.core.policy import Role
from tests.helpers.people import town
from tests.helpers.servers import serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.people import Person
    from tests.helpers.servers import Server

DOCUMENT: Final = "/api/v1/openapi.json"
UNDESCRIBED: Final = {"/api/v1/", DOCUMENT}
"""What is about the API."""

FUZZER: Final = """
[parameters]
"path.secret" = "{secret}"

[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 503]  # documented: a bound is reached

[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 409, 413, 415, 429, 503]

[checks.positive_data_acceptance]  # 400: there are rules that no schema says, such as that a name shows something
expected-statuses = ["2xx", 400, 401, 403, 404, 409, 413, 415, 429, 503]
"""

ENDING: Final = ("sign_out", "end_sign_ins", "end_sign_in", "end_token")

SECONDS: Final = 300.0
"""How long the fuzzer may take on a machine that is busy; alone it takes a twentieth."""

SUCCEED: Final = {
    "GET /api/v1/me",
    "GET /api/v1/links",
    "POST /api/v1/links",
    "GET /api/v1/sign-ins",
    "GET /api/v1/rooms",
    "POST /api/v1/rooms",
    "GET /api/v1/rooms/{room}",
    "PATCH /api/v1/rooms/{room}",
    "GET /api/v1/rooms/{room}/members",
    "GET /api/v1/people",
    "GET /api/v1/rooms/{room}/messages",
    "POST /api/v1/rooms/{room}/messages",
    "GET /api/v1/messages/{id}",
    "GET /api/v1/tokens",
    "POST /api/v1/tokens",
    "GET /api/v1/bots",
    "POST /api/v1/bots",
    "GET /api/v1/hooks",
    "POST /api/v1/hooks",
    "POST /hooks/{secret}",
}
"""What has to have been allowed at least once: a fuzzer that is only ever refused has tried nothing."""


async def document_of(server: Server) -> dict[str, Any]:
    async with aiohttp.ClientSession() as http, http.get(server.url + DOCUMENT) as answer:
        assert answer.content_type == "application/json"
        return dict(await answer.json())


def test_every_route_is_in_the_document_and_the_other_way_round(tmp_path: Path) -> None:
    app = create_app(Config(data=tmp_path / "data"))
    try:
        routes = {
            (route.resource.canonical, route.method)
            for route in app.router.routes()
            if route.resource is not None and route.method != "HEAD"
            if route.resource.canonical.startswith(("/api/v1/", "/hooks/"))
        }
        document = app[REFERENCE].document
    finally:
        app[HOUSE].database.close()
    described = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    assert described == {route for route in routes if route[0] not in UNDESCRIBED}
    assert {path for path, _ in routes} >= UNDESCRIBED


async def test_the_document_is_whole(server: Server) -> None:
    """Every reference leads somewhere, every shape is used, every operation has words and a name of its own."""
    document = await document_of(server)
    assert document["openapi"].startswith("3.1.")
    shapes = document["components"]["schemas"]
    referred = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert referred == set(shapes)
    operations = [each for methods in document["paths"].values() for each in methods.values()]
    assert len({each["operationId"] for each in operations}) == len(operations)
    for each in operations:
        assert each["summary"].endswith("."), each["operationId"]
        assert any(status < "300" for status in each["responses"]), each["operationId"]
        refusals = [answer for status, answer in each["responses"].items() if status >= "400"]
        assert all("application/problem+json" in answer["content"] for answer in refusals)


async def fuzz(server: Server, person: Person, config: Path, *which: str) -> None:
    """Let the fuzzer loose on some operations; it has to find nothing."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", server.url + DOCUMENT),
        *("--no-color", "--continue-on-failure", "--phases", "examples,coverage,fuzzing"),
        *("--generation-deterministic", "--max-examples", "10"),
        *("-H", f"Authorization: Bearer {person.token}", *which),
        cwd=config.parent,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(program.communicate(), SECONDS)
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    assert program.returncode == 0, said.decode()


async def test_a_fuzzer_finds_the_server_to_be_as_the_document_says(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No 500, no answer and no refusal that the document does not have, and nothing taken that it forbids."""
    caplog.set_level("INFO")
    config = tmp_path / "schemathesis.toml"
    settings: dict[str, Any] = {"sign_in": "links", "message_rate": 0.0, "call_rate": 0.0}
    async with serving(tmp_path / "data", **settings) as server, town(server) as place:
        house = server.house
        for tries in (
            house.tries,
            house.hook_tries,
            house.directory._tries,
            house.directory.vain,
            house.sign_ins._tries,
        ):
            tries._at_most = 1_000_000  # else the fuzzer's vain tries would be all that it sees
        olga = await place.enters("Olga", Role.OWNER)
        assert (await olga.ask("POST", "rooms/lobby/messages", {"content": "hello"}))[0] == 201
        status, hook = await olga.ask("POST", "hooks", {"name": "CI", "room": "lobby"})
        assert status == 201
        config.write_text(FUZZER.format(secret=hook["url"].rpartition("/")[2]))
        await fuzz(server, olga, config, *(f"--exclude-operation-id={each}" for each in ENDING))
        # These may end the sign-in by which the fuzzer is let in, so they come last.
        await fuzz(server, olga, config, *(f"--include-operation-id={each}" for each in ENDING))
        document = await document_of(server)
    lines = re.findall(r": (GET|POST|PATCH|PUT|DELETE) (/\S*) (\d{3})$", caplog.text, re.MULTILINE)
    succeeded = {f"{method} {template_of(document, path)}" for method, path, status in lines if status < "300"}
    assert succeeded >= SUCCEED, SUCCEED - succeeded


def template_of(document: dict[str, Any], path: str) -> str:
    """Which path of the document a request was for; the log hides secrets."""
    for template in document["paths"]:
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            return str(template)
    return path

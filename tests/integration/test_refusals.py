"""What every refusal has: the form of a problem for programs, and a time where another try makes sense."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import aiohttp
import pytest
from yarl import URL

from chatzilla.core.by_mail import RETRY_SECONDS
from chatzilla.core.tries import TRIES
from chatzilla.web.contract import BODY_LIMIT
from tests.helpers.callers import Caller
from tests.helpers.clients import Client
from tests.helpers.clock import ManualClock
from tests.helpers.mailed import DOMAIN, mail_town
from tests.helpers.people import Town, town
from tests.helpers.servers import Server, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PROBLEM: Final = "application/problem+json"
BROWSER: Final = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
QUARTER: Final = 900
"""Seconds for which tries are counted."""


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Town]:
    async with serving(tmp_path / "data", sign_in="links") as server, town(server) as found:
        yield found


async def refusal(server: Server, method: str, path: str, **options: Any) -> tuple[int, dict[str, Any]]:
    """Ask as a browser would, and see that it is a problem all the same."""
    options["headers"] = BROWSER | options.get("headers", {})
    url = URL(server.url + path, encoded=True)
    async with aiohttp.ClientSession() as http, http.request(method, url, **options) as answer:
        body = await answer.read()
        assert answer.headers["Content-Type"] == PROBLEM, (method, path, answer.status)
        assert answer.headers["Cache-Control"] == "no-store"
        problem = json.loads(body) if body else {}
        assert method == "HEAD" or problem.keys() >= {"title", "status", "detail", "code"}
        assert problem.get("status", answer.status) == answer.status
        return answer.status, problem


class TestProblems:
    """Below `/api`, and where programs ask: whatever is refused, and whatever they take."""

    async def test_what_is_not_there(self, server: Server) -> None:
        for path in ("/api", "/api/", "/api/v1", "/api/v2/me", "/api/v1/nothing", "/api/v1/me/x", "/openvidu/api"):
            for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"):
                status, problem = await refusal(server, method, path)
                assert (status, problem.get("code", "not-found")) == (404, "not-found"), (method, path)

    async def test_what_nothing_can_be_called(self, place: Town) -> None:
        alice = await place.enters("Alice")
        headers = {"Authorization": f"Bearer {alice.token}"}
        for path in ("/api/v1/%ff", "/api/v1/%00", "/api/v1/rooms/%2e%2e%2f", "/api/v1/messages/a%0d%0ab"):
            status, problem = await refusal(place.server, "GET", path, headers=headers)
            assert (status, problem["code"]) == (404, "not-found"), path

    async def test_a_method_that_is_none_here_is_told_those_that_are(self, server: Server) -> None:
        routes: dict[str, set[str]] = {}
        for resource in server.runner.app.router.resources():
            if resource.canonical.startswith(("/api/", "/hooks/", "/openvidu/", "/session/", "/login", "/chat")):
                routes.setdefault(resource.canonical, set()).update(route.method for route in resource)
        assert len(routes) > 30
        for path, methods in routes.items():
            asked = re.sub(r"{\w+}", "nothing", path)
            status, problem = await refusal(server, "PROPFIND", asked)
            assert (status, problem["code"]) == (405, "bad-request"), path
            async with aiohttp.ClientSession() as http, http.request("PROPFIND", server.url + asked) as answer:
                assert set(answer.headers["Allow"].split(",")) == methods, path

    async def test_a_body_that_is_too_large_or_of_another_type(self, place: Town) -> None:
        """On every operation that takes one; the type is looked at before the body is read."""
        alice = await place.enters("Alice")
        bearer = {"Authorization": f"Bearer {alice.token}"}
        async with place.http.get(f"{place.server.url}/api/v1/openapi.json") as answer:
            document = await answer.json()
        seen = 0
        _, posted = await alice.ask("POST", "rooms/lobby/messages", {"content": "hello"})
        for path, methods in document["paths"].items():
            asked = re.sub(r"{\w+}", posted["id"] if path.startswith("/api/v1/messages") else "nothing", path)
            for method, operation in methods.items():
                if "requestBody" not in operation or path == "/hooks/{secret}":
                    continue
                seen += 1
                for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
                    headers = bearer | {"Content-Type": kind}
                    status, problem = await refusal(place.server, method.upper(), asked, headers=headers, data=b"{}")
                    assert (status, problem["code"]) == (415, "bad-request"), (method, path)
                headers = bearer | {"Content-Type": "application/json"}
                large = b" " * (BODY_LIMIT + 1)
                status, problem = await refusal(place.server, method.upper(), asked, headers=headers, data=large)
                assert (status, problem["code"]) == (413, "too-long"), (method, path)
                assert {"413", "415"} <= operation["responses"].keys()
        assert seen > 10

    async def test_an_expectation_that_nobody_meets(self, server: Server) -> None:
        """This is refused before there is any route, and so in plain text."""
        parts = urlsplit(server.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(b"POST /api/v1/links HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\nContent-Length: 2\r\n\r\n{}")
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.close()
        assert head.startswith("HTTP/1.1 417 ")
        assert "X-Content-Type-Options: nosniff" in head


class TestRetryAfter:
    """A 429 or 503 says when, exactly where that is known; then it is as it says."""

    async def test_a_rate_says_when_there_will_be_room(self, tmp_path: Path) -> None:
        clock = ManualClock()
        async with (
            serving(
                tmp_path / "data",
                clock=clock,
                sign_in="links",
                message_rate=0.1,
                message_burst=2,
                call_rate=0.25,
                call_burst=1,
            ) as server,
            town(server) as place,
        ):
            alice = await place.enters("Alice")
            for path, body, burst, seconds in (
                ("/api/v1/rooms/lobby/messages", {"content": "hello"}, 2, 10),
                ("/api/v1/people", None, 1, 4),
            ):
                method = "POST" if body else "GET"
                headers = {"Authorization": f"Bearer {alice.token}"}

                async def ask(
                    method: str = method, path: str = path, body: object = body, headers: dict[str, str] = headers
                ) -> tuple[int, str | None]:
                    async with place.http.request(method, server.url + path, json=body, headers=headers) as answer:
                        return answer.status, answer.headers.get("Retry-After")

                for _ in range(burst):
                    status, after = await ask()
                    assert (status < 300, after) == (True, None)
                assert await ask() == (429, str(seconds))
                clock.advance(seconds - 0.5)
                assert await ask() == (429, "1")
                clock.advance(0.5)
                assert (await ask())[0] < 300

    async def test_vain_tries_say_when_the_next_one_is_judged(self, tmp_path: Path) -> None:
        """With tokens, links, hooks and the secret of applications, each in a form of its own."""
        clock = ManualClock()
        async with serving(
            tmp_path / "data", clock=clock, sign_in="links", api_secret="s" * 40, message_rate=0.0
        ) as server:
            asked: dict[str, tuple[str, str, dict[str, Any]]] = {
                "a token": ("GET", "/api/v1/me", {"headers": {"Authorization": "Bearer wrong"}}),
                "a link": ("GET", "/in/wrong", {}),
                "a hook": ("POST", f"/hooks/{'x' * 22}", {"data": b"hello"}),
                "a secret": (
                    "POST",
                    "/api/sessions",
                    {"headers": {"Authorization": aiohttp.encode_basic_auth("a", "b")}},
                ),
                "a signature": ("POST", "/session/create", {"headers": {"X-OPENTOK-AUTH": "wrong"}}),
            }
            async with aiohttp.ClientSession(server.url) as http:

                async def ask(what: str) -> tuple[int, str | None]:
                    method, path, options = asked[what]
                    async with http.request(method, path, **options) as answer:
                        return answer.status, answer.headers.get("Retry-After")

                for what in asked:
                    if what == "a signature":
                        assert await ask(what) == (429, str(QUARTER - 1)), "it is counted with the secret"
                        continue
                    for _ in range(TRIES):
                        status, after = await ask(what)
                        assert (status in (401, 404), after) == (True, None), what
                    clock.advance(1)
                    assert await ask(what) == (429, str(QUARTER - 1)), what
                clock.advance(QUARTER)
                for what in asked:
                    assert (await ask(what))[0] in (401, 403, 404), what

    async def test_mails_say_the_same_whoever_asked_before(self, tmp_path: Path) -> None:
        """Else a stranger could learn how often somebody else asks for their mails."""
        clock = ManualClock()
        async with mail_town(tmp_path / "data", clock=clock) as place:
            browser = await place.browser()
            told = set()
            for who in ("alice", "bob"):
                while True:
                    headers = {"Origin": place.server.url}
                    async with browser.http.post("/in", data={"email": f"{who}@{DOMAIN}"}, headers=headers) as answer:
                        if answer.status == 429:
                            told.add(answer.headers["Retry-After"])
                            break
                    clock.advance(7)
            assert told == {str(int(RETRY_SECONDS))}

    async def test_a_server_that_cannot_store_says_when_to_try_again(self, server: Server) -> None:
        client = await Client(server.url).connect(auth={"dialect": "full"})
        await client.joins(name="Ann")
        with closing(sqlite3.connect(server.house.database.path, isolation_level=None)) as stranger:
            stranger.execute("BEGIN IMMEDIATE")
            draft = {"room": "lobby", "client_id": "1", "content": "hello"}
            accepted, refused = await client.call("message", draft)
            assert (accepted, refused["code"], refused["retry_after"]) == (False, "unavailable", 5)
            async with aiohttp.ClientSession(server.url) as http:
                bearer = {"Authorization": f"Bearer {client.you['token']}"}
                for path, options in (
                    ("/chat", {"data": "hello"}),
                    ("/api/v1/rooms/lobby/messages", {"json": {"content": "hello"}}),
                ):
                    async with http.post(path, headers=bearer, **options) as answer:
                        assert (answer.status, answer.headers["Retry-After"]) == (503, "5"), path
                async with http.get("/healthz") as answer:
                    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            stranger.execute("ROLLBACK")
        await client.close()

    async def test_connections_are_told_too(self, tmp_path: Path) -> None:
        """At the handshake by the header, and later in the refusal, where its shape has room for it."""
        clock = ManualClock()
        settings: dict[str, Any] = {"message_rate": 0.2, "message_burst": 1, "connections_per_address": 2}
        async with serving(tmp_path / "data", clock=clock, **settings) as server:
            full = await Client(server.url).connect(auth={"dialect": "full"})
            await full.joins(name="Ann")
            await full.says("lobby", "hello")
            draft = {"room": "lobby", "client_id": "2", "content": "again"}
            accepted, refused = await full.call("message", draft)
            assert (accepted, refused["code"], refused["retry_after"]) == (False, "too-fast", 5)
            simple = await Client(server.url).connect()
            await simple.call("join", "bob@example.com")
            await simple.call("message", "hello")
            accepted, refused = await simple.call("message", "again")
            assert (accepted, isinstance(refused, str)) == (False, True), "the tutorial's refusals stay sentences"
            async with aiohttp.ClientSession(server.url) as http:
                for transport in ("polling", "websocket"):
                    async with http.get(f"/socket.io/?EIO=4&transport={transport}") as answer:
                        assert (answer.status, answer.headers["Retry-After"]) == (429, "30")
            await full.close()
            await simple.close()

    async def test_a_connection_that_may_not_enter_learns_when(self, tmp_path: Path) -> None:
        clock = ManualClock()
        async with serving(tmp_path / "data", clock=clock, sign_in="links") as server:
            codes = [await Caller(server.url).refused(token="wrong") for _ in range(TRIES)]
            assert set(codes) == {"sign-in"}
            caller = Caller(server.url)
            assert await caller.refused(token="wrong") == "too-fast"
            assert (await caller.refusal)["data"]["retry_after"] == QUARTER

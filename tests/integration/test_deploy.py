"""Deployed as a platform deploys: a clean clone, pinned dependencies, the Procfile, and a router that ends TLS."""

from __future__ import annotations

import os
import re
import socket
import sqlite3
import sys
import time
import uuid
from contextlib import AsyncExitStack, closing
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.helpers import installs
from tests.helpers.clients import Client
from tests.helpers.tls_proxy import Certificate, tls_proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.helpers.installs import Command

VISITOR = "127.0.0.2"
"""Where people come from. Not where the router itself connects from, so that the log cannot be right by chance."""


class Platform:
    """Runs the Procfile's `web`; what is in `data` outlives the process."""

    def __init__(self, checkout: Path, venv: Path, data: Path) -> None:
        self._checkout = checkout
        self._data = data
        self._environ = {
            "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PORT": str(_free_port()),
            "CHATZILLA_DATA": str(data),
        }
        self.port = int(self._environ["PORT"])
        self.command = self.start()

    def start(self) -> Command:
        honcho = [sys.executable, "-m", "honcho", "start", "--no-colour"]
        self.command = installs.Command(honcho, cwd=self._checkout, environ=self._environ)
        self.command.says(rf"Chatzilla is at http://127\.0\.0\.1:{self.port}$")
        return self.command

    def ended_cleanly(self) -> bool:
        """Whether the last server wrote down that everything acknowledged is in the database."""
        with closing(sqlite3.connect(self._data / "chatzilla.db")) as database:
            (value,) = database.execute("SELECT value FROM facts WHERE name = 'open'").fetchone()
            return bool(value == "")

    def close(self) -> None:
        if self.command.runs:
            self.command.stop()


class Visitors:
    """People at the far side of the router."""

    def __init__(self, url: str, certificate: Certificate, stack: AsyncExitStack) -> None:
        self.url = url
        self._stack = stack
        self._certificate = certificate

    async def http(self) -> aiohttp.ClientSession:
        """An HTTP client that checks the certificate and remembers no cookies."""
        connector = aiohttp.TCPConnector(
            ssl=self._certificate.trusted(), local_addr=(VISITOR, 0), family=socket.AF_INET, force_close=True
        )
        session = aiohttp.ClientSession(self.url, connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return await self._stack.enter_async_context(session)

    async def chats(self, transport: str = "websocket") -> Client:
        """A Socket.IO client in the full dialect, as our own page is one."""
        http = await self.http()
        client = Client(self.url, http_session=http)
        await client.connect(transports=(transport,), headers={"Origin": self.url}, auth={"dialect": "full"})

        async def leave() -> None:
            # As a browser does; the library would wait until its last request, or an idle writer, times out.
            reading, queue = client.sio.eio.read_loop_task, client.sio.eio.queue
            await client.sio.eio.disconnect(abort=True)
            await queue.put(None)
            await http.close()
            await reading

        self._stack.push_async_callback(leave)
        return client


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One deployment for this module."""
    checkout = installs.prepared_clone(tmp_path_factory)
    data = tmp_path_factory.mktemp("volume") / "data"
    running = Platform(checkout, installs.dependencies(tmp_path_factory), data)
    yield running
    running.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.make(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
async def visitors(platform: Platform, certificate: Certificate) -> AsyncIterator[Visitors]:
    async with tls_proxy(platform.port, certificate) as url, AsyncExitStack() as stack:
        yield Visitors(url, certificate, stack)


async def test_the_page_opens_over_https(visitors: Visitors) -> None:
    async with (await visitors.http()).get("/") as answer:
        assert answer.status == 200
        assert "Welcome to Chatzilla" in await answer.text()


@pytest.mark.parametrize(("speaker", "listener"), [("websocket", "polling"), ("polling", "websocket")])
async def test_people_on_either_transport_hear_each_other(visitors: Visitors, speaker: str, listener: str) -> None:
    alice, bob = await visitors.chats(speaker), await visitors.chats(listener)
    await alice.joins("deployed", name="alice")
    await bob.joins("deployed", name="bob")
    said = [f"{speaker} {number} {uuid.uuid4()}" for number in range(5)]
    for content in said:
        await alice.says("deployed", content)
    assert [(await bob.hears())["content"] for _ in said] == said
    assert (alice.sio.transport(), bob.sio.transport()) == (speaker, listener)


@pytest.mark.parametrize("origin", ["http://{host}", "https://elsewhere.example", "https://{host}.example", "null"])
async def test_a_page_of_another_origin_cannot_connect(visitors: Visitors, origin: str) -> None:
    host = visitors.url.removeprefix("https://")
    headers = {"Origin": origin.format(host=host)}
    http = await visitors.http()
    async with http.get("/socket.io/?EIO=4&transport=polling", headers=headers) as answer:
        assert answer.status in (400, 403)
        assert "Access-Control-Allow-Origin" not in answer.headers
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect("/socket.io/?EIO=4&transport=websocket", headers=headers)
    assert refused.value.status in (400, 403)


async def test_the_log_names_the_address_that_the_router_saw(visitors: Visitors, platform: Platform) -> None:
    """A visitor may write an X-Forwarded-For of their own; the router appends, and only that entry counts."""
    forged = {"X-Forwarded-For": "198.51.100.66, 198.51.100.67"}
    room = f"log-{uuid.uuid4().hex}"
    http = await visitors.http()
    async with http.get(f"/r/{room}", headers=forged) as answer:
        assert answer.status == 200
    assert platform.command.says(rf"from (\S+): GET /r/{room} 200")[1] == VISITOR
    url = "/socket.io/?EIO=4&transport=websocket"
    async with http.ws_connect(url, headers=forged | {"Origin": visitors.url}) as ws:
        assert (await ws.receive_str()).startswith("0{")
        await ws.send_str("40/chat,")
        assert (await ws.receive_str()).startswith("40/chat,")
    assert platform.command.says(r"connection \S+ to /chat from (\S+) closed")[1] == VISITOR
    assert not [line for line in platform.command.lines if "198.51.100" in line]


async def test_over_https_no_cookie_travels_in_the_clear(visitors: Visitors) -> None:
    """Nothing sets a cookie today; the browser is told to come by https alone."""
    http = await visitors.http()
    for path in ("/", "/healthz", "/nowhere", "/socket.io/?EIO=4&transport=polling"):
        async with http.get(path) as answer:
            assert "Set-Cookie" not in answer.headers, path
            assert re.match(r"max-age=[1-9]\d{6,}", answer.headers["Strict-Transport-Security"]), path


async def test_a_restart_loses_nothing_and_changes_no_number(visitors: Visitors, platform: Platform) -> None:
    """SIGTERM ends the server cleanly within five seconds, people connected; the next one continues where it was."""
    alice = await visitors.chats()
    before = await alice.joins("kept", name="alice")
    said = [(await alice.says("kept", f"message {number}"))["seq"] for number in range(20)]
    started = time.monotonic()
    status = platform.command.stop()
    assert time.monotonic() - started < installs.STOP_SECONDS
    assert status == 128 + 15, "honcho ends with the signal that it was sent"
    assert (await alice.hears("goodbye"))["reconnect"] is True
    assert "Traceback" not in "".join(platform.command.lines)
    assert platform.ended_cleanly()

    platform.start()
    again = await (await visitors.chats()).joins("kept", name="alice")
    assert [(row["seq"], row["content"]) for row in again["messages"]] == [
        (seq, f"message {number}") for number, seq in enumerate(said)
    ]
    assert again["epoch"] == before["epoch"]


def _free_port() -> int:
    """A port that a platform would assign."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])

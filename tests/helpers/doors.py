"""What the tests of other systems' doors share: a server with an application's secret, and what a token comes to."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from tests.helpers.callers import Caller
from tests.helpers.clients import Client
from tests.helpers.people import Town
from tests.helpers.servers import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from chatzilla.core.rights import Right

KEY: Final = "45678901"
SECRET: Final = "abcdef1234567890abcdef01234567890abcdef0"


def basic(user: str = "OPENVIDUAPP", secret: str = SECRET) -> dict[str, str]:
    """The header by which an application shows its secret."""
    return {"Authorization": aiohttp.encode_basic_auth(user, secret)}


JUNK: Final = (b"{", b"[1]", b'"x"', b"null", b"\xff\xfe", b'{"a":' * 2_500, b"a=b", b"[" * 10_000, b"\0")
"""Bodies that are no JSON objects."""


@dataclass
class Doors(Town):
    """A server, and what is asked at its doors."""

    async def post(self, path: str, **options: Any) -> tuple[int, str]:
        async with self.http.post(self.server.url + path, **options) as answer:
            return answer.status, await answer.text()

    async def get(self, path: str, **options: Any) -> tuple[int, str]:
        async with self.http.get(self.server.url + path, **options) as answer:
            return answer.status, await answer.text()

    def judged(self, token: str) -> Right:
        """What the one check of the doors where rooms are entered says of a token."""
        right = self.server.house.sign_ins.enters(token, "192.0.2.1").right
        assert right is not None
        return right

    async def enters_call(self, token: str, room: str) -> dict[str, Any]:
        """Enter the call of a room with a token, by a real socket, and leave; returns who one is there."""
        caller = await Caller(self.server.url).connect(token=token)
        try:
            return dict((await caller.joins(room))["participant"])
        finally:
            await caller.close()

    async def enters_chat(self, token: str, room: str) -> dict[str, Any]:
        """Enter a room with a token, by a real socket, and leave; returns who one is there."""
        client = await Client(self.server.url).connect(auth={"dialect": "full", "token": token})
        try:
            answer = await client.joins(room)
            for other in ("lobby", "elsewhere"):
                if other != room:
                    accepted, refusal = await client.call("join", {"room": other})
                    assert (accepted, refusal["code"]) == (False, "forbidden")
            return dict(answer["you"])
        finally:
            await client.close()


@asynccontextmanager
async def doors(data: Path, **settings: Any) -> AsyncIterator[Doors]:
    """Serve with the application's key and secret, unless a test sets others."""
    known: dict[str, Any] = {"api_key": KEY, "api_secret": SECRET, "message_rate": 0.0}
    async with (
        serving(data, **known | settings) as server,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
    ):
        yield Doors(server, http)

"""People of a closed server: they come in by links, and ask over HTTP."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

from chatzilla.core import links
from chatzilla.core.links import Terms
from chatzilla.core.policy import Role
from chatzilla.core.rooms import RoomId
from tests.helpers.clients import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from chatzilla.core.people import AccountId
    from tests.helpers.servers import Server


@dataclass
class Person:
    """Somebody with a token."""

    http: aiohttp.ClientSession
    url: str
    token: str
    id: AccountId
    name: str

    async def ask(self, method: str, path: str, question: object = None, **options: Any) -> tuple[int, Any]:
        """Ask `/api/v1/…`; returns the status and what was answered."""
        options.setdefault("headers", {"Authorization": f"Bearer {self.token}"})
        if question is not None:
            options["json"] = question
        async with self.http.request(method, f"{self.url}/api/v1/{path}", **options) as answer:
            body = await answer.read()
            return answer.status, (await answer.json(content_type=None) if body else None)

    async def connect(self, **auth: Any) -> Client:
        """Open a connection of the full dialect with the token."""
        return await Client(self.url).connect(auth={"dialect": "full", "token": self.token} | auth)

    async def sign_in_id(self) -> str:
        """The sign-in that the token stands for."""
        _, answer = await self.ask("GET", "sign-ins")
        (ident,) = [each["id"] for each in answer["sign_ins"] if each["current"]]
        return str(ident)


@dataclass
class Town:
    """A server, and ways into it."""

    server: Server
    http: aiohttp.ClientSession

    async def link(self, *, maker: AccountId | None = None, **terms: Any) -> tuple[str, str]:
        """Make a link without asking whether anybody may; returns its id and its secret."""
        sign_ins = self.server.house.sign_ins
        link, secret = links.drafted(sign_ins, Terms(**terms), maker=maker)
        await sign_ins.register.make_link(link, links.digest(secret), at_most=1_000)
        return link.id, secret

    async def use(self, secret: str, name: object = None, **options: Any) -> tuple[int, Any]:
        """Use a link as a program does; returns the status and what was answered."""
        question = {"secret": secret, "name": name}
        async with self.http.post(f"{self.server.url}/api/v1/sign-in", json=question, **options) as answer:
            return answer.status, await answer.json(content_type=None)

    async def enters(self, name: str, role: Role = Role.MEMBER, room: str | None = None) -> Person:
        """Let somebody in by a link."""
        _, secret = await self.link(role=role, room=None if room is None else RoomId(room))
        return await self.comes(secret, name)

    async def comes(self, secret: str, name: str | None = None) -> Person:
        """Somebody comes in by a link that exists."""
        status, answer = await self.use(secret, name)
        assert status == 201, answer
        you = answer["you"]
        return Person(self.http, self.server.url, you["token"], you["id"], you["name"])


@asynccontextmanager
async def town(server: Server) -> AsyncIterator[Town]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield Town(server, http)

"""Browsers without windows that sign in by mail."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import aiohttp

from tests.helpers.post_office import PostOffice, post_office
from tests.helpers.servers import Server, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

DOMAIN: Final = "corp.example"
"""Whoever has an address there may come in."""

SENDER: Final = "Chatzilla <chat@chat.example.com>"


class Answer(NamedTuple):
    status: int
    text: str
    location: str


@dataclass
class Surfer:
    """A browser with cookies of its own, which says where its forms come from."""

    http: aiohttp.ClientSession
    url: str

    async def asks(self, address: str, **fields: str) -> Answer:
        """Type an email address and press the button."""
        return await self.posts("/in", {"email": address, **fields})

    async def opens(self, link: str, **options: Any) -> Answer:
        return await self._send("GET", link, **options)

    async def presses(self, link: str, name: str | None = None) -> Answer:
        """Press the button on the page of a link."""
        return await self.posts(link, {} if name is None else {"name": name})

    async def posts(self, path: str, form: dict[str, str], **headers: str) -> Answer:
        return await self._send("POST", path, data=form, headers={"Origin": self.url} | headers)

    async def me(self) -> dict[str, Any] | None:
        """Who is signed in, if anybody is."""
        async with self.http.get("/api/v1/me") as answer:
            return dict((await answer.json())["you"]) if answer.status == 200 else None

    async def _send(self, method: str, path: str, **options: Any) -> Answer:
        headers = {"Accept": "text/html"} | options.pop("headers", {})
        path = path.removeprefix(self.url)
        async with self.http.request(method, path, headers=headers, allow_redirects=False, **options) as answer:
            return Answer(answer.status, await answer.text(), answer.headers.get("Location", ""))


@dataclass
class MailTown:
    """A server into which people come by mail."""

    server: Server
    office: PostOffice
    stack: AsyncExitStack

    async def browser(self) -> Surfer:
        jar = aiohttp.CookieJar(unsafe=True)  # to an address, without a name
        http = await self.stack.enter_async_context(aiohttp.ClientSession(self.server.url, cookie_jar=jar))
        return Surfer(http, self.server.url)

    async def enters(self, address: str, name: str | None = None, browser: Surfer | None = None) -> Surfer:
        """Sign in by mail, from the first form to the last."""
        browser = browser or await self.browser()
        assert (await browser.asks(address)).status == 200
        link = (await self.office.next()).link
        assert (await browser.opens(link)).status == 200
        answer = await browser.presses(link, name)
        assert answer.status == 303, answer.text
        return browser


@asynccontextmanager
async def mail_town(data: Path, *, domains: tuple[str, ...] = (DOMAIN,), **settings: Any) -> AsyncIterator[MailTown]:
    """A post office and a server that uses it."""
    async with post_office() as office, AsyncExitStack() as stack:
        settings.setdefault("smtp_url", f"smtp+plain://127.0.0.1:{office.port}")
        server = await stack.enter_async_context(
            serving(data, sign_in="email", mail_from=SENDER, mail_domains=domains, **settings)
        )
        yield MailTown(server, office, stack)

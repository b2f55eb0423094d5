"""Tokens of the systems that calls were written for, from their own doors: each leads its person into the call, by the
page alone, with name and number, to be seen or only to watch."""

from __future__ import annotations

import asyncio
import json
import warnings
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

import pytest
import pytest_asyncio

from tests.helpers.call_tabs import CallTab
from tests.helpers.doors import KEY, SECRET, Doors, doors

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # they warn of their own parts
    from opentok import Client, Roles
    from twilio.jwt.access_token import AccessToken
    from twilio.jwt.access_token.grants import VideoGrant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from playwright.async_api import Browser, ViewportSize

    from tests.browser.conftest import Browsers

SMALL: Final[ViewportSize] = {"width": 900, "height": 560}


class House(NamedTuple):
    """A server with an application's secret, and a browser."""

    doors: Doors
    chromium: Browser


class Session(NamedTuple):
    """What an application of some kind knows of its call: how it is called, and how one gets a token for a person."""

    name: str
    token: Callable[[str], Awaitable[str]]
    watcher: Callable[[str], Awaitable[str]] | None = None


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(browsers: Browsers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with doors(tmp_path_factory.mktemp("seeds") / "data") as found:
        yield House(found, await browsers.of_calls())


async def login(where: Doors) -> Session:
    """Flask and Twilio's page: a name for a token, for the lobby."""

    async def token(name: str) -> str:
        status, text = await where.post("/login", data=json.dumps({"username": name}))
        assert status == 200
        return str(json.loads(text)["token"])

    return Session("lobby", token)


async def twilio(where: Doors) -> Session:
    """Twilio's helper, in the tutorial's own server: it asks nobody."""

    async def token(name: str) -> str:
        access = AccessToken("AC0", KEY, SECRET, identity=name, grants=[VideoGrant(room="My Room")])
        return str(access.to_jwt())

    return Session("My Room", token)


async def openvidu(where: Doors) -> Session:
    """OpenVidu's routes, as its basic pages ask for them."""
    status, session = await where.post("/api/sessions", json={"customSessionId": "SessionA"})
    assert (status, session) == (200, "SessionA")

    async def connection(name: str, **wishes: str) -> str:
        wish = {"data": json.dumps({"clientData": name})} | wishes
        status, token = await where.post(f"/api/sessions/{session}/connections", json=wish)
        assert status == 200
        return token

    return Session(session, connection, lambda name: connection(name, role="SUBSCRIBER"))


async def opentok(where: Doors) -> Session:
    """OpenTok's SDK: the session is asked for, tokens are signed at home."""
    client = Client(KEY, SECRET, api_url=where.server.url)
    session = str((await asyncio.to_thread(client.create_session)).session_id)

    async def token(name: str, role: Roles = Roles.publisher) -> str:
        signed = client.generate_token(session, role=role, data=f"name={name}")
        return signed.decode() if isinstance(signed, bytes) else str(signed)

    return Session(session, token, lambda name: token(name, Roles.subscriber))


@pytest.mark.parametrize("application", [login, twilio, openvidu, opentok])
async def test_whom_an_application_lets_in_is_in_its_call(
    house: House, application: Callable[[Doors], Awaitable[Session]]
) -> None:
    """Open the page twice and that is a group call; who may only watch sees it too; who leaves is gone."""
    session = await application(house.doors)
    async with AsyncExitStack() as stack:

        async def page(name: str, token: str) -> CallTab:
            context = await house.chromium.new_context(locale="en-GB", timezone_id="UTC", viewport=SMALL)
            stack.push_async_callback(context.close)
            path = f"/call/{quote(session.name)}?token={quote(token)}"
            tab = await CallTab.of(context, house.doors.server.url, path, name)
            await tab.page.locator("call-preview:not([hidden])").wait_for()
            assert "token" not in tab.page.url
            return tab

        tabs = [await (await page(name, await session.token(name))).joins_call() for name in ("Anna", "Bob")]
        anna, bob = tabs
        for each in tabs:
            await each.sees("Anna", "Bob")
            await each.receives(videos=1, sounds=1)
            await each.told("2 participants")
        if session.watcher:
            carl = await page("Carl", await session.watcher("Carl"))
            tabs.append(carl)
            await carl.page.get_by_role("button", name="Join and watch").click()
            await carl.sees("Anna", "Bob")
            assert await carl.evaluate("() => __tracks.length") == 0
            await anna.told("3 participants, 1 watching")
            await carl.presses("Leave the call")
        await bob.presses("Leave the call")
        await anna.sees("Anna")
        await anna.told("1 participant")
        for each in tabs:
            each.assert_well_behaved()

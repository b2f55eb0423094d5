"""Calls through a real Janus, seen in a real browser: each person is a colour, and everybody sees the right ones."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest_asyncio

from tests.helpers.callers import party
from tests.helpers.janus_server import SECRET, JanusServer
from tests.helpers.servers import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from playwright.async_api import Browser, Page

    from tests.browser.conftest import Browsers

SCRIPT: Final = (Path(__file__).parent.parent / "helpers/sfu_page.js").read_text()
WAIT_SECONDS: Final = 60.0

COLOURS: Final = {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0)}


async def until(ask: Callable[[], Awaitable[Any]], wanted: Callable[[Any], bool], seconds: float = WAIT_SECONDS) -> Any:
    """Ask until the answer is as it is wanted."""
    answer: Any = None
    try:
        async with asyncio.timeout(seconds):
            while not wanted(answer := await ask()):
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"the last answer was {answer}") from None
    return answer


def named(pixel: list[int] | None) -> str | None:
    """The colour that a pixel is nearest to."""
    if pixel is None:
        return None

    def distance(colour: str) -> int:
        return sum(abs(a - b) for a, b in zip(COLOURS[colour], pixel, strict=True))

    nearest = min(COLOURS, key=distance)
    return nearest if distance(nearest) < 120 else f"{pixel}"


@dataclass
class Person:
    """A page in a call."""

    page: Page
    name: str
    colour: str

    async def run(self, script: str, *arguments: Any) -> Any:
        """Run something of the caller in the page, such as `share("blue")`."""
        return await self.page.evaluate(f"async (given) => await globalThis.caller.{script}", *arguments)

    async def id(self) -> str:
        return str(await until(lambda: self.page.evaluate("globalThis.caller?.id"), bool))

    async def sees(self) -> dict[str, str | None]:
        """What this person sees, by whose it is and of what source."""
        return {whose: named(pixel) for whose, pixel in (await self.run("colours()")).items()}

    async def heard(self) -> list[Any]:
        found: list[Any] = await self.page.evaluate("globalThis.caller.heard")
        return found


@dataclass
class Hall:
    """A server with Janus, and people in a call."""

    url: str
    browser: Browser
    tokens: Callable[[str], Awaitable[str]]
    people: list[Person] = field(default_factory=list)

    async def enters(self, name: str, colour: str, *, watching: bool = False) -> Person:
        context = await self.browser.new_context()
        page = await context.new_page()
        await page.goto(self.url)
        script = await page.evaluate("document.querySelector('script[type=module]').src")
        vendor = script.partition("/js/")[0] + "/vendor/socket.io.esm.min.js"
        await page.evaluate(SCRIPT)
        options = {"token": await self.tokens(name), "room": "lobby", "colour": colour, "watching": watching}
        await page.evaluate("([vendor, options]) => globalThis.enterCall(vendor, options)", [vendor, options])
        person = Person(page, name, colour)
        await person.id()
        self.people.append(person)
        return person

    async def everybody_sees_everybody(self, seconds: float = WAIT_SECONDS) -> None:
        for person in self.people:
            wanted = {f"{await other.id()} camera": other.colour for other in self.people if other is not person}
            try:
                await until(person.sees, lambda seen, wanted=wanted: seen == wanted, seconds)  # type: ignore[misc]
            except AssertionError as error:
                raise AssertionError(
                    f"{person.name} wants {wanted}: {error}; {json.dumps(await person.heard())}"
                ) from error

    async def leave(self) -> None:
        for person in self.people:
            await person.page.context.close()
        self.people.clear()


@pytest_asyncio.fixture(loop_scope="session")
async def janus(tmp_path: Path) -> AsyncIterator[JanusServer]:
    server = await JanusServer(tmp_path).start()
    try:
        yield server
    finally:
        await server.kill()


async def test_a_call_through_janus(tmp_path: Path, janus: JanusServer, browsers: Browsers) -> None:
    """From the first one who comes to the last one who goes, with everything in between."""
    settings: dict[str, Any] = {"calls": "janus", "janus_url": janus.url, "janus_secret": SECRET}
    async with serving(tmp_path / "data", **settings) as server, party(server) as people, AsyncExitStack() as stack:
        hall = Hall(server.url, await browsers.of_calls(), people.token)
        stack.push_async_callback(hall.leave)
        red, lime = await hall.enters("red", "red"), await hall.enters("lime", "lime")
        blue = await hall.enters("blue", "blue")
        await hall.everybody_sees_everybody()
        assert await red.page.evaluate("globalThis.caller.entered.engine") == "sfu"

        # A screen is a second publication, and another one may follow it.
        screen = f"{await lime.id()} screen"
        for _ in range(2):
            await lime.run('share("yellow")')
            for person in (red, blue):
                await until(person.sees, lambda seen: seen.get(screen) == "yellow" and len(seen) == 3)
            await lime.run("unshare()")
            for person in (red, blue):
                await until(person.sees, lambda seen: screen not in seen and len(seen) == 2)

        # A moderator takes a picture away: nobody gets it, whatever the page does, until it is shown again.
        camera = f"{await blue.id()} camera"
        await red.run(
            "ask('moderate', given)", {"participant": await blue.id(), "action": "unpublish", "source": "camera"}
        )
        await until(lime.sees, lambda seen: seen.get(camera, "") is None)
        await blue.run("ask('state', {video: true})")
        await until(lime.sees, lambda seen: seen.get(camera) == "blue")

        # Janus is killed, and comes back: everybody sees everybody, without a reload.
        await janus.kill()
        await until(red.heard, lambda heard: ["media", "lost"] in heard)
        await janus.start()
        await hall.everybody_sees_everybody()

        # Somebody is removed, the others go on.
        await red.run("ask('moderate', given)", {"participant": await blue.id(), "action": "kick"})
        await until(blue.heard, lambda heard: any(event == "ended" for event, _ in heard))
        hall.people.remove(blue)
        await blue.page.context.close()
        await hall.everybody_sees_everybody()

        # The last one goes: neither handle nor room nor task is left.
        (engine,) = server.house.engines
        await red.run("ask('leave', {})")
        await lime.run("ask('leave', {})")
        await until(janus.rooms, lambda rooms: rooms == [])
        async with asyncio.timeout(10):
            while len(engine._session.handles) > 1 or engine._tasks:  # type: ignore[attr-defined]
                await asyncio.sleep(0.02)
        assert not engine._rooms  # type: ignore[attr-defined]
        assert not engine._peers  # type: ignore[attr-defined]

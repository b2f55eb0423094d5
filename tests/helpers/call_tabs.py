"""Pages in calls: each person has a camera of one colour, so that a pixel tells who is seen where."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from tests.helpers.servers import ROOT
from tests.helpers.tabs import Tab

if TYPE_CHECKING:
    from collections.abc import Iterable

    from playwright.async_api import BrowserContext, Locator

CALL_FLAGS: Final = [
    "--mute-audio",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--allow-loopback-in-peer-connection",
    "--autoplay-policy=no-user-gesture-required",  # or the tone of a page that nobody has touched yet is silence
]
"""What Chromium needs for calls on a machine that may have nothing but its loopback."""

PATIENCE_SECONDS: Final = 60.0
"""For a machine that does ten other things."""

HEARD: Final = 1e-5
"""Energy (`totalAudioEnergy`) above which something is heard. What comes of a muted microphone is not quite nothing; a
hundredth of a second of a tone is twenty times as much."""

A_WHILE_SECONDS: Final = 0.5
"""In which whatever is sent has come at least once."""

COLOURS: Final = {"Anna": (224, 32, 32), "Bob": (32, 192, 64), "Carl": (48, 64, 224), "Dora": (216, 200, 40)}
TONES: Final = {"Anna": 440, "Bob": 550, "Carl": 660, "Dora": 770}
CAST: Final = {
    "Eve": (0, 0, 0),
    "Finn": (250, 250, 250),
    "Gina": (128, 128, 128),
    "Hugo": (255, 0, 255),
    "Iris": (0, 255, 255),
    "Jack": (255, 128, 0),
    "Kate": (128, 0, 96),
    "Liam": (0, 96, 96),
    "Mona": (255, 160, 200),
}
"""Those who come without a browser; see `extras`."""

FAR: Final = 60
"""Colours that differ less, added up over red, green and blue, are one: encoders are not exact."""

SCRIPT: Final = (ROOT / "tests/helpers/calls_page.js").read_text()

TILES: Final = """() => [...document.querySelectorAll('.tile')].map(tile => ({
    name: tile.querySelector('[data-name]').textContent,
    kind: tile.dataset.kind,
    presence: tile.dataset.presence,
    muted: tile.classList.contains('tile-muted'),
    speaking: tile.classList.contains('tile-speaking'),
    large: tile.classList.contains('tile-large'),
    hand: !tile.querySelector('[data-hand]').hidden,
    mirrored: tile.querySelector('video').classList.contains('mirrored'),
    colour: tile.classList.contains('tile-dark') ? null : __colourOf(tile.querySelector('video')),
}))"""


class CallTab(Tab):
    """One tab of a person who calls."""

    name = ""

    @classmethod
    async def of(
        cls,
        context: BrowserContext,
        url: str,
        path: str,
        name: str,
        *,
        canvas: bool = True,
        relay: bool = False,
        size: tuple[int, int] = (160, 120),
    ) -> CallTab:
        """Open a page as somebody with a camera of this size; with `relay`, nothing but a relay leads to them."""
        tab = cls(await context.new_page(), url)
        tab.name = name
        me = {
            "colour": f"rgb{COLOURS[name]}",
            "tone": TONES[name],
            "canvas": canvas,
            "relay": relay,
            "size": list(size),
        }
        await tab.page.add_init_script(
            f"window.__me = {me!s};".replace("True", "true").replace("False", "false") + SCRIPT
        )
        await tab.page.goto(url + path)
        return tab

    async def looks(self) -> CallTab:
        """Press the button of the room's call, and stand before the mirror."""
        await self.page.locator("[data-call]").click()
        await self.page.locator("call-preview:not([hidden])").wait_for()
        return self

    @property
    def join(self) -> Locator:
        """The button below the mirror; the bar above a room has one of the same name."""
        return self.page.locator("call-preview").get_by_role("button", name="Join", exact=True)

    async def joins_call(self) -> CallTab:
        await self.join.click()
        return await self.is_in_call()

    async def is_in_call(self) -> CallTab:
        await self.page.locator("call-stage:not([hidden])").wait_for()
        return self

    async def calls(self) -> CallTab:
        """From the room into its call."""
        await self.looks()
        return await self.joins_call()

    async def presses(self, label: str) -> None:
        """Press the button of the call's bar that is called so."""
        await self.page.locator("call-controls").get_by_role("button", name=label).click()

    async def tiles(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self.evaluate(TILES)
        return found

    async def tile(self, name: str) -> dict[str, Any]:
        (found,) = [tile for tile in await self.tiles() if tile["name"] == name]
        return found

    async def sees(self, *names: str, dark: Iterable[str] = (), screens: Iterable[str] = ()) -> None:
        """Wait until the stage shows exactly these people, each in their own colour; `dark` have no picture."""
        colours = COLOURS | CAST
        wanted = {("person", self._label(name)): None if name in dark else colours[name] for name in names}
        wanted |= {("screen", self._screen(name)): COLOURS[name] for name in screens}

        async def right() -> bool:
            tiles = {(tile["kind"], tile["name"]): tile["colour"] for tile in await self.tiles()}
            return tiles.keys() == wanted.keys() and all(alike(tiles[key], wanted[key]) for key in wanted)

        await until(right, lambda: f"{self.name} wants to see {wanted}", self.tiles)

    async def sees_people(self, *labels: str) -> None:
        """Wait until the tiles bear these names, whatever is on them."""

        async def right() -> bool:
            return sorted(tile["name"] for tile in await self.tiles()) == sorted(labels)

        await until(right, lambda: f"{self.name} wants tiles of {labels}", self.tiles)

    async def shows(self, name: str, **facts: Any) -> None:  # type: ignore[override]
        """Wait until somebody's tile is so: presence, muted, speaking, hand, large."""

        async def right() -> bool:
            found = [tile for tile in await self.tiles() if tile["name"] == self._label(name)]
            return len(found) == 1 and found[0].items() >= facts.items()

        await until(right, lambda: f"{self.name} wants {name} to be {facts}", self.tiles)

    async def receives(self, *, videos: int, sounds: int) -> None:
        """Wait until so many videos are decoded and so many sounds are heard for a while, and no others."""
        wanted = {"video": videos, "audio": sounds}
        began, before = time.monotonic(), await self.flows()

        async def right() -> bool:
            nonlocal began, before
            now = await self.flows()
            moving = {
                kind: sum(amount - before[kind].get(key, 0) > least for key, amount in now[kind].items())
                for kind, least in (("video", 0), ("audio", HEARD))
            }
            if any(moving[kind] > wanted[kind] for kind in wanted):
                began, before = time.monotonic(), now  # the last of something that has just ended
            return moving == wanted and time.monotonic() - began > A_WHILE_SECONDS

        await until(right, lambda: f"{self.name} wants {videos} videos and {sounds} sounds", self.flows)

    async def flows(self) -> dict[str, dict[str, float]]:
        """How many frames of each video were decoded, and how much of each sound was heard."""
        found: dict[str, dict[str, float]] = await self.evaluate("() => __flows()")
        return found

    async def told(self, words: str) -> None:
        """Wait until the page says something, wherever it says it."""
        await self.page.get_by_text(words).filter(visible=True).first.wait_for()

    def _label(self, name: str) -> str:
        return "You" if name == self.name else name

    def _screen(self, name: str) -> str:
        return "Your screen" if name == self.name else f"{name}’s screen"


def alike(found: Iterable[int] | None, wanted: Iterable[int] | None) -> bool:
    if found is None or wanted is None:
        return found is wanted
    return sum(abs(one - other) for one, other in zip(found, wanted, strict=True)) < FAR


async def until(right: Any, wish: Any, state: Any, within: float = PATIENCE_SECONDS) -> float:
    """Ask again and again; returns after how many seconds it was so."""
    began = time.monotonic()
    while not await right():
        if time.monotonic() - began > within:
            raise AssertionError(f"{wish()}; there is {await state()}")
        await asyncio.sleep(0.1)
    return time.monotonic() - began

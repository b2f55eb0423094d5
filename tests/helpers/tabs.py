"""A page in a real browser, driven and read as a person would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, ConsoleMessage, Locator, Page, Request

ROWS: Final = """() => [...document.querySelectorAll('[data-message]')].map(row => [
    row.querySelector('.message-sender').textContent,
    row.querySelector('.message-content').textContent,
    row.dataset.state,
])"""

SHOWS: Final = f"""([wanted, states]) => {{
    const rows = ({ROWS})();
    return rows.length === wanted.length
        && rows.every((row, at) => row[1] === wanted[at] && states.includes(row[2]));
}}"""


def marked(link: Locator, count: int) -> Locator:
    """A room in the sidebar, while it shows that so many messages are unread there."""
    return link.filter(has=link.page.locator(f".unread[data-count='{count}']:visible"))


class Row(NamedTuple):
    """One message as the page shows it."""

    sender: str
    content: str
    state: str


class Tab:
    """One tab. Everything that it asked for, and everything that went wrong in it, is remembered."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", self._asked)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    @classmethod
    async def open(cls, context: BrowserContext, url: str, path: str = "/") -> Tab:
        tab = cls(await context.new_page(), url)
        await tab.page.goto(url + path)
        return tab

    async def joins(self, name: str) -> Tab:
        """Type a name, join, and wait for the room."""
        await self.page.fill("[name=email]", name)
        await self.page.locator("landing-card").get_by_role("button", name="Join", exact=True).click()
        await self.is_online()
        return self

    async def is_online(self) -> None:
        await self.page.wait_for_selector("html[data-connection=online]")
        await self.page.wait_for_selector("textarea[name=message]:visible")

    async def is_offline(self) -> None:
        await self.page.wait_for_selector("#offline:not([hidden])")

    async def says(self, text: str) -> None:
        """Type a message and press Enter."""
        composer = self.page.locator("textarea[name=message]")
        await composer.fill(text)
        await composer.press("Enter")

    async def shows(self, *texts: str, states: tuple[str, ...] = ("sent",)) -> None:
        """Wait until the list is exactly this."""
        try:
            await self.page.wait_for_function(SHOWS, arg=[list(texts), list(states)])
        except Exception as error:
            raise AssertionError(f"wanted {texts}, shown {await self.rows()}") from error

    async def rows(self) -> list[Row]:
        return [Row(*row) for row in await self.page.evaluate(ROWS)]

    async def people(self) -> list[str]:
        return [text.strip() for text in await self.page.locator("[data-people] li").all_text_contents()]

    async def evaluate(self, script: str, argument: Any = None) -> Any:
        return await self.page.evaluate(script, argument)

    def assert_well_behaved(self) -> None:
        """No error in the page, and not one request to anybody but its own server."""
        own = self.url.partition("//")[2]
        foreign = [url for url in self.requests if url.split("/")[2] != own]
        assert not foreign, foreign
        assert not self.complaints, self.complaints

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(("data:", "blob:", "about:")):
            self.requests.append(request.url)

    def _said(self, message: ConsoleMessage) -> None:
        # A server that was killed on purpose cannot be reached, and the browser says so.
        if message.type == "error" and "ERR_" not in message.text and "WebSocket" not in message.text:
            self.complaints.append(message.text)

"""What people do in the page, in a real browser against a real server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.helpers.clients import Client
from tests.helpers.tabs import marked

if TYPE_CHECKING:
    import pytest

    from chatzilla.core.catchup import Backlog
    from chatzilla.core.people import Account
    from chatzilla.core.rooms import RoomId
    from tests.browser.conftest import OpenTab
    from tests.helpers.servers import Server
    from tests.helpers.tabs import Tab


async def test_two_people_talk(tab: OpenTab) -> None:
    """Each sees both messages once, in one order, the own one marked "Me"."""
    alice = await (await tab()).joins("alice@example.com")
    bob = await (await tab()).joins("bob@example.com")
    await alice.says("hello")
    await bob.shows("hello")
    await bob.says("hello yourself")
    await alice.shows("hello", "hello yourself")
    await bob.shows("hello", "hello yourself")
    assert await alice.rows() == [("Me", "hello", "sent"), ("bob@example.com", "hello yourself", "sent")]
    assert await bob.rows() == [("alice@example.com", "hello", "sent"), ("Me", "hello yourself", "sent")]


async def test_what_was_said_before_is_there(tab: OpenTab) -> None:
    alice = await (await tab()).joins("alice")
    await alice.says("early")
    await alice.shows("early")
    bob = await (await tab()).joins("bob")
    await bob.shows("early")


async def test_a_reload_keeps_the_person_in_the_room(tab: OpenTab) -> None:
    alice = await (await tab("/r/garden")).joins("alice")
    await alice.says("still here")
    await alice.shows("still here")
    await alice.page.reload()
    await alice.is_online()
    await alice.shows("still here")
    assert (await alice.rows())[0].sender == "Me"


async def test_two_tabs_of_one_browser_can_be_two_people(tab: OpenTab) -> None:
    """The name lives in the tab; a new one offers the last name and takes another."""
    alice = await (await tab()).joins("alice")
    other = await tab(beside=alice)
    assert await other.page.input_value("[name=email]") == "alice"
    bob = await other.joins("bob")
    await alice.says("from alice")
    await bob.shows("from alice")
    assert (await bob.rows())[0].sender == "alice"


async def test_two_tabs_of_one_person_are_one_person(tab: OpenTab) -> None:
    """The other tab's messages are one's own; presence lists a person once, and until the last tab closes."""
    left = await (await tab()).joins("alice")
    right = await (await tab(beside=left)).joins("alice")
    bob = await (await tab()).joins("bob")
    await left.says("from the left")
    await right.shows("from the left")
    await right.says("from the right")
    await left.shows("from the left", "from the right")
    await bob.shows("from the left", "from the right")
    assert [row.sender for row in await right.rows()] == ["Me", "Me"]
    names = "names => [...document.querySelectorAll('[data-people] li')].length === names"
    await bob.page.wait_for_function(names, arg=2)
    await right.page.close()
    await left.says("one tab left")
    await bob.shows("from the left", "from the right", "one tab left")
    assert len(await bob.people()) == 2
    await left.page.close()
    await bob.page.wait_for_function(names, arg=1)


async def test_rooms_are_addresses(tab: OpenTab) -> None:
    """What is said in one room stays there; back and forward move between rooms."""
    alice = await (await tab("/r/Garden")).joins("alice")
    assert alice.page.url.endswith("/r/garden")
    await alice.says("in the garden")
    await alice.page.fill("[name=room]", "kitchen")
    await alice.page.press("[name=room]", "Enter")
    await alice.page.wait_for_url("**/r/kitchen")
    await alice.shows()
    await alice.says("in the kitchen")
    await alice.shows("in the kitchen")
    await alice.page.go_back()
    await alice.page.wait_for_url("**/r/garden")
    await alice.shows("in the garden")
    bob = await (await tab("/r/kitchen")).joins("bob")
    await bob.shows("in the kitchen")


async def test_a_room_that_moved_while_one_was_elsewhere_is_marked(tab: OpenTab) -> None:
    alice = await (await tab("/r/garden")).joins("alice")
    bob = await (await tab("/r/garden")).joins("bob")
    await alice.page.fill("[name=room]", "kitchen")
    await alice.page.press("[name=room]", "Enter")
    await alice.page.wait_for_url("**/r/kitchen")
    await alice.is_online()
    await bob.says("psst")
    link = alice.page.locator("[data-rooms] a", has_text="garden")
    await marked(link, 1).wait_for()
    await link.click()
    await alice.shows("psst")


async def goes_to(alice: Tab, room: str) -> None:
    await alice.page.fill("[name=room]", room)
    await alice.page.press("[name=room]", "Enter")
    await alice.page.wait_for_url(f"**/r/{room}")


async def test_the_past_of_a_room_that_was_only_passed_is_no_news(
    tab: OpenTab, chatzilla: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is on to the next room before this one has answered has nothing to read up there."""
    passed = asyncio.Event()
    backlog = chatzilla.house.store.backlog

    async def slowly(room: RoomId, account: Account, **cursor: Any) -> Backlog:
        if (room, account.name) == ("garden", "alice"):
            await passed.wait()
        return await backlog(room, account, **cursor)

    monkeypatch.setattr(chatzilla.house.store, "backlog", slowly)
    bot = await Client(chatzilla.url).connect(auth={"dialect": "full"})
    await bot.joins("garden", name="bot")
    for text in ("one", "two", "three"):
        await bot.says("garden", text)
    alice = await (await tab()).joins("alice")
    await goes_to(alice, "garden")
    await goes_to(alice, "kitchen")
    passed.set()
    await alice.says("in the kitchen")
    await alice.shows("in the kitchen")
    link = alice.page.locator("[data-rooms] a", has_text="garden")
    await bot.says("garden", "four")  # the first that is heard of the garden
    await link.wait_for()
    await bot.says("garden", "five")
    await marked(link, 1).wait_for()
    await bot.close()


async def test_what_one_wrote_oneself_is_no_news(tab: OpenTab, chatzilla: Server) -> None:
    """A message that is sent only after its author has gone to another room does not mark the room as unread."""
    alice = await (await tab("/r/garden")).joins("alice")
    bob = await (await tab("/r/garden")).joins("bob")
    await alice.page.context.set_offline(True)
    await alice.is_offline()
    await alice.says("sent later")
    await goes_to(alice, "kitchen")
    await alice.page.context.set_offline(False)
    await bob.shows("sent later")
    await alice.says("in the kitchen")
    await alice.shows("in the kitchen")
    link = alice.page.locator("[data-rooms] a", has_text="garden")
    assert not await link.locator(".unread").is_visible()
    await bob.says("news")
    await marked(link, 1).wait_for()


async def test_without_the_server_what_needs_it_says_so_and_works_when_it_is_back(tab: OpenTab) -> None:
    """What is loaded when it is first wanted cannot be loaded then."""
    alice = await (await tab()).joins("alice")
    count = alice.page.locator("[data-people-count]", has_text="1 person here")
    await count.wait_for()
    await alice.page.context.set_offline(True)
    await alice.is_offline()
    await alice.page.locator("#offline").filter(has_text="You are offline. What you write is kept").wait_for()
    assert not await count.is_visible()
    notice = alice.page.locator("[data-notice]")
    for button in ("Find a room or a person", "Call", "About this room"):
        await alice.page.get_by_role("button", name=button).click()
        await notice.filter(has_text="This needs the server, which cannot be reached now.").wait_for()
        await notice.get_by_role("button", name="Dismiss").click()
    await alice.page.keyboard.press("Control+k")
    await notice.wait_for()
    await alice.page.context.set_offline(False)
    await alice.is_online()
    await notice.wait_for(state="hidden")
    await alice.page.get_by_role("button", name="About this room").click()
    await alice.page.get_by_role("dialog").wait_for()


async def test_a_chosen_client_id_hides_nobodys_message(tab: OpenTab, chatzilla: Server) -> None:
    """An own message may be called like the id of somebody else's; both are shown."""
    bob = await Client(chatzilla.url).connect(auth={"dialect": "full"})
    await bob.joins("clob", name="bob")
    taken = (await bob.says("clob", "from bob"))["id"]
    script = await Client(chatzilla.url).connect(auth={"dialect": "full"})
    await script.joins("clob", name="alice")
    await script.says("clob", "from alice", taken)
    alice = await (await tab("/r/clob")).joins("alice")
    await alice.shows("from bob", "from alice")
    await bob.says("clob", "and once more")
    await alice.shows("from bob", "from alice", "and once more")
    assert [row.sender for row in await alice.rows()] == ["bob", "Me", "bob"]
    # Nor the id of anything else on the page: the finder's options are called so, and are made later.
    await bob.says("clob", "a trap", "found-0")
    await alice.shows("from bob", "from alice", "and once more", "a trap")
    await alice.page.keyboard.press("Control+k")
    await alice.page.get_by_role("option").first.wait_for()
    assert await alice.evaluate("() => document.querySelectorAll('#found-0').length") == 1
    await bob.close()
    await script.close()


async def test_a_draft_is_kept_for_each_room(tab: OpenTab) -> None:
    alice = await (await tab("/r/garden")).joins("alice")
    await alice.page.fill("textarea[name=message]", "half a thought")
    await alice.page.fill("[name=room]", "kitchen")
    await alice.page.press("[name=room]", "Enter")
    await alice.page.wait_for_url("**/r/kitchen")
    await alice.page.wait_for_function("() => document.querySelector('textarea[name=message]').value === ''")
    await alice.page.go_back()
    await alice.page.wait_for_function(
        "() => document.querySelector('textarea[name=message]').value === 'half a thought'"
    )
    other = await tab("/r/garden", beside=alice)
    await (await other.joins("alice")).says("a word from another tab")
    await alice.shows("a word from another tab")
    await alice.page.reload()
    await alice.page.wait_for_function(
        "() => document.querySelector('textarea[name=message]').value === 'half a thought'"
    )


async def test_shift_enter_breaks_the_line_and_composing_never_sends(tab: OpenTab) -> None:
    alice = await (await tab()).joins("alice")
    composer = alice.page.locator("textarea[name=message]")
    await composer.press_sequentially("one")
    await composer.press("Shift+Enter")
    await composer.press_sequentially("two")
    enter = "{key: 'Enter', bubbles: true, cancelable: true, isComposing: true}"
    await composer.evaluate(f"field => field.dispatchEvent(new KeyboardEvent('keydown', {enter}))")
    assert await composer.input_value() == "one\ntwo"
    await composer.press("Enter")
    await alice.shows("one\ntwo")
    assert await composer.input_value() == ""


async def test_typing_is_seen(tab: OpenTab) -> None:
    alice = await (await tab()).joins("alice")
    bob = await (await tab()).joins("bob")
    await bob.page.locator("textarea[name=message]").press_sequentially("well")
    await alice.page.wait_for_function("() => document.querySelector('[data-typing]').textContent.includes('bob')")


async def test_text_is_never_markup(tab: OpenTab) -> None:
    """What people write is shown as they wrote it, in names as in messages; the page could not do otherwise."""
    name, text = "<b>eve</b>", "<img src=x onerror=\"document.title='owned'\"> & <script>alert(1)</script>"
    eve = await (await tab()).joins(name)
    bob = await (await tab()).joins("bob")
    await eve.says(text)
    await bob.shows(text)
    assert (await bob.rows())[0].sender == name
    assert "owned" not in await bob.page.title()
    assert not bob.complaints
    attempt = "document.createElement('p').innerHTML = 'x'"
    refused = await bob.evaluate(
        f"() => {{ try {{ {attempt}; return 'taken' }} catch (error) {{ return error.name }} }}"
    )
    assert refused == "TypeError", "Trusted Types have to refuse markup from strings"
    assert "TrustedHTML" in bob.complaints.pop()


async def test_a_day_that_comes_twice_has_a_line_each_time(tab: OpenTab) -> None:
    """The server's clock may be set back over midnight; and what stands where it should is not moved."""
    alice = await (await tab()).joins("alice")
    found = await alice.evaluate(
        """async () => {
            const list = document.querySelector("message-list");
            const noon = Date.UTC(2026, 0, 2, 12), day = 86_400_000;
            const messages = [noon, noon - day, noon].map((sent_at, at) => (
                {id: `m${at}`, client_id: `c${at}`, room: "night", seq: at + 1, changed: at + 1, kind: "text",
                 sender: "bob", name: "bob", content: `${at}`, sent_at}));
            const draw = () => new Promise(resolve => {
                list.show({room: "night", messages, letters: [], you: null, keepsOrder: false, closed: false,
                           loaded: true, hasOlder: false, editing: null, missed: {after: 0, upTo: 0}});
                requestAnimationFrame(resolve);
            });
            await draw();
            const log = list.querySelector("[role=log]");
            const order = [...log.children].slice(1).map(child => child.dataset.seq ?? "day");
            const moves = new MutationObserver(() => {});
            moves.observe(log, {childList: true});
            await draw();
            return [order, moves.takeRecords().length];
        }"""
    )
    assert found == [["day", "1", "day", "2", "day", "3"], 0]


async def test_history_loads_while_scrolling_up_and_the_view_stays(tab: OpenTab, chatzilla: Server) -> None:
    """Older pages come above what is read, which does not move; one button leads back to the newest."""
    bot = await Client(chatzilla.url).connect(auth={"dialect": "full"})
    await bot.joins(name="bot")
    for number in range(1, 151):
        await bot.says("lobby", f"number {number}")
    alice = await (await tab()).joins("alice")
    await alice.page.wait_for_function("() => document.querySelectorAll('[data-message]').length === 100")
    first = alice.page.locator("[data-message]").first
    before = await first.get_attribute("id")
    top = "id => document.getElementById(id).getBoundingClientRect().top"
    await alice.page.evaluate("document.querySelector('[role=log]').scrollTop = 0")
    await alice.page.wait_for_function("() => document.querySelectorAll('[data-message]').length === 150")
    log_top = await alice.evaluate("() => document.querySelector('[role=log]').getBoundingClientRect().top")
    assert abs(await alice.evaluate(top, before) - log_top) < 120, "what was at the top is still there"
    await bot.says("lobby", "number 151")
    jump = alice.page.get_by_role("button", name="Jump to newest")
    await jump.wait_for()
    await jump.click()
    await alice.page.wait_for_function(
        """() => { const log = document.querySelector('[role=log]');
                   return log.scrollHeight - log.scrollTop - log.clientHeight < 4 }"""
    )
    await alice.shows(*(f"number {number}" for number in range(1, 152)))
    await bot.close()

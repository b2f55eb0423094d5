"""Servers die, connections vanish, tabs crash in mid-send: the list stays right, without a reload by anybody."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import pytest
import pytest_asyncio
from playwright.async_api import Error as PlaywrightError

from tests.helpers.clients import Client
from tests.helpers.servers import Process
from tests.helpers.tabs import marked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.browser.conftest import OpenTab


@pytest_asyncio.fixture(loop_scope="session")
async def chatzilla(tmp_path: Path) -> AsyncIterator[Process]:
    """The server as an operator runs it, with a heartbeat that finds the dead within four seconds."""
    process = await Process(tmp_path / "data", environ={"CHATZILLA_HEARTBEAT": "2"}).start()
    yield process
    await process.kill()


async def test_the_server_is_killed_while_people_type(tab: OpenTab, chatzilla: Process) -> None:
    """kill -9, start again: both tabs show every message once, in the same order, without a reload."""
    alice = await (await tab()).joins("alice")
    bob = await (await tab()).joins("bob")
    await alice.says("before")
    await bob.shows("before")
    await chatzilla.kill()
    await alice.is_offline()
    await alice.says("while it was down")
    await alice.says("and again")
    await alice.shows("before", "while it was down", "and again", states=("sent", "pending"))
    assert (await alice.rows())[-1].state == "pending"
    await chatzilla.start()
    await alice.shows("before", "while it was down", "and again")
    await bob.shows("before", "while it was down", "and again")
    await bob.says("after")
    await alice.shows("before", "while it was down", "and again", "after")
    await alice.page.wait_for_selector("#offline", state="hidden")


async def test_a_reload_in_mid_send(tab: OpenTab, chatzilla: Process) -> None:
    """The server has the message or not, the tab does not know: after the reload it is there once."""
    alice = await (await tab()).joins("alice")
    bob = await (await tab()).joins("bob")
    os.kill(chatzilla.pid, signal.SIGSTOP)
    await alice.says("in mid-send")
    await alice.shows("in mid-send", states=("pending",))
    reload = asyncio.create_task(alice.page.reload())
    os.kill(chatzilla.pid, signal.SIGCONT)
    await reload
    await alice.shows("in mid-send")
    await bob.shows("in mid-send")
    await alice.says("next")
    await bob.shows("in mid-send", "next")


@pytest.mark.parametrize("way", ["reload", "close"])
@pytest.mark.parametrize("network", ["online", "offline"])
async def test_enter_is_the_last_thing_that_the_page_sees(
    tab: OpenTab, chatzilla: Process, network: str, way: str
) -> None:
    """Press Enter and be gone, again and again: everything arrives, once and in order."""
    bob = await (await tab()).joins("bob")
    alice = await (await tab()).joins("alice")
    context = alice.page.context
    texts = [f"round {number}" for number in range(8)]
    for text in texts:
        if network == "offline":
            await context.set_offline(True)
            await alice.is_offline()
        await alice.page.fill("textarea[name=message]", text)
        await alice.page.keyboard.press("Enter")
        if way == "close":
            await alice.page.close()
            await context.set_offline(False)
            alice = await (await tab(beside=alice)).joins("alice")
        else:
            with suppress(PlaywrightError):  # without a network, the page goes and none comes
                await alice.page.reload()
            await context.set_offline(False)
            await alice.page.goto(chatzilla.url)
            await alice.is_online()
        assert await alice.page.input_value("textarea[name=message]") == ""
    await alice.shows(*texts)
    await bob.shows(*texts)
    left = "() => Object.keys(localStorage).filter(key => key.startsWith('chatzilla.letter.'))"
    assert await alice.evaluate(left) == []


LEASES: Final = """() => new Promise(resolve => {
    indexedDB.open('chatzilla').onsuccess = ({ target }) => {
        const leases = target.result.transaction('leases').objectStore('leases').getAllKeys();
        leases.onsuccess = () => resolve(leases.result);
    };
})"""


async def test_a_tab_that_goes_lets_the_next_one_send(tab: OpenTab, chatzilla: Process) -> None:
    """Nobody waits for the lease of a tab that was closed."""
    alice = await (await tab()).joins("alice")
    await alice.says("hello")
    await alice.shows("hello")
    assert await alice.evaluate(LEASES) == ["alice"]
    await alice.page.goto(chatzilla.url + "/healthz")
    assert await alice.evaluate(LEASES) == []


async def test_a_crashed_tab_leaves_its_messages_to_the_next(tab: OpenTab, chatzilla: Process) -> None:
    """What was written and not sent belongs to the person, not to the tab."""
    alice = await (await tab()).joins("alice")
    bob = await (await tab()).joins("bob")
    await chatzilla.kill()
    await alice.is_offline()
    await alice.says("last words")
    await alice.shows("last words", states=("pending",))
    keeper = await alice.page.context.new_page()
    await alice.page.close()
    await chatzilla.start()
    await keeper.goto(chatzilla.url)
    await keeper.fill("[name=email]", "alice")
    await keeper.get_by_role("button", name="Join", exact=True).click()
    await bob.shows("last words")


async def test_the_outbox_is_shared_and_sends_once(tab: OpenTab, chatzilla: Process) -> None:
    """Two tabs of one person write while offline; everything arrives once, and both tabs show it."""
    left = await (await tab()).joins("alice")
    right = await (await tab(beside=left)).joins("alice")
    bob = await (await tab()).joins("bob")
    await chatzilla.kill()
    await left.is_offline()
    await right.is_offline()
    await left.says("one")
    await right.shows("one", states=("pending",))
    await right.says("two")
    await left.shows("one", "two", states=("pending",))
    await chatzilla.start()
    for each in (left, right, bob):
        await each.shows("one", "two")


async def test_a_long_absence_is_caught_up(tab: OpenTab, chatzilla: Process) -> None:
    """Three pages of changes, while the tab could not hear: all there, in order."""
    alice = await (await tab()).joins("alice")
    await alice.says("mine")
    await alice.shows("mine")
    await alice.page.context.set_offline(True)
    await alice.is_offline()
    bot = await Client(chatzilla.url).connect(auth={"dialect": "full"})
    await bot.joins(name="bot")
    await asyncio.gather(*(bot.says("lobby", f"{number}") for number in range(190)))
    await bot.close()
    await alice.page.context.set_offline(False)
    await alice.shows("mine", *(f"{number}" for number in range(190)))


async def test_a_silent_network_is_noticed(tab: OpenTab, chatzilla: Process) -> None:
    """A connection that stays open and carries nothing is called offline after two heartbeats, and heals."""
    alice = await (await tab()).joins("alice")
    os.kill(chatzilla.pid, signal.SIGSTOP)
    await alice.is_offline()
    await alice.says("into the void")
    os.kill(chatzilla.pid, signal.SIGCONT)
    await alice.shows("into the void")


async def test_a_message_that_cannot_be_sent_is_shown_as_failed(tab: OpenTab, chatzilla: Process) -> None:
    """A refusal for good is shown on the message, in words; the person tries again or discards it."""
    taken = "00000000-0000-7000-8000-000000000000"
    bot = await Client(chatzilla.url).connect(auth={"dialect": "full"})
    await bot.joins(name="alice")
    await bot.says("lobby", "the first with this id", taken)
    alice = await tab()
    await alice.page.add_init_script("crypto.getRandomValues = array => array.fill(0)")
    await alice.page.add_init_script("DataView.prototype.setUint32 = DataView.prototype.setUint16 = () => {}")
    await alice.page.goto(chatzilla.url + "/r/elsewhere")
    await alice.joins("alice")
    await alice.says("the second with this id")
    await alice.shows("the second with this id", states=("failed",))
    assert "Not sent" in await alice.page.locator("[data-message]").inner_text()
    await alice.page.get_by_role("button", name="Retry").click()
    await alice.page.wait_for_selector("[data-message][data-state=failed]")
    await alice.page.get_by_role("button", name="Discard").click()
    await alice.shows()
    await alice.page.reload()
    await alice.is_online()
    await alice.shows()
    await bot.close()


async def test_unread_marks_survive_another_numbering(tab: OpenTab, chatzilla: Process) -> None:
    """How far a room was read in a numbering that is gone says nothing about the new one."""
    bot = await Client(chatzilla.url).connect(auth={"dialect": "full"})
    await bot.joins("garden", name="bot")
    for number in range(20):
        await bot.says("garden", f"{number}")
    alice = await (await tab("/r/garden")).joins("alice")
    await alice.shows(*(f"{number}" for number in range(20)))
    await alice.page.goto("about:blank")
    await bot.close()
    await chatzilla.kill()
    for file in chatzilla.data.glob("chatzilla.db*"):
        file.unlink()
    await chatzilla.start()
    bot = await Client(chatzilla.url).connect(auth={"dialect": "full"})
    await bot.joins("garden", name="bot")
    await bot.says("garden", "new")
    await alice.page.goto(chatzilla.url + "/r/garden")
    await alice.shows("new")
    await alice.page.fill("[name=room]", "kitchen")
    await alice.page.press("[name=room]", "Enter")
    await alice.page.wait_for_url("**/r/kitchen")
    await alice.is_online()
    await bot.says("garden", "newer")
    await marked(alice.page.locator("[data-rooms] a", has_text="garden"), 1).wait_for()
    await bot.close()


async def test_the_numbering_may_start_over(tab: OpenTab, chatzilla: Process) -> None:
    """Another database in the same place: the page drops what it knew, says so, and keeps what was not sent."""
    alice = await (await tab()).joins("alice")
    await alice.says("before the fire")
    await alice.shows("before the fire")
    await chatzilla.kill()
    for file in chatzilla.data.glob("chatzilla.db*"):
        file.unlink()
    await alice.is_offline()
    await alice.says("after the fire")
    await chatzilla.start()
    await alice.shows("after the fire")
    await (
        alice.page.locator("[data-notice]")
        .filter(has_text="anew")
        .or_(alice.page.locator("[data-notice]").filter(has_text="start"))
        .wait_for()
    )

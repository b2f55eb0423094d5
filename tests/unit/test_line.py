"""One connection's line: begun in order, answered in order."""

from __future__ import annotations

import asyncio
from typing import Any

from chatzilla.realtime.line import Line


class Desk:
    """Runs events on a line and keeps a diary of what began and what was answered."""

    def __init__(self) -> None:
        self.line = Line()
        self.diary: list[str] = []
        self.under_way: dict[str, asyncio.Future[str]] = {}

    def bring(self, name: str, *, alone: bool = False, at_once: bool = False) -> None:
        """An event comes; unless it is done at once, it is under way until `finish`."""

        def begin() -> Any:
            self.diary.append(f"{name} begins")
            if at_once:
                return name
            self.under_way[name] = asyncio.get_running_loop().create_future()
            return self.under_way[name]

        def answer(outcome: Any) -> None:
            result = outcome.result() if isinstance(outcome, asyncio.Future) else outcome
            self.diary.append(f"{result} answered")

        self.line.take(begin, answer, alone=alone)

    async def finish(self, *names: str) -> None:
        for name in names:
            self.under_way[name].set_result(name)
        await asyncio.sleep(0)

    def news(self) -> list[str]:
        news, self.diary = self.diary, []
        return news


async def test_what_needs_only_memory_is_done_at_once() -> None:
    desk = Desk()
    desk.bring("first", at_once=True)
    assert desk.news() == ["first begins", "first answered"]
    assert desk.line.waiting == 0


async def test_the_next_may_begin_while_one_is_under_way_but_is_not_answered_before_it() -> None:
    desk = Desk()
    desk.bring("first")
    desk.bring("second")
    desk.bring("third", at_once=True)
    assert desk.news() == ["first begins", "second begins", "third begins"]
    await desk.finish("second")
    assert desk.news() == []
    await desk.finish("first")
    assert desk.news() == ["first answered", "second answered", "third answered"]


async def test_one_that_is_alone_begins_when_everything_before_it_is_answered() -> None:
    """What reads the store sees what was written before."""
    desk = Desk()
    desk.bring("write")
    desk.bring("read", alone=True)
    assert desk.news() == ["write begins"]
    await desk.finish("write")
    assert desk.news() == ["write answered", "read begins"]
    await desk.finish("read")
    assert desk.news() == ["read answered"]


async def test_nothing_begins_while_one_is_alone() -> None:
    """A message sent right after a join carries the name."""
    desk = Desk()
    desk.bring("join", alone=True)
    desk.bring("message")
    desk.bring("another", at_once=True)
    assert desk.news() == ["join begins"]
    await desk.finish("join")
    assert desk.news() == ["join answered", "message begins", "another begins"]
    await desk.finish("message")
    assert desk.news() == ["message answered", "another answered"]


async def test_all_answers_that_are_due_are_given_at_once() -> None:
    """Nothing that is scheduled meanwhile comes between them."""
    desk = Desk()
    desk.bring("first")
    desk.bring("second", at_once=True)
    desk.bring("third")
    desk.under_way["first"].set_result("first")
    desk.under_way["third"].set_result("third")
    asyncio.get_running_loop().call_soon(desk.diary.append, "something else")
    await asyncio.sleep(0)
    assert desk.news()[3:] == ["first answered", "second answered", "third answered", "something else"]


async def test_one_that_fails_or_is_given_up_holds_nobody_up() -> None:
    line = Line()
    answers: list[object] = []
    loop = asyncio.get_running_loop()
    failing, given_up = loop.create_future(), loop.create_future()
    line.take(lambda: failing, lambda done: answers.append(done.exception()), alone=True)
    line.take(lambda: given_up, lambda done: answers.append(done.cancelled()))
    line.take(lambda: "third", answers.append)
    error = ValueError("it failed")
    failing.set_exception(error)
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.sleep(0)
    assert answers == [error, True, "third"]
    assert line.waiting == 0


async def test_an_answer_may_bring_the_next_event() -> None:
    """What is brought while the line is at work stands behind what is there."""
    line = Line()
    order: list[str] = []

    def answer(outcome: str) -> None:
        order.append(outcome)
        if outcome == "first":
            line.take(lambda: "third", order.append)

    under_way: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    line.take(lambda: under_way, lambda done: answer(done.result()))
    line.take(lambda: "second", order.append)
    under_way.set_result("first")
    await asyncio.sleep(0)
    assert order == ["first", "second", "third"]


async def test_it_counts_who_waits() -> None:
    desk = Desk()
    for number in range(5):
        desk.bring(str(number))
    assert desk.line.waiting == 5
    await desk.finish(*map(str, range(5)))
    assert desk.line.waiting == 0

"""One connection's line: begun in order, answered in order."""

from __future__ import annotations

import asyncio

import pytest

from chatzilla.realtime.line import Line, Turn


class Desk:
    """Runs events on a line and keeps a diary of what began and what was answered."""

    def __init__(self) -> None:
        self.line: Line[str] = Line()
        self.diary: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def bring(
        self, name: str, *, passes_on: bool = False, fails: bool = False, waits: bool = False
    ) -> asyncio.Future[str]:
        """An event comes; it is done when its gate opens."""
        gate = self.gates[name] = asyncio.Event()
        answered: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def handle(turn: Turn[str]) -> str:
            if waits:
                await turn.after_the_earlier()
            self.diary.append(f"{name} begins")
            if passes_on:
                turn.pass_on()
            await gate.wait()
            if fails:
                raise ValueError(name)
            return name

        def answer(result: str) -> None:
            self.diary.append(f"{result} answered")
            answered.set_result(result)

        self.line.take(handle, answer)
        task = self.line._events[-1].task
        assert task is not None
        self.tasks[name] = task
        return answered


async def turn_of_the_loop() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_an_event_begins_when_the_one_before_it_is_done() -> None:
    desk = Desk()
    first, second = desk.bring("first"), desk.bring("second")
    desk.gates["second"].set()
    await turn_of_the_loop()
    assert desk.diary == ["first begins"]
    desk.gates["first"].set()
    assert (await first, await second) == ("first", "second")
    assert desk.diary == ["first begins", "first answered", "second begins", "second answered"]


async def test_an_event_that_passes_its_turn_on_lets_the_next_begin_but_not_overtake_its_answer() -> None:
    desk = Desk()
    events = [desk.bring(name, passes_on=True) for name in ("first", "second", "third")]
    await turn_of_the_loop()
    assert desk.diary == ["first begins", "second begins", "third begins"]
    for name in ("third", "second"):
        desk.gates[name].set()
    await turn_of_the_loop()
    assert desk.diary[3:] == []
    desk.gates["first"].set()
    await asyncio.gather(*events)
    assert desk.diary[3:] == ["first answered", "second answered", "third answered"]


async def test_one_that_fails_holds_nobody_up() -> None:
    desk = Desk()
    failing, second = desk.bring("failing", fails=True), desk.bring("second")
    desk.gates["failing"].set()
    desk.gates["second"].set()
    assert await second == "second"
    assert not failing.done()
    with pytest.raises(ValueError, match="failing"):
        await desk.tasks["failing"]


async def test_one_that_fails_after_it_passed_its_turn_on_holds_nobody_up() -> None:
    desk = Desk()
    failing, second = desk.bring("failing", passes_on=True, fails=True), desk.bring("second")
    desk.gates["second"].set()
    await turn_of_the_loop()
    assert "second answered" not in desk.diary
    desk.gates["failing"].set()
    assert await second == "second"
    assert not failing.done()
    with pytest.raises(ValueError, match="failing"):
        await desk.tasks["failing"]


async def test_one_that_is_cancelled_while_it_runs_holds_nobody_up() -> None:
    desk = Desk()
    cancelled, second = desk.bring("cancelled"), desk.bring("second")
    desk.gates["second"].set()
    await turn_of_the_loop()
    desk.tasks["cancelled"].cancel()
    assert await second == "second"
    assert not cancelled.done()


async def test_one_that_is_cancelled_while_it_waits_holds_nobody_up() -> None:
    desk = Desk()
    first, _, third = desk.bring("first"), desk.bring("cancelled"), desk.bring("third")
    await turn_of_the_loop()
    desk.tasks["cancelled"].cancel()
    await turn_of_the_loop()
    desk.gates["first"].set()
    desk.gates["third"].set()
    assert (await first, await third) == ("first", "third")
    assert "cancelled begins" not in desk.diary


async def test_cancelling_one_that_waits_lets_no_later_answer_overtake_an_earlier_one() -> None:
    desk = Desk()
    first = desk.bring("first", passes_on=True)
    desk.bring("second", passes_on=True)
    third = desk.bring("third", passes_on=True)
    desk.gates["third"].set()
    await turn_of_the_loop()
    desk.tasks["second"].cancel()
    await turn_of_the_loop()
    assert "third answered" not in desk.diary
    desk.gates["first"].set()
    await asyncio.gather(first, third)
    assert desk.diary[-2:] == ["first answered", "third answered"]


async def test_it_counts_who_waits() -> None:
    desk = Desk()
    events = [desk.bring(str(number)) for number in range(5)]
    await turn_of_the_loop()
    assert desk.line.waiting == 5
    for gate in desk.gates.values():
        gate.set()
    await asyncio.gather(*events)
    assert desk.line.waiting == 0


async def test_one_may_wait_until_all_before_it_are_answered() -> None:
    """An event that reads what earlier ones wrote begins after their answers, though they passed their turn on."""
    desk = Desk()
    writes, reads = desk.bring("write", passes_on=True), desk.bring("read", waits=True)
    desk.gates["read"].set()
    await turn_of_the_loop()
    assert desk.diary == ["write begins"]
    desk.gates["write"].set()
    await asyncio.gather(writes, reads)
    assert desk.diary == ["write begins", "write answered", "read begins", "read answered"]


async def test_all_answers_that_are_due_are_given_at_once() -> None:
    """Nothing that is scheduled meanwhile comes between them."""
    desk = Desk()
    first, second = desk.bring("first", passes_on=True), desk.bring("second", passes_on=True)
    desk.gates["second"].set()
    await turn_of_the_loop()
    first.add_done_callback(lambda _: desk.diary.append("something else"))
    desk.gates["first"].set()
    await asyncio.gather(first, second)
    await turn_of_the_loop()
    assert desk.diary[-3:] == ["first answered", "second answered", "something else"]


async def test_passing_on_twice_gives_away_one_turn_only() -> None:
    line: Line[None] = Line()
    order: list[str] = []
    hold = asyncio.Event()

    async def generous(turn: Turn[None]) -> None:
        turn.pass_on()
        turn.pass_on()
        order.append("generous")

    async def slow(_turn: Turn[None]) -> None:
        order.append("slow begins")
        await hold.wait()
        order.append("slow ends")

    async def last(_turn: Turn[None]) -> None:
        order.append("last")

    for handle in (generous, slow, last):
        line.take(handle, lambda _: None)
    await turn_of_the_loop()
    assert order == ["generous", "slow begins"]
    hold.set()
    await turn_of_the_loop()
    assert order == ["generous", "slow begins", "slow ends", "last"]

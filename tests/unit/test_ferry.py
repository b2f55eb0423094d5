"""What is asked together goes together; who harms nobody, and who waits for whom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Any, cast

import pytest

from chatzilla.errors import Unavailable
from chatzilla.store.ferry import ABOARD_AT_MOST, TRIPS_AT_ONCE, Ferry, Question


class Reader(Executor):
    """A thread that does what it is given when the test says so."""

    def __init__(self) -> None:
        self.trips: list[tuple[Future[Any], Callable[[], Any], Sequence[Question[Any]]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> Future[Any]:
        done: Future[Any] = Future()
        self.trips.append((done, lambda: fn(*args), args[0]))
        return done

    @property
    def aboard(self) -> list[int]:
        """How many are on each trip that is under way."""
        return [len(questions) for _, _, questions in self.trips]

    async def arrives(self) -> None:
        """The trip that left first is back."""
        done, cross, _ = self.trips.pop(0)
        try:
            done.set_result(cross())
        except ValueError as error:
            done.set_exception(error)
        await turns()


class Shore:
    """A ferry, its reader, and the words with which questions are asked there."""

    def __init__(self) -> None:
        self.reader = Reader()
        self.words = "first"
        self.ferry = Ferry(self.reader, self.cross)

    def cross(self, questions: Sequence[Question[Any]]) -> list[object]:
        return [self.outcome(question) for question in questions]

    def outcome(self, question: Question[Any]) -> object:
        try:
            return question(cast("Any", self.words))
        except KeyError as error:
            return error

    def asks(self, name: str) -> asyncio.Future[str]:
        return self.ferry.take(lambda words: f"{name}: {words}")

    async def occupies(self) -> list[asyncio.Future[str]]:
        """Send every trip away that there is, with one question each."""
        asked = []
        for number in range(TRIPS_AT_ONCE):
            asked.append(self.asks(f"trip {number}"))
            await turns()
        assert self.reader.aboard == [1] * TRIPS_AT_ONCE
        return asked


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def shore() -> Shore:
    return Shore()


async def test_what_is_asked_in_one_turn_goes_together_and_each_gets_its_own_answer(shore: Shore) -> None:
    alice, bob = shore.asks("alice"), shore.asks("bob")
    await turns()
    assert shore.reader.aboard == [2]
    await shore.reader.arrives()
    assert (alice.result(), bob.result()) == ("alice: first", "bob: first")


async def test_who_comes_alone_waits_for_nobody(shore: Shore) -> None:
    shore.asks("alice")
    await turns()
    assert shore.reader.aboard == [1]


async def test_a_question_never_goes_with_a_trip_that_has_begun(shore: Shore) -> None:
    """It would miss what was stored between that trip's beginning and its own asking."""
    early = await shore.occupies()
    late = [shore.asks("alice"), shore.asks("bob")]
    await turns()
    assert shore.reader.aboard == [1] * TRIPS_AT_ONCE, "they wait"
    await shore.reader.arrives()
    assert early[0].result() == "trip 0: first"
    assert not any(answer.done() for answer in late)
    assert shore.reader.aboard == [1] * (TRIPS_AT_ONCE - 1) + [2], "and then go together"
    shore.words = "second"
    while shore.reader.trips:
        await shore.reader.arrives()
    assert [answer.result() for answer in late] == ["alice: second", "bob: second"]


async def test_a_trip_that_takes_long_does_not_hold_the_others(shore: Shore) -> None:
    slow = shore.asks("slow")
    await turns()
    kept = shore.reader.trips.pop()
    for name in ("alice", "bob"):
        quick = shore.asks(name)
        await turns()
        await shore.reader.arrives()
        assert quick.result() == f"{name}: first"
    assert not slow.done()
    shore.reader.trips.append(kept)
    await shore.reader.arrives()
    assert slow.done()


async def test_a_crowd_goes_in_trips_of_bounded_size(shore: Shore) -> None:
    answers = [shore.asks(str(number)) for number in range(TRIPS_AT_ONCE * ABOARD_AT_MOST + 3)]
    await turns()
    assert shore.reader.aboard == [ABOARD_AT_MOST] * TRIPS_AT_ONCE
    while shore.reader.trips:
        await shore.reader.arrives()
        assert all(size <= ABOARD_AT_MOST for size in shore.reader.aboard)
        assert len(shore.reader.aboard) <= TRIPS_AT_ONCE
    assert [answer.result() for answer in answers] == [f"{number}: first" for number in range(len(answers))]


async def test_a_question_that_fails_fails_alone(shore: Shore) -> None:
    def broken(_: object) -> str:
        raise KeyError("nothing of that name")

    before, failing, after = shore.asks("before"), shore.ferry.take(broken), shore.asks("after")
    await turns()
    await shore.reader.arrives()
    assert (before.result(), after.result()) == ("before: first", "after: first")
    assert isinstance(failing.exception(), KeyError)


async def test_who_is_gone_is_passed_over(shore: Shore) -> None:
    gone, patient = shore.asks("gone"), shore.asks("patient")
    await turns()
    gone.cancel()
    await shore.reader.arrives()
    assert patient.result() == "patient: first"
    assert gone.cancelled()


async def test_a_trip_that_fails_is_told_to_all_aboard_and_the_next_goes(shore: Shore) -> None:
    shore.ferry = Ferry(shore.reader, lambda questions: _sinks() if len(questions) > 1 else shore.cross(questions))
    aboard = [shore.asks("alice"), shore.asks("bob")]
    await turns()
    await shore.reader.arrives()
    assert [type(answer.exception()) for answer in aboard] == [ValueError, ValueError]
    carol = shore.asks("carol")
    await turns()
    await shore.reader.arrives()
    assert carol.result() == "carol: first"


async def test_at_the_end_who_is_under_way_is_answered_and_everybody_else_refused(shore: Shore) -> None:
    under_way = await shore.occupies()
    waiting, gone = shore.asks("waiting"), shore.asks("gone")
    gone.cancel()
    shore.ferry.close()
    late = shore.asks("late")
    while shore.reader.trips:
        await shore.reader.arrives()
    assert [answer.result() for answer in under_way] == [f"trip {number}: first" for number in range(TRIPS_AT_ONCE)]
    assert [type(answer.exception()) for answer in (waiting, late)] == [Unavailable, Unavailable]


def _sinks() -> list[object]:
    raise ValueError("a trip that cannot be made")

"""Questions that come close together are asked together.

After a restart everybody joins at the same time. What each of them asks takes the database microseconds; the trip to a
reader's thread, a transaction of its own and the way back take many times that. So a trip takes along whatever waits,
in one transaction, and all answers come back in one callback. What comes meanwhile goes with the next one: who comes
alone waits for nobody, and the more come, the less each of them costs.

**Why nobody misses anything.** A question never goes with a trip that has begun. So the transaction begins after the
question was asked, as if it had one to itself, and whoever subscribes first and then asks is told what it does not see.

**Who harms whom.** A question that fails, fails for whoever asked it, and who is gone when the answers come is passed
over. A trip that cannot be made is refused to all aboard, and the next tries again. What may take long does not belong
here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from chatzilla.errors import Unavailable

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from sqlalchemy.engine.interfaces import DBAPICursor

T = TypeVar("T")

Question = Callable[["DBAPICursor"], T]

Cross = Callable[[Sequence[Question[Any]]], Sequence[object]]
"""Asks questions in one transaction, in a reader's thread; returns for each its answer, or the exception that says why
there is none."""

ABOARD_AT_MOST: Final = 32
"""Questions of one trip: their answers are put into words within one turn of the event loop."""

TRIPS_AT_ONCE: Final = 2
"""While one waits for the disk, the other goes on."""


class Ferry:
    """Takes questions to a reader, and brings the answers back."""

    def __init__(self, readers: Executor, cross: Cross) -> None:
        self._readers = readers
        self._cross = cross
        self._waiting: deque[tuple[Question[Any], asyncio.Future[Any]]] = deque()
        self._trips = 0
        """How many are under way."""
        self._boarding = False
        """Whether one leaves at the end of this turn of the event loop."""
        self._closed = False

    def take(self, question: Question[T]) -> asyncio.Future[T]:
        """Let a question go with the next trip.

        Returns:
            The answer to come. It fails with what the question raises, and with `Unavailable` if the database cannot be
            read now, or the ferry goes no more.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        if self._closed:
            answer.set_exception(_closing())
            return answer
        self._waiting.append((question, answer))
        if self._trips < TRIPS_AT_ONCE and not self._boarding:
            self._boarding = True
            loop.call_soon(self._leave)
        return answer

    def close(self) -> None:
        """Take nothing more; who still waits is refused."""
        self._closed = True
        while self._waiting:
            _, answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(_closing())

    def _leave(self) -> None:
        """Go with what waits."""
        self._boarding = False
        while self._waiting and self._trips < TRIPS_AT_ONCE:
            aboard = [self._waiting.popleft() for _ in range(min(len(self._waiting), ABOARD_AT_MOST))]
            questions, answers = zip(*aboard, strict=True)
            self._trips += 1
            crossing = asyncio.get_running_loop().run_in_executor(self._readers, self._cross, questions)
            crossing.add_done_callback(partial(self._arrive, answers))

    def _arrive(self, answers: Sequence[asyncio.Future[Any]], crossing: asyncio.Future[Sequence[object]]) -> None:
        """Give everybody their answer, and go again."""
        self._trips -= 1
        failure = crossing.exception()
        outcomes = crossing.result() if failure is None else [failure] * len(answers)
        for answer, outcome in zip(answers, outcomes, strict=True):
            if answer.done():
                continue  # whoever asked is gone
            if isinstance(outcome, BaseException):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)
        self._leave()


def _closing() -> Unavailable:
    return Unavailable("The server is restarting. Try again in a moment.")

"""One connection's line: begun in order, answered in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatzilla.realtime.line import Event, Line

if TYPE_CHECKING:
    from collections.abc import Callable


class Errand(Event):
    """An event that keeps a diary, and may bring another one when it is answered."""

    def __init__(self, desk: Desk, name: str, *, alone: bool, at_once: bool) -> None:
        super().__init__(desk.line, alone=alone)
        self.desk = desk
        self.name = name
        self.at_once = at_once

    def begin(self) -> None:
        self.desk.diary.append(f"{self.name} begins")
        if self.at_once:
            self.line.finished(self)

    def answer(self) -> None:
        self.desk.diary.append(f"{self.name} answered")
        self.desk.when_answered(self.name)


class Desk:
    """Runs events on a line and keeps a diary of what began and what was answered."""

    def __init__(self) -> None:
        self.line = Line(1_000)
        self.diary: list[str] = []
        self.errands: dict[str, Errand] = {}
        self.when_answered: Callable[[str], None] = lambda _name: None

    def bring(self, name: str, *, alone: bool = False, at_once: bool = False) -> None:
        """An event comes; unless it is done at once, it is under way until `finish`."""
        errand = self.errands[name] = Errand(self, name, alone=alone, at_once=at_once)
        self.line.take(errand)

    def finish(self, *names: str) -> None:
        for name in names:
            self.line.finished(self.errands[name])

    def news(self) -> list[str]:
        news, self.diary = self.diary, []
        return news


def test_what_needs_only_memory_is_done_at_once() -> None:
    desk = Desk()
    desk.bring("first", at_once=True)
    assert desk.news() == ["first begins", "first answered"]
    assert desk.line.waiting == 0


def test_the_next_may_begin_while_one_is_under_way_but_is_not_answered_before_it() -> None:
    desk = Desk()
    desk.bring("first")
    desk.bring("second")
    desk.bring("third", at_once=True)
    assert desk.news() == ["first begins", "second begins", "third begins"]
    desk.finish("second")
    assert desk.news() == []
    desk.finish("first")
    assert desk.news() == ["first answered", "second answered", "third answered"]


def test_one_that_is_alone_begins_when_everything_before_it_is_answered() -> None:
    """What reads the store sees what was written before."""
    desk = Desk()
    desk.bring("write")
    desk.bring("read", alone=True)
    assert desk.news() == ["write begins"]
    desk.finish("write")
    assert desk.news() == ["write answered", "read begins"]
    desk.finish("read")
    assert desk.news() == ["read answered"]


def test_nothing_begins_while_one_is_alone() -> None:
    """A message sent right after a join carries the name."""
    desk = Desk()
    desk.bring("join", alone=True)
    desk.bring("message")
    desk.bring("another", at_once=True)
    assert desk.news() == ["join begins"]
    desk.finish("join")
    assert desk.news() == ["join answered", "message begins", "another begins"]
    desk.finish("message")
    assert desk.news() == ["message answered", "another answered"]


def test_all_answers_that_are_due_are_given_at_once() -> None:
    desk = Desk()
    desk.bring("first")
    desk.bring("second", at_once=True)
    desk.bring("third")
    desk.finish("third")
    assert desk.news()[3:] == []
    desk.finish("first")
    assert desk.news() == ["first answered", "second answered", "third answered"]


def test_an_answer_may_bring_the_next_event() -> None:
    """What is brought while the line is at work stands behind what is there."""
    desk = Desk()
    desk.when_answered = lambda name: desk.bring("third", at_once=True) if name == "first" else None
    desk.bring("first")
    desk.bring("second", at_once=True)
    desk.finish("first")
    assert desk.news()[2:] == ["first answered", "second answered", "third begins", "third answered"]


def test_it_counts_who_waits() -> None:
    desk = Desk()
    for number in range(5):
        desk.bring(str(number))
    assert desk.line.waiting == 5
    desk.finish(*map(str, range(5)))
    assert desk.line.waiting == 0


def test_what_waits_for_two_reasons_waits_for_both() -> None:
    desk = Desk()
    desk.line.hold()
    desk.bring("first", alone=True)
    desk.line.hold()
    desk.line.go_on()
    desk.bring("second", at_once=True)
    assert desk.news() == []
    desk.line.go_on()
    assert desk.news() == ["first begins"]
    desk.line.hold()
    desk.finish("first")
    assert desk.news() == ["first answered"]
    desk.line.go_on()
    assert desk.news() == ["second begins", "second answered"]

"""What the log hears of a database that cannot: at once, and once a minute for as long as it lasts."""

from __future__ import annotations

import sqlite3
from types import SimpleNamespace
from typing import TYPE_CHECKING

from chatzilla.store import condition as condition_module
from chatzilla.store.condition import Condition

if TYPE_CHECKING:
    import pytest

LOCKED = sqlite3.OperationalError("database is locked")


class Log:
    """A condition, a clock, and how many lines the log has had."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        self.now = 1_000.0
        self.condition = Condition()
        self._caplog = caplog
        monkeypatch.setattr(condition_module, "time", SimpleNamespace(monotonic=lambda: self.now))

    def after(self, seconds: float, *, reading: bool = False) -> int:
        """Something is refused so much later; returns how many lines there are by then."""
        self.now += seconds
        self.condition.refused(LOCKED, reading=reading)
        return len(self._caplog.records)


def test_one_line_a_minute_for_as_long_as_it_lasts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = Log(monkeypatch, caplog)
    assert [log.after(seconds) for seconds in (0, 1, 30, 28.9, 0.2, 59, 2)] == [1, 1, 1, 1, 2, 2, 3]
    assert {record.getMessage() for record in caplog.records} == {
        "the database cannot be written: database is locked",
    }


def test_what_works_and_fails_in_turns_has_no_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And what begins again within a minute, and then lasts, is told when the minute is over."""
    log = Log(monkeypatch, caplog)
    for seconds in (0, 10, 10):
        assert log.after(seconds) == 1
        log.condition.unwritable = False
    assert log.after(10) == 1
    assert log.after(40) == 2


def test_reading_and_writing_are_told_apart(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    log = Log(monkeypatch, caplog)
    assert (log.after(0), log.after(0, reading=True), log.after(1), log.after(0, reading=True)) == (1, 2, 2, 2)

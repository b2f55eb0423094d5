"""What one peer can write into the log is bounded, and what was left out is said."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from chatzilla.core.limits import Rate
from chatzilla.logs import PEER, PerPeer
from tests.helpers.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable

A, B = "192.0.2.1", "192.0.2.2"


def _log(clock: ManualClock, rate: Rate) -> tuple[list[str], Callable[[str, str | None], None]]:
    """What a log holds, and how to say something about a peer, or about nobody."""
    lines: list[str] = []
    log_filter = PerPeer(rate, clock)

    def say(words: str, peer: str | None) -> None:
        about = {} if peer is None else {PEER: peer}
        record = logging.makeLogRecord({"msg": "%s", "args": (words,), **about})
        if log_filter.filter(record):
            lines.append(record.getMessage())

    return lines, say


def test_a_peer_has_so_many_lines_and_the_log_says_what_it_left_out() -> None:
    clock = ManualClock()
    lines, say = _log(clock, Rate(per_second=2, burst=3))
    for number in range(10):
        say(f"a{number}", A)
    assert lines == ["a0", "a1", "a2", f"a3 (more lines about {A} are left out for now)"]
    clock.advance(1)
    for number in range(3):
        say(f"again{number}", A)
    assert lines[4:] == [
        f"again0 (6 lines about {A} were left out)",
        "again1",
        f"again2 (more lines about {A} are left out for now)",
    ]


def test_the_lines_of_others_and_of_nobody_go_on() -> None:
    lines, say = _log(ManualClock(), Rate(per_second=1, burst=1))
    for _ in range(5):
        say("a", A)
    for peer in (B, None, None):
        say("still there", peer)
    assert lines[2:] == ["still there"] * 3


def test_a_rate_of_zero_leaves_nothing_out() -> None:
    lines, say = _log(ManualClock(), Rate(per_second=0, burst=1))
    for _ in range(100):
        say("a", A)
    assert lines == ["a"] * 100

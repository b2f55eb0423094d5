"""The test of the test: products with one fault each, and the small attack under which it has to show.

Servers are in `server_mutants`, pages in `loader.mjs`. The same attack on the product as it ships finds nothing, or the
control proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.torture.plan import SERVER, Cast, Fault, Plan, Write

HEARTBEAT: Final = 1.0


@dataclass(frozen=True, slots=True)
class Mutant:
    """One faulty product."""

    name: str
    caught_by: frozenset[str]
    """The promises of `checks.PROMISES`, one of which it breaks in the eyes of the checkers."""
    plan: Plan


def _mutant(
    name: str, caught_by: str, *, pages: int, faults: list[Fault], writes: list[Write], tutorials: int = 0
) -> Mutant:
    cast = Cast(pages=pages, hosts=1, tutorials=tutorials, rooms=1)
    seconds = max([*(fault.at for fault in faults), *(write.at for write in writes)]) + 0.3
    plan = Plan(name, seconds, cast, tuple(faults), tuple(writes), HEARTBEAT, name)
    return Mutant(name, frozenset(caught_by.split()), plan)


def _every(step: float, start: float, end: float, who: str) -> list[Write]:
    return [Write(round(start + step * number, 2), who) for number in range(int((end - start) / step))]


MUTANTS: Final[dict[str, Mutant]] = {
    mutant.name: mutant
    for mutant in (
        _mutant(
            "no_unique_index",
            "stored_once",
            pages=2,
            faults=[Fault(0.1, "twice_request", "page01", how=0.4), Fault(0.1, "twice_request", "page01", how=0.3)],
            writes=[Write(0.5, "page01"), Write(1.8, "page01")],
        ),
        _mutant(
            "read_before_subscribe",
            "comes_to_rest nothing_is_missing",
            pages=6,
            faults=[Fault(0.2 + 0.3 * number, "reset", f"page0{number}") for number in range(5)],
            writes=[Write(1.8, "page05")],
        ),
        _mutant(
            "ack_before_commit",
            "acknowledged_is_stored",
            pages=2,
            faults=[Fault(1.0, "server_kill", SERVER)],
            writes=_every(0.1, 0.3, 1.0, "page00"),
        ),
        _mutant(
            "broadcast_before_commit",
            "shown_is_stored",
            pages=2,
            tutorials=1,
            faults=[Fault(1.0, "server_kill", SERVER)],
            writes=_every(0.1, 0.3, 1.0, "tutorial0"),
        ),
        _mutant(
            "cursor_by_time",
            "comes_to_rest nothing_is_missing",
            pages=2,
            faults=[Fault(0.6, "offline", "page00", 1.2), Fault(0.8, "server_clock", SERVER, how=0.0)],
            writes=[Write(0.2, "page01"), Write(1.2, "page01"), Write(1.4, "page01")],
        ),
        _mutant(
            "no_hole_detection",
            "nothing_is_missing",
            pages=2,
            faults=[Fault(0.1, "drop_event", "page00")],
            writes=_every(0.2, 0.4, 1.2, "page01"),
        ),
        _mutant(
            "outbox_forgets",
            "written_is_stored",
            pages=2,
            faults=[Fault(0.3 + 0.3 * number, "crash", f"page0{number % 2}", how=0.0) for number in range(4)],
            writes=[],
        ),
        _mutant(
            "new_id_for_a_retry",
            "stored_once",
            pages=2,
            faults=[Fault(0.1, "cut_ack", "page00", how=0.0), Fault(2.0, "cut_ack", "page00", how=0.0)],
            writes=[Write(0.5, "page00"), Write(2.4, "page00")],
        ),
        _mutant(
            "ghosts",
            "presence",
            pages=2,
            faults=[Fault(0.2, "move", "page00", how=0.4)],
            writes=[],
        ),
        _mutant(
            "never_misses_anybody",
            "presence",
            pages=2,
            faults=[Fault(0.2, "vanish", "page00", 5.5)],
            writes=[],
        ),
        _mutant(
            "new_epoch_at_each_start",
            "never_starts_over",
            pages=2,
            faults=[Fault(0.8, "server_kill", SERVER)],
            writes=_every(0.2, 0.3, 0.9, "page00"),
        ),
        _mutant(
            "leak",
            "bounds",
            pages=2,
            faults=[Fault(0.2 + 0.1 * number, "reset", f"page0{number % 2}") for number in range(4)],
            writes=[],
        ),
    )
}

"""The parts of the harness that can be wrong by themselves: plans, packets, verdicts, shrinking."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.helpers.sockets import frame, handshake
from tests.torture.campaign import CAST
from tests.torture.checks import PROMISES, Client, Evidence, Shown, Simple, violations
from tests.torture.faults import KINDS
from tests.torture.frames import Reader
from tests.torture.mutants import MUTANTS
from tests.torture.plan import MIX, Plan, Scale, draw
from tests.torture.shrink import shrink

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [
    {
        "room": "lobby",
        "seq": number,
        "changed": number,
        "name": "ann",
        "content": f"ann #{number}",
        "client_id": f"{number}",
    }
    for number in (1, 2, 3)
]
SHOWN = [Shown(number, "ann", f"ann #{number}", "sent") for number in (1, 2, 3)]
ANN = Client(
    "ann", "ann", "lobby", "online", SHOWN, ["ann"], written=[("lobby", f"ann #{number}") for number in (1, 2, 3)]
)


def broken(evidence: Evidence) -> set[str]:
    found = {violation.promise for violation in violations(evidence)}
    assert found <= PROMISES.keys()
    return found


def test_a_seed_draws_one_plan_and_a_file_keeps_it(tmp_path: Path) -> None:
    scale = Scale(faults=200, seconds=60, kills=5, long_holes=2, terms=1, absences=1)
    plan = draw("7", CAST, scale)
    assert plan == draw("7", CAST, scale)
    assert plan != draw("8", CAST, scale)
    assert (len(plan.faults), plan.kills, plan.long_holes) == (200, 5, 2)
    plan.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == plan


def test_every_kind_of_fault_is_known() -> None:
    assert MIX.keys() <= KINDS.keys()
    assert {fault.kind for mutant in MUTANTS.values() for fault in mutant.plan.faults} <= KINDS.keys()
    assert all(mutant.caught_by <= PROMISES.keys() for mutant in MUTANTS.values())


def test_packets_are_found_however_the_bytes_come() -> None:
    """Requests, answers and frames, byte by byte: every byte passes once, and every packet is seen."""
    post = b"POST /socket.io/ HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n40\x1e42"
    stream = post + handshake("/socket.io/") + frame("42/chat,1[]") + frame("x" * 70_000) + frame(b"\x00" * 200, 0x2)
    reader = Reader()
    units = [unit for at in range(len(stream)) for unit in reader.feed(stream[at : at + 1])]
    assert b"".join(unit.raw for unit in units) == stream
    assert [packet for unit in units for packet in unit.packets] == ["40", "42", "42/chat,1[]", "x" * 70_000]


def test_one_packet_of_an_answer_can_be_taken_out() -> None:
    (answer,) = Reader().feed(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\n42a\x1e43bc")
    first, second = answer.packets
    left = answer.without(first)
    assert left is not None
    (again,) = Reader().feed(left.raw)
    assert again.packets == (second,)
    nothing = again.without(again.packets[0])
    assert nothing is not None
    assert nothing.packets == ("6",)


def test_nothing_wrong_is_found_where_nothing_is_wrong() -> None:
    ann = replace(ANN, acks=[("lobby", "ann #1", "1", 1)], seen={("lobby", 2): "ann #2"})
    tim = Simple("tim", ["ann #3"], [["ann #1"], ["ann #2", "ann #3"]])
    assert not broken(Evidence(ROWS, [ann], [tim], {"lobby": frozenset({"ann"})}))


def test_what_is_wrong_is_called_by_its_name() -> None:
    twice = {**ROWS[0], "seq": 4, "changed": 4}
    assert "stored_once" in broken(Evidence([*ROWS, twice], []))
    assert broken(Evidence(ROWS[1:], [])) == {"numbers_have_no_holes"}
    assert broken(Evidence(ROWS, [replace(ANN, acks=[("lobby", "ann #9", "9", 9)])])) == {"acknowledged_is_stored"}
    assert broken(Evidence(ROWS, [replace(ANN, written=[("lobby", "ann #9")])])) == {"written_is_stored"}
    assert broken(Evidence(ROWS, [replace(ANN, written=ANN.written[::-1])])) == {"senders_order"}
    assert broken(Evidence(ROWS, [replace(ANN, seen={("lobby", 2): "ann #3"})])) == {"shown_is_stored"}
    assert broken(Evidence(ROWS, [replace(ANN, shown=[SHOWN[0], SHOWN[2]])])) == {"nothing_is_missing"}
    assert broken(Evidence(ROWS, [replace(ANN, shown=SHOWN[::-1])])) == {"one_order", "comes_to_rest"}
    assert "shown_once" in broken(Evidence(ROWS, [replace(ANN, shown=[*SHOWN, SHOWN[2]])]))
    assert broken(Evidence(ROWS, [replace(ANN, resets=1)])) == {"never_starts_over"}
    assert broken(Evidence(ROWS, [replace(ANN, refusals=["forbidden"])])) == {"never_refused"}
    assert broken(Evidence(ROWS, [replace(ANN, letters=["ann #4"])])) == {"comes_to_rest"}
    assert broken(Evidence(ROWS, [ANN], people={"lobby": frozenset()})) == {"presence"}
    assert broken(Evidence(ROWS, [], [Simple("tim", [], [], online=False)])) == {"comes_to_rest"}
    assert broken(Evidence(ROWS, [], [Simple("tim", ["never"], [])])) == {"acknowledged_is_stored"}
    assert broken(Evidence(ROWS, [], [Simple("tim", [], [["ann #2", "ann #1"]])])) == {"one_order"}
    assert broken(Evidence(ROWS, [], [Simple("tim", [], [["ann #2"], ["ann #2"]])])) == {"shown_once"}


async def test_a_plan_is_shrunk_to_what_matters() -> None:
    """Of two hundred faults, the two that break the promise together are left, within the tries."""
    plan = draw("9", CAST, Scale(faults=200, seconds=60, kills=2))
    guilty = {plan.faults[17], plan.faults[140]}
    asked: list[Plan] = []

    async def breaks(smaller: Plan) -> bool:
        asked.append(smaller)
        return guilty <= set(smaller.faults)

    assert set((await shrink(plan, breaks, tries=200)).faults) == guilty
    asked.clear()
    rough = await shrink(plan, breaks, tries=10)
    assert len(asked) == 10
    assert guilty <= set(rough.faults)
    assert len(rough.faults) <= 100

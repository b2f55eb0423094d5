"""The torture in short, and the test of the test: a hundred and fifty faults, and every mutant caught."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest

from tests.torture import disk
from tests.torture.mutants import MUTANTS
from tests.torture.plan import Cast, Scale, draw
from tests.torture.run import Run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.torture.run import Outcome

pytestmark = pytest.mark.alone

SIDE_BY_SIDE: Final = 4
SHORT: Final = Scale(faults=150, seconds=24, kills=4, terms=1, absences=1, writes_per_second=4, heartbeat=2)


async def test_every_promise_is_kept_under_fire(tmp_path: Path) -> None:
    """Pages, tutorial clients and a real browser, through faults of every kind; then everybody shows what is stored."""
    cast = Cast(pages=12, hosts=2, tutorials=1, tabs=1, pairs=2)
    plan = draw("short", cast, SHORT, shim=disk.compiler() is not None)
    plan.save(tmp_path / "plan.json")
    outcome = await Run(plan, tmp_path / "run").carry_out()
    assert not outcome.troubles, outcome.troubles
    assert not outcome.violations, f"{outcome.violations}; python -m tests.torture --replay {tmp_path}/plan.json"
    assert outcome.figures.stored > 50


@pytest.fixture
async def outcomes(tmp_path: Path) -> dict[str, Outcome]:
    """What each mutant came to; a few at a time."""
    turns = asyncio.Semaphore(SIDE_BY_SIDE)

    async def attack(name: str) -> Outcome:
        async with turns:
            return await Run(MUTANTS[name].plan, tmp_path / name, hurried=True).carry_out()

    return dict(zip(MUTANTS, await asyncio.gather(*map(attack, MUTANTS)), strict=True))


async def test_every_mutant_is_caught(outcomes: dict[str, Outcome]) -> None:
    """A checker that finds nothing wrong with a wrong product would prove nothing about a right one."""
    broken = {name: {violation.promise for violation in outcome.violations} for name, outcome in outcomes.items()}
    missed = {name: promises for name, promises in broken.items() if not promises & MUTANTS[name].caught_by}
    assert not missed, missed

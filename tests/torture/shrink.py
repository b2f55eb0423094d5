"""Makes a plan that breaks a promise smaller, while it still breaks it (Zeller's ddmin, with a bound).

An attack that meets its moment only sometimes may look harmless in one try; so what is found is small, and need not be
the smallest.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tests.torture.plan import Plan

T = TypeVar("T")


async def shrink(plan: Plan, breaks: Callable[[Plan], Awaitable[bool]], *, tries: int) -> Plan:
    """Leave out faults, then messages.

    Args:
        plan: breaks a promise.
        breaks: carries a plan out, and says whether it breaks the same promise.
        tries: how often that may be asked.
    """
    left = tries

    async def asked(smaller: Plan) -> bool:
        nonlocal left
        if left == 0:
            return False
        left -= 1
        return await breaks(smaller)

    faults = await _fewest(plan.faults, lambda some: asked(_shorter(replace(plan, faults=tuple(some)))))
    plan = _shorter(replace(plan, faults=tuple(faults)))
    writes = await _fewest(plan.writes, lambda some: asked(replace(plan, writes=tuple(some))))
    return replace(plan, writes=tuple(writes))


def _shorter(plan: Plan) -> Plan:
    """Without the time after the last fault, but for a few seconds in which it shows."""
    end = max((fault.at + fault.seconds for fault in plan.faults), default=0.0) + 5.0
    if end >= plan.seconds:
        return plan
    return replace(plan, seconds=end, writes=tuple(write for write in plan.writes if write.at <= end))


async def _fewest(items: Sequence[T], breaks: Callable[[Sequence[T]], Awaitable[bool]]) -> Sequence[T]:
    parts = 2
    while len(items) >= 2:
        size = -(-len(items) // parts)
        for start in range(0, len(items), size):
            rest = [*items[:start], *items[start + size :]]
            if await breaks(rest):
                items, parts = rest, max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(parts * 2, len(items))
    return items

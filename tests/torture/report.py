"""What a torture came to, for people and for programs."""

from __future__ import annotations

import os
import platform
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from tests.torture.checks import PROMISES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.torture.run import Outcome

SHOWN_AT_MOST: Final = 40
COUNTED: Final = (
    *("packets_hit", "kills", "long_holes", "starts", "refused_starts", "writes", "stored", "acknowledged"),
    "pages_opened",
)


def of_outcome(number: int, outcome: Outcome) -> dict[str, Any]:
    """One round, as it is kept."""
    return {
        "round": number,
        "seed": outcome.plan.seed,
        "mutant": outcome.plan.mutant,
        "violations": [asdict(each) for each in outcome.violations],
        "troubles": outcome.troubles,
        "figures": asdict(outcome.figures),
    }


def summary(command: str, rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All rounds together."""
    faults: Counter[str] = Counter()
    totals = dict.fromkeys(COUNTED, 0)
    for each in rounds:
        figures = each["figures"]
        faults.update(figures["faults"])
        for name in COUNTED:
            totals[name] += figures[name]
    violations = [violation | {"round": each["round"]} for each in rounds for violation in each["violations"]]
    broken = Counter(violation["promise"] for violation in violations)
    return {
        "command": command,
        "machine": f"{platform.system()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "rounds": len(rounds),
        "minutes": round(sum(each["figures"]["seconds"] for each in rounds) / 60, 1),
        "faults": faults.total(),
        "by_kind": dict(faults.most_common()),
        "totals": totals,
        "rest_seconds": max((each["figures"]["rest_seconds"] for each in rounds), default=0.0),
        "gone_seconds": max((each["figures"]["gone_seconds"] for each in rounds), default=0.0),
        "promises": {promise: broken[promise] for promise in PROMISES},
        "violations": violations,
        "troubles": [f"round {each['round']}: {trouble}" for each in rounds for trouble in each["troubles"]],
    }


def text(found: dict[str, Any]) -> str:
    """The summary as a page."""
    totals = found["totals"]
    fired = (
        f"{found['faults']:,} faults in {found['rounds']} rounds, {found['minutes']} minutes under fire; "
        f"{totals['kills']} kills of the server, {totals['long_holes']} holes of 30 s and more."
    )
    said = (
        f"{totals['writes']:,} messages written, {totals['stored']:,} stored, {totals['acknowledged']:,} acknowledged "
        f"to pages; {totals['starts']} starts of the server."
    )
    after = (
        f"At rest {found['rest_seconds']:.1f} s after the last fault, at most; "
        f"the dead off the lists within {found['gone_seconds']:.1f} s."
    )
    lines = [f"$ {found['command']}", found["machine"], "", fired, said, after, ""]
    lines += [f"{count:7,}  {kind}" for kind, count in found["by_kind"].items()]
    lines.append("")
    for promise, broken in found["promises"].items():
        lines.append(f"{f'broken {broken} times' if broken else 'kept':>16}  {PROMISES[promise]}")
    lines.append("")
    lines += [
        f"round {violation['round']}: {violation['promise']}: {violation['who']}: {violation['what']}"
        for violation in found["violations"][:SHOWN_AT_MOST]
    ]
    lines += [f"The harness itself failed: {trouble}" for trouble in found["troubles"][:SHOWN_AT_MOST]]
    return "\n".join(lines) + "\n"

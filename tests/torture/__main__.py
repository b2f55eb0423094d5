"""`make torture`: drive the product through faults, and say whether it kept what it promises.

python -m tests.torture --seed 1 --faults 10000 --minutes 90     a campaign; --resume FOLDER goes on with one
python -m tests.torture --replay FILE                             one plan again, as a violation left it
python -m tests.torture --mutant NAME                             a faulty product, which has to be caught
python -m tests.torture --controls                                all of these, and the product, attacked likewise
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.helpers.servers import ROOT
from tests.torture import report
from tests.torture.campaign import Campaign
from tests.torture.mutants import MUTANTS
from tests.torture.plan import Plan
from tests.torture.run import Run
from tests.torture.shrink import shrink

if TYPE_CHECKING:
    from tests.torture.mutants import Mutant
    from tests.torture.run import Outcome

HOME: Final = ROOT / ".torture"
PROGRESS_EVERY_SECONDS: Final = 10.0


def main() -> int:
    """Run what was asked for; the exit status is 0 when every promise was kept."""
    arguments = _parser().parse_args()
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(name)s: %(message)s")
    return asyncio.run(_main(arguments))


async def _main(arguments: argparse.Namespace) -> int:
    if arguments.mutant:
        return 0 if await _caught(MUTANTS[arguments.mutant]) else 1
    if arguments.controls:
        results = [(await _caught(mutant), await _spared(mutant)) for mutant in MUTANTS.values()]
        return 0 if all(caught and spared for caught, spared in results) else 1
    if arguments.replay:
        return await _replay(arguments.replay)
    if arguments.resume:
        return await _campaign(Campaign.load(arguments.resume), arguments.resume, arguments)
    campaign = Campaign(arguments.seed, arguments.faults, arguments.minutes)
    folder = HOME / f"{campaign.seed}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder.mkdir(parents=True)
    campaign.save(folder)
    return await _campaign(campaign, folder, arguments)


async def _campaign(campaign: Campaign, folder: Path, arguments: argparse.Namespace) -> int:
    """Every round that is not done yet; then small replays of what was broken, and the report."""
    _say(f"{campaign.rounds} rounds of {campaign.round_seconds:.0f} s in {folder}")
    for number in range(1, campaign.rounds + 1):
        kept = folder / f"round-{number:03}.json"
        if kept.exists():
            continue
        plan = campaign.plan(number)
        outcome = await _carry_out(plan, folder / f"round-{number:03}", f"round {number} of {campaign.rounds}")
        kept.write_text(json.dumps(report.of_outcome(number, outcome), indent=1) + "\n")
        if outcome.violations:
            plan.save(folder / f"violation-{number:03}.json")
        elif not outcome.troubles:
            shutil.rmtree(folder / f"round-{number:03}")
    rounds = [json.loads(path.read_text()) for path in sorted(folder.glob("round-*.json"))]
    found = report.summary(campaign.command, rounds)
    (folder / "report.json").write_text(json.dumps(found, indent=1) + "\n")
    (folder / "report.txt").write_text(report.text(found))
    _say("", report.text(found), f"The report is in {folder}.")
    for path in sorted(folder.glob("violation-*.json")):
        await _make_small(path, arguments.tries)
    return 1 if found["violations"] or found["troubles"] else 0


async def _make_small(path: Path, tries: int) -> None:
    """Shrink a plan that broke a promise, once."""
    small = path.with_name(path.name.replace("violation", "small"))
    if small.exists() or not tries:
        return
    broken = _promises(json.loads(path.with_name(path.name.replace("violation", "round")).read_text()))

    async def breaks(plan: Plan) -> bool:
        label = f"shrinking to {len(plan.faults)} faults, {len(plan.writes)} messages"
        outcome = await _carry_out(plan, path.with_suffix(""), label)
        shutil.rmtree(path.with_suffix(""))
        return bool(broken & {violation.promise for violation in outcome.violations})

    (await shrink(Plan.load(path), breaks, tries=tries)).save(small)
    _say(f"A small replay is in {small}.")


async def _replay(path: Path) -> int:
    plan = Plan.load(path)
    folder = HOME / f"replay-{time.strftime('%Y%m%d-%H%M%S')}"
    outcome = await _carry_out(plan, folder, "replay")
    found = report.summary(f"python -m tests.torture --replay {path}", [report.of_outcome(1, outcome)])
    _say("", report.text(found))
    return 1 if outcome.violations or outcome.troubles else 0


async def _caught(mutant: Mutant) -> bool:
    outcome = await _carry_out(mutant.plan, HOME / "mutants" / mutant.name, mutant.name, hurried=True)
    broken = {violation.promise for violation in outcome.violations}
    caught = bool(broken & mutant.caught_by)
    _say(f"{mutant.name}: {'caught by' if caught else 'NOT CAUGHT,'} {', '.join(sorted(broken)) or 'nothing'}")
    return caught


async def _spared(mutant: Mutant) -> bool:
    outcome = await _carry_out(replace(mutant.plan, mutant=""), HOME / "mutants" / mutant.name, "the product")
    _say(f"the product, attacked likewise: {outcome.violations or 'every promise kept'}")
    return not outcome.violations


async def _carry_out(plan: Plan, folder: Path, label: str, *, hurried: bool = False) -> Outcome:
    shutil.rmtree(folder, ignore_errors=True)
    run = Run(plan, folder, hurried=hurried)
    progress = asyncio.create_task(_show_progress(run, label))
    try:
        return await run.carry_out()
    finally:
        progress.cancel()


async def _show_progress(run: Run, label: str) -> None:
    while True:
        await asyncio.sleep(PROGRESS_EVERY_SECONDS)
        _say(f"{time.strftime('%H:%M:%S')} {label}: {run.progress}")


def _promises(kept: dict[str, Any]) -> set[str]:
    return {violation["promise"] for violation in kept["violations"]}


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", default="1", help="the same seed draws the same plans")
    parser.add_argument("--faults", type=int, default=10_000, help="how many, in all rounds together")
    parser.add_argument("--minutes", type=float, default=90.0, help="how long, about")
    parser.add_argument("--tries", type=int, default=12, help="runs that may be spent to make one replay smaller")
    parser.add_argument("--resume", type=Path, metavar="FOLDER", help="go on with a campaign")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="carry one plan out again")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="see that this faulty product is caught")
    parser.add_argument("--controls", action="store_true", help="see that all are, and that the product is spared")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""The command: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from benchmarks.entrants import ENTRANTS
from benchmarks.loads import LOADS
from benchmarks.machine import allow_many_sockets, describe, two_cores
from benchmarks.plot import draw
from benchmarks.report import report
from benchmarks.running import Run, run_once
from benchmarks.scratch import ROOT, Scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, report and draw; the exit status is 1 when any run was no result."""
    chosen = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _end)
    scratch = Scratch(ROOT / ".bench")
    if not chosen.again:
        _measure(scratch, chosen)
    machine, runs, quick = _read(scratch.results)
    sys.stdout.write(report(machine, runs, judged=not quick))
    (chosen.plot or scratch.plot).write_text(draw(machine, runs))
    invalid = sum(bool(run.failure) for run in runs)
    if invalid:
        sys.stderr.write(f"{invalid} of {len(runs)} runs are INVALID and count for nothing; they are listed above.\n")
    return 1 if invalid else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Chatzilla beside its peers.")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured (5)")
    parser.add_argument("--quick", action="store_true", help="short and small, to see that it works; judges nothing")
    parser.add_argument("--loads", type=_some_of(LOADS), default=[*LOADS], help=f"some of {','.join(LOADS)}")
    parser.add_argument(
        "--entrants", type=_some_of(ENTRANTS), default=[*ENTRANTS], help=f"some of {','.join(ENTRANTS)}"
    )
    parser.add_argument("--plot", type=Path, help="where to draw the picture (.bench/benchmarks.svg)")
    parser.add_argument("--again", action="store_true", help="measure nothing; report the last results again")
    return parser


def _some_of(known: Collection[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        chosen = text.split(",")
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(known)}")
        return chosen

    return names


def _measure(scratch: Scratch, chosen: argparse.Namespace) -> None:
    """Put every load on every server, round by round, and note each run as it ends."""
    cores = two_cores()
    allow_many_sockets()
    scratch.prepare()
    with scratch.results.open("w") as results:
        results.write(json.dumps({"machine": describe(scratch.folder), "quick": chosen.quick}) + "\n")
        for number in range(chosen.rounds):
            for load in chosen.loads:
                for entrant in LOADS[load].entrants:
                    if entrant not in chosen.entrants:
                        continue
                    run = run_once(scratch, cores, number, load, entrant, quick=chosen.quick)
                    results.write(run.line() + "\n")
                    results.flush()
                    sys.stderr.write(run.summary() + "\n")


def _read(results: Path) -> tuple[dict[str, str], list[Run], bool]:
    head, *lines = results.read_text().splitlines()
    first: dict[str, Any] = json.loads(head)
    return first["machine"], [Run(**json.loads(line)) for line in lines], first["quick"]


def _end(_signal: int, _frame: object) -> NoReturn:
    """Leave by the way on which the running server is stopped."""
    raise SystemExit(143)


if __name__ == "__main__":
    sys.exit(main())

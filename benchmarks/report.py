"""What the runs say, as two Markdown tables: goals with their ratios, and all figures.

A ratio is taken inside each round, and the median of the rounds is shown with their range. Runs that are no result
are left out of the figures and listed on their own.
"""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Final

from benchmarks.entrants import ENTRANTS
from benchmarks.goals import (
    DELIVERIES,
    DELIVERY_COST,
    GOALS,
    HALF_ACKED,
    HALF_HEARD,
    HALF_SYNCED,
    JOINS,
    JOINS_PER_CPU,
    MEMORY,
    MESSAGES,
    NEARLY_ALL_ACKED,
    NEARLY_ALL_HEARD,
    NEARLY_ALL_SYNCED,
    PEAK,
    Measure,
)
from benchmarks.loads import LOADS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.goals import Figures, Goal
    from benchmarks.running import Run

GENERATOR: Final = Measure("generator's core, %", lambda run: run["gen_cpu_pct"])
DISK: Final = (HALF_SYNCED, NEARLY_ALL_SYNCED)
"""What the disk alone takes, measured beside each run: an answer that waits for it cannot come sooner."""

ACKS: Final = (HALF_ACKED, NEARLY_ALL_ACKED, *DISK)
HEARD: Final = (DELIVERIES, DELIVERY_COST, HALF_HEARD, NEARLY_ALL_HEARD, *ACKS, PEAK, GENERATOR)
ACKNOWLEDGED: Final = (MESSAGES, *ACKS, GENERATOR)
SILENT: Final = (MEMORY, JOINS, JOINS_PER_CPU)


def report(machine: Mapping[str, str], runs: Sequence[Run], *, judged: bool) -> str:
    """All that is to be said.

    Args:
        machine: what it ran on.
        runs: all rounds.
        judged: whether the goals' bounds are held against the ratios; a quick run is too short for that.
    """
    rounds = len({run.round for run in runs})
    head = [f"{name}: {text}" for name, text in machine.items()]
    head.append(f"rounds: {rounds}, interleaved; medians, and ratios taken inside each round")
    parts = ["\n".join(f"- {line}" for line in head), _goals(runs, judged=judged)]
    parts += [_figures(load, runs) for load in LOADS if any(run.load == load for run in runs)]
    invalid = [run for run in runs if run.failure]
    if invalid:
        parts.append("### INVALID RUNS\n\n" + "\n".join(f"- {run.summary()}" for run in invalid))
    return "\n\n".join(parts) + "\n"


def medians(runs: Iterable[Run], load: str, entrant: str) -> Figures:
    """Each figure's median over the good rounds; empty if there is none."""
    good = [run.figures for run in runs if (run.load, run.entrant) == (load, entrant) and not run.failure]
    return {name: statistics.median(figures[name] for figures in good) for name in good[0]} if good else {}


def ratios(goal: Goal, runs: Iterable[Run]) -> list[tuple[float, float, float]]:
    """For each round that has both: Chatzilla's figure, the other's, and what the goal is about."""
    rounds: dict[int, dict[tuple[str, str], Figures]] = {}
    for run in runs:
        if not run.failure:
            rounds.setdefault(run.round, {})[run.load, run.entrant] = run.figures
    sides = (goal.sides(by_load) for by_load in rounds.values())
    return [each for each in sides if each is not None]


def table_head(columns: Sequence[str]) -> str:
    """The beginning of a table whose rows are printed as they are measured; each is a `table_row`."""
    return f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}\n"


def table_row(cells: Sequence[str]) -> str:
    """One line of it, in which a space stands before each percent sign."""
    return f"| {' | '.join(cells)} |".replace("%", " %")


def number(value: float) -> str:
    """Three digits that count, and a thousand as k."""
    if math.isnan(value):
        return "–"
    for limit, unit in ((1e6, " M"), (1e4, " k")):
        if abs(value) >= limit:
            return f"{value / (1e6 if unit == ' M' else 1e3):.3g}{unit}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _goals(runs: Sequence[Run], *, judged: bool) -> str:
    rows = []
    for goal in GOALS:
        found = ratios(goal, runs)
        if not found:
            continue
        ours, theirs, value = (statistics.median(each) for each in zip(*found, strict=True))
        low, high = min(each[2] for each in found), max(each[2] for each in found)
        verdict = ("met" if goal.is_met(value) else "MISSED") if judged else "not judged"
        other = goal.against_load or ENTRANTS[goal.against].title
        rows.append(
            (
                goal.load,
                goal.measure.title,
                number(ours),
                "itself" if math.isnan(theirs) else f"{other}: {number(theirs)}",
                f"{number(value)} ({number(low)} – {number(high)})",
                f"{'≥' if goal.at_least else '≤'} {goal.bound:g}",
                verdict,
            )
        )
    columns = ("load", "measure", "Chatzilla", "against", "ratio (range)", "goal", "verdict")
    return "### Goals\n\n" + _table(columns, rows)


def _figures(load: str, runs: Sequence[Run]) -> str:
    """Every figure of one load; what its first goal is about also as a ratio to each peer."""
    judged = next((goal.measure for goal in GOALS if goal.load == load), DELIVERY_COST)
    measures = {MESSAGES: ACKNOWLEDGED, MEMORY: SILENT}.get(judged, HEARD)
    by_entrant = {entrant: medians(runs, load, entrant) for entrant in LOADS[load].entrants}
    peers = [entrant for entrant, figures in by_entrant.items() if figures and not entrant.startswith("chatzilla")]
    rows = []
    for entrant, figures in by_entrant.items():
        if figures:
            beside = (judged.of(figures) / judged.of(by_entrant[peer]) for peer in peers)
            cells = (*(measure.of(figures) for measure in measures), *beside)
            rows.append((ENTRANTS[entrant].title, *(number(cell) for cell in cells)))
    note = "; Chatzilla in its full dialect" if LOADS[load].full else ""
    if peers:
        note += f". Ratios are of {judged.title}"
    columns = ("server", *(measure.title for measure in measures), *(f"÷ {ENTRANTS[peer].title}" for peer in peers))
    return f"### {load}: {LOADS[load].title}{note}\n\n" + _table(columns, rows)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[place]) for row in (columns, *rows)) for place in range(len(columns))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    head = "| " + " | ".join(cell.ljust(width) for cell, width in zip(columns, widths, strict=True)) + " |"
    return "\n".join([head, "| " + " | ".join("-" * width for width in widths) + " |", *lines])

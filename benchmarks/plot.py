"""The README's picture: one small chart for each question, drawn as SVG by hand.

Bars of one chart share a scale that begins at nothing; charts do not share one. The colours follow the reader's
light or dark mode.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from benchmarks.entrants import ENTRANTS
from benchmarks.goals import DELIVERIES, HALF_ACKED, JOINS_PER_CPU, MEMORY, MESSAGES, NEARLY_ALL_HEARD
from benchmarks.report import medians, number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.goals import Measure
    from benchmarks.running import Run

ENTRANTS_SHOWN: Final = ("chatzilla", "node", "stock")

COLUMNS: Final = 2
WIDTH: Final = 880
MARGIN: Final = 24
GAP: Final = 36
BAR: Final = 18
PITCH: Final = 26
HEAD: Final = 48
FOOT: Final = 24
LABELS: Final = 140
VALUES: Final = 70

STYLE: Final = """
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
.title { font-weight: 600; font-size: 14px; }
.quiet { fill: #59636e; font-size: 12px; }
.paper { fill: #ffffff; }
.bar { fill: #c5ccd3; }
.own { fill: #1a7f4b; }
.own-label { font-weight: 600; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .quiet { fill: #9198a1; }
  .paper { fill: #0d1117; }
  .bar { fill: #4a525b; }
  .own { fill: #3fb96f; }
}
"""


@dataclass(frozen=True, slots=True)
class Chart:
    """One question, and the load and the measure that answer it."""

    title: str
    load: str
    measure: Measure

    @property
    def subtitle(self) -> str:
        return f"{self.measure.title} · {'more' if self.measure.more_is_better else 'less'} is better"


CHARTS: Final = (
    Chart("1,000 people in a room, 4 talking", "W1", DELIVERIES),
    Chart("1,000 people in a room, 50 talking", "W1s50", DELIVERIES),
    Chart("100 rooms of 10 people", "W3", DELIVERIES),
    Chart("64 people writing, nobody listening", "W5c64", MESSAGES),
    Chart("20 messages a second to 1,000 people", "W2", NEARLY_ALL_HEARD),
    Chart("20 messages a second to 1,000 people", "W2", HALF_ACKED),
    Chart("10,000 people who are silent", "W4", MEMORY),
    Chart("10,000 people coming in", "W4", JOINS_PER_CPU),
)


def draw(machine: Mapping[str, str], runs: Sequence[Run]) -> str:
    """The picture of everything in CHARTS that was measured."""
    charts = [(chart, bars) for chart in CHARTS if (bars := _bars(chart, runs))]
    rows = -(-len(charts) // COLUMNS)
    width = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) / COLUMNS
    pitch = HEAD + PITCH * len(ENTRANTS_SHOWN) + GAP
    height = MARGIN + rows * pitch + FOOT
    parts = []
    for place, (chart, bars) in enumerate(charts):
        x = MARGIN + (place % COLUMNS) * (width + GAP)
        y = MARGIN + (place // COLUMNS) * pitch
        parts.append(f'<g transform="translate({x:g} {y:g})">{_chart(chart, bars, width)}</g>')
    rounds = len({run.round for run in runs})
    foot = (
        "Chatzilla stores every message on disk before it acknowledges it; the others store nothing.",
        f"Medians of {rounds} rounds; the server on one core of {machine['processor']}, the generator on another.",
    )
    for place, line in enumerate(foot):
        parts.append(f'<text class="quiet" x="{MARGIN}" y="{height - 30 + 18 * place:g}">{escape(line)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img" '
        f'aria-label="Chatzilla beside Socket.IO on Node.js and python-socketio">\n'
        f"<style>{STYLE}</style>\n"
        f'<rect class="paper" width="{WIDTH}" height="{height:g}" rx="8"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _bars(chart: Chart, runs: Sequence[Run]) -> list[tuple[str, float]]:
    found = ((entrant, medians(runs, chart.load, entrant)) for entrant in ENTRANTS_SHOWN)
    return [(entrant, chart.measure.of(figures)) for entrant, figures in found if figures]


def _chart(chart: Chart, bars: Sequence[tuple[str, float]], width: float) -> str:
    most = max(value for _, value in bars) or 1
    room = width - LABELS - VALUES
    lines = [
        f'<text class="title" y="14">{escape(chart.title)}</text>',
        f'<text class="quiet" y="32">{escape(chart.subtitle)}</text>',
    ]
    for place, (entrant, value) in enumerate(bars):
        y = HEAD + place * PITCH
        kind, label = ("own", "own-label") if entrant == "chatzilla" else ("bar", "")
        length = max(1.0, room * value / most)
        lines += [
            f'<text class="{label}" y="{y + 13}">{escape(ENTRANTS[entrant].title)}</text>',
            f'<rect class="{kind}" x="{LABELS}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>',
            f'<text class="{label}" x="{LABELS + length + 6:.1f}" y="{y + 13}">{number(value)}</text>',
        ]
    return "".join(lines)

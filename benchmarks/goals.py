"""What Chatzilla aims at: always a ratio inside one run, or a bound that no machine changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Figures = dict[str, float]
"""What the generator reports about one run."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One way of looking at a run."""

    title: str
    of: Callable[[Figures], float]
    more_is_better: bool = False


def _inverse(field: str) -> Callable[[Figures], float]:
    return lambda figures: 1e6 / figures[field] if figures[field] else float("nan")


def _plain(field: str) -> Callable[[Figures], float]:
    return lambda figures: figures[field]


DELIVERIES: Final = Measure("deliveries per CPU second", _inverse("server_us_per_del"), more_is_better=True)
DELIVERY_COST: Final = Measure("CPU µs per delivery", _plain("server_us_per_del"))
MESSAGES: Final = Measure("messages per CPU second", _inverse("server_us_per_msg"), more_is_better=True)
HALF_HEARD: Final = Measure("delivery p50, ms", _plain("del_p50_ms"))
NEARLY_ALL_HEARD: Final = Measure("delivery p99, ms", _plain("del_p99_ms"))
HALF_ACKED: Final = Measure("ack p50, ms", _plain("ack_p50_ms"))
NEARLY_ALL_ACKED: Final = Measure("ack p99, ms", _plain("ack_p99_ms"))
HALF_SYNCED: Final = Measure("fdatasync p50, ms", _plain("sync_p50_ms"))
NEARLY_ALL_SYNCED: Final = Measure("fdatasync p99, ms", _plain("sync_p99_ms"))
MEMORY: Final = Measure("RSS per connection, kB", _plain("rss_per_conn_kb"))
PEAK: Final = Measure("peak RSS per connection, kB", _plain("peak_per_conn_kb"))
JOINS: Final = Measure("joins per second", _plain("joins_per_s"), more_is_better=True)
JOINS_PER_CPU: Final = Measure("joins per CPU second", _inverse("join_server_us"), more_is_better=True)
GOODBYES: Final = Measure("told goodbye, of those who stalled", lambda run: run["goodbyes"] / max(run["stalled"], 1))
GROWTH_IN_MEMORY: Final = Measure("growth of RSS, kB", lambda run: run["rss_peak_kb"] - run["rss_joined_kb"])


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on `measure` of Chatzilla under `load`, as a ratio to another run of the same round."""

    load: str
    measure: Measure
    bound: float
    against: str = "chatzilla"
    against_load: str = ""
    at_least: bool = False

    def sides(self, runs: Mapping[tuple[str, str], Figures]) -> tuple[float, float, float] | None:
        """Chatzilla's figure, the other's, and what is held against the bound; None if one of them did not run."""
        own, other = runs.get((self.load, "chatzilla")), runs.get((self.against_load or self.load, self.against))
        if own is None or other is None:
            return None
        ours, theirs = self.measure.of(own), self.measure.of(other)
        return ours, theirs, ours / theirs if theirs else float("nan")

    def is_met(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True, slots=True)
class Absolute(Goal):
    """A bound on the figure itself."""

    def sides(self, runs: Mapping[tuple[str, str], Figures]) -> tuple[float, float, float] | None:
        own = runs.get((self.load, "chatzilla"))
        return None if own is None else (self.measure.of(own), float("nan"), self.measure.of(own))


@dataclass(frozen=True, slots=True)
class PerStalled(Goal):
    """A bound on what each client that does not read costs beyond the run without such clients."""

    def sides(self, runs: Mapping[tuple[str, str], Figures]) -> tuple[float, float, float] | None:
        own, other = runs.get((self.load, "chatzilla")), runs.get((self.against_load, "chatzilla"))
        if own is None or other is None:
            return None
        ours, theirs = self.measure.of(own), self.measure.of(other)
        return ours, theirs, (ours - theirs) / own["stalled"]


def _at_least(load: str, measure: Measure, **bounds: float) -> tuple[Goal, ...]:
    return tuple(Goal(load, measure, bound, against, at_least=True) for against, bound in bounds.items())


def _at_most(load: str, measure: Measure, **bounds: float) -> tuple[Goal, ...]:
    return tuple(Goal(load, measure, bound, against) for against, bound in bounds.items())


GOALS: Final = (
    *_at_least("W1", DELIVERIES, stock=20, node=7, c=1.7),
    *_at_least("W1s1", DELIVERIES, stock=11, node=2.2, c=0.55),
    *_at_least("W1s50", DELIVERIES, stock=80, node=40),
    *_at_most("W2", HALF_HEARD, node=0.65),
    *_at_most("W2", NEARLY_ALL_HEARD, node=0.75),
    *_at_most("W2", HALF_ACKED, node=0.2),
    *_at_least("W3", DELIVERIES, stock=8, node=1.6),
    *_at_least("W5w32", MESSAGES, stock=6, node=1),
    *_at_least("W5c64", MESSAGES, stock=6, node=1),
    *_at_most("W4", MEMORY, stock=0.25, node=0.5),
    Goal("W1z", PEAK, 1.15, against_load="W1"),
    *_at_least("W4", JOINS, stock=2.5, node=1.2),
    *_at_least("W4", JOINS_PER_CPU, stock=2.5, node=1.2),
    Goal("W1-10000", DELIVERY_COST, 1.6, against_load="W1-100"),
    Goal("S20", NEARLY_ALL_HEARD, 1.2, against_load="S0"),
    PerStalled("S20", GROWTH_IN_MEMORY, 256, against_load="S0"),
    Absolute("S20", GOODBYES, 1, at_least=True),
)

"""What will be done to whom and when: drawn from a seed, kept as JSON, carried out by `run`.

The plan is what a seed repeats. What the kernel, the scheduler and the clients' own jitter make of it differs from run
to run, so a replay is the same attack and not the same history.
"""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

SERVER: Final = "server"

LONG_HOLE_SECONDS: Final = 30.0
KILLS: Final = frozenset({"server_kill", "server_kill_at_sync"})
HOLES: Final = frozenset({"hole", "hole_up", "hole_down"})

ROOMS: Final = ("lobby", "garden", "cellar")


@dataclass(frozen=True, slots=True)
class Fault:
    """One injected event on one connection or process."""

    at: float
    """Seconds after the start."""
    kind: str
    """A name in `faults.KINDS`."""
    target: str
    """A client's name, a host's name, or `SERVER`."""
    seconds: float = 0.0
    """How long it lasts, where that means something."""
    how: float = 0.0
    """0 to 1: what else there is to choose, such as the byte to cut at."""


@dataclass(frozen=True, slots=True)
class Write:
    """Somebody says something."""

    at: float
    who: str


@dataclass(frozen=True, slots=True)
class Cast:
    """Who takes part. Pages live in node processes (hosts), tabs in a real browser."""

    pages: int
    hosts: int
    tutorials: int = 0
    tabs: int = 0
    rooms: int = 3
    """How many of `ROOMS` the pages are in at first."""
    pairs: int = 0
    """The first so many pairs of pages are two tabs of one person, in one browser."""

    def person_of(self, name: str) -> str:
        """Whose tab a page is: of the person who is called like the first of them."""
        pages = self.page_names
        if name not in pages or pages.index(name) >= 2 * self.pairs:
            return name
        return pages[pages.index(name) // 2 * 2]

    @property
    def singles(self) -> list[str]:
        """The pages whose person has no other."""
        return self.page_names[2 * self.pairs :]

    @property
    def page_names(self) -> list[str]:
        return [f"page{number:02}" for number in range(self.pages)]

    @property
    def host_names(self) -> list[str]:
        return [f"host{number}" for number in range(self.hosts)]

    @property
    def tutorial_names(self) -> list[str]:
        return [f"tutorial{number}" for number in range(self.tutorials)]

    @property
    def tab_names(self) -> list[str]:
        return [f"tab{number}" for number in range(self.tabs)]


@dataclass(frozen=True, slots=True)
class Plan:
    """One run from start to end."""

    seed: str
    seconds: float
    cast: Cast
    faults: tuple[Fault, ...]
    writes: tuple[Write, ...]
    heartbeat: float = 10.0
    mutant: str = ""
    """The name of a mutant in `mutants`; none is the product as it ships."""

    @property
    def kills(self) -> int:
        return sum(fault.kind in KILLS for fault in self.faults)

    @property
    def long_holes(self) -> int:
        return sum(fault.kind in HOLES and fault.seconds >= LONG_HOLE_SECONDS for fault in self.faults)

    def with_faults(self, faults: tuple[Fault, ...]) -> Plan:
        """The same with other faults."""
        return replace(self, faults=faults)

    def save(self, path: Path) -> None:
        """Write a replay file."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read a replay file."""
        return cls.of(json.loads(path.read_text()))

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Plan:
        return cls(
            **raw
            | {
                "cast": Cast(**raw["cast"]),
                "faults": tuple(Fault(**each) for each in raw["faults"]),
                "writes": tuple(Write(**each) for each in raw["writes"]),
            }
        )


@dataclass(frozen=True, slots=True)
class Kind:
    """How often a kind of fault is drawn, at whom, and how long it lasts."""

    weight: float
    at: str
    """One of: wire (any connection), page, single (a page whose person has no other), client (a page or a tab), host,
    server."""
    seconds: tuple[float, float] = (0.0, 0.0)


MIX: Final[dict[str, Kind]] = {
    "reset": Kind(10, "wire"),
    "close": Kind(8, "wire"),
    "hole": Kind(4, "wire", (5, 12)),
    "hole_up": Kind(3, "wire", (5, 12)),
    "hole_down": Kind(3, "wire", (5, 12)),
    "delay": Kind(5, "wire", (1, 6)),
    "trickle": Kind(4, "wire", (1, 4)),
    "cut_ack": Kind(7, "wire"),
    "cut_event": Kind(7, "wire"),
    "cut_request": Kind(6, "wire"),
    "cut_bytes": Kind(5, "wire"),
    "drop_event": Kind(8, "wire"),
    "drop_ack": Kind(6, "wire"),
    "drop_request": Kind(4, "wire"),
    "twice_request": Kind(7, "client"),
    "twice_event": Kind(3, "client"),
    "reload": Kind(4, "client"),
    "crash": Kind(6, "client"),
    "vanish": Kind(1, "single", (2, 10)),
    "offline": Kind(2, "client", (0.2, 4)),
    "clock": Kind(4, "page"),
    "move": Kind(3, "page"),
    "host_stop": Kind(1, "host", (0.5, 8)),
    "server_stop": Kind(1, "server", (0.2, 4)),
    "server_clock": Kind(1, "server"),
    "disk_full": Kind(0.8, "server", (0.5, 3)),
    "disk_readonly": Kind(0.8, "server", (0.5, 3)),
    "disk_slow": Kind(0.8, "server", (1, 4)),
    "disk_locked": Kind(0.8, "server", (0.5, 8)),
}
"""What is drawn by weight. Kills, terminations and long holes are counted out instead: see `Scale`.

What makes something come twice is not for tutorial clients: their words have no ids to know a copy by.
"""

NEEDS_SHIM: Final = frozenset({"disk_full", "disk_readonly", "disk_slow", "server_kill_at_sync"})


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything one plan holds."""

    faults: int
    seconds: float
    kills: int = 0
    terms: int = 0
    long_holes: int = 0
    absences: int = 0
    """People who vanish for as long as their presence may stay wrong, and longer."""
    writes_per_second: float = 6.0
    heartbeat: float = 10.0


def draw(seed: str, cast: Cast, scale: Scale, *, shim: bool = True) -> Plan:
    """Draw a plan.

    Args:
        seed: the same seed, cast and scale give the same plan.
        shim: whether the disk can be made to fail (see `disk`); without, those faults are not drawn.
    """
    dice = random.Random(seed)
    wires = [*cast.page_names, *cast.tutorial_names, *cast.tab_names]
    targets = {
        "wire": wires,
        "page": cast.page_names,
        "single": cast.singles,
        "client": [*cast.page_names, *cast.tab_names],
        "host": cast.host_names,
        "server": [SERVER],
    }

    def fault(kind: str, target: str, span: tuple[float, float]) -> Fault:
        length = round(dice.uniform(*span), 2)
        latest = max(0.0, scale.seconds - length)
        return Fault(round(dice.uniform(0, latest), 2), kind, target, length, round(dice.random(), 3))

    faults = []
    for number in range(scale.kills):
        at_sync = shim and number % 3 == 2
        faults.append(fault("server_kill_at_sync" if at_sync else "server_kill", SERVER, (0.0, 1.5)))
    faults += [fault("server_term", SERVER, (0.0, 1.0)) for _ in range(scale.terms)]
    longest = min(120.0, scale.seconds)
    for _ in range(scale.long_holes):
        faults.append(fault(dice.choice(sorted(HOLES)), dice.choice(wires), (min(LONG_HOLE_SECONDS, longest), longest)))
    for name in dice.sample(cast.singles, min(scale.absences, len(cast.singles))):
        faults.append(fault("vanish", name, (4.5 * scale.heartbeat, 5 * scale.heartbeat)))
    kinds = {name: kind for name, kind in MIX.items() if targets[kind.at] and (shim or name not in NEEDS_SHIM)}
    names, weights = list(kinds), [kind.weight for kind in kinds.values()]
    while len(faults) < scale.faults:
        (name,) = dice.choices(names, weights)
        faults.append(fault(name, dice.choice(targets[kinds[name].at]), kinds[name].seconds))
    writers = [*cast.page_names * 3, *cast.tutorial_names, *cast.tab_names]
    writes = [
        Write(round(dice.uniform(0, scale.seconds), 2), dice.choice(writers))
        for _ in range(int(scale.writes_per_second * scale.seconds))
    ]
    return Plan(
        seed=seed,
        seconds=scale.seconds,
        cast=cast,
        faults=tuple(sorted(faults, key=lambda each: each.at)),
        writes=tuple(sorted(writes, key=lambda each: each.at)),
        heartbeat=scale.heartbeat,
    )

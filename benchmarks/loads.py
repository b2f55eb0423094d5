"""What is asked of the servers. The names are those of the plan that set the goals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

CHATZILLAS: Final = ("chatzilla", "chatzilla-normal", "chatzilla-full")
PEERS: Final = ("stock", "node")


@dataclass(frozen=True, slots=True)
class Load:
    """One load: options of the generator, and who has to bear it."""

    title: str
    options: Mapping[str, float]
    entrants: tuple[str, ...]
    full: bool = False
    """Whether Chatzilla is spoken to in its full dialect; rooms exist in that one alone."""
    deflate: bool = False
    """Whether clients offer permessage-deflate, as browsers do."""

    def arguments(self, *, quick: bool) -> list[str]:
        """The generator's command line.

        Args:
            quick: make it short and small, to see that it works.
        """
        options = {"warmup": 1, "duration": 4, **self.options}
        if quick:
            options |= {"conns": min(options["conns"], 500), "warmup": 0.5, "duration": min(options["duration"], 1)}
        # Who is there is told at a pace that falls with the listeners; after this pause it has been told.
        options["settle"] = 1.5 + options["conns"] / 1000
        given = [word for name, value in options.items() for word in (f"--{name}", f"{value:g}")]
        return [*given, "--deflate"] if self.deflate else given


def _fan_out(senders: int, conns: int = 1000) -> dict[str, float]:
    return {"conns": conns, "senders": senders}


_MANY: Final = {"srcs": 8, "par": 64}
_BIG_TEXTS: Final = {"conns": 100, "senders": 10, "rate": 200, "size": 8000, "duration": 15}

LOADS: Final[Mapping[str, Load]] = {
    "W1": Load("1,000 people in a room, 4 of them talking", _fan_out(4), (*CHATZILLAS, *PEERS, "c")),
    "W1s1": Load("1,000 people in a room, 1 of them talking", _fan_out(1), (*CHATZILLAS, *PEERS, "c")),
    "W1s50": Load("1,000 people in a room, 50 of them talking", _fan_out(50), (*CHATZILLAS, *PEERS)),
    "W1z": Load("1,000 people in a room, browsers offering deflate", _fan_out(4), ("chatzilla", "stock"), deflate=True),
    "W2": Load(
        "20 messages a second to 1,000 people",
        {"conns": 1000, "senders": 20, "rate": 20, "duration": 6},
        (*CHATZILLAS, *PEERS, "c", "floor-stores"),
    ),
    "W3": Load(
        "100 rooms of 10, one of each talking",
        {"conns": 1000, "rooms": 100, "senders": 100},
        ("chatzilla", "chatzilla-normal", *PEERS, "c"),
        full=True,
    ),
    "W5w32": Load(
        "1 connection with 32 messages under way",
        {"conns": 1, "window": 32, "duration": 3},
        ("chatzilla", "chatzilla-normal", *PEERS, "floor", "floor-stores"),
    ),
    "W5c64": Load(
        "64 connections, each alone in its room",
        {"conns": 64, "rooms": 64, "senders": 64, "duration": 3},
        ("chatzilla", "chatzilla-normal", *PEERS, "floor", "floor-stores"),
        full=True,
    ),
    "W4": Load(
        "10,000 people who are silent",
        {"conns": 10_000, "senders": 0, "warmup": 0, "duration": 0.1, **_MANY},
        ("chatzilla", "chatzilla-full", *PEERS),
    ),
    "W1-100": Load("100 people in a room, 4 of them talking", _fan_out(4, 100), ("chatzilla", "c")),
    "W1-10000": Load(
        "10,000 people in a room, 4 of them talking",
        {**_fan_out(4, 10_000), "warmup": 2, "duration": 6, **_MANY},
        ("chatzilla", "c"),
    ),
    "S0": Load("200 messages a second of 8 kB to 100 people", _BIG_TEXTS, ("chatzilla",)),
    "S20": Load("the same, and 20 of them stop reading", {**_BIG_TEXTS, "stall": 20, "stall-for": 5}, ("chatzilla",)),
}

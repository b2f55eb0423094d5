"""Many rounds from one seed: each a plan of its own, with a new server and new people, and a verdict.

Rounds keep a replay small, and let a campaign that was interrupted go on where it was.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from tests.torture import disk
from tests.torture.plan import Cast, Plan, Scale, draw

if TYPE_CHECKING:
    from pathlib import Path

ROUND_SECONDS: Final = 240.0
SHORTEST_ROUND_SECONDS: Final = 20.0
REST_SECONDS: Final = 45.0
"""What a round takes besides its storm: to open, to come to rest, to be looked at, to go."""
FAULTS_FOR_A_KILL: Final = 45
LONG_HOLES: Final = 3
"""In each round that is long enough for them."""
TERMS: Final = 2
ABSENCES: Final = 2
CAST: Final = Cast(pages=24, hosts=3, tutorials=2, tabs=2, pairs=4)


@dataclass(frozen=True, slots=True)
class Campaign:
    """What was asked for."""

    seed: str
    faults: int
    minutes: float

    @property
    def command(self) -> str:
        return f"python -m tests.torture --seed {self.seed} --faults {self.faults} --minutes {self.minutes:g}"

    @property
    def rounds(self) -> int:
        return max(1, int(self.minutes * 60 // (ROUND_SECONDS + REST_SECONDS)))

    @property
    def round_seconds(self) -> float:
        return max(SHORTEST_ROUND_SECONDS, min(ROUND_SECONDS, self.minutes * 60 - REST_SECONDS))

    def plan(self, number: int) -> Plan:
        """The plan of one round, from 1."""
        faults = math.ceil(self.faults / self.rounds)
        long = self.round_seconds >= ROUND_SECONDS / 2
        scale = Scale(
            faults=faults,
            seconds=self.round_seconds,
            kills=math.ceil(faults / FAULTS_FOR_A_KILL),
            terms=TERMS,
            long_holes=LONG_HOLES if long else 0,
            absences=ABSENCES if long else 0,
        )
        return draw(f"{self.seed}/{number}", CAST, scale, shim=disk.compiler() is not None)

    def save(self, folder: Path) -> None:
        (folder / "campaign.json").write_text(json.dumps(asdict(self)) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Campaign:
        return cls(**json.loads((folder / "campaign.json").read_text()))

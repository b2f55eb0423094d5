"""What calls in some rooms may take, where that is to be another thing than everywhere.

They are about the machine and its line, so the operator says them, for rooms by their ids; nobody in a room does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from chatzilla.core.rooms import RoomId, parse_room
from chatzilla.errors import BadRequest

if TYPE_CHECKING:
    from chatzilla.core.call import CallLimits

PEOPLE_AT_MOST: Final = 200
PUBLISHERS_AT_MOST: Final = 50
"""In one call, by whatever engine."""

ROOMS_AT_MOST: Final = 1_000

EXAMPLE: Final = "limits such as `lobby people=4 publishers=2, all-hands people=100 audio=24 video=300`"

_WORDS: Final = {
    "people": (2, PEOPLE_AT_MOST),
    "publishers": (1, PUBLISHERS_AT_MOST),
    "audio": (6, 510),  # what Opus knows (RFC 7587, 3.1.1)
    "video": (64, 20_000),
}
"""The least and the most of each; of the last two in kbit/s."""


@dataclass(frozen=True, slots=True)
class RoomLimits:
    """What is different about calls in one room; None is as everywhere."""

    people: int | None = None
    publishers: int | None = None
    """Those who may be seen or heard."""
    audio: int | None = None
    """What one of them may send of each sound, in kbit/s."""
    video: int | None = None
    """Likewise of each picture, and of all of them where the server carries the call."""

    def hold(self, usual: CallLimits) -> CallLimits:
        """What a call in this room may take which usually may take that much, by the engine that carries it."""
        limits = replace(
            usual,
            people=min(self.people or usual.people, usual.most),
            publishers=min(self.publishers or usual.publishers, usual.most),
        )
        if self.audio is not None:
            limits = replace(limits, audio_bitrate=self.audio * 1000)
        if self.video is not None:
            most = self.video * 1000
            pictures = tuple(replace(each, bitrate=min(each.bitrate, most)) for each in usual.video)
            limits = replace(limits, video_bitrate=most, video=pictures)
        return limits


AS_EVERYWHERE: Final = RoomLimits()


def parse_limits(text: str) -> dict[RoomId, RoomLimits]:
    """Read what an operator has written: rooms, separated by commas, each with its limits.

    Raises:
        ValueError: it is none of that; the words say what it has to be.
    """
    found: dict[RoomId, RoomLimits] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        name, *words = entry.split()
        try:
            room = parse_room(name)
        except BadRequest as error:
            raise ValueError(f"{EXAMPLE}, with the ids of rooms") from error
        if room in found or not words:
            raise ValueError(f"{EXAMPLE}, with each room once, and something about it")
        found[room] = _limits(words)
    if len(found) > ROOMS_AT_MOST:
        raise ValueError(f"limits of {ROOMS_AT_MOST:,} rooms at most")
    return found


def _limits(words: list[str]) -> RoomLimits:
    values: dict[str, int] = {}
    for word in words:
        name, _, value = word.partition("=")
        if name not in _WORDS or name in values:
            raise ValueError(f"{EXAMPLE}, with any of {', '.join(_WORDS)} once for a room")
        least, most = _WORDS[name]
        if not value.isascii() or not value.isdigit() or len(value) > 9 or not least <= int(value) <= most:
            raise ValueError(f"{EXAMPLE}, with {name} from {least} to {most:,}")
        values[name] = int(value)
    limits = RoomLimits(**values)
    if limits.people is not None and limits.publishers is not None and limits.publishers > limits.people:
        raise ValueError(f"{EXAMPLE}, with no more publishers than people")
    return limits

"""Limits of calls in some rooms: what an operator writes, and what becomes of a call's usual limits."""

from __future__ import annotations

import pytest

from chatzilla.core.call import CallLimits, Picture
from chatzilla.core.call_limits import AS_EVERYWHERE, ROOMS_AT_MOST, RoomLimits, parse_limits

USUAL = CallLimits(8, 6, (Picture(2, 640, 480, 24, 600_000), Picture(8, 320, 240, 15, 150_000)), 12)


def test_rooms_are_written_with_their_limits() -> None:
    assert parse_limits("") == {}
    assert parse_limits(" Lobby people=4 ,\n all-hands audio=24 video=300 people=100 publishers=3, ") == {
        "lobby": RoomLimits(people=4),
        "all-hands": RoomLimits(100, 3, 24, 300),
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lobby", "something about it"),
        ("lobby people=4, LOBBY video=64", "each room once"),
        ("the lobby people=4", "any of people, publishers, audio, video"),
        ("lobby colour=4", "any of people, publishers, audio, video"),
        ("lobby people=4 people=5", "once"),
        ("lobby people", "people from 2 to 200"),
        ("lobby people=1", "people from 2 to 200"),
        ("lobby people=201", "people from 2 to 200"),
        ("lobby people=\u0664", "people from 2 to 200"),
        ("lobby publishers=0", "publishers from 1 to 50"),
        ("lobby publishers=51", "publishers from 1 to 50"),
        ("lobby audio=5", "audio from 6 to 510"),
        ("lobby video=63", "video from 64 to 20,000"),
        ("lobby video=1e3", "video from 64 to 20,000"),
        ("lobby people=3 publishers=4", "no more publishers than people"),
        ("ein/zimmer people=4", "the ids of rooms"),
        (",".join(f"room-{number} people=4" for number in range(ROOMS_AT_MOST + 1)), "1,000 rooms at most"),
    ],
)
def test_what_is_none_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_limits(text)


def test_what_is_not_said_is_as_everywhere() -> None:
    assert AS_EVERYWHERE.hold(USUAL) == USUAL
    assert RoomLimits(people=4).hold(USUAL) == CallLimits(4, 6, USUAL.video, 12)


def test_nobody_says_more_than_an_engine_carries() -> None:
    held = RoomLimits(people=200, publishers=50).hold(USUAL)
    assert (held.people, held.publishers) == (12, 12)


def test_pictures_become_no_larger_and_sounds_have_an_end() -> None:
    held = RoomLimits(audio=24, video=300).hold(USUAL)
    assert [picture.bitrate for picture in held.video] == [300_000, 150_000]
    assert (held.audio_bitrate, held.video_bitrate) == (24_000, 300_000)

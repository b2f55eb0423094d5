"""The short way of a message into the house leads to the same place as the way of all events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatzilla import wire
from chatzilla.core.messages import TEXT_LIMIT
from chatzilla.errors import ChatError
from chatzilla.realtime import packets

GOOD = {"room": "Design", "client_id": "0193-a", "content": "hello"}

READ: list[Any] = [
    "hello",
    " x ",
    "\ud83d\ude00",
    'a"b\\c',
    "x" * TEXT_LIMIT,
    GOOD,
    GOOD | {"room": "lobby", "client_id": '"\\'},
]

LEFT: list[Any] = [
    *("", " ", "\0", "\ud800", "x" * (TEXT_LIMIT + 1), None, 5, True, [], ["x"], {}),
    *(GOOD | {"room": ""}, GOOD | {"room": "a b"}, GOOD | {"room": 5}, GOOD | {"room": "x" * 65}),
    *(GOOD | {"client_id": ""}, GOOD | {"client_id": "é"}, GOOD | {"client_id": None}, GOOD | {"client_id": "x" * 65}),
    *(GOOD | {"content": " "}, GOOD | {"content": {}}, GOOD | {"more": 1}, {"room": "a", "client_id": "b"}),
]
"""What the long way refuses, or has to look at more closely."""


def ways(payload: Any, *more: Any) -> tuple[wire.MessageRequest | None, wire.MessageRequest | None]:
    """What the short way and the long one make of the same JSON; None where they do not take it."""
    event = json.dumps(["message", payload, *more]).encode()
    try:
        long = wire.decode_message(packets.read_event(event)[1])
    except ChatError:
        long = None
    return wire.read_message(event), long


def same(one: wire.MessageRequest, other: wire.MessageRequest) -> bool:
    """Whether they are, but for an id that was minted for each."""
    if one.simple:
        one = one._replace(draft=one.draft._replace(client_id=other.draft.client_id))
    return one == other


@pytest.mark.parametrize("payload", READ, ids=lambda value: ascii(value)[:30])
def test_a_message_is_read_in_one_step(payload: Any) -> None:
    short, long = ways(payload)
    assert short is not None
    assert long is not None
    assert same(short, long)


@pytest.mark.parametrize("payload", LEFT, ids=lambda value: ascii(value)[:30])
def test_what_is_not_quite_one_is_left_to_the_long_way(payload: Any) -> None:
    assert ways(payload)[0] is None


@pytest.mark.parametrize(
    "event",
    [
        b"",
        b"[",
        b"[]",
        b'["message"]',
        b'["message","x","y"]',
        b'["messages","x"]',
        b'["message","x"]]',
        b'["message","\xff"]',
        b'["message",{"room":"a","client_id":"b","content":"c","d":1e999}]',
        b'["message",NaN]',
        b"[" * 100_000,
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_what_is_something_else_is_left_to_the_long_way(event: bytes) -> None:
    assert wire.read_message(event) is None


VALUES = st.none() | st.integers() | st.text(max_size=5) | st.sampled_from(["lobby", "a-b_C", "id", " ", "\0"])


@given(
    VALUES | st.dictionaries(st.sampled_from(["room", "client_id", "content", "x"]), VALUES),
    st.lists(VALUES, max_size=1),
)
def test_both_ways_lead_to_the_same(payload: Any, more: list[Any]) -> None:
    short, long = ways(payload, *more)
    assert short is None or (long is not None and same(short, long))

"""Socket.IO packets: exactly those that are some, read as they were written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatzilla.realtime import packets
from chatzilla.realtime.packets import Packet

VALID: list[tuple[str, Packet]] = [
    ("0", Packet(0, "/", None, None, 0)),
    ('0{"token":"x"}', Packet(0, "/", None, {"token": "x"}, 0)),
    ("0{}", Packet(0, "/", None, {}, 0)),
    ("0/chat,", Packet(0, "/chat", None, None, 0)),
    ("0/chat", Packet(0, "/chat", None, None, 0)),
    ('0/chat,{"a":1}', Packet(0, "/chat", None, {"a": 1}, 0)),
    ("0/chat?token=x&y=z,", Packet(0, "/chat", None, None, 0)),
    ("0/chat?token=x", Packet(0, "/chat", None, None, 0)),
    ("0/a/b-c_9,", Packet(0, "/a/b-c_9", None, None, 0)),
    ("0/é,", Packet(0, "/é", None, None, 0)),
    ("0/" + "n" * 63 + ",", Packet(0, "/" + "n" * 63, None, None, 0)),
    ("1", Packet(1, "/", None, None, 0)),
    ("1/chat,", Packet(1, "/chat", None, None, 0)),
    ('2["x"]', Packet(2, "/", None, ["x"], 0)),
    ("2[5]", Packet(2, "/", None, [5], 0)),
    ("2[null]", Packet(2, "/", None, [None], 0)),
    ('2/chat,["x",1.5,true,{"a":[]}]', Packet(2, "/chat", None, ["x", 1.5, True, {"a": []}], 0)),
    ('20["x"]', Packet(2, "/", 0, ["x"], 0)),
    ('2/chat,12["x"]', Packet(2, "/chat", 12, ["x"], 0)),
    ('2/chat,999999999999999["x"]', Packet(2, "/chat", 999_999_999_999_999, ["x"], 0)),
    ('2["a,b"]', Packet(2, "/", None, ["a,b"], 0)),
    ('2["\\ud800"]', Packet(2, "/", None, ["\ud800"], 0)),
    ('2["\\u0000"]', Packet(2, "/", None, ["\0"], 0)),
    ('2["👍"]', Packet(2, "/", None, ["👍"], 0)),
    ("31[]", Packet(3, "/", 1, [], 0)),
    ('3/chat,1["x"]', Packet(3, "/chat", 1, ["x"], 0)),
    ('51-["x",{"_placeholder":true,"num":0}]', Packet(5, "/", None, ["x", {"_placeholder": True, "num": 0}], 1)),
    ('516-/chat,7["x"]', Packet(5, "/chat", 7, ["x"], 16)),
    ("61-/chat,7[]", Packet(6, "/chat", 7, [], 1)),
]

INVALID = [
    *("", " ", "x", "7", "9", "-", "²", "/chat", "[]", "null", "-1", " 0", "\n0"),
    *("01", "0[]", '0"x"', "0null x", "0true", "0/chat,5", "0/chat,[]", "0/chat,1{}", "01-", "01-/chat,{}"),
    *("11", "1{}", "1[]", "1/chat,{}", "1/chat,5", "11-"),
    *("2", "2{}", '2"x"', "2null", "2[]", "25", "2/chat,", "2/chat", "2/chat,[]", "2/chat,{}", '2/chat["x"]'),
    *('2["x"', '2["x"]]', '2["x"],', '2["x"]x', "2['x']", '2["x",]', '2["\t"]', '2["x" 1]'),
    *('2-["x"]', '21-["x"]', '2-1["x"]', '21.5["x"]', '2 1["x"]', '2/chat,1 2["x"]'),
    *('21234567890123456["x"]', '2/chat,٣["x"]', '2٣["x"]'),
    *("3", "31", "3[]", "31{}", "3/chat,[]", '3["x"]', "3/chat,1"),
    *("4", '4{"message":"x"}', "4/chat,", '4"x"', "41[]"),
    *('5["x"]', '50-["x"]', '517-["x"]', '599999-["x"]', '5-["x"]', "51-", "51-[]", "51-{}", '51["x"]', '51/["x"]'),
    *('6["x"]', '61-["x"]', '60-1["x"]', "61-/chat,7{}", "617-1[]"),
    *("2[NaN]", "2[Infinity]", "2[-Infinity]", '2["x",NaN]', '2["x",{"a":Infinity}]', '0{"a":NaN}', "2[nan]"),
    *("2[01]", "2[1.]", "2[.5]", "2[+1]", "2[0x10]", "2[1e]", "2[--1]", "2[True]", "2[undefined]"),
    *("0/" + "n" * 64 + ",", "2/" + "n" * 100_000 + ',["x"]'),
]


@pytest.mark.parametrize(("text", "packet"), VALID, ids=lambda value: ascii(value)[:30])
def test_what_is_a_packet_is_read(text: str, packet: Packet) -> None:
    assert packets.parse(text) == packet


@pytest.mark.parametrize("text", INVALID, ids=lambda value: ascii(value)[:30])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # any of them closes the connection that sent it
        packets.parse(text)


@pytest.mark.parametrize("text", [*(text for text, _ in VALID), *INVALID], ids=lambda value: ascii(value)[:30])
def test_the_short_way_of_an_event_leads_to_the_same(text: str) -> None:
    """What begins like most events is read in two steps, and is what `parse` makes of it, or refused as there."""
    head = packets.EVENT_HEAD.match(text.encode())
    if head is None:
        return
    try:
        packet = packets.parse(text)
    except ValueError:
        with pytest.raises(ValueError):  # as above
            packets.read_event(text.encode()[head.end() :])
        return
    assert (packet.kind, packet.namespace.encode()) == (packets.EVENT, head[1])
    assert packet.id == (None if head[2] is None else int(head[2]))
    assert packet.data == packets.read_event(text.encode()[head.end() :])


@pytest.mark.parametrize("data", [b"[\xff]", b'["\xc0\xaf"]', b'["x","\xed\xa0\x80"]'])
def test_an_event_that_is_no_text_is_told_apart(data: bytes) -> None:
    """The connection is closed for that by a code of its own."""
    with pytest.raises(UnicodeDecodeError):
        packets.read_event(data)


@pytest.mark.parametrize("deep", ["[" * 100_000, "[" * 5_000 + "]" * 5_000, '{"a":' * 100_000, '["x",' * 50_000])
def test_what_is_nested_without_end_is_refused_and_nothing_worse(deep: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        packets.parse("2" + deep)


@pytest.mark.parametrize("digits", [20, 400, 4_299, 4_301, 500_000])
def test_huge_numbers_are_read_or_refused_at_once(digits: int) -> None:
    """A number of a million digits would take minutes to read."""
    try:
        [value] = packets.parse(f"2[{'9' * digits}]").data
    except ValueError:
        return
    assert isinstance(value, (int, float))


@pytest.mark.parametrize(
    "number", ["1e999", "-1e999", "1E+400", "9" * 400, "9" * 400 + ".5", "9" * 200 + "e200", "0.9e00000000400"]
)
def test_a_number_beyond_all_bounds_never_becomes_infinity(number: str) -> None:
    """Infinity cannot be written again, so it must not be read."""
    try:
        [value] = packets.parse(f"2[{number}]").data
    except ValueError:
        return
    assert value not in (float("inf"), float("-inf"))


def test_of_two_equal_keys_the_last_one_holds() -> None:
    assert packets.parse('0{"a":1,"a":2}').data == {"a": 2}


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
NAMESPACES = st.from_regex(r"/[a-z0-9_\-/]{1,20}", fullmatch=True)


@given(NAMESPACES, TEXT, JSON)
def test_an_event_reads_as_it_was_written(namespace: str, name: str, payload: Any) -> None:
    frame = packets.event(namespace, name, payload)
    assert packets.parse(frame.packet.decode()[1:]) == Packet(2, namespace, None, [name, payload], 0)


@given(NAMESPACES, st.integers(0, 10**15 - 1), st.lists(JSON, max_size=4))
def test_an_answer_reads_as_it_was_written(namespace: str, ident: int, values: list[Any]) -> None:
    body = packets.answer(namespace, ident, values)
    assert packets.parse(body.decode()) == Packet(3, namespace, ident, values, 0)


@given(NAMESPACES, TEXT, JSON)
def test_a_frame_is_the_same_by_either_transport(namespace: str, name: str, payload: Any) -> None:
    frame = packets.event(namespace, name, payload)
    assert frame.framed.endswith(frame.packet)
    assert b"\x1e" not in frame.packet, "what separates packets in a poll cannot stand in one"


@given(
    st.text('0123456-/,[]{}"x \x1e\\', max_size=30)
    | st.builds(lambda head, data: head + json.dumps(data), st.from_regex(r"\A[0-9]{1,3}(/c,)?[0-9]{0,2}\Z"), JSON)
)
def test_whatever_comes_is_a_packet_or_refused(text: str) -> None:
    try:
        packet = packets.parse(text)
    except ValueError:
        return
    assert 0 <= packet.kind <= 6
    assert packet.kind != packets.CONNECT_ERROR, "only servers refuse"
    assert (packet.attachments > 0) == (packet.kind in (packets.BINARY_EVENT, packets.BINARY_ACK))
    assert packet.namespace.startswith("/")


def test_what_many_are_answered_is_written_once_for_as_long_as_it_is_the_same() -> None:
    written: list[int] = []  # no rows, which would then be kept by us

    def encode(rows: tuple[int, ...]) -> list[str]:
        written.append(len(rows))
        return [f"row {row}" for row in rows]

    def body(rows: tuple[int, ...]) -> object:
        return json.loads(packets.answer("/chat", 7, [True, {"rows": copies.of(rows, encode)}])[len("3/chat,7") :])

    copies = packets.Copies(2)
    one, other = (1, 2), tuple([1, 2])  # noqa: C409  # equal, and not the same
    assert body(one) == body(one) == body(other) == [True, {"rows": ["row 1", "row 2"]}]
    assert len(written) == 2
    assert copies.of(one, len) is not copies.of(one, encode), "by whom it is written, counts"
    for fresh in range(20):
        assert body((fresh, fresh)) == [True, {"rows": [f"row {fresh}"] * 2}], (
            "never what had its place in memory before"
        )
    assert len(copies._written) == 2

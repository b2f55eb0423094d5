"""What a client that comes back is given."""

from __future__ import annotations

import itertools

import pytest

from chatzilla.core.catchup import BEHIND_AT_MOST, PAGE_BYTES, PAGE_ROWS, After, Newest, cut, plan
from chatzilla.core.messages import TEXT, ClientId, Message
from chatzilla.core.people import AccountId
from chatzilla.core.rooms import LOBBY


def row(number: int, content: str = "x", name: str = "bob") -> Message:
    return Message(LOBBY, number, number, TEXT, ClientId(str(number)), AccountId("bob"), name, content, 0)


@pytest.mark.parametrize(
    ("head", "cursor", "same_epoch", "expected"),
    [
        (0, None, True, Newest(reset=False)),
        (7, None, True, Newest(reset=False)),
        (7, None, False, Newest(reset=False)),
        (0, 0, True, After(0)),
        (7, 7, True, After(7)),
        (7, 3, True, After(3)),
        (BEHIND_AT_MOST, 0, True, After(0)),
        (BEHIND_AT_MOST + 1, 0, True, Newest(reset=True)),
        (BEHIND_AT_MOST + 1, 1, True, After(1)),
        (7, 8, True, Newest(reset=True)),
        (0, 1, True, Newest(reset=True)),
        (7, 7, False, Newest(reset=True)),
        (7, 0, False, Newest(reset=True)),
    ],
)
def test_a_cursor_is_brought_to_the_head_or_told_to_start_over(
    head: int, cursor: int | None, same_epoch: bool, expected: After | Newest
) -> None:
    assert plan(head, cursor, same_epoch=same_epoch) == expected


def test_nothing_makes_an_empty_page_without_more() -> None:
    assert cut([]) == ([], False)


@pytest.mark.parametrize(("rows", "taken", "more"), [(99, 99, False), (100, 100, False), (101, 100, True)])
def test_a_page_ends_at_a_hundred_rows(rows: int, taken: int, more: bool) -> None:
    page, left = cut(row(number) for number in range(1, rows + 1))
    assert [message.seq for message in page] == list(range(1, taken + 1))
    assert left is more


def test_a_page_ends_before_it_grows_beyond_its_bytes() -> None:
    page, more = cut(row(number, "x" * 10_000) for number in range(1, 50))
    assert more
    assert 10 <= len(page) <= 13
    assert sum(len(message.content) for message in page) <= PAGE_BYTES


def test_bytes_are_counted_and_not_characters() -> None:
    wide, _ = cut(row(number, "€" * 9_000) for number in range(1, 50))
    narrow, _ = cut(row(number, "x" * 9_000) for number in range(1, 50))
    assert len(wide) * 3 <= len(narrow) + 3


def test_long_names_count_too() -> None:
    page, more = cut(row(number, "x" * 1_100, "€" * 254) for number in range(1, PAGE_ROWS + 1))
    assert more
    assert len(page) < PAGE_ROWS


def test_a_row_larger_than_a_page_is_a_page_of_its_own() -> None:
    page, more = cut([row(1, "x" * (PAGE_BYTES + 1)), row(2)])
    assert [message.seq for message in page] == [1]
    assert more


def test_no_more_rows_are_read_than_decide_the_page() -> None:
    endless = (row(number) for number in itertools.count(1))
    cut(endless)
    assert next(endless).seq == PAGE_ROWS + 2

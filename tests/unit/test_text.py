"""What text may be kept."""

from __future__ import annotations

import pytest

from chatzilla.core.text import parse_line, parse_text
from chatzilla.errors import BadRequest, TooLong


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "  kept as it is \n",
        "two\nlines",
        "\x01\x7f",
        "👩‍👩‍👧",
        "مرحبا",
        "<b>bold</b>",
        "\ufeffx",
        "\U0010ffff",
    ],
)
def test_text_is_kept_as_it_was_written(text: str) -> None:
    assert parse_text(text, "a message", 100) == text


def test_the_limit_counts_code_points_and_includes_its_last() -> None:
    assert len(parse_text("👍" * 10, "a message", 10)) == 10
    with pytest.raises(TooLong, match=r"10 characters at most; this has 11"):
        parse_text("👍" * 11, "a message", 10)


@pytest.mark.parametrize("raw", [None, 5, 1.5, True, b"bytes", ["x"], {"x": 1}])
def test_what_is_not_text_is_refused(raw: object) -> None:
    with pytest.raises(BadRequest, match="has to be text"):
        parse_text(raw, "a message", 100)


@pytest.mark.parametrize("blank", ["", " ", "\n\t ", "\u00a0\u2003", "\u2028"])
def test_blank_text_is_refused(blank: str) -> None:
    with pytest.raises(BadRequest, match="cannot be empty"):
        parse_text(blank, "a message", 100)


@pytest.mark.parametrize("text", ["a\0b", "\0", "a\ud800", "\udfffb", "\ud83d"])
def test_what_no_store_keeps_faithfully_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        parse_text(text, "a message", 100)


def test_a_line_is_trimmed() -> None:
    assert parse_line("  bob \n", "a name", 100) == "bob"


@pytest.mark.parametrize("text", ["a\nb", "a\tb", "a\x7fb", "a\x85b", "a\u2028b", "a\u2029b"])
def test_a_line_has_no_control_characters_and_no_breaks(text: str) -> None:
    with pytest.raises(BadRequest, match="single line"):
        parse_line(text, "a name", 100)

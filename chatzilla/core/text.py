"""What a piece of text must be before anything keeps it."""

from __future__ import annotations

import unicodedata

from chatzilla.errors import BadRequest, TooLong


def parse_text(raw: object, what: str, limit: int) -> str:
    """Accept text that every store, socket and screen can carry.

    Args:
        raw: what a client sent.
        what: how a refusal calls it, such as "a message".
        limit: the most characters (code points) it may have.

    Raises:
        BadRequest: not a string, blank, or with a NUL or a lone surrogate, which no store keeps faithfully.
        TooLong: over the limit.
    """
    if not isinstance(raw, str):
        raise BadRequest(f"{what.capitalize()} has to be text.")
    if len(raw) > limit:
        raise TooLong(f"{what.capitalize()} may have {limit:,} characters at most; this has {len(raw):,}.")
    if not raw.strip():
        raise BadRequest(f"{what.capitalize()} cannot be empty.")
    if "\0" in raw or any("\ud800" <= character <= "\udfff" for character in raw):
        raise BadRequest(f"{what.capitalize()} holds characters that cannot be stored.")
    return raw


def parse_line(raw: object, what: str, limit: int) -> str:
    """Accept a single line, trimmed: text without control characters.

    Raises:
        BadRequest, TooLong: as `parse_text`, and for any control character or line break.
    """
    line = parse_text(raw, what, limit).strip()
    if any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in line):
        raise BadRequest(f"{what.capitalize()} has to be a single line of plain characters.")
    return line

"""What a piece of text must be before anything keeps it."""

from __future__ import annotations

import unicodedata
from typing import Final

from chatzilla.errors import BadRequest, TooLong

_JOINERS: Final = frozenset("\u200c\u200d")
"""Invisible, and yet a part of words and emoji."""

FILLERS: Final = frozenset("\u115f\u1160\u3164\uffa0\u2800")
"""Letters and symbols that show nothing."""


def is_visible(character: str) -> bool:
    """Whether a character shows something by itself."""
    return unicodedata.category(character)[0] in "LNPS" and character not in FILLERS


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
    if "\0" in raw or not (raw.isascii() or _is_encodable(raw)):
        raise BadRequest(f"{what.capitalize()} holds characters that cannot be stored.")
    return raw


def _is_encodable(text: str) -> bool:
    """Whether UTF-8 has it: everything but lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def parse_line(raw: object, what: str, limit: int) -> str:
    """Accept a single line, trimmed: text without characters that control instead of showing.

    Raises:
        BadRequest, TooLong: as `parse_text`, and for any control or format character or line break.
    """
    line = parse_text(raw, what, limit).strip()
    if not line.isprintable() and any(
        unicodedata.category(each) in {"Cc", "Cf", "Zl", "Zp"} and each not in _JOINERS for each in line
    ):
        raise BadRequest(f"{what.capitalize()} has to be a single line of plain characters.")
    return line

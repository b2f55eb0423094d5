"""Whom mails are handed to, and whom they come from, as settings say it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.headerregistry import Address as Mailbox
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

from chatzilla.core.addresses import parse_address
from chatzilla.errors import BadRequest

SERVER_WORDS: Final = (
    "a mail server such as smtps://user:password@mail.example.com, smtp:// for one that offers STARTTLS, "
    "or smtp+plain://localhost:25 without encryption and password"
)
SENDER_WORDS: Final = "an address such as chat@example.com or Chatzilla <chat@example.com>"

_SENDER: Final = re.compile(r"(?:([^<>\"@\\,;:()\[\]]{1,80}?)\s*<([^<>]+)>|([^<>]+))")

Tls = Literal["always", "starttls", "never"]
_SCHEMES: Final[dict[str, tuple[Tls, int]]] = {
    "smtps": ("always", 465),
    "smtp": ("starttls", 587),
    "smtp+plain": ("never", 25),
}
_HOST: Final = re.compile(r"[a-z0-9.-]+|[0-9a-f:]+")


@dataclass(frozen=True, slots=True)
class MailServer:
    """A mail server that takes our mails."""

    host: str
    port: int
    tls: Tls
    """`always`: from the first byte; `starttls`: asked for, and nothing goes without; `never`: in the clear."""
    user: str | None = None
    password: str | None = field(default=None, repr=False)


def parse_server(text: str) -> MailServer:
    """Read an address such as `smtps://user:password@mail.example.com:465`.

    Raises:
        ValueError: it is none, or a password would go in the clear.
    """
    try:
        if not text.isprintable():  # `urlsplit` drops line breaks without a word
            raise ValueError(SERVER_WORDS)
        parts = urlsplit(text)
        tls, usual = _SCHEMES[parts.scheme]
        host, port = parts.hostname or "", parts.port or usual
    except (KeyError, ValueError) as error:
        raise ValueError(SERVER_WORDS) from error
    user, password = parts.username or None, parts.password or None
    more = parts.path.strip("/") or parts.query or parts.fragment
    if more or not _HOST.fullmatch(host) or (user is None) != (password is None) or (user and tls == "never"):
        raise ValueError(SERVER_WORDS)
    user, password = (None if each is None else unquote(each) for each in (user, password))
    if not (f"{user}{password}").isprintable():
        raise ValueError(SERVER_WORDS)
    return MailServer(host, port, tls, user, password)


def parse_sender(text: str) -> Mailbox:
    """Read an address, with the name of whoever sends or without.

    Raises:
        ValueError: it is none.
    """
    found = _SENDER.fullmatch(text)
    if found is None or not text.isprintable():
        raise ValueError(SENDER_WORDS)
    name, in_brackets, bare = found.groups()
    try:
        return Mailbox(name or "", addr_spec=parse_address(in_brackets or bare))
    except BadRequest as error:
        raise ValueError(SENDER_WORDS) from error

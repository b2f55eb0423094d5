"""What an email address must be: one mailbox, spelled plainly (RFC 5321, "dot-string" at a domain name).

Quoted local parts, comments, address literals and whatever is not ASCII are refused. Some of these are legal and none
is in use where people sign in; each is a way to write one thing and have a mail server read another. Letters beyond
ASCII would also let two addresses look like one.
"""

from __future__ import annotations

import re
from typing import Final, NewType

from chatzilla.errors import BadRequest, TooLong

Address = NewType("Address", str)
"""A mailbox as it is compared and written to: in lower case."""

ADDRESS_LIMIT: Final = 254
"""Characters of a path without its angle brackets (RFC 5321, 4.5.3.1.3)."""

LOCAL_LIMIT: Final = 64

_ATOM: Final = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.(?!\d+$){_LABEL}")
_ADDRESS: Final = re.compile(rf"({_ATOM}(?:\.{_ATOM})*)@({_DOMAIN.pattern})")


def parse_address(raw: object) -> Address:
    """Accept the address of one mailbox; spaces around it are nobody's.

    The case of letters before the @ counts by the letter of the standard and for no mail server that people use, so
    mails go to the form in lower case, and whoever reads those is whom the account belongs to.

    Raises:
        BadRequest: it is none.
        TooLong: it has more characters than a mail server takes.
    """
    if not isinstance(raw, str) or not raw.strip(" "):
        raise BadRequest("Type your email address.")
    address = raw.strip(" ")
    if len(address) > ADDRESS_LIMIT:
        raise TooLong(f"An email address has {ADDRESS_LIMIT} characters at most.")
    found = _ADDRESS.fullmatch(address.lower()) if address.isascii() else None
    if found is None or len(found[1]) > LOCAL_LIMIT:
        raise BadRequest("That is no email address as it is written here, such as you@example.com.")
    return Address(found[0])


def parse_domain(raw: str) -> str:
    """Accept the name of a domain that has mailboxes.

    Raises:
        BadRequest: it is none.
    """
    domain = raw.strip().lower()
    if not domain.isascii() or len(domain) > ADDRESS_LIMIT or not _DOMAIN.fullmatch(domain):
        raise BadRequest("That is no domain.")
    return domain


def domain_of(address: Address) -> str:
    return address.rpartition("@")[2]


def local_part_of(address: Address) -> str:
    return address.rpartition("@")[0]

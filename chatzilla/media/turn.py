"""The servers by which browsers find a way to each other: STUN tells them their address, TURN relays where nothing else
gets through.

A relay is worth money, so its credentials are short-lived and made for one participant, as coturn's `use-auth-secret`
has them: the name is a moment and whose it is, the password its HMAC with a secret that coturn knows too. Nobody keeps
a list.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from chatzilla.core.call_events import IceServer, IceServers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatzilla.ports import Clock

LIFETIME_SECONDS: Final = 12 * 3600
"""How long credentials let in. A relay asks for them again every ten minutes, so a longer call fetches new ones."""


class IceRelay:
    """Implements `ports.Relay`."""

    def __init__(self, clock: Clock, *, stun: Sequence[str], turn: Sequence[str], secret: str) -> None:
        self._clock = clock
        self._stun = (IceServer(tuple(stun)),) if stun else ()
        self._turn = tuple(turn)
        self._secret = secret.encode()

    def servers(self, who: str, *, seconds: int | None = None) -> IceServers:
        if not self._turn:
            return IceServers(self._stun, None)
        ends = self._clock.wall_ms() // 1000 + (LIFETIME_SECONDS if seconds is None else seconds)
        name, password = credentials(self._secret, who, ends)
        return IceServers((*self._stun, IceServer(self._turn, name, password)), ends * 1000)


def credentials(secret: bytes, who: str, ends: int) -> tuple[str, str]:
    """A name and a password that let `who` in until a moment; in seconds since 1970."""
    name = f"{ends}:{who}"
    digest = hmac.digest(secret, name.encode(), hashlib.sha1)
    return name, base64.b64encode(digest).decode()

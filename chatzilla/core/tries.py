"""How often an address may try in vain. Nothing is counted against a person, so nobody can lock a person out.

Beyond the count a try is not judged, right or wrong, until a quarter of an hour has passed since the first one. Who is
signed in already is not asked: the signature of a token is no guess.
"""

from __future__ import annotations

import ipaddress
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from chatzilla.errors import TooFast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chatzilla.errors import ChatError
    from chatzilla.ports import Clock

logger = logging.getLogger(__name__)

TRIES: Final = 20
WINDOW_SECONDS: Final = 15 * 60.0
ADDRESSES_AT_MOST: Final = 20_000
TOO_MANY: Final = "Too many tries came from your address. Wait a quarter of an hour, then try again."


class Tries:
    """Vain tries, by address."""

    def __init__(self, clock: Clock, *, at_most: int = TRIES) -> None:
        self._clock = clock
        self._at_most = at_most
        self._counts: dict[str, tuple[float, int]] = {}
        """When each address began, the oldest first, and how many tries it has made since."""

    def exhausted(self, address: str) -> bool:
        """Whether no further try of this address is judged now."""
        began, count = self._counts.get(network_of(address), (0.0, 0))
        return count >= self._at_most and self._clock.monotonic() < began + WINDOW_SECONDS

    def refusal(self, address: str) -> TooFast:
        """What an address is told whose tries are not judged now."""
        began, _ = self._counts.get(network_of(address), (self._clock.monotonic(), 0))
        return TooFast(TOO_MANY, after=began + WINDOW_SECONDS - self._clock.monotonic())

    def count(self, address: str, what: str = "a token or link") -> None:
        """Count a vain try, and log what it was."""
        network, now = network_of(address), self._clock.monotonic()
        logger.info("%s from %s was refused", what, network)
        began, count = self._counts.get(network, (now, 0))
        if now >= began + WINDOW_SECONDS:
            self._counts.pop(network)
            began, count = now, 0
        self._counts[network] = began, count + 1
        if len(self._counts) > ADDRESSES_AT_MOST:
            del self._counts[next(iter(self._counts))]

    def judged(self, address: str | None, refusal: ChatError) -> ChatError:
        """What is answered to an act that was vain: `refusal` while it is judged, and that there were too many
        afterwards. What is right is never asked here, so it passes whatever came before."""
        if address is None:
            return refusal
        if self.exhausted(address):
            return self.refusal(address)
        self.count(address, "an act")
        return refusal

    @contextmanager
    def judging(self, address: str | None, *vain: type[ChatError]) -> Iterator[None]:
        """Count what is refused in one of these ways; see `judged`."""
        try:
            yield
        except vain as refusal:
            answer = self.judged(address, refusal)
            if answer is refusal:
                raise
            raise answer from refusal


def network_of(address: str) -> str:
    """Whoever has one address of IPv6 has all of its network (RFC 6177)."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))

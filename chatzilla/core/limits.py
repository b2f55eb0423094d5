"""How fast one may go: a token bucket, and nothing that waits."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from chatzilla.errors import TooFast

if TYPE_CHECKING:
    from chatzilla.core.people import Account
    from chatzilla.ports import Clock


KEYS_AT_MOST: Final = 20_000
"""Addresses or accounts whose allowances are kept."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many a second for long, and `burst` at once. A rate of 0 is no limit."""

    per_second: float
    burst: int


class Allowance:
    """A token bucket, filled by the clock."""

    __slots__ = ("_clock", "_filled_at", "_rate", "_shared", "_tokens")

    def __init__(self, rate: Rate, clock: Clock, *shared: Allowance) -> None:
        """Make a full one.

        Args:
            rate: how it fills; a rate of 0 never asks `shared` either.
            clock: what it is filled by.
            shared: others that each token is taken from as well, such as that of an address.
        """
        self._clock = clock
        self._rate = rate
        self._shared = shared
        self._tokens = float(rate.burst)
        self._filled_at = clock.monotonic()

    def take(self) -> bool:
        """Take one token, if there is one here and in all that are shared."""
        if self._rate.per_second == 0:
            return True
        now = self._clock.monotonic()
        gained = (now - self._filled_at) * self._rate.per_second
        self._tokens = min(float(self._rate.burst), self._tokens + gained)
        self._filled_at = now
        if self._tokens < 1 or not all(other.take() for other in self._shared):
            return False
        self._tokens -= 1
        return True

    def spend(self) -> None:
        """Take one token.

        Raises:
            TooFast: there is none left; the rate brings it back.
        """
        if self._rate.per_second and not self.take():
            raise TooFast("That was too fast. Wait a moment, then say it again.", after=self.missing())

    def missing(self) -> float:
        """In how many seconds there will be a token, here and in all that are shared, if nobody else takes it."""
        if self._rate.per_second == 0:
            return 0.0
        gained = (self._clock.monotonic() - self._filled_at) * self._rate.per_second
        own = (1 - min(float(self._rate.burst), self._tokens + gained)) / self._rate.per_second
        return max(0.0, own, *(other.missing() for other in self._shared))


class Paces:
    """How fast people may speak and ask, whichever doors they come through, several at once included.

    Who is verified has one pace on all connections and in all programs; everybody behind one address shares another.
    """

    def __init__(self, clock: Clock, *, posting: Rate, posting_from_address: Rate, asking: Rate) -> None:
        self._clock = clock
        self._posting = posting
        self._asking = asking
        self._posting_by_account = Shared(posting, clock)
        self._posting_by_address = Shared(posting_from_address, clock)
        self._unverified = Shared(posting, clock)
        self._questions = Shared(asking, clock)

    def posting(self, account: Account | None, address: str) -> Allowance:
        """What a new connection may say."""
        shared = [self._posting_by_address.of(address)]
        if account is not None and account.verified:
            shared.append(self._posting_by_account.of(account.id))
        return Allowance(self._posting, self._clock, *shared)

    def asking(self) -> Allowance:
        """What a new connection may ask."""
        return Allowance(self._asking, self._clock)

    def spend_posting(self, account: Account, address: str) -> None:
        """Something is said without a connection.

        Raises:
            TooFast: over the rate of the person, or of the address.
        """
        own = self._posting_by_account if account.verified else self._unverified
        if self._posting.per_second:
            own.of(_key(account, address)).spend()
            self._posting_by_address.of(address).spend()

    def spend_asking(self, account: Account, address: str) -> None:
        """Something is asked without a connection.

        Raises:
            TooFast: over the rate.
        """
        self._questions.of(_key(account, address)).spend()


def _key(account: Account, address: str) -> str:
    """Whose pace it is: a name that anybody can type is held to one address."""
    return account.id if account.verified else f"{account.id}\n{address}"


class Shared:
    """Allowances by key, such as an address: whoever comes back finds the one that they left."""

    def __init__(self, rate: Rate, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._by_key: OrderedDict[str, Allowance] = OrderedDict()

    def of(self, key: str) -> Allowance:
        """The allowance of a key; the one that was asked for longest ago is forgotten when there are too many."""
        allowance = self._by_key.pop(key, None) or Allowance(self._rate, self._clock)
        self._by_key[key] = allowance
        if len(self._by_key) > KEYS_AT_MOST:
            self._by_key.popitem(last=False)
        return allowance

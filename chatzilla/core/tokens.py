"""The signed right to be somebody, the same at every door: a JWT (RFC 7519) with HS256."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import jwt

from chatzilla.core.people import Account, account_named
from chatzilla.errors import BadRequest, SignInNeeded

if TYPE_CHECKING:
    from chatzilla.ports import Clock

LIFETIME_SECONDS: Final = 30 * 24 * 3600
_ALGORITHM: Final = "HS256"
_ISSUER: Final = "chatzilla"


class Tokens:
    """Mints tokens and judges them, with one key."""

    def __init__(self, key: str, clock: Clock) -> None:
        self._key = key
        self._clock = clock

    def mint(self, account: Account) -> str:
        """A token with which its bearer is `account` for `LIFETIME_SECONDS`."""
        now = self._clock.wall_ms() // 1000
        claims = {
            "iss": _ISSUER,
            "sub": account.id,
            "kind": account.kind,
            "name": account.name,
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
        }
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM)

    def bearer(self, token: object) -> Account:
        """Whose token this is.

        Raises:
            SignInNeeded: it is no token of ours, or its time is over. A stranger is not told which.
        """
        refusal = SignInNeeded("This sign-in is not valid any more. Sign in again.")
        if not isinstance(token, str):
            raise refusal
        try:
            # The clock is a port, so the expiry is compared here.
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                issuer=_ISSUER,
                options={"require": ["iss", "sub", "iat", "exp"], "verify_exp": False, "verify_iat": False},
            )
            account = account_named(claims["name"], claims["kind"])
        except (jwt.InvalidTokenError, BadRequest, KeyError, TypeError, UnicodeError) as error:
            raise refusal from error
        expires = claims["exp"]
        if account.id != claims["sub"] or not isinstance(expires, int):
            raise refusal
        if expires <= self._clock.wall_ms() // 1000:
            raise refusal
        return account

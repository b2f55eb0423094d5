"""The signed right to be somebody, the same at every door: a JWT (RFC 7519) with HS256.

There are two that say who somebody is. The token of a sign-in (`aud` is "sign-in") names the sign-in, and is worth
nothing without it. The token of a typed name, on an open server, has no audience and carries the name: nobody had to
prove anything for it. A token for any other purpose is refused by `read`, whoever signed it; what such tokens say, the
module says that they belong to (`rights`).

One key signs. Keys from before still verify, for as long as their tokens last.

A stamp is less than a token: it proves that we have seen some words together, and gives no right to anybody.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NewType

import jwt

from chatzilla.core.people import OPEN, Account, AccountId, account_named
from chatzilla.errors import BadRequest, SignInNeeded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chatzilla.ports import Clock

SignInId = NewType("SignInId", str)

LIFETIME_SECONDS: Final = 30 * 24 * 3600
SIGN_IN: Final = "sign-in"
"""The audience of a sign-in's token."""

NOT_VALID: Final = "This sign-in is not valid any more. Sign in again."
"""All that a stranger is told, whatever was wrong."""

_ALGORITHM: Final = "HS256"
_ISSUER: Final = "chatzilla"
_PARTS: Final = 3
_LONGEST: Final = 4_096
"""Characters of a token; a name of 254 characters has at most a quarter of it."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token of ours says: a typed name, or the sign-in of an account."""

    subject: AccountId
    ends_at: int
    """Seconds since 1970."""
    sign_in: SignInId | None = None
    named: Account | None = None


class Tokens:
    """Mints tokens and judges them."""

    def __init__(self, key: str, clock: Clock, *, before: Sequence[str] = ()) -> None:
        self._keys = (key, *before)
        self._clock = clock

    def renew(self, key: str, before: Sequence[str]) -> None:
        """Sign with another key from now on."""
        self._keys = (key, *before)

    def mint(self, account: Account) -> str:
        """A token with which its bearer goes by a typed name for `LIFETIME_SECONDS`; no two are the same."""
        ident = secrets.token_urlsafe(9)
        return self._sign({"sub": account.id, "kind": account.kind, "name": account.name, "jti": ident})

    def mint_sign_in(self, account: AccountId, sign_in: SignInId, *, until: int | None = None) -> str:
        """A token that stands for a sign-in, for as long as that lasts and at most until a moment, in seconds since
        1970, or else for `LIFETIME_SECONDS`.
        """
        claims = {"aud": SIGN_IN, "sub": account, "sid": sign_in}
        return self._sign(claims if until is None else claims | {"exp": until})

    def read(self, token: object) -> Claims:
        """What a token says, if it is one of ours.

        Raises:
            SignInNeeded: it is no token of ours, or its time is over. A stranger is not told which.
        """
        refusal = SignInNeeded(NOT_VALID)
        if not isinstance(token, str) or len(token) > _LONGEST:
            raise refusal
        claims = self._verified(token)
        subject, expires = claims["sub"], claims["exp"]
        if "aud" in claims:
            if claims["aud"] != SIGN_IN or not isinstance(claims.get("sid"), str):
                raise refusal
            return Claims(AccountId(subject), expires, sign_in=SignInId(claims["sid"]))
        try:
            named = account_named(claims["name"], claims["kind"])
        except (BadRequest, KeyError, TypeError, UnicodeError) as error:
            raise refusal from error
        if named.id != subject or named.kind != OPEN:
            raise refusal
        return Claims(named.id, expires, named=named)

    def seal(self, purpose: str, claims: dict[str, Any], seconds: int) -> str:
        """Sign something for a purpose of its own, for so long; `claims` has a `sub`. It is no sign-in anywhere."""
        return self._sign({"aud": purpose, **claims}, seconds)

    def unseal(self, purpose: str, sealed: object, *, longest: int = _LONGEST) -> dict[str, Any]:
        """What was sealed for this purpose.

        Raises:
            SignInNeeded: it was not, or its time is over. A stranger is not told which.
        """
        if not isinstance(sealed, str) or len(sealed) > longest:
            raise SignInNeeded(NOT_VALID)
        claims = self._verified(sealed)
        if claims.get("aud") != purpose:
            raise SignInNeeded(NOT_VALID)
        return claims

    def stamp(self, *words: str) -> str:
        """A proof that we have seen these words together."""
        return _stamp(self._keys[0], words)

    def is_stamped(self, stamp: str, *words: str) -> bool:
        """Whether this is such a proof."""
        return any(hmac.compare_digest(_stamp(key, words).encode(), stamp.encode()) for key in self._keys)

    def _sign(self, claims: dict[str, Any], seconds: int = LIFETIME_SECONDS) -> str:
        now = self._clock.wall_ms() // 1000
        claims = {"iss": _ISSUER, "iat": now, "exp": now + seconds, **claims}
        return jwt.encode(claims, self._keys[0], algorithm=_ALGORITHM)

    def _verified(self, token: str) -> dict[str, Any]:
        """The claims of a token that one of our keys has signed and that is not over; `sub` is text, `exp` a number."""
        failure: Exception | None = None
        if not _is_canonical(token):
            raise SignInNeeded(NOT_VALID)
        for key in self._keys:
            try:
                # The clock is a port, so the expiry is compared by us; so is the audience.
                claims: dict[str, Any] = jwt.decode(
                    token,
                    key,
                    algorithms=[_ALGORITHM],
                    issuer=_ISSUER,
                    options={
                        "require": ["iss", "sub", "iat", "exp"],
                        "verify_exp": False,
                        "verify_iat": False,
                        "verify_aud": False,
                    },
                )
            except (jwt.InvalidTokenError, UnicodeError, TypeError, ValueError, RecursionError) as error:
                failure = error
            else:
                return self._lasting(claims)
        raise SignInNeeded(NOT_VALID) from failure

    def _lasting(self, claims: dict[str, Any]) -> dict[str, Any]:
        expires = claims["exp"]
        if type(expires) is not int or expires <= self._clock.wall_ms() // 1000 or not isinstance(claims["sub"], str):
            raise SignInNeeded(NOT_VALID)
        return claims


def _stamp(key: str, words: Sequence[str]) -> str:
    """HMAC (RFC 2104) over what no token begins with."""
    stamp = hmac.digest(key.encode(), "\0".join(("stamp", *words)).encode(), "sha256")
    return base64.urlsafe_b64encode(stamp).decode().rstrip("=")


def _is_canonical(token: str) -> bool:
    """Whether it is three parts in base64url as RFC 7515 writes it: PyJWT reads over strange characters and bits."""
    parts = token.split(".")
    if len(parts) != _PARTS or not token.isascii():
        return False
    try:
        return all(_again(part) == part != "" for part in parts)
    except ValueError:
        return False


def _again(part: str) -> str:
    decoded = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    return base64.urlsafe_b64encode(decoded).decode().rstrip("=")

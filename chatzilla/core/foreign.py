"""Tokens that the SDKs of other systems sign, with the pair of key and secret that they share with this server.

Three forms: a JWT of Twilio's helper (`AccessToken` with a `VideoGrant`), a JWT of OpenTok's SDK, and the signed query
string that older ones of it make (`T1==…`). Each is read into the same few claims, once its signature and its times
hold. What a form grants beyond what there is here (no room named, a publisher who may not subscribe) is refused.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

import jwt

from chatzilla.core.tokens import NOT_VALID
from chatzilla.errors import SignInNeeded

SENTINEL: Final = "T1=="
"""What OpenTok's older tokens begin with."""

LASTS_AT_MOST: Final = 30 * 24 * 3600
"""Seconds that such a token may be from its end; OpenTok's own limit, and more than Twilio's."""

SKEW_SECONDS: Final = 60
"""How far the clock of the signing machine may be ahead of ours."""

CALL_LASTS_AT_MOST: Final = 3600
"""Seconds that the token of one request to the API may be from its end; the SDK makes them last three minutes."""

_OPENTOK_ROLES: Final = {"subscriber", "publisher", "moderator"}


@dataclass(frozen=True, slots=True)
class Pair:
    """What an application and this server share: the key names the application, the secret signs."""

    key: str
    secret: str = field(repr=False)

    def admits(self, key: str, secret: str) -> bool:
        """Whether somebody knows the secret, compared in constant time."""
        return self.key == key and self.knows(secret)

    def knows(self, secret: str) -> bool:
        return hmac.compare_digest(self.secret.encode(), secret.encode(errors="replace"))


class Claims(NamedTuple):
    """What such a token says."""

    session: str
    """The room or session that it names."""
    role: str
    ends_at: int
    """Seconds since 1970."""
    identity: object
    """Who it is for, where the form has such a thing."""
    data: str
    """What the application says of the connection."""
    signed: str
    """The signed text itself. All else in a token can be written in more than one way."""


def read(token: str, pair: Pair, now: int) -> Claims:
    """Read a token of any of the three forms.

    Raises:
        SignInNeeded: it is none, not signed with the pair, not begun or over. A stranger is not told which.
    """
    if token.startswith(SENTINEL):
        return _read_query(token.removeprefix(SENTINEL), pair, now)
    claims = _verified(token, pair)
    ends_at = _lasting(claims.get("exp"), now)
    begins = claims.get("nbf", claims.get("iat", now))
    if not isinstance(begins, int) or begins > now + SKEW_SECONDS:
        raise SignInNeeded(NOT_VALID)
    signed = token.rpartition(".")[0]
    if "grants" in claims:
        return _read_twilio(claims, ends_at, signed)
    return _read_opentok(claims, pair, ends_at, signed)


def check_call(token: str, pair: Pair, now: int) -> None:
    """See that a request to the API carries the SDK's signature (`X-OPENTOK-AUTH`).

    Raises:
        SignInNeeded: it does not, or that is over, or it is a token of another purpose.
    """
    claims = _verified(token, pair)
    ends_at = _lasting(claims.get("exp"), now)
    if claims.get("ist") != "project" or "scope" in claims or "session_id" in claims or "grants" in claims:
        raise SignInNeeded(NOT_VALID)
    if ends_at > now + CALL_LASTS_AT_MOST:
        raise SignInNeeded(NOT_VALID)


def session_id(pair: Pair, nonce: str) -> str:
    """A new session's id in the form that OpenTok's SDKs take apart: they look for their own key in it."""
    inner = f"1~{pair.key}~~{nonce}~".encode()
    return "2_" + base64.urlsafe_b64encode(inner).decode().rstrip("=")


def belongs(session: str, pair: Pair) -> bool:
    """Whether a session's id is one of this key's, as the SDK itself tells."""
    if not re.fullmatch(r"[12]_[A-Za-z0-9_-]{1,253}={0,2}", session):
        return False
    inner = session[2:].rstrip("=")
    try:
        parts = base64.urlsafe_b64decode(inner + "=" * (-len(inner) % 4)).decode().split("~")
    except (binascii.Error, UnicodeDecodeError):
        return False
    return pair.key in parts


def _verified(token: str, pair: Pair) -> dict[str, Any]:
    """The claims of a JWT that the pair has signed. One that names an audience is meant for somebody else."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            pair.secret,
            algorithms=["HS256"],
            issuer=pair.key,
            # The clock is a port, so times are compared here.
            options={"require": ["iss", "exp"], "verify_exp": False, "verify_nbf": False, "verify_iat": False},
        )
    except (jwt.InvalidTokenError, UnicodeError, TypeError, ValueError, RecursionError) as error:
        raise SignInNeeded(NOT_VALID) from error
    return claims


def _lasting(expires: object, now: int) -> int:
    if type(expires) is not int or not now < expires <= now + LASTS_AT_MOST + SKEW_SECONDS:
        raise SignInNeeded(NOT_VALID)
    return expires


def _read_twilio(claims: dict[str, Any], ends_at: int, signed: str) -> Claims:
    """`{grants: {identity, video: {room}}}`. One without a room would open all of them."""
    grants = claims["grants"]
    video = grants.get("video") if isinstance(grants, dict) else None
    room = video.get("room") if isinstance(video, dict) else None
    identity = grants.get("identity") if isinstance(grants, dict) else None
    if not isinstance(room, str) or not isinstance(identity, str):
        raise SignInNeeded(NOT_VALID)
    return Claims(room, "publisher", ends_at, identity, "", signed)


def _read_opentok(claims: dict[str, Any], pair: Pair, ends_at: int, signed: str) -> Claims:
    """`{scope: "session.connect", session_id, role, connection_data?}`."""
    if claims.get("scope") != "session.connect":
        raise SignInNeeded(NOT_VALID)
    return _opentok(claims, pair, ends_at, signed)


def _read_query(encoded: str, pair: Pair, now: int) -> Claims:
    """Base64 of `partner_id=KEY&sig=HEX:QUERY`, where the query is what is signed, with HMAC-SHA1."""
    try:
        head, _, query = base64.b64decode(encoded, validate=True).decode().partition(":")
        names = parse_qsl(head, keep_blank_values=True, strict_parsing=True, max_num_fields=2)
        fields = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=20, errors="strict")
        partner, signature = dict(names)["partner_id"], dict(names)["sig"]
    except (binascii.Error, ValueError, KeyError) as error:
        raise SignInNeeded(NOT_VALID) from error
    made = hmac.new(pair.secret.encode(), query.encode(), "sha1").hexdigest()
    claims: dict[str, Any] = dict(fields)
    is_ours = partner == pair.key and hmac.compare_digest(made.encode(), signature.encode())
    if not is_ours or len(claims) != len(fields):
        raise SignInNeeded(NOT_VALID)
    ends_at = _lasting(_whole(claims.get("expire_time")), now)
    begins = _whole(claims.get("create_time"))
    if begins is None or begins > now + SKEW_SECONDS:
        raise SignInNeeded(NOT_VALID)
    return _opentok(claims, pair, ends_at, query)


def _opentok(claims: dict[str, Any], pair: Pair, ends_at: int, signed: str) -> Claims:
    session, role, data = claims.get("session_id"), claims.get("role"), claims.get("connection_data", "")
    if not (isinstance(session, str) and isinstance(role, str) and isinstance(data, str)):
        raise SignInNeeded(NOT_VALID)
    if role not in _OPENTOK_ROLES or not belongs(session, pair):
        raise SignInNeeded(NOT_VALID)
    return Claims(session, role, ends_at, None, data, signed)


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,15}", text, re.ASCII) else None

"""Tokens: ours pass until their time is over, and nothing else passes at all."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from chatzilla.core.people import Account, account_named
from chatzilla.core.tokens import LIFETIME_SECONDS, Tokens
from chatzilla.errors import SignInNeeded
from tests.helpers.clock import ManualClock

KEY = "k" * 48
BOB = account_named("Bob")


def claims_of(account: Account, **changes: Any) -> dict[str, Any]:
    """What a token of ours says, with some of it changed; None leaves a claim out."""
    now = ManualClock().wall_ms() // 1000
    claims = {
        "iss": "chatzilla",
        "sub": account.id,
        "kind": account.kind,
        "name": account.name,
        "iat": now,
        "exp": now + 60,
    }
    return {name: value for name, value in (claims | changes).items() if value is not None}


def test_a_token_brings_back_the_whole_person() -> None:
    tokens = Tokens(KEY, ManualClock())
    assert tokens.bearer(tokens.mint(BOB)) == BOB


def test_a_verified_person_stays_verified() -> None:
    tokens = Tokens(KEY, ManualClock())
    proven = account_named("bob@example.com", "email")
    assert tokens.bearer(tokens.mint(proven)).verified


def test_a_token_ends_with_its_time_by_our_clock() -> None:
    clock = ManualClock()
    tokens = Tokens(KEY, clock)
    token = tokens.mint(BOB)
    clock.advance(LIFETIME_SECONDS - 1)
    assert tokens.bearer(token) == BOB
    clock.advance(1)
    with pytest.raises(SignInNeeded):
        tokens.bearer(token)


def test_a_handmade_token_with_our_key_passes_so_that_the_forgeries_below_mean_something() -> None:
    assert Tokens(KEY, ManualClock()).bearer(jwt.encode(claims_of(BOB), KEY, "HS256")) == BOB


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": account_named("Alice").id},
        {"name": "Alice"},
        {"kind": "email"},
        {"iss": "somebody else"},
        {"iss": None},
        {"sub": None},
        {"iat": None},
        {"exp": None},
        {"name": None},
        {"kind": None},
        {"name": 5},
        {"name": ""},
        {"kind": ["open"]},
        {"exp": "tomorrow"},
        {"exp": 0},
        {"exp": True},
        {"exp": 1e300},
    ],
)
def test_a_claim_that_is_wrong_or_missing_is_refused_even_with_our_key(changes: dict[str, Any]) -> None:
    token = jwt.encode(claims_of(BOB, **changes), KEY, "HS256")
    with pytest.raises(SignInNeeded):
        Tokens(KEY, ManualClock()).bearer(token)


def test_a_token_by_another_key_is_refused() -> None:
    with pytest.raises(SignInNeeded):
        Tokens(KEY, ManualClock()).bearer(jwt.encode(claims_of(BOB), "o" * 48, "HS256"))


def test_a_token_without_a_signature_is_refused() -> None:
    unsigned = jwt.encode(claims_of(BOB), None, "none")
    with pytest.raises(SignInNeeded):
        Tokens(KEY, ManualClock()).bearer(unsigned)


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_another_algorithm_is_refused_even_with_our_key(algorithm: str) -> None:
    with pytest.raises(SignInNeeded):
        Tokens("k" * 64, ManualClock()).bearer(jwt.encode(claims_of(BOB), "k" * 64, algorithm))


def test_a_token_with_one_changed_character_is_refused() -> None:
    tokens = Tokens(KEY, ManualClock())
    head, body, signature = tokens.mint(BOB).split(".")
    for forged in (
        f"{head}.{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}",
        f"{head}.{body[:-2]}{'A' if body[-2] != 'A' else 'B'}{body[-1]}.{signature}",
        f"{head}.{body}.",
        f"{head}.{body}",
    ):
        with pytest.raises(SignInNeeded):
            tokens.bearer(forged)


@pytest.mark.parametrize("raw", [None, "", "x", "a.b.c", 5, b"bytes", ["token"], {"token": "x"}, "\ud800", "é.é.é"])
def test_what_is_no_token_is_refused(raw: object) -> None:
    with pytest.raises(SignInNeeded):
        Tokens(KEY, ManualClock()).bearer(raw)


def test_a_stranger_is_not_told_why() -> None:
    clock = ManualClock()
    tokens = Tokens(KEY, clock)
    old = tokens.mint(BOB)
    clock.advance(LIFETIME_SECONDS)
    sentences = set()
    for token in (old, "nonsense", jwt.encode(claims_of(BOB), "o" * 48, "HS256")):
        with pytest.raises(SignInNeeded) as refusal:
            tokens.bearer(token)
        sentences.add(refusal.value.sentence)
    assert len(sentences) == 1

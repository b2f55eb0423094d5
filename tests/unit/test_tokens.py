"""Tokens: ours pass until their time is over, and nothing else passes at all."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from chatzilla.core.people import Account, account_named
from chatzilla.core.tokens import LIFETIME_SECONDS, SignInId, Tokens
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
    assert tokens.read(tokens.mint(BOB)).named == BOB


def test_a_name_alone_is_never_a_verified_person() -> None:
    """Whoever has proved something has a sign-in; a token without one says a typed name, or nothing."""
    tokens = Tokens(KEY, ManualClock())
    with pytest.raises(SignInNeeded):
        tokens.read(tokens.mint(account_named("bob@example.com", "email")))


def test_the_token_of_a_sign_in_names_it_and_nothing_else() -> None:
    tokens = Tokens(KEY, ManualClock())
    claims = tokens.read(tokens.mint_sign_in(BOB.id, SignInId("s-1")))
    assert (claims.subject, claims.sign_in, claims.named) == (BOB.id, "s-1", None)


def test_keys_from_before_verify_and_do_not_sign() -> None:
    old, new = Tokens(KEY, ManualClock()), Tokens("n" * 48, ManualClock(), before=[KEY])
    assert new.read(old.mint(BOB)).named == BOB
    with pytest.raises(SignInNeeded):
        old.read(new.mint(BOB))
    new.renew("m" * 48, ["n" * 48])
    with pytest.raises(SignInNeeded):
        new.read(old.mint(BOB))


def test_a_token_ends_with_its_time_by_our_clock() -> None:
    clock = ManualClock()
    tokens = Tokens(KEY, clock)
    token = tokens.mint(BOB)
    clock.advance(LIFETIME_SECONDS - 1)
    assert tokens.read(token).named == BOB
    clock.advance(1)
    with pytest.raises(SignInNeeded):
        tokens.read(token)


def test_a_handmade_token_with_our_key_passes_so_that_the_forgeries_below_mean_something() -> None:
    assert Tokens(KEY, ManualClock()).read(jwt.encode(claims_of(BOB), KEY, "HS256")).named == BOB


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
        {"aud": "calls"},
        {"aud": "sign-in"},
        {"aud": "sign-in", "sid": 5},
        {"aud": ["sign-in"], "sid": "s-1"},
        {"aud": "", "sid": "s-1"},
    ],
)
def test_a_claim_that_is_wrong_or_missing_is_refused_even_with_our_key(changes: dict[str, Any]) -> None:
    token = jwt.encode(claims_of(BOB, **changes), KEY, "HS256")
    with pytest.raises(SignInNeeded):
        Tokens(KEY, ManualClock()).read(token)


def test_a_token_by_another_key_is_refused() -> None:
    with pytest.raises(SignInNeeded):
        Tokens(KEY, ManualClock()).read(jwt.encode(claims_of(BOB), "o" * 48, "HS256"))


def test_a_token_without_a_signature_is_refused() -> None:
    unsigned = jwt.encode(claims_of(BOB), "", "none")
    with pytest.raises(SignInNeeded):
        Tokens(KEY, ManualClock()).read(unsigned)


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_another_algorithm_is_refused_even_with_our_key(algorithm: str) -> None:
    with pytest.raises(SignInNeeded):
        Tokens("k" * 64, ManualClock()).read(jwt.encode(claims_of(BOB), "k" * 64, algorithm))


def test_what_the_head_of_a_token_asks_for_is_not_done() -> None:
    """Keys that a token brings or points to, and extensions that it calls critical."""
    public = {"kty": "oct", "k": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tr"}
    for head in (
        {"jwk": public},
        {"jku": "http://127.0.0.1/key"},
        {"kid": "../../dev/null"},
        {"x5u": "file:///dev/null"},
    ):
        with pytest.raises(SignInNeeded):
            Tokens(KEY, ManualClock()).read(jwt.encode(claims_of(BOB), "o" * 48, "HS256", headers=head))
    with pytest.raises(SignInNeeded):
        Tokens(KEY, ManualClock()).read(jwt.encode(claims_of(BOB), KEY, "HS256", headers={"crit": ["unheard-of"]}))
    with pytest.raises(SignInNeeded):
        Tokens(KEY, ManualClock()).read("e" * 5000)


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
            tokens.read(forged)


@pytest.mark.parametrize("raw", [None, "", "x", "a.b.c", 5, b"bytes", ["token"], {"token": "x"}, "\ud800", "é.é.é"])
def test_what_is_no_token_is_refused(raw: object) -> None:
    with pytest.raises(SignInNeeded):
        Tokens(KEY, ManualClock()).read(raw)


def test_a_stranger_is_not_told_why() -> None:
    clock = ManualClock()
    tokens = Tokens(KEY, clock)
    old = tokens.mint(BOB)
    clock.advance(LIFETIME_SECONDS)
    sentences = set()
    for token in (old, "nonsense", jwt.encode(claims_of(BOB), "o" * 48, "HS256")):
        with pytest.raises(SignInNeeded) as refusal:
            tokens.read(token)
        sentences.add(refusal.value.sentence)
    assert len(sentences) == 1


def test_a_stamp_is_for_these_words_in_this_order_and_outlives_a_change_of_the_key() -> None:
    """And it is no token, nor is a token one."""
    old, new = Tokens(KEY, ManualClock()), Tokens("n" * 48, ManualClock(), before=[KEY])
    stamp = old.stamp("browser", BOB.id)
    assert old.is_stamped(stamp, "browser", BOB.id)
    assert new.is_stamped(stamp, "browser", BOB.id)
    for words in ((BOB.id, "browser"), ("browser",), ("browser", BOB.id, ""), (f"browser\0{BOB.id}x",)):
        assert not old.is_stamped(stamp, *words)
    for forged in ("", stamp[:-1], stamp + "=", "\u00e9" * 43, new.stamp("browser", BOB.id)):
        assert not old.is_stamped(forged, "browser", BOB.id)
    with pytest.raises(SignInNeeded):
        old.read(stamp)

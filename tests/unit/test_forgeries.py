"""Tokens that somebody made up, by the families that the vectors of Project Wycheproof have for JWS, and more.

Each is made from a good token, or signed with our own key over what no signer of ours writes. The good one passes, so
that the others mean something.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any, Final

import pytest

from chatzilla.core.people import account_named
from chatzilla.core.tokens import NOT_VALID, SignInId, Tokens
from chatzilla.errors import SignInNeeded
from tests.helpers.clock import ManualClock

KEY: Final = "k" * 48
BOB: Final = account_named("Bob")
TOKENS: Final = Tokens(KEY, ManualClock())
GOOD: Final = TOKENS.mint_sign_in(BOB.id, SignInId("s" * 20))
HEAD, BODY, MAC = GOOD.split(".")
DIGESTS: Final = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}


def packed(raw: bytes | str) -> str:
    """base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(raw.encode() if isinstance(raw, str) else raw).decode().rstrip("=")


def unpacked(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def signed(head: str, body: str, key: str | bytes = KEY, digest: str = "sha256") -> str:
    """Three parts, the last over the first two exactly as they stand."""
    secret = key.encode() if isinstance(key, str) else key
    return f"{head}.{body}.{packed(hmac.digest(secret, f'{head}.{body}'.encode(), digest))}"


def with_head(**head: Any) -> str:
    """Signed with our key, under another head."""
    return signed(packed(json.dumps({"alg": "HS256", "typ": "JWT"} | head)), BODY)


def flipped(part: str, at: int, bit: int) -> str:
    raw = bytearray(unpacked(part))
    raw[at] ^= 1 << bit
    return packed(bytes(raw))


def unused_bits(part: str) -> list[str]:
    """Other spellings of the same bytes: the last character has bits that say nothing."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return [
        part[:-1] + other for other in alphabet if other != part[-1] and unpacked(part[:-1] + other) == unpacked(part)
    ]


CLAIMS: Final = json.loads(unpacked(BODY))
OTHER: Final = packed(json.dumps(CLAIMS | {"sid": "t" * 20}))
PUBLIC: Final = {"kty": "oct", "k": packed("o" * 48)}
RSA: Final = b"-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAK\n-----END PUBLIC KEY-----\n"

ALGS: Final[list[Any]] = ["none", "None", "NONE", "nOnE", "none ", "", None, [], {}, 0, ["none"], ["HS256"], "null"]
HEADS: Final[list[Any]] = [{}, {"typ": "JWT"}, [], "HS256", 5, None]
CRITICAL: Final[list[Any]] = [["exp"], ["x"], [], "b64", None, [""], {}, 5]

FORGERIES: Final[dict[str, list[Any]]] = {
    "a changed signature": [f"{HEAD}.{BODY}.{flipped(MAC, at, at % 8)}" for at in range(32)],
    "a changed body": [f"{HEAD}.{flipped(BODY, at, 0)}.{MAC}" for at in range(0, len(unpacked(BODY)), 7)],
    "another body": [f"{HEAD}.{OTHER}.{MAC}"],
    "a changed head": [f"{flipped(HEAD, at, 0)}.{BODY}.{MAC}" for at in range(len(unpacked(HEAD)))],
    "a part missing": [
        f"{HEAD}.{BODY}.",
        f"{HEAD}.{BODY}",
        f"{HEAD}..{MAC}",
        f"{HEAD}.{MAC}",
        f".{BODY}.{MAC}",
        f"{BODY}.{MAC}",
        HEAD,
        BODY,
        MAC,
        "",
        ".",
        "..",
        "...",
    ],
    "a part too many": [f"{GOOD}.", f"{GOOD}.{MAC}", f".{GOOD}", f"{HEAD}.{BODY}..{MAC}", f"{GOOD}..", f"{GOOD}.x.y"],
    "a truncated signature": [f"{HEAD}.{BODY}.{packed(unpacked(MAC)[:size])}" for size in range(32)],
    "a lengthened signature": [
        f"{HEAD}.{BODY}.{packed(unpacked(MAC) + b'0')}",
        f"{HEAD}.{BODY}.{MAC}{MAC}",
        f"{HEAD}.{BODY}.{packed(bytes(1) + unpacked(MAC))}",
    ],
    "a signature of nothing": [f"{HEAD}.{BODY}.{packed(bytes(32))}", f"{HEAD}.{BODY}.{packed(b'')}A"],
    "alg none": [f"{packed(json.dumps({'alg': alg, 'typ': 'JWT'}))}.{BODY}.{mac}" for alg in ALGS for mac in ("", MAC)],
    "no alg": [signed(packed(json.dumps(head)), BODY) for head in HEADS],
    "another alg with our key": [
        signed(packed(json.dumps({"alg": alg, "typ": "JWT"})), BODY, digest=DIGESTS.get(alg, "sha256"))
        for alg in (
            "HS384",
            "HS512",
            "hs256",
            "HS256 ",
            "HS1",
            "RS256",
            "ES256",
            "PS256",
            "EdDSA",
            "A128KW",
            "dir",
            "HS",
        )
    ],
    "a public key as the secret": [signed(HEAD, BODY, RSA), signed(packed('{"alg":"RS256","typ":"JWT"}'), BODY, RSA)],
    "an easy key": [
        signed(HEAD, BODY, key)
        for key in (
            "",
            "\0",
            "0",
            "secret",
            "chatzilla",
            "null",
            "k",
            "k" * 47,
            "k" * 49,
            KEY.upper(),
            packed(KEY),
            KEY + "\n",
        )
    ],
    "our key hashed": [signed(HEAD, BODY, hashlib.sha256(KEY.encode()).digest())],
    "a key that the head brings": [
        signed(packed(json.dumps({"alg": "HS256", "typ": "JWT"} | head)), BODY, "o" * 48)
        for head in (
            {"jwk": PUBLIC},
            {"jku": "http://127.0.0.1:9/keys"},
            {"jku": "file:///dev/null"},
            {"kid": "../../../../dev/null"},
            {"kid": "' UNION SELECT 'oooo' --"},
            {"kid": "/proc/sys/kernel/randomize_va_space"},
            {"kid": "|id"},
            {"kid": ["x"]},
            {"x5u": "https://evil.example/x.pem"},
            {"x5c": [base64.b64encode(b"certificate").decode()]},
            {"x5t": "x"},
            {"k": packed("o" * 48)},
        )
    ],
    "an empty file as the key": [signed(packed('{"alg":"HS256","kid":"/dev/null"}'), BODY, "")],
    "what is critical and unheard of": [with_head(crit=crit) for crit in CRITICAL],
    "b64": [
        with_head(b64=False),
        with_head(b64=False, crit=["b64"]),
        with_head(b64=True, crit=["b64", "x"]),
        f"{packed(json.dumps({'alg': 'HS256', 'b64': False, 'crit': ['b64']}))}..{MAC}",
    ],
    "the other serializations": [
        json.dumps({"protected": HEAD, "payload": BODY, "signature": MAC}),
        json.dumps({"payload": BODY, "signatures": [{"protected": HEAD, "signature": MAC}]}),
    ],
    "an encrypted one": [f"{packed(json.dumps({'alg': 'dir', 'enc': 'A256GCM'}))}..{'A' * 16}.{BODY}.{'A' * 22}"],
    "spaces": [
        f" {GOOD}",
        f"{GOOD} ",
        f"{GOOD}\n",
        f"\t{GOOD}",
        f"{HEAD} .{BODY}.{MAC}",
        f"{HEAD}.{BODY}. {MAC}",
        f"{HEAD}.{BODY}.{MAC[:9]} {MAC[9:]}",
        f"{HEAD}.{BODY}.{MAC[:9]}\n{MAC[9:]}",
        f"{HEAD}.{BODY}.{MAC}\0",
        f"\ufeff{GOOD}",
        f"{HEAD}\u200b.{BODY}.{MAC}",
    ],
    "spaces that are signed": [
        signed(HEAD[:9] + " " + HEAD[9:], BODY),
        signed(HEAD, BODY[:9] + " " + BODY[9:]),
        signed(HEAD, BODY + "\n"),
        signed("\n" + HEAD, BODY),
    ],
    "strange characters": [f"{HEAD}.{BODY}.{MAC[:9]}{each}{MAC[9:]}" for each in "!@#$%^&*()=+/~,:;'\"\\é\u0661"],
    "strange characters that are signed": [signed(HEAD, BODY[:8] + each + BODY[8:]) for each in "!@#$%^&*()~,:;="],
    "padding": [
        f"{GOOD}=",
        f"{GOOD}==",
        f"{HEAD}.{BODY}=.{MAC}",
        f"{HEAD}==.{BODY}.{MAC}",
        signed(HEAD + "=", BODY),
        signed(HEAD, BODY + "=="),
        signed(HEAD, base64.urlsafe_b64encode(unpacked(BODY) + b" ").decode() + "="),
    ],
    "bits that say nothing": [
        *(f"{HEAD}.{BODY}.{other}" for other in unused_bits(MAC)),
        *(signed(HEAD, packed(json.dumps(CLAIMS | {"pad": pad}))[:-1] + "x") for pad in ("", "a", "ab")),
    ],
    "the other alphabet": [
        signed(HEAD, packed(json.dumps(CLAIMS | {"x": "\u00ff\u00fe??>>~~"}, ensure_ascii=False)).replace(a, b))
        for a, b in (("_", "/"), ("-", "+"))
        if a in packed(json.dumps(CLAIMS | {"x": "\u00ff\u00fe??>>~~"}, ensure_ascii=False))
    ],
    "two of a name": [
        f"{packed(head)}.{BODY}.{mac}"
        for head in ('{"alg":"none","alg":"HS256"}', '{"alg":"HS256","alg":"none"}', '{"alg":"HS512","alg":"HS256"}')
        for mac in ("", MAC, packed(hmac.digest(b"", f"{packed(head)}.{BODY}".encode(), "sha256")))
    ],
    "no claims": [
        signed(HEAD, packed(body))
        for body in (
            "",
            "null",
            "[]",
            "5",
            '"x"',
            "{}",
            "{",
            "\xff",
            b"\xff\xfe",
            "[" * 2000,
            '{"sub":' * 500,
            "NaN",
            '{"exp":1e999}',
        )
    ],
    "claims of another kind": [
        signed(HEAD, packed(json.dumps(CLAIMS | {name: value})))
        for name, value in (
            ("iss", ["chatzilla"]),
            ("iss", "Chatzilla"),
            ("iss", None),
            ("sub", 5),
            ("sub", ["x"]),
            ("sub", None),
            ("exp", "9999999999"),
            ("exp", -1),
            ("exp", 0),
            ("exp", True),
            ("exp", 1e300),
            ("exp", None),
            ("exp", []),
            ("aud", ["sign-in"]),
            ("aud", "SIGN-IN"),
            ("aud", None),
            ("aud", ""),
            ("aud", "sign-in "),
            ("aud", {}),
            ("sid", None),
            ("sid", 5),
            ("sid", ["s" * 20]),
            ("iat", None),
        )
    ],
    "what comes later": [signed(HEAD, packed(json.dumps(CLAIMS | {"nbf": CLAIMS["iat"] + 10**9})))],
    "huge": [
        f"{GOOD}{'A' * 10_000}",
        "A" * 5_000_000,
        "." * 5_000_000,
        f"{HEAD}.{'A' * 4_000_000}.{MAC}",
        signed(HEAD, packed(json.dumps(CLAIMS | {"x": "y" * 4_000}))),
        signed(packed('{"alg":"HS256","x":"' + "y" * 4_000 + '"}'), BODY),
    ],
    "no text": [
        None,
        5,
        True,
        GOOD.encode(),
        [GOOD],
        {"token": GOOD},
        (HEAD, BODY, MAC),
        object(),
        "\ud800.\ud800.\ud800",
    ],
    "no ASCII": ["é.é.é", f"{HEAD}.{BODY}.{MAC[:-1]}é", f"{HEAD}．{BODY}．{MAC}"],
}


def test_the_good_one_passes() -> None:
    assert TOKENS.read(GOOD).sign_in == "s" * 20
    assert TOKENS.read(signed(HEAD, BODY)) == TOKENS.read(GOOD)
    assert TOKENS.read(with_head()).subject == BOB.id
    assert TOKENS.read(signed(packed('{ "alg" : "HS256" ,\n"typ":"JWT"}'), BODY)).subject == BOB.id


@pytest.mark.parametrize("family", FORGERIES)
def test_a_forgery_is_refused_in_the_one_sentence(family: str) -> None:
    assert FORGERIES[family]
    for forged in FORGERIES[family]:
        shown = str(forged)[:300]
        assert forged != GOOD, shown
        try:
            claims = TOKENS.read(forged)
        except SignInNeeded as refusal:
            assert refusal.sentence == NOT_VALID
        else:
            raise AssertionError(f"{shown} was taken as {claims}")


def test_every_family_has_enough() -> None:
    assert len(FORGERIES) >= 35
    assert sum(map(len, FORGERIES.values())) > 300

"""Rights: each form of token lets one person into one room in one role until its end, and nothing else passes."""

from __future__ import annotations

import base64
import calendar
import hashlib
import hmac
import string
import time
import warnings
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlencode

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatzilla.core import foreign
from chatzilla.core.foreign import Pair
from chatzilla.core.people import APP, GUEST, LINK, OPEN, Account, AccountId, account_named, app_named, guest_named
from chatzilla.core.policy import Role
from chatzilla.core.rights import LASTS_SECONDS, CallRole, Right, Rights, name_in, room_of
from chatzilla.core.rooms import LOBBY, RoomId, parse_room
from chatzilla.core.tokens import SignInId, Tokens
from chatzilla.errors import BadRequest, SignInNeeded
from tests.helpers.clock import TodaysClock

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # they warn of their own parts
    from opentok import Client, Roles
    from twilio.jwt.access_token import AccessToken
    from twilio.jwt.access_token.grants import VideoGrant

KEY: Final = "k" * 48
SECRET: Final = "s" * 40
PAIR: Final = Pair("45678", SECRET)
GARDEN: Final = RoomId("garden")
BOB: Final = account_named("Bob")
MINUTE: Final = 60


def nobody(_: SignInId, __: AccountId) -> Account:
    raise SignInNeeded("nobody is signed in")


@pytest.fixture
def clock() -> TodaysClock:
    return TodaysClock()


@pytest.fixture
def rights(clock: TodaysClock) -> Rights:
    return Rights(Tokens(KEY, clock), clock, PAIR)


def twilio(secret: str = SECRET, key: str = PAIR.key, room: str | None = "My Room", **options: Any) -> str:
    token = AccessToken("AC0", key, secret, identity=options.pop("identity", "bob"), **options)
    token.add_grant(VideoGrant(room=room))
    return str(token.to_jwt())


def opentok(secret: str = SECRET, key: str = PAIR.key) -> Client:
    return Client(key, secret)


SESSION: Final = foreign.session_id(PAIR, "nonce-of-this-session")


def _passes(rights: Rights, token: str) -> bool:
    try:
        rights.read(token, nobody)
    except SignInNeeded:
        return False
    return True


def refused(rights: Rights, token: object) -> None:
    with pytest.raises(SignInNeeded):
        rights.read(token, nobody)


class TestOurs:
    def test_a_right_brings_back_all_that_it_was_made_of(self, rights: Rights, clock: TodaysClock) -> None:
        made = rights.make(BOB, GARDEN, CallRole.MODERATOR, data='{"seat": 5}')
        assert rights.read(made.token, nobody) == made
        assert (made.room, made.role, made.data) == (GARDEN, CallRole.MODERATOR, '{"seat": 5}')
        assert made.ends_at == (clock.seconds + LASTS_SECONDS) * 1000

    @pytest.mark.parametrize(
        ("role", "here"),
        [
            (CallRole.SUBSCRIBER, Role.LISTENER),
            (CallRole.PUBLISHER, Role.SPEAKER),
            (CallRole.MODERATOR, Role.SPEAKER),
        ],
    )
    def test_the_person_is_let_into_one_room_and_no_further(self, rights: Rights, role: CallRole, here: Role) -> None:
        owner = replace(account_named("Olga", LINK), role=Role.OWNER)
        for account in (BOB, owner):
            limited = rights.make(account, GARDEN, role).account
            assert (limited.id, limited.room, limited.role) == (account.id, GARDEN, here)

    def test_each_right_is_another(self, rights: Rights) -> None:
        assert rights.make(BOB, GARDEN, CallRole.PUBLISHER).id != rights.make(BOB, GARDEN, CallRole.PUBLISHER).id

    def test_it_ends_with_its_time(self, rights: Rights, clock: TodaysClock) -> None:
        made = rights.make(BOB, GARDEN, CallRole.PUBLISHER)
        clock.advance(LASTS_SECONDS - 1)
        assert rights.read(made.token, nobody).account.name == "Bob"
        clock.advance(1)
        refused(rights, made.token)

    def test_it_asks_for_its_sign_in(self, rights: Rights) -> None:
        alice = account_named("Alice", LINK)
        made = rights.make(alice, GARDEN, CallRole.PUBLISHER, sign_in=SignInId("s-1"))

        def holder(sign_in: SignInId, account: AccountId) -> Account:
            assert (sign_in, account) == ("s-1", alice.id)
            return alice

        assert rights.read(made.token, holder).account.id == alice.id
        refused(rights, made.token)

    def test_a_guest_of_another_room_has_no_use_for_it(self, rights: Rights) -> None:
        guest = guest_named("Gert", LOBBY, 2**50)
        assert guest.kind == GUEST
        made = rights.make(guest, GARDEN, CallRole.PUBLISHER, sign_in=SignInId("s-1"))
        with pytest.raises(SignInNeeded):
            rights.read(made.token, lambda _, __: guest)

    @pytest.mark.parametrize(
        "changes",
        [
            {"aud": None},
            {"aud": "sign-in"},
            {"aud": ["call"]},
            {"iss": "somebody else"},
            {"sub": app_named("Bob", LOBBY).id},
            {"name": "Alice"},
            {"kind": LINK},
            {"kind": OPEN},
            {"room": "attic"},
            {"room": "not a room"},
            {"room": None},
            {"role": "owner"},
            {"role": ["publisher"]},
            {"role": None},
            {"jti": None},
            {"jti": 5},
            {"data": {}},
            {"exp": "tomorrow"},
            {"exp": 0},
            {"sid": "s-1"},
            {"sid": ["s-1"]},
        ],
    )
    def test_a_claim_that_is_wrong_or_missing_is_refused_even_with_our_key(
        self, rights: Rights, clock: TodaysClock, changes: dict[str, Any]
    ) -> None:
        account = app_named("Bob", GARDEN)
        claims: dict[str, Any] = {
            "iss": "chatzilla",
            "aud": "call",
            "sub": account.id,
            "kind": APP,
            "name": "Bob",
            "room": "garden",
        }
        claims |= {"role": "publisher", "jti": "con_1", "data": "", "iat": clock.seconds, "exp": clock.seconds + 60}
        assert rights.read(jwt.encode(claims, KEY), nobody).account.name == "Bob", "what is changed below would pass"
        changed = {name: value for name, value in (claims | changes).items() if value is not None}
        refused(rights, jwt.encode(changed, KEY))

    def test_another_key_is_refused_and_so_is_the_secret_of_applications(self, rights: Rights) -> None:
        claims = jwt.decode(
            rights.make(BOB, GARDEN, CallRole.PUBLISHER).token, KEY, algorithms=["HS256"], audience="call"
        )
        assert rights.read(jwt.encode(claims, KEY), nobody).account.id == BOB.id
        for key in ("o" * 48, SECRET, ""):
            refused(rights, jwt.encode(claims, key, "HS256" if key else "none"))

    def test_other_tokens_of_ours_are_no_rights_and_rights_are_no_other_tokens(self, clock: TodaysClock) -> None:
        tokens = Tokens(KEY, clock)
        rights = Rights(tokens, clock, PAIR)
        refused(rights, tokens.mint(BOB))
        refused(rights, tokens.mint_sign_in(BOB.id, SignInId("s-1")))
        for made in (
            rights.make(BOB, GARDEN, CallRole.PUBLISHER),
            rights.make(BOB, GARDEN, CallRole.PUBLISHER, sign_in=SignInId("s-1")),
        ):
            with pytest.raises(SignInNeeded):
                tokens.read(made.token)

    def test_more_data_than_a_token_carries_is_refused(self, rights: Rights) -> None:
        for data in ("x" * 1001, "\0", " ", "\ud800"):
            with pytest.raises(BadRequest):
                rights.make(BOB, GARDEN, CallRole.PUBLISHER, data=data)
        assert rights.read(rights.make(BOB, GARDEN, CallRole.PUBLISHER, data="x" * 1000).token, nobody)

    @pytest.mark.parametrize(
        "raw",
        [
            None,
            "",
            "x",
            "a.b.c",
            "T1==",
            "T1==é",
            "T1==" + base64.b64encode(b"partner_id=45678").decode(),
            5,
            b"bytes",
            ["token"],
            {"token": "x"},
            "\ud800",
            "é.é.é",
            "e" * 9000,
            "e30." + base64.urlsafe_b64encode(b"[" * 3000).decode() + ".x",
        ],
    )
    def test_what_is_no_token_is_refused(self, rights: Rights, raw: object) -> None:
        refused(rights, raw)


class TestTwilio:
    def test_a_token_of_the_official_helper_enters_the_room_that_it_names(
        self, rights: Rights, clock: TodaysClock
    ) -> None:
        right = rights.read(twilio(ttl=600), nobody)
        assert (right.account.name, right.account.kind, right.account.verified) == ("bob", APP, False)
        assert right.room == right.account.room == room_of("My Room")
        assert right.role is CallRole.PUBLISHER
        assert abs(right.ends_at - (clock.seconds + 600) * 1000) <= 2000

    def test_a_room_is_the_same_for_everybody_whom_it_is_named_to(self, rights: Rights) -> None:
        rooms = {rights.read(twilio(identity=name), nobody).room for name in ("ann", "bob")}
        rooms.add(rights.read(twilio(room="my room"), nobody).room)
        assert len(rooms) == 1
        assert rights.read(twilio(room="Garden"), nobody).room == GARDEN, "a valid id is the room itself"

    def test_people_whose_tokens_were_made_in_the_same_second_are_two(self, rights: Rights) -> None:
        ann, bob = (rights.read(twilio(identity=name), nobody) for name in ("ann", "bob"))
        assert ann.id != bob.id
        assert ann.account.id != bob.account.id

    def test_written_in_another_way_a_token_is_the_same_right(self, rights: Rights) -> None:
        """The last letter of a signature holds bits that stand for nothing, and base64 may be padded or not."""
        for token in (twilio(), opentok().generate_token(SESSION)):
            letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
            value = letters.index(token[-1])
            twins = [token[:-1] + letters[value & ~3 | bits] for bits in range(4)] + [token + "="]
            idents = {rights.read(twin, nobody).id for twin in twins if _passes(rights, twin)}
            assert len(idents) == 1
        plain = base64.b64decode(handmade().removeprefix("T1=="))
        head, _, query = plain.partition(b":")
        swapped = b"&".join(reversed(head.split(b"&")))
        idents = {
            rights.read("T1==" + base64.b64encode(each).decode(), nobody).id for each in (plain, swapped + b":" + query)
        }
        assert len(idents) == 1

    def test_the_same_name_in_another_room_is_somebody_else(self, rights: Rights) -> None:
        here, there = (rights.read(twilio(room=room), nobody) for room in ("garden", "attic"))
        assert here.account.id != there.account.id

    def test_it_ends(self, rights: Rights, clock: TodaysClock) -> None:
        token = twilio(ttl=MINUTE)
        clock.advance(MINUTE + 1)
        refused(rights, token)

    @pytest.mark.parametrize(
        "options",
        [
            {"secret": "o" * 40},
            {"secret": KEY},
            {"key": "SK-another"},
            {"identity": None},
            {"identity": " "},
            {"identity": "two\nlines"},
            {"room": None},
            {"room": "x" * 300},
            {"nbf": int(time.time()) + 3600},
            {"ttl": 3600 * 24 * 40},
        ],
    )
    def test_what_is_wrong_is_refused(self, rights: Rights, options: dict[str, Any]) -> None:
        refused(rights, twilio(**options))

    def test_without_a_pair_there_are_no_applications(self, clock: TodaysClock) -> None:
        refused(Rights(Tokens(KEY, clock), clock, None), twilio())


@pytest.mark.parametrize("use_jwt", [True, False])
class TestOpenTok:
    def test_a_token_of_the_official_sdk_has_its_role_and_its_end(
        self, rights: Rights, clock: TodaysClock, use_jwt: bool
    ) -> None:
        end = clock.seconds + 500
        for role in (Roles.subscriber, Roles.publisher, Roles.moderator):
            token = opentok().generate_token(SESSION, role, expire_time=end, data="name=Ann é", use_jwt=use_jwt)
            right = rights.read(token, nobody)
            assert (right.role.value, right.ends_at) == (role.value, end * 1000)
            assert (right.account.name, right.data, right.room) == ("Ann é", "name=Ann é", room_of(SESSION))

    def test_by_default_it_is_a_publisher_for_a_day(self, rights: Rights, clock: TodaysClock, use_jwt: bool) -> None:
        right = rights.read(opentok().generate_token(SESSION, use_jwt=use_jwt), nobody)
        assert right.role is CallRole.PUBLISHER
        assert abs(right.ends_at // 1000 - clock.seconds - 24 * 3600) <= 2

    def test_viewers_without_a_name_are_each_somebody(self, rights: Rights, use_jwt: bool) -> None:
        people = {
            rights.read(opentok().generate_token(SESSION, use_jwt=use_jwt, data=f"seat={n}"), nobody).account.id
            for n in range(5)
        }
        assert len(people) == 5

    def test_it_ends(self, rights: Rights, clock: TodaysClock, use_jwt: bool) -> None:
        token = opentok().generate_token(SESSION, expire_time=clock.seconds + MINUTE, use_jwt=use_jwt)
        clock.advance(MINUTE)
        refused(rights, token)

    def test_another_secret_key_or_session_is_refused(self, rights: Rights, use_jwt: bool) -> None:
        refused(rights, opentok(secret="o" * 40).generate_token(SESSION, use_jwt=use_jwt))
        stranger = Pair("99", SECRET)
        theirs = foreign.session_id(stranger, "n")
        refused(rights, opentok(key="99").generate_token(theirs, use_jwt=use_jwt))

    def test_a_role_that_there_is_not_here_is_refused(self, rights: Rights, use_jwt: bool) -> None:
        refused(rights, opentok().generate_token(SESSION, Roles.publisher_only, use_jwt=use_jwt))


def handmade(**changes: Any) -> str:
    """OpenTok's older token, with some of it changed; None leaves a field out."""
    now = int(time.time())
    fields = {"session_id": SESSION, "create_time": now, "expire_time": now + 60, "role": "publisher", "nonce": 1}
    fields = {name: value for name, value in (fields | changes).items() if value is not None}
    query = urlencode(fields, doseq=True)
    signature = hmac.new(SECRET.encode(), query.encode(), hashlib.sha1).hexdigest()
    return "T1==" + base64.b64encode(f"partner_id={PAIR.key}&sig={signature}:{query}".encode()).decode()


def test_an_older_token_by_hand_passes_so_that_the_forgeries_below_mean_something(rights: Rights) -> None:
    assert rights.read(handmade(), nobody).role is CallRole.PUBLISHER


@pytest.mark.parametrize(
    "changes",
    [
        {"session_id": None},
        {"session_id": "garden"},
        {"session_id": "2_%%%"},
        {"role": None},
        {"role": "owner"},
        {"role": ["publisher", "moderator"]},
        {"expire_time": None},
        {"expire_time": "soon"},
        {"expire_time": "-1"},
        {"expire_time": "9" * 40},
        {"expire_time": calendar.timegm((2100, 1, 1, 0, 0, 0))},
        {"create_time": None},
        {"create_time": int(time.time()) + 3600},
    ],
)
def test_an_older_token_that_says_what_it_may_not_is_refused(rights: Rights, changes: dict[str, Any]) -> None:
    refused(rights, handmade(**changes))


def test_an_older_token_with_a_changed_role_or_signature_is_refused(rights: Rights) -> None:
    plain = base64.b64decode(handmade(role="subscriber").removeprefix("T1=="))
    for forged in (
        plain.replace(b"subscriber", b"moderator"),
        plain.replace(b"sig=", b"sig=0"),
        plain + b"&role=moderator",
        plain.replace(b"partner_id=45678", b"partner_id=45679"),
        plain.replace(b":", b"", 1),
    ):
        refused(rights, "T1==" + base64.b64encode(forged).decode())


def test_a_request_is_signed_for_a_request_and_a_token_for_a_session(rights: Rights, clock: TodaysClock) -> None:
    header = opentok().get_headers()["X-OPENTOK-AUTH"]
    foreign.check_call(header, PAIR, clock.seconds)
    refused(rights, header)
    claims = jwt.decode(header, SECRET, algorithms=["HS256"], issuer=PAIR.key)
    long_lived = jwt.encode(claims | {"exp": clock.seconds + 24 * 3600}, SECRET)
    wrong = [opentok().generate_token(SESSION), twilio(), opentok("o" * 40).get_headers()["X-OPENTOK-AUTH"], long_lived]
    for token in wrong:
        with pytest.raises(SignInNeeded):
            foreign.check_call(token, PAIR, clock.seconds)
    clock.advance(10 * MINUTE)
    with pytest.raises(SignInNeeded):
        foreign.check_call(header, PAIR, clock.seconds)


@pytest.mark.parametrize("key", ["1", "45678", "SK" + "0" * 32, "k" * 64])
def test_the_sdk_takes_our_session_ids_for_its_own(key: str) -> None:
    pair = Pair(key, SECRET)
    session = foreign.session_id(pair, "a-nonce-of-some-length-0123456")
    assert Client(key, SECRET).generate_token(session)
    assert len(session) <= 255
    assert foreign.belongs(session, pair)
    assert not foreign.belongs(session, Pair("another", SECRET))


@pytest.mark.parametrize(
    ("session", "room"),
    [("lobby", "lobby"), ("SessionA", "sessiona"), ("a-b_C", "a-b_c")],
)
def test_a_session_with_a_valid_id_is_that_room(session: str, room: str) -> None:
    assert room_of(session) == room


def test_any_other_name_has_a_room_of_its_own() -> None:
    names = ["My Room", "My-Room!", "Mein Raum", "部屋", "ß", "x" * 100, "x" * 101, "a" * 64 + "b", "//"]
    rooms = [room_of(name) for name in names]
    assert len(set(rooms)) == len(names)
    assert all(len(room) <= 64 for room in rooms)
    assert room_of(" MY ROOM ") == room_of("My Room")
    assert room_of("My  Room") == room_of("my-room") == "my-room"
    assert room_of("My Room!").startswith("my-room-")
    for wrong in ("", " ", "x" * 256, "two\nlines", "\ud800", "\0"):
        with pytest.raises(BadRequest):
            room_of(wrong)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ('{"clientData": "Ann"}', "Ann"),
        ('{"clientData": {"a": 1}, "name": "Ann"}', "Ann"),
        ('{"role": "boss"}', None),
        ("name=Ann,level=4", "Ann"),
        ("username=Ann&level=4", "Ann"),
        ("level=4", None),
        ("Ann", "Ann"),
        ('"Ann"', "Ann"),
        ("[1]", None),
        ("5", None),
        ("", None),
        ("two\nlines", None),
        ("x" * 300, None),
        ("[" * 100_000, None),
    ],
)
def test_a_name_is_found_in_the_usual_forms_of_data(data: str, name: str | None) -> None:
    assert name_in(data) == name


def test_a_right_does_not_show_its_token(rights: Rights) -> None:
    made = rights.make(BOB, GARDEN, CallRole.PUBLISHER)
    assert isinstance(made, Right)
    assert made.token not in repr(made)
    assert SECRET not in repr(PAIR)


FOREVER: Final = Rights(Tokens(KEY, TodaysClock()), TodaysClock(), PAIR)
VALID: Final = (
    FOREVER.make(BOB, GARDEN, CallRole.MODERATOR, data="level=4").token,
    twilio(),
    opentok().generate_token(SESSION, data="name=Ann"),
    handmade(),
)


@given(
    token=st.sampled_from(VALID), place=st.integers(0, 10_000), letter=st.sampled_from(string.ascii_letters + "=.-_ é")
)
def test_a_token_with_one_changed_character_is_refused(token: str, place: int, letter: str) -> None:
    assert FOREVER.read(token, nobody), "what is changed below would pass"
    place %= len(token) - 3  # the last ones hold bits that stand for nothing
    if token[place] != letter:
        refused(FOREVER, token[:place] + letter + token[place + 1 :])


@given(st.one_of(st.text(), st.text().map("T1=={}".format), st.binary(), st.tuples(*[st.text()] * 3).map(".".join)))
def test_whatever_else_a_client_brings_is_refused_in_one_way(raw: object) -> None:
    refused(FOREVER, raw)


@given(st.binary().map(lambda raw: "T1==" + base64.b64encode(raw).decode()))
def test_whatever_an_older_token_holds_is_refused_in_one_way(raw: str) -> None:
    refused(FOREVER, raw)


@given(st.text(min_size=1))
def test_every_name_that_a_room_can_have_elsewhere_is_the_id_of_one_here(name: str) -> None:
    try:
        room = room_of(name)
    except BadRequest:
        return
    assert parse_room(room) == room == room_of(room)

"""Who is kept out: by account or by network, everywhere or of a room, until it is over."""

from __future__ import annotations

from typing import Any

import pytest

from chatzilla.core import bans as bans_module
from chatzilla.core.bans import Ban, BanId, Bans, network
from chatzilla.core.people import LINK, AccountId, account_named
from chatzilla.core.rooms import RoomId
from chatzilla.errors import BadRequest, Forbidden, Full
from tests.helpers.clock import ManualClock

VERIFIED, TYPED = account_named("bob", LINK), account_named("bob")
GARDEN = RoomId("garden")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def ban(ident: str = "1", **fields: Any) -> Ban:
    values: dict[str, Any] = {
        "account": None, "network": None, "room": None, "name": "Bob", "maker": None, "maker_name": None,
        "made_at": 0, "ends_at": None,
    }  # fmt: skip
    return Ban(id=BanId(ident), **(values | fields))


def test_an_account_is_kept_out_wherever_it_comes_from(clock: ManualClock) -> None:
    bans = Bans(clock)
    bans.began(ban(account=VERIFIED.id))
    assert bans.against(VERIFIED, "192.0.2.1") is not None
    assert bans.against(VERIFIED, None, GARDEN) is not None
    assert bans.against(TYPED, "192.0.2.1") is None, "the same name, typed, is somebody else"
    assert bans.against(None, "192.0.2.1") is None


@pytest.mark.parametrize(
    ("banned", "inside", "outside"),
    [
        ("192.0.2.1", ("192.0.2.1", "::ffff:192.0.2.1"), ("192.0.2.2", "2001:db8::1")),
        ("2001:db8:0:1::5", ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2"), ("2001:db8:0:2::5",)),
    ],
)
def test_an_address_keeps_out_whoever_is_not_verified(
    clock: ManualClock, banned: str, inside: tuple[str, ...], outside: tuple[str, ...]
) -> None:
    bans = Bans(clock)
    bans.began(ban(network=network(banned)))
    for address in inside:
        assert bans.against(TYPED, address) is not None, address
        assert bans.against(None, address) is not None, address
        assert bans.against(VERIFIED, address) is None, "whoever has signed in is known better than by an address"
    for address in (*outside, "unknown", ""):
        assert bans.against(TYPED, address) is None, address
    assert bans.against(TYPED, None) is None


def test_a_room_is_not_the_server(clock: ManualClock) -> None:
    bans = Bans(clock)
    bans.began(ban(account=VERIFIED.id, room=GARDEN))
    assert bans.against(VERIFIED, None) is None
    assert bans.against(VERIFIED, None, RoomId("lobby")) is None
    with pytest.raises(Forbidden, match=r"banned from the room “garden”\."):
        bans.check(VERIFIED, None, GARDEN)


def test_a_ban_ends_by_itself_and_says_when(clock: ManualClock) -> None:
    bans = Bans(clock)
    bans.began(ban(account=VERIFIED.id, ends_at=clock.wall_ms() + 60_000))
    with pytest.raises(Forbidden, match=r"banned from this server until \d\d \w+ \d{4}, \d\d:\d\d UTC"):
        bans.check(VERIFIED, None)
    clock.advance(60)
    bans.check(VERIFIED, None)
    assert (bans.all(), bans.get("1")) == ([], None)


def test_the_newest_ban_of_somebody_is_the_one_that_holds(clock: ManualClock) -> None:
    bans = Bans(clock)
    bans.began(ban("1", account=VERIFIED.id))
    shorter = ban("2", account=VERIFIED.id, ends_at=clock.wall_ms() + 1_000)
    assert bans.replaced_by(shorter) == ban("1", account=VERIFIED.id)
    bans.began(shorter)
    assert bans.all() == [shorter]
    clock.advance(1)
    assert bans.against(VERIFIED, None) is None
    bans.ended(shorter)
    bans.ended(shorter)
    assert bans.replaced_by(shorter) is None


def test_bans_are_bounded_and_what_is_over_makes_room(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bans_module, "BANS_AT_MOST", 2)
    bans = Bans(clock)
    for at in range(2):
        bans.make_room()
        bans.began(ban(str(at), account=AccountId(str(at)), ends_at=clock.wall_ms() + 1_000))
    with pytest.raises(Full):
        bans.make_room()
    clock.advance(1)
    bans.make_room()


@pytest.mark.parametrize("raw", [None, 5, "", "there", "192.0.2.1/24", "1.2.3", "192.0.2.1 x", []])
def test_what_is_no_address_is_refused(raw: object) -> None:
    with pytest.raises(BadRequest):
        network(raw)

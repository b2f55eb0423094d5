"""Vain tries: counted by address, for a quarter of an hour, and never without bound."""

from __future__ import annotations

from chatzilla.core import tries as tries_module
from chatzilla.core.tries import TRIES, WINDOW_SECONDS, Tries
from tests.helpers.clock import ManualClock


def test_the_count_ends_with_its_time() -> None:
    clock = ManualClock()
    tries = Tries(clock)
    for _ in range(TRIES):
        assert not tries.exhausted("192.0.2.1")
        tries.count("192.0.2.1")
    assert tries.exhausted("192.0.2.1")
    assert not tries.exhausted("192.0.2.2")
    clock.advance(WINDOW_SECONDS - 1)
    assert tries.exhausted("192.0.2.1")
    clock.advance(1)
    assert not tries.exhausted("192.0.2.1")
    tries.count("192.0.2.1")
    assert not tries.exhausted("192.0.2.1")


def test_a_network_of_ipv6_is_one_address() -> None:
    tries = Tries(ManualClock(), at_most=1)
    tries.count("2001:db8::1")
    assert tries.exhausted("2001:db8::ffff:1")
    assert tries.exhausted("2001:db8::2%eth0")
    assert not tries.exhausted("2001:db8:0:1::1")
    tries.count("::ffff:192.0.2.1")
    assert tries.exhausted("192.0.2.1")
    tries.count("unknown")
    assert tries.exhausted("unknown")


def test_what_is_remembered_is_bounded() -> None:
    tries = Tries(ManualClock(), at_most=1)
    for at in range(tries_module.ADDRESSES_AT_MOST + 1):
        tries.count(f"10.{at >> 16}.{at >> 8 & 255}.{at & 255}")
    assert not tries.exhausted("10.0.0.0"), "the oldest is forgotten"
    assert tries.exhausted("10.0.0.1")

"""Names that look alike are known for it, and names that merely resemble each other are not."""

from __future__ import annotations

import pytest

from chatzilla.core.lookalikes import Names, skeleton
from chatzilla.core.people import account_named
from chatzilla.core.rooms import ConnectionId
from chatzilla.errors import Forbidden

ONE, TWO, THREE = ConnectionId("1"), ConnectionId("2"), ConnectionId("3")


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Bob", "bob"),
        ("Bob", "B\u043eb"),
        ("alice", "ALICE"),
        ("alice", "\u0391LICE"),
        ("Iris", "lris"),
        ("paypal", "paypaI"),
        ("user0", "userO"),
        ("mom", "rnom"),
        ("wim", "vvim"),
        ("bob", "b\u200dob"),
        ("bob", "bob\ufe0f"),
        ("bob", "b\u034fob"),
        ("bob", "\u3164bob"),
        ("Bob", "\U0001d401\U0001d428\U0001d41b"),
        ("bob smith", "bob\u2003 smith"),
        ("bob@example.com", "bob@\u0435xample.com"),
    ],
)
def test_these_look_alike(name: str, other: str) -> None:
    assert skeleton(name) == skeleton(other)


@pytest.mark.parametrize(
    ("name", "other"),
    [("Jose", "José"), ("bob", "bobs"), ("bob", "rob"), ("Müller", "Muller"), ("bob smith", "bobsmith"), ("山", "川")],
)
def test_these_do_not(name: str, other: str) -> None:
    assert skeleton(name) != skeleton(other)


def test_a_name_is_free_again_when_its_last_connection_is_gone() -> None:
    names = Names()
    bob, twin = account_named("Bob"), account_named("B0b")
    names.take(ONE, bob)
    names.take(TWO, bob)
    with pytest.raises(Forbidden):
        names.take(THREE, twin)
    names.release(ONE)
    names.release(ONE)
    with pytest.raises(Forbidden):
        names.take(THREE, twin)
    names.release(TWO)
    names.take(THREE, twin)


def test_another_name_on_the_same_connection_gives_the_first_one_back() -> None:
    names = Names()
    names.take(ONE, account_named("Bob"))
    names.take(ONE, account_named("Carol"))
    names.take(TWO, account_named("B0b"))


def test_a_name_that_is_refused_leaves_the_connection_its_own() -> None:
    names = Names()
    names.take(ONE, account_named("Bob"))
    names.take(TWO, account_named("Carol"))
    with pytest.raises(Forbidden):
        names.take(TWO, account_named("B0b"))
    with pytest.raises(Forbidden):
        names.take(THREE, account_named("Car0l"))


def test_whose_name_it_is_has_it_always() -> None:
    owner = account_named("Olga", "link")
    names = Names(lambda name: owner.id if skeleton(name) == skeleton("Olga") else None)
    with pytest.raises(Forbidden):
        names.take(ONE, account_named("0lga"))
    with pytest.raises(Forbidden):
        names.take(ONE, account_named("Olga"))
    names.take(ONE, owner, proven=True)


def test_who_has_proved_to_be_somebody_cannot_be_kept_out_by_a_twin() -> None:
    names = Names()
    names.take(ONE, account_named("B0b"))
    names.take(TWO, account_named("Bob"), proven=True)
    names.release(ONE)
    with pytest.raises(Forbidden):
        names.take(THREE, account_named("B0b"))

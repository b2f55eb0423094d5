"""Who is the same person."""

from __future__ import annotations

import pytest

from chatzilla.core.people import NAME_LIMIT, account_named
from chatzilla.errors import BadRequest, TooLong


@pytest.mark.parametrize(
    "other", ["bob@example.com", "Bob@Example.COM", "  bob@example.com ", "\uff42\uff4f\uff42@example.com"]
)
def test_spellings_of_one_name_are_one_person(other: str) -> None:
    assert account_named(other).id == account_named("bob@example.com").id


@pytest.mark.parametrize(("one", "other"), [("straße", "STRASSE"), ("Ǆ", "ǆ"), ("e\u0301", "é"), ("ΣΑΣ", "σας")])
def test_case_and_composition_make_no_other_person(one: str, other: str) -> None:
    assert account_named(one).id == account_named(other).id


@pytest.mark.parametrize(("one", "other"), [("bob", "rob"), ("bob", "bob ross"), ("bob", "b0b"), ("а", "a")])
def test_different_names_are_different_people(one: str, other: str) -> None:
    assert account_named(one).id != account_named(other).id


def test_a_name_is_shown_as_it_was_written() -> None:
    assert account_named("  Bob Ross ").name == "Bob Ross"


def test_a_typed_name_never_is_the_verified_person_of_that_name() -> None:
    typed, proven = account_named("bob@example.com"), account_named("bob@example.com", "email")
    assert typed.id != proven.id
    assert (typed.verified, proven.verified) == (False, True)


def test_kind_and_name_cannot_be_shifted_into_each_other() -> None:
    with pytest.raises(BadRequest):
        account_named("l\0bob", "emai")


def test_an_id_is_short_and_fit_for_an_address() -> None:
    ident = account_named("👩‍👩‍👧 of the house").id
    assert len(ident) == 20
    assert ident.isascii()
    assert set(ident.replace("-", "").replace("_", "")) <= set(map(chr, range(128)))


def test_the_longest_email_address_fits_and_one_more_does_not() -> None:
    assert account_named("x" * NAME_LIMIT).name == "x" * NAME_LIMIT
    with pytest.raises(TooLong):
        account_named("x" * (NAME_LIMIT + 1))


@pytest.mark.parametrize("raw", [None, "", "   ", 5, b"bob", ["bob"], {"name": "bob"}, "a\nb", "a\0b", "\ud800"])
def test_what_is_no_name_is_refused(raw: object) -> None:
    with pytest.raises(BadRequest):
        account_named(raw)

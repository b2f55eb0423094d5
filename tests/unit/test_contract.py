"""The scheme of the API: what a signature says is what is checked; one that does not fit its route is no operation."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest
from msgspec import UNSET, Meta, UnsetType

from chatzilla.core.signin import Bearer
from chatzilla.errors import BadRequest, Conflict, NotFound, SignInNeeded, TooFast, TooLong, Unavailable, WrongType
from chatzilla.web import contract, models, openapi
from chatzilla.web.contract import Made, Operation, operation, parse_json

Name = Annotated[str, Meta(max_length=5, description="What it is called.")]


class Wish(msgspec.Struct, kw_only=True):
    """Something that is wanted."""

    name: Name
    size: Annotated[int, Meta(ge=1)] | UnsetType = UNSET


class Filter(msgspec.Struct, kw_only=True):
    limit: Annotated[int, Meta(ge=1, le=100, description="How many.")] = 50


class Shop:
    """An API for a test."""

    @operation("POST", "/shelves/{shelf}/things", "Things", Conflict)
    async def make(self, caller: Bearer, shelf: Name, body: Wish) -> Made[Wish] | Wish:
        """Make a thing.

        In two sentences. Or three.
        """
        raise NotImplementedError

    @operation("GET", "/things", "Things")
    async def list_things(self, query: Filter) -> str:
        """All of them."""
        raise NotImplementedError

    @operation("DELETE", "/things", "Things")
    async def end_things(self, holder: Bearer) -> None:
        """None of them."""
        raise NotImplementedError


make, listing, end = contract.operations(Shop())


def test_a_signature_is_read_whole() -> None:
    assert make == Operation(
        "make",
        "POST",
        "/shelves/{shelf}/things",
        "Things",
        "Make a thing.",
        "In two sentences. Or three.",
        {"shelf": Name},
        None,
        Wish,
        "caller",
        {201: Wish, 200: Wish},
        (Conflict, NotFound, BadRequest, TooLong, WrongType, SignInNeeded, TooFast, Unavailable),
    )
    assert (listing.query, listing.gives, listing.needs, listing.refuses) == (
        Filter,
        {200: str},
        "",
        (BadRequest, Unavailable),
    )
    assert (end.gives, end.needs) == ({204: None}, "holder")


def test_the_document_says_what_the_signature_says() -> None:
    document = openapi.describe([make, listing, end])
    making = document["paths"]["/shelves/{shelf}/things"]["post"]
    assert making["parameters"] == [
        {
            "name": "shelf",
            "in": "path",
            "required": True,
            "description": "What it is called.",
            "schema": {"type": "string", "maxLength": 5},
        }
    ]
    assert list(making["responses"]) == ["201", "200", "400", "401", "404", "409", "413", "415", "429", "503"]
    assert making["responses"]["409"]["description"] == "Conflict: `conflict`"
    assert making["security"] == [{"token": []}]
    assert document["components"]["schemas"].keys() == {"Problem", "Wish"}
    listed = document["paths"]["/things"]["get"]
    assert listed["parameters"][0] | {"schema": None} == {
        "name": "limit",
        "in": "query",
        "required": False,
        "description": "How many.",
        "schema": None,
    }
    assert listed["responses"]["200"]["content"] == {"text/plain": {"schema": {"type": "string"}}}
    assert document["paths"]["/things"]["delete"]["responses"]["204"] == {"description": "No Content"}


def test_a_signature_that_does_not_fit_its_route_is_refused() -> None:
    async def handler(self: Any, room: Name) -> None:
        """It takes what is not there."""

    with pytest.raises(TypeError, match="does not take what is in /things"):
        operation("GET", "/things", "Things")(handler)


@pytest.mark.parametrize(
    ("raw", "kind", "words"),
    [
        (b"{}", BadRequest, "Object missing required field `name`."),
        (b'{"name": 5}', BadRequest, "name: expected `str`, got `int`."),
        (b'{"name": "long long"}', TooLong, "name: expected `str` of length <= 5."),
        (b'{"name": "x", "size": 0}', BadRequest, "size: expected `int` >= 1."),
        (b'{"name": "x", "size": true}', BadRequest, "size: expected `int`, got `bool`."),
        (b"[1]", BadRequest, "Expected `object`, got `array`."),
        (b"{", BadRequest, "This is no JSON."),
        (b'{"name": "\xff"}', BadRequest, "This is no JSON."),
        (b'{"name": "\\ud800"}', BadRequest, "This is no JSON."),
        (b'{"name": NaN}', BadRequest, "This is no JSON."),
        (b'{"name": "x", "more": ' + b"[" * 100_000, BadRequest, "This is no JSON."),
        (b"", BadRequest, "This is no JSON."),
    ],
)
def test_what_is_wrong_is_said_with_its_place(raw: bytes, kind: type[BadRequest], words: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_json(raw, Wish)
    assert (type(refused.value), refused.value.sentence) == (kind, words)


def test_what_is_right_is_read() -> None:
    assert parse_json(b'{"name": "x", "more": [1, {}]}', Wish) == Wish(name="x")
    assert models.given(parse_json(b'{"name": "x"}', Wish).size) is None


def test_an_answer_that_lacks_something_is_a_fault_of_ours() -> None:
    assert models.shaped(Wish, {"name": "x", "unknown": 1}) == Wish(name="x")
    with pytest.raises(msgspec.ValidationError):
        models.shaped(Wish, {"size": 1})

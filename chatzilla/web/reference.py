"""The OpenAPI document at its address, and the same as a page for people."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from aiohttp import web

from chatzilla.web import openapi
from chatzilla.web.assets import takes_gzip

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from chatzilla.web.callers import Callers
    from chatzilla.web.contract import Operation
    from chatzilla.web.pages import Pages

Json = dict[str, Any]

_HEADERS: Final = {"Cache-Control": "no-cache", "Vary": "Accept-Encoding"}


class _Field(NamedTuple):
    """One row of a table: a parameter, or a field of a shape."""

    name: str
    kind: str
    shape: str
    """The shape that it has, where it has one of its own."""
    needed: bool
    words: str


class _Entry(NamedTuple):
    """One operation as the page shows it."""

    name: str
    method: str
    path: str
    title: str
    text: Sequence[str]
    token: bool
    parameters: Sequence[_Field]
    bodies: Sequence[tuple[str, str, Sequence[_Field]]]
    """For each media type: its name, the shape, and what is in it."""
    answers: Sequence[tuple[str, str, str]]
    """Status, words, shape."""
    refusals: Sequence[tuple[str, str]]
    example: str


class Reference:
    """What `/api/v1` is, for programs and for people."""

    def __init__(self, operations: Sequence[Operation], callers: Callers, pages: Pages, base: str) -> None:
        self.document: Final = openapi.describe(operations)
        self._body = msgspec.json.encode(self.document)
        self._zipped = gzip.compress(self._body, mtime=0)
        self._callers = callers
        self._pages = pages
        self._base = base
        self._shapes = {
            name: (shape.get("description", ""), _fields(shape))
            for name, shape in self.document["components"]["schemas"].items()
            if "properties" in shape
        }

    async def serve(self, request: web.Request) -> web.Response:
        """GET /api/v1/openapi.json"""
        if takes_gzip(request):
            headers = _HEADERS | {"Content-Encoding": "gzip"}
            return web.Response(body=self._zipped, headers=headers, content_type="application/json")
        return web.Response(body=self._body, headers=_HEADERS, content_type="application/json")

    async def show(self, request: web.Request) -> web.Response:
        """GET /api/v1/: the same for people."""
        base = self._base or self._callers.origin(request)
        groups: dict[str, list[_Entry]] = {tag["name"]: [] for tag in self.document["tags"]}
        for path, methods in self.document["paths"].items():
            for method, described in methods.items():
                groups[described["tags"][0]].append(self._entry(base, path, method.upper(), described))
        return self._pages.render(
            request,
            "api.html",
            200,
            about=self.document["info"]["description"].split("\n\n"),
            groups=groups,
            shapes=self._shapes,
            base=base,
        )

    def _entry(self, base: str, path: str, method: str, described: Json) -> _Entry:
        content = described.get("requestBody", {}).get("content", {})
        given = {status: each for status, each in described["responses"].items() if status < "400"}
        return _Entry(
            described["operationId"],
            method,
            path,
            described["summary"],
            [part for part in described.get("description", "").split("\n\n") if part],
            "security" in described,
            [
                _Field(each["name"], _words(each["schema"]), "", each["required"], each.get("description", ""))
                for each in described.get("parameters", ())
            ],
            [
                (media_type, _shape_of(each["schema"]), self._fields_of(each["schema"]))
                for media_type, each in content.items()
            ],
            [
                (
                    status,
                    each["description"],
                    next((_shape_of(one["schema"]) for one in each.get("content", {}).values()), ""),
                )
                for status, each in given.items()
            ],
            [
                (status, each["description"].partition(": ")[2].replace("`", ""))
                for status, each in described["responses"].items()
                if status >= "400"
            ],
            self._example(base, path, method, described, content),
        )

    def _fields_of(self, schema: Json) -> Sequence[_Field]:
        return self._shapes.get(_shape_of(schema), ("", ()))[1]

    def _example(self, base: str, path: str, method: str, described: Json, content: Json) -> str:
        """A call of curl that would do."""
        for each in described.get("parameters", ()):
            if each["in"] == "path":
                path = path.replace(
                    f"{{{each['name']}}}", str(next(iter(each["schema"].get("examples", ())), each["name"].upper()))
                )
        words = ["curl"]
        if "security" in described:
            words.append('-H "Authorization: Bearer $TOKEN"')
        schema = content.get("application/json", {}).get("schema")
        if schema is not None:
            words.append(f"--json '{json.dumps(self._sample(schema), ensure_ascii=False)}'")
        if method not in ("GET", "POST") or (method == "POST" and not content):
            words.append(f"-X {method}")
        return " ".join([*words, base + path])

    def _sample(self, schema: Json) -> Json:
        shape = self.document["components"]["schemas"][_shape_of(schema)]
        needed = {name: shape["properties"][name] for name in shape.get("required", ())}
        return {name: next(iter(each.get("examples", ())), "…") for name, each in needed.items()}


def _fields(shape: Json) -> list[_Field]:
    needed = shape.get("required", ())
    return [
        _Field(name, _words(each), _shape_of(each), name in needed, _described(each))
        for name, each in shape["properties"].items()
    ]


def _described(schema: Json) -> str:
    """What is said of a field, be it of one of several things that it can be."""
    parts: Iterable[Json] = (schema, *schema.get("anyOf", ()))
    words = [str(each["description"]) for each in parts if "description" in each]
    if schema.get("default") is not None:
        words.append(f"{json.dumps(schema['default'])} unless said.")
    return " ".join(words)


def _shape_of(schema: Json) -> str:
    """The name of the shape that a schema leads to."""
    parts = (schema, schema.get("items", {}), *schema.get("anyOf", ()))
    return next((each["$ref"].rpartition("/")[2] for each in parts if "$ref" in each), "")


def _words(schema: Json) -> str:
    """A schema in a few words."""
    if "anyOf" in schema:
        return " or ".join(_words(each) for each in schema["anyOf"])
    if "$ref" in schema:
        return _shape_of(schema)
    if "enum" in schema:
        return " or ".join(json.dumps(each) for each in schema["enum"]) if len(schema["enum"]) < 9 else "string"
    if schema.get("type") == "array":
        return f"list of {_words(schema['items'])}"
    bounds = {
        "minLength": "at least {} characters",
        "maxLength": "at most {} characters",
        "minimum": "from {}",
        "maximum": "to {}",
    }
    said = [
        words.format(f"{schema[key]:,}") for key, words in bounds.items() if schema.get(key, 0) not in (0, 1, 2**53 - 1)
    ]
    return ", ".join([str(schema.get("type", "anything")), *said])

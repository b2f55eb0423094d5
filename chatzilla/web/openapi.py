"""The OpenAPI document (3.1.0), generated from the operations: nothing is in it that a handler does not check."""

from __future__ import annotations

import http
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import msgspec

from chatzilla import __version__
from chatzilla.web.middleware import PROBLEM, status_of
from chatzilla.web.models import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from chatzilla.errors import ChatError
    from chatzilla.web.contract import Body, Operation

Json = dict[str, Any]

JSON: Final = "application/json"
TEXT: Final = "text/plain"

_REF: Final = "#/components/schemas/{name}"

_PATIENCE: Final = {
    "Retry-After": {"description": "After how many seconds to try again.", "schema": {"type": "integer", "minimum": 1}}
}

_ABOUT: Final = """\
JSON in and out, UTF-8. Times are milliseconds since 1970. Whoever calls says who they are by
`Authorization: Bearer <token>`; a page of the server's own, by its cookie. Keys that nobody knows are ignored, and new
ones may come, so that clients and servers of different ages can meet. What is refused is refused by
`application/problem+json` (RFC 9457) with a `code` that stays as it is. A sign-in that is missing, forged or over is
answered by 401, and after 20 vain tries from one address in a quarter of an hour by 429; so is going too fast."""


def describe(operations: Sequence[Operation]) -> Json:
    """The document of these operations."""
    shapes = [shape for each in operations for shape in (*_media(each.body).values(), *each.gives.values())]
    shapes = [shape for shape in dict.fromkeys(shapes) if shape not in (None, str)]
    _, components = msgspec.json.schema_components([Problem, *shapes], ref_template=_REF)
    paths: dict[str, Json] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Chatzilla", "version": __version__, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": group} for group in dict.fromkeys(each.group for each in operations)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _media(body: type[msgspec.Struct | Body] | None) -> Mapping[str, Any]:
    """What can be sent, by its media type."""
    if body is None:
        return {}
    return {JSON: body} if issubclass(body, msgspec.Struct) else body.media


def _operation(asked: Operation) -> Json:
    described: Json = {"tags": [asked.group], "operationId": asked.name, "summary": asked.title}
    if asked.text:
        described["description"] = asked.text
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _schema(kind)} for name, kind in asked.parts.items()
    ]
    if asked.query is not None:
        parameters += _parameters(asked.query)
    if parameters:
        described["parameters"] = [_lifted(parameter) for parameter in parameters]
    if asked.body is not None:
        described["requestBody"] = {"required": True, "content": _content(_media(asked.body))}
    described["responses"] = {str(status): _response(status, kind) for status, kind in asked.gives.items()}
    described["responses"] |= _refusals(asked.refuses)
    if asked.needs:
        described["security"] = [{"token": []}]
    return described


def _response(status: int, kind: type | None) -> Json:
    response: Json = {"description": http.HTTPStatus(status).phrase}
    if kind is not None:
        response["content"] = _content({TEXT if kind is str else JSON: kind})
    return response


def _refusals(kinds: Iterable[type[ChatError]]) -> dict[str, Json]:
    """Each status by which something is refused, with the codes that it can stand for."""
    ordered = sorted(kinds, key=status_of)
    return {str(status): _refusal(status, list(refused)) for status, refused in groupby(ordered, key=status_of)}


def _refusal(status: int, kinds: Sequence[type[ChatError]]) -> Json:
    codes = " or ".join(f"`{code}`" for code in dict.fromkeys(kind.code for kind in kinds))
    described = {"description": f"{http.HTTPStatus(status).phrase}: {codes}", "content": _content({PROBLEM: Problem})}
    return described | ({"headers": _PATIENCE} if all(kind.passes is not None for kind in kinds) else {})


def _content(media: Mapping[str, Any]) -> Json:
    return {media_type: {"schema": _schema_of(kind)} for media_type, kind in media.items()}


def _schema_of(kind: Any) -> Json:
    """Where a shape is described; text describes itself."""
    return {"type": "string"} if kind is str else {"$ref": _REF.format(name=kind.__name__)}


def _parameters(query: type[msgspec.Struct]) -> list[Json]:
    """A Struct as what can stand behind the question mark."""
    _, components = msgspec.json.schema_components([query], ref_template=_REF)
    shape = components[query.__name__]
    required = shape.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": schema}
        for name, schema in shape["properties"].items()
    ]


def _lifted(parameter: Json) -> Json:
    """A parameter with its description where OpenAPI has it."""
    schema: Mapping[str, Any] = parameter["schema"]
    if "description" not in schema:
        return parameter
    rest = {key: value for key, value in schema.items() if key != "description"}
    return parameter | {"description": schema["description"], "schema": rest}


def _schema(kind: Any) -> Json:
    return msgspec.json.schema(kind)

"""The scheme of `/api/v1`: a handler's signature says what is checked, and is what the OpenAPI document says.

An operation is a method with a route. Its docstring is for those who call it. Its parameters are filled by their names:

    caller      who calls, by token or cookie, be it only by a typed name
    holder      the same, signed in
    query       what stands behind the question mark, a Struct
    body        what is sent: a JSON document, as a Struct, or whatever a `Body` reads
    request     the request as it came
    others      the parts of the path by these names

and what it returns says how it is answered: a Struct by 200, as JSON, and a str as text; `Made` of one by 201, None by
204. What it refuses of
itself is named beside its route; what the scheme refuses for it follows from its parameters.
"""

from __future__ import annotations

import inspect
import types
from dataclasses import dataclass, field, replace
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Final,
    Generic,
    Protocol,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
from aiohttp import web

from chatzilla.errors import (
    BadRequest,
    ChatError,
    Forbidden,
    NotFound,
    SignInNeeded,
    TooFast,
    TooLong,
    Unavailable,
    UnknownValue,
    WrongType,
)
from chatzilla.web.entrance import read_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from chatzilla.core.signin import Bearer
    from chatzilla.core.tries import Tries
    from chatzilla.web.callers import Callers

T = TypeVar("T")
Method = TypeVar("Method", bound="Callable[..., Awaitable[Any]]")

BODY_LIMIT: Final = 128 * 1024
"""Bytes of a JSON document: the longest message, with every character escaped."""

NO_STORE: Final = {"Cache-Control": "no-store"}

_SPECIAL: Final = {"self", "caller", "holder", "query", "body", "request", "return"}
_MARK: Final = "_operation"
_SIGNS: Final[Mapping[str, type[BadRequest]]] = {"of length <=": TooLong, "Invalid enum value": UnknownValue}
"""How msgspec says it."""


@dataclass(frozen=True, slots=True)
class Made(Generic[T]):
    """Something that was not there before."""

    answer: T


class Body(Protocol):
    """What takes other things than one JSON document."""

    media: ClassVar[Mapping[str, Any]]
    """Each media type, with the type of what is sent by it."""

    @classmethod
    def read(cls, media_type: str, raw: bytes) -> Body:
        """Read what was sent.

        Raises:
            BadRequest, TooLong, WrongType: it cannot be understood.
        """
        ...


@dataclass(frozen=True, slots=True)
class Operation:
    """One route and method: what it takes, what it gives, what it refuses."""

    name: str
    method: str
    path: str
    group: str
    title: str
    text: str
    parts: Mapping[str, Any] = field(default_factory=dict)
    """The types of what stands in the path."""
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct | Body] | None = None
    needs: str = ""
    """`caller` or `holder`, where it has to be known who calls."""
    gives: Mapping[int, type | None] = field(default_factory=dict)
    """What it answers, by status."""
    refuses: tuple[type[ChatError], ...] = ()
    judged: bool = False
    """Whether what is refused counts against the address, as a try with a wrong link does."""


def operation(
    method: str, path: str, group: str, *refuses: type[ChatError], judged: bool = False
) -> Callable[[Method], Method]:
    """Make a method of an API an operation; see `Operation`."""

    def mark(handler: Method) -> Method:
        setattr(handler, _MARK, replace(_read(handler, method, path, group, refuses), judged=judged))
        return handler

    return mark


def operations(*apis: object) -> list[Operation]:
    """All operations, in the order in which they are written."""
    return [getattr(handler, _MARK) for handler in _handlers(apis)]


def routes(callers: Callers, tries: Tries, *apis: object) -> list[web.RouteDef]:
    """All operations as routes of aiohttp; `tries` counts what is refused of those that are judged."""
    return [_route(getattr(handler, _MARK), _Desk(callers, tries, handler)) for handler in _handlers(apis)]


def _route(asked: Operation, desk: _Desk) -> web.RouteDef:
    if asked.method == "GET":
        return web.get(asked.path, desk.serve)  # and HEAD with it (RFC 9110, 9.1)
    return web.route(asked.method, asked.path, desk.serve)


def _handlers(apis: Iterable[object]) -> list[Callable[..., Awaitable[Any]]]:
    return [getattr(api, name) for api in apis for name, member in vars(type(api)).items() if hasattr(member, _MARK)]


def _read(
    handler: Callable[..., Any], method: str, path: str, group: str, refuses: tuple[type[ChatError], ...]
) -> Operation:
    """What a handler's signature says.

    Raises:
        TypeError: it does not fit its route.
    """
    hints = get_type_hints(handler, include_extras=True)
    parts = {name: hint for name, hint in hints.items() if name not in _SPECIAL}
    if set(parts) != {part.strip("{}") for part in path.split("/") if part.startswith("{")}:
        raise TypeError(f"{handler.__qualname__} does not take what is in {path}")
    title, _, text = inspect.cleandoc(handler.__doc__ or "").partition("\n\n")
    needs = next((name for name in ("caller", "holder") if name in hints), "")
    refused: list[type[ChatError]] = [*refuses]
    refused += [NotFound] if parts else []
    refused += [BadRequest] if "query" in hints else []
    refused += [BadRequest, TooLong, WrongType] if "body" in hints else []
    refused += [SignInNeeded, TooFast] if needs else []
    return Operation(
        handler.__name__,
        method,
        path,
        group,
        title.replace("\n", " "),
        text,
        parts,
        hints.get("query"),
        hints.get("body"),
        needs,
        dict(_answers(hints["return"])),
        tuple(dict.fromkeys((*refused, Unavailable))),
    )


def _answers(hint: Any) -> Iterable[tuple[int, type | None]]:
    """The statuses that a return annotation stands for."""
    if get_origin(hint) in (Union, types.UnionType):
        for each in get_args(hint):
            yield from _answers(each)
    elif get_origin(hint) is Annotated:
        yield get_args(hint)[1], None
    elif get_origin(hint) is Made:
        yield 201, get_args(hint)[0]
    else:
        yield (204, None) if hint is type(None) else (200, hint)


class _Desk:
    """Takes the requests of one operation: reads, checks, calls, answers."""

    def __init__(self, callers: Callers, tries: Tries, handler: Callable[..., Awaitable[Any]]) -> None:
        self._callers = callers
        self._tries = tries
        self._handler = handler
        self._operation: Operation = getattr(handler, _MARK)
        self._takes_request = "request" in inspect.signature(handler).parameters

    async def serve(self, request: web.Request) -> web.StreamResponse:
        asked = self._operation
        given: dict[str, Any] = {name: _part(request, name, kind) for name, kind in asked.parts.items()}
        if self._takes_request:
            given["request"] = request
        if asked.needs:
            given[asked.needs] = self._caller(request)
        if asked.query is not None:
            given["query"] = _query(request, asked.query)
        if not asked.judged:
            return await self._act(request, given)
        with self._tries.judging(self._callers.address(request), NotFound, Forbidden, UnknownValue):
            return await self._act(request, given)

    async def _act(self, request: web.Request, given: dict[str, Any]) -> web.StreamResponse:
        if self._operation.body is not None:
            given["body"] = await _body(request, self._operation.body)
        return _answer(await self._handler(**given))

    def _caller(self, request: web.Request) -> Bearer:
        """Who calls.

        Raises:
            SignInNeeded, TooFast: nobody whom we know, or nobody who is signed in where that is needed.
        """
        bearer = self._callers.need(request)
        if self._operation.needs == "holder" and bearer.sign_in is None:
            raise SignInNeeded("Sign in first.")
        return bearer


async def _body(request: web.Request, kind: type[msgspec.Struct | Body]) -> object:
    """What was sent.

    Raises:
        BadRequest, TooLong, WrongType: it is not what is asked for.
    """
    if not issubclass(kind, msgspec.Struct):
        return kind.read(request.content_type, await read_body(request, BODY_LIMIT))
    if request.content_type != "application/json":
        raise WrongType("This takes JSON, and says so: Content-Type: application/json.")
    return parse_json(await read_body(request, BODY_LIMIT), kind)


def parse_json(raw: bytes, kind: type[T]) -> T:
    """A JSON document of a known shape.

    Raises:
        BadRequest, TooLong: it is none.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        words = _words(error)
        kind_of_refusal = next((each for sign, each in _SIGNS.items() if sign in str(error)), BadRequest)
        raise kind_of_refusal(words) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadRequest("This is no JSON.") from error


def _query(request: web.Request, kind: type[msgspec.Struct]) -> msgspec.Struct:
    """What stands behind the question mark; names that nobody knows are ignored, as everywhere.

    Raises:
        BadRequest: something of it is not what is asked for, or is there twice.
    """
    known = {name: request.query.getall(name) for name in kind.__struct_encode_fields__ if name in request.query}
    for name, values in known.items():
        if len(values) > 1:
            raise BadRequest(f"{name} can be there once.")
    try:
        return msgspec.convert({name: value for name, (value,) in known.items()}, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest(_words(error)) from error


def _part(request: web.Request, name: str, kind: Any) -> str:
    """A part of the path; what cannot be a name of anything is not there.

    Raises:
        NotFound: it cannot.
    """
    try:
        return str(msgspec.convert(request.match_info[name], kind))
    except msgspec.ValidationError as error:
        raise NotFound("There is nothing at this address.") from error


def _words(error: msgspec.ValidationError) -> str:
    """What is wrong with what was sent, with the place in it."""
    words, _, place = str(error).partition(" - at `$")
    name = place.rstrip("`").lstrip(".")
    return f"{name}: {words[0].lower()}{words[1:]}." if name else f"{words}."


def _answer(answer: object) -> web.StreamResponse:
    if isinstance(answer, web.StreamResponse):
        return answer
    if answer is None:
        return web.Response(status=204, headers=NO_STORE)
    if isinstance(answer, str):
        return web.Response(text=answer, headers=NO_STORE)
    made = isinstance(answer, Made)
    body = msgspec.json.encode(answer.answer if isinstance(answer, Made) else answer)
    return web.Response(
        body=body, status=201 if made else 200, headers=NO_STORE, content_type="application/json", charset="utf-8"
    )

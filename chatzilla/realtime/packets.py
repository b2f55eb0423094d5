"""Socket.IO v5 packets: read strictly, so that what is not exactly one is refused before anything looks at it, and
written once for everybody who is sent the same."""

from __future__ import annotations

import json
import math
import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Never, TypeVar

import orjson

from chatzilla.realtime.channel import Frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)

CONNECT: Final = 0
DISCONNECT: Final = 1
EVENT: Final = 2
ACK: Final = 3
CONNECT_ERROR: Final = 4
BINARY_EVENT: Final = 5
BINARY_ACK: Final = 6

ATTACHMENTS_AT_MOST: Final = 16
LONGEST_NAMESPACE: Final = 64

EVENT_HEAD: Final = re.compile(rb"%d(/[^,?]{1,%d}),([0-9]{1,15})?(?=\[)" % (EVENT, LONGEST_NAMESPACE - 1))
"""How nearly all packets begin: an event of a namespace that has a name, and the number under which an answer is asked
for. What follows is for `read_event`; for a packet that begins in another way, ask `parse`."""

_HEAD: Final = re.compile(r"([0-6])(?:([0-9]{1,4})-)?(?:(/[^,]*)(?:,|$))?([0-9]{1,15})?", re.ASCII)


class Packet(NamedTuple):
    """One packet from a client. `data` is a list for events and acks, an object or None for a CONNECT."""

    kind: int
    namespace: str
    id: int | None
    data: Any
    attachments: int


def parse(text: str) -> Packet:
    """Read one packet.

    Raises:
        ValueError: it is none, in its form or in what it carries for its type.
        RecursionError: its JSON is nested too deeply.
    """
    head = _HEAD.match(text)
    if head is None:
        raise ValueError("not a Socket.IO packet")
    digit, count, namespace, ident = head.groups()
    rest = text[head.end() :]
    packet = Packet(
        int(digit),
        "/" if namespace is None else namespace if "?" not in namespace else namespace.partition("?")[0],
        None if ident is None else int(ident),
        _load(rest) if rest else None,
        0 if count is None else int(count),
    )
    if len(packet.namespace) > LONGEST_NAMESPACE or not _is_whole(packet):
        raise ValueError("not a valid Socket.IO packet")
    return packet


def read_event(data: bytes) -> list[Any]:
    """Read what an event carries: its name and its arguments.

    Raises:
        UnicodeDecodeError: it is no text.
        ValueError, RecursionError: as `parse`.
    """
    values = _load(data)
    if not isinstance(values, list) or not values:
        raise ValueError("not a valid Socket.IO packet")
    return values


def packet(kind: int, namespace: str, data: object) -> Frame:
    """A packet that asks for no answer."""
    place = b"" if namespace == "/" else namespace.encode() + b","
    return Frame(b"%d%b%b" % (kind, place, orjson.dumps(data)))


def event(namespace: str, name: str, payload: object) -> Frame:
    """An event, for everybody who hears it in the same words."""
    return Frame(f"{EVENT}{namespace},".encode() + orjson.dumps([name, payload]))


def answer(namespace: str, ident: int, values: Sequence[object]) -> bytes:
    """The acknowledgement of one call, which one session alone is sent: see `Channel.write_soon`."""
    return f"{ACK}{namespace},{ident}".encode() + orjson.dumps(values)


def bare(error: E) -> E:
    """An error that is kept until its turn comes, without the way that led to it, where all that was sent hangs."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


class Attachments:
    """A binary packet whose attachments are still to come."""

    def __init__(self, packet: Packet, size: int, *, keep: bool) -> None:
        """Begin with none of them.

        Args:
            packet: what they belong to.
            size: bytes that it came in.
            keep: whether what is in them is wanted; else it is enough that they come.
        """
        self.packet = packet
        self.size = size
        self._keep = keep
        self._parts: list[bytes] = []

    def add(self, data: bytes) -> bool:
        """Take one; returns whether that was the last."""
        self._parts.append(data if self._keep else b"")
        return len(self._parts) == self.packet.attachments

    def whole(self) -> list[object]:
        """The packet's data with its attachments in their places.

        Raises:
            ValueError: a place names an attachment that is not there, or one that has its place already.
        """
        left = dict(enumerate(self._parts))
        return [_filled(item, left) for item in self.packet.data]


class Copies:
    """What many are answered alike, written once: for as long as it is the very same thing, which must not change."""

    def __init__(self, at_most: int) -> None:
        self._written: OrderedDict[tuple[int, Callable[[Any], object]], tuple[object, orjson.Fragment]] = OrderedDict()
        self._at_most = at_most

    def of(self, thing: T, encode: Callable[[T], object]) -> orjson.Fragment:
        """Something as JSON, to be put into an answer."""
        key = id(thing), encode
        if key in self._written:
            self._written.move_to_end(key)
        else:  # nothing else has this id for as long as it is kept here
            self._written[key] = thing, orjson.Fragment(orjson.dumps(encode(thing)))
            if len(self._written) > self._at_most:
                self._written.popitem(last=False)
        return self._written[key][1]


def _is_whole(packet: Packet) -> bool:
    """Whether a packet carries what its type asks for, and nothing else."""
    kind, _, _, data, attachments = packet
    if (kind in (BINARY_EVENT, BINARY_ACK)) != (attachments > 0) or attachments > ATTACHMENTS_AT_MOST:
        return False
    if kind in (EVENT, BINARY_EVENT):
        return isinstance(data, list) and len(data) > 0
    if kind in (ACK, BINARY_ACK):
        return isinstance(data, list) and packet.id is not None
    if kind == CONNECT:
        return packet.id is None and (data is None or isinstance(data, dict))
    return kind == DISCONNECT and packet.id is None and data is None


def _filled(item: object, left: dict[int, bytes]) -> object:
    """Put attachments where their placeholders stand, each once."""
    if isinstance(item, list):
        return [_filled(part, left) for part in item]
    if not isinstance(item, dict):
        return item
    if item.get("_placeholder") is True:
        number = item.get("num")
        if type(number) is not int or number not in left:
            raise ValueError("a placeholder without an attachment")
        return left.pop(number)
    return {key: _filled(part, left) for key, part in item.items()}


def _load(text: str | bytes) -> Any:
    """Read JSON, finite numbers alone.

    The quick reader makes an infinity of 1e999 and refuses a lone surrogate, which is JSON, if nothing else; what may
    be either is left to the patient one.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _JSON.decode(text if isinstance(text, str) else text.decode())
    if type(value) is not str and not _is_finite(value):
        raise ValueError("a number beyond all bounds")
    return value


def _is_finite(value: object) -> bool:
    """Whether there is no infinity in it, however deep."""
    if isinstance(value, list):
        parts: Iterable[object] = value
    elif isinstance(value, dict):
        parts = value.values()
    else:
        return not isinstance(value, float) or math.isfinite(value)
    for part in parts:  # noqa: SIM110  # a generator for each list would cost more than the rest
        if type(part) is not str and not _is_finite(part):
            return False
    return True


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError("a number beyond all bounds")
    return value


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


_JSON: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)

"""Compares what everybody showed, wrote and was told with what the store holds. Pure: evidence in, violations out."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.torture.server import Census

LOBBY: Final = "lobby"
SPARE_TASKS: Final = 3
SPARE_SOCKETS: Final = 3
SPARE_FILES: Final = 24
"""Readers of the database open their files when they are first needed, and keep them."""
SPARE_MEMORY: Final = 1.35
SPARE_MEMORY_MB: Final = 24


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken sentence of the contract."""

    promise: str
    """A name in `PROMISES`."""
    who: str
    what: str


PROMISES: Final[dict[str, str]] = {
    "acknowledged_is_stored": "What was acknowledged is in the store, under the number that was answered.",
    "written_is_stored": "What was written in a page is stored at last, whatever happened to the page.",
    "stored_once": "Nothing is stored twice.",
    "numbers_have_no_holes": "A room counts 1, 2, 3 … without holes.",
    "senders_order": "What one sender wrote in order is in order.",
    "shown_is_stored": "What was ever shown as sent is stored, and under that number.",
    "shown_once": "Nothing is shown twice, at any moment.",
    "one_order": "Everybody shows the one order of the store, at any moment.",
    "nothing_is_missing": "At rest, everybody shows everything, and nothing is still on its way.",
    "never_starts_over": "A conversation starts over for a reason only, and there was none.",
    "never_refused": "No fault makes the server refuse for good.",
    "presence": "At rest the lists of people are right; the dead are off them in time; no ghosts.",
    "bounds": "When everybody has gone, nothing of them is left in the server.",
    "stops_in_time": "A server that is told to stop has stopped within its time.",
    "comes_to_rest": "After the last fault, all is well within the time that retries take.",
}


class Shown(NamedTuple):
    """One row as somebody showed it."""

    seq: int | None
    name: str
    content: str
    state: str


@dataclass(slots=True)
class Client:
    """What one client of the full dialect wrote, was told, and showed."""

    name: str
    person: str
    """Under whose name it writes; two tabs can be one person."""
    room: str
    status: str
    shown: list[Shown]
    people: list[str]
    whole: bool = True
    """Whether its rows reach back to the first one."""
    incomplete: bool = False
    letters: list[str] = field(default_factory=list)
    """What it still has to send."""
    written: list[tuple[str, str]] = field(default_factory=list)
    """(room, text), in order."""
    acks: list[tuple[str, str, str, int]] = field(default_factory=list)
    """(room, text, client_id, seq)."""
    seen: dict[tuple[str, int], str] = field(default_factory=dict)
    """What was ever shown as sent under a number."""
    oddities: list[str] = field(default_factory=list)
    """What was wrong on its screen at some moment."""
    resets: int = 0
    refusals: list[str] = field(default_factory=list)
    pages: int = 0
    """How often its page was opened."""
    is_me: str = ""
    """The name under which it shows itself, where that is another one."""


@dataclass(slots=True)
class Simple:
    """What a tutorial client was told."""

    name: str
    acknowledged: list[str]
    heard: list[list[str]]
    online: bool = True


@dataclass(slots=True)
class Evidence:
    """All of it, at rest."""

    rows: Sequence[Mapping[str, Any]]
    clients: Sequence[Client]
    simple: Sequence[Simple] = ()
    people: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Who is in each room."""
    told: Sequence[Violation] = ()
    """What was found while it ran."""
    idle: Census | None = None
    crowded: Census | None = None
    crowded_at_rest: Census | None = None
    idle_again: Census | None = None


class Store:
    """The rows by what one looks for."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self.rooms: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        self.places: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for row in rows:
            self.rooms[row["room"]].append(row)
            self.places[row["content"]].append((row["room"], row["seq"]))
        self.at = {(row["room"], row["seq"]): row for row in rows}

    def head(self, room: str) -> int:
        return int(self.rooms[room][-1]["seq"]) if self.rooms.get(room) else 0


def violations(evidence: Evidence) -> list[Violation]:
    """Everything that is wrong."""
    store = Store(evidence.rows)
    found = [*evidence.told, *_of_store(store), *_of_bounds(evidence)]
    for client in evidence.clients:
        found += _of_messages(store, client)
        found += _of_screen(store, client)
        found += _of_people(evidence, client)
    for simple in evidence.simple:
        found += _of_simple(store, simple)
    return found


def at_rest(store: Store, client: Client) -> bool:
    """Whether a client has nothing more to wait for."""
    numbers = [row.seq for row in client.shown]
    return (
        client.status == "online"
        and not client.incomplete
        and not client.letters
        and None not in numbers
        and (numbers[-1] if numbers else 0) == store.head(client.room)
    )


def _of_store(store: Store) -> Iterator[Violation]:
    for room, rows in store.rooms.items():
        numbers = [row["seq"] for row in rows]
        if numbers != list(range(1, len(rows) + 1)) or numbers != [row["changed"] for row in rows]:
            yield Violation("numbers_have_no_holes", room, _first_break(numbers))
    for content, places in store.places.items():
        if len(places) > 1:
            yield Violation("stored_once", content, f"stored at {places}")


def _of_messages(store: Store, client: Client) -> Iterator[Violation]:
    name = client.name
    for room, content, client_id, seq in client.acks:
        row = store.at.get((room, seq))
        if row is None or (row["content"], row["client_id"]) != (content, client_id):
            found = None if row is None else row["content"]
            yield Violation("acknowledged_is_stored", name, f"{content} was answered {room}:{seq}, which holds {found}")
    last: dict[str, tuple[int, str]] = {}
    for room, content in client.written:
        numbers = [seq for at, seq in store.places[content] if at == room]
        if not numbers:
            yield Violation("written_is_stored", name, f"{content} is not in {room}")
            continue
        before, text = last.get(room, (0, ""))
        if numbers[0] < before:
            yield Violation("senders_order", name, f"{content} is {room}:{numbers[0]}, after {text} at {before}")
        last[room] = max(last.get(room, (0, "")), (numbers[0], content))
    for (room, seq), content in client.seen.items():
        row = store.at.get((room, seq))
        if row is None or row["content"] != content:
            found = None if row is None else row["content"]
            yield Violation("shown_is_stored", name, f"{room}:{seq} was shown as {content}, and holds {found}")


def _of_screen(store: Store, client: Client) -> Iterator[Violation]:
    name, room = client.name, client.room
    for oddity in client.oddities:
        promise = "shown_once" if "twice" in oddity else "never_refused" if "refused" in oddity else "one_order"
        yield Violation(promise, name, oddity)
    if client.resets:
        yield Violation("never_starts_over", name, f"{client.resets} times")
    for refusal in client.refusals:
        yield Violation("never_refused", name, refusal)
    if not at_rest(store, client):
        missing = f"online: {client.status}, incomplete: {client.incomplete}, to send: {client.letters[:5]}"
        yield Violation("comes_to_rest", name, f"{missing}, {client.shown[-1:]} of {store.head(room)} in {room}")
    for content, count in Counter(row.content for row in client.shown).items():
        if count > 1:
            yield Violation("shown_once", name, f"{content} stands there {count} times")
    numbers = [row.seq for row in client.shown if row.seq is not None]
    start = 1 if client.whole else (numbers[0] if numbers else 1)
    wanted = [
        Shown(row["seq"], client.is_me if client.is_me and row["name"] == name else row["name"], row["content"], "sent")
        for row in store.rooms.get(room, [])
        if row["seq"] >= start
    ]
    if client.shown == wanted:
        return
    shown = set(client.shown)
    for row in wanted:
        if row not in shown:
            yield Violation("nothing_is_missing", name, f"{room} shows no {row}")
            break
    else:
        extra = [row for row in client.shown if row not in set(wanted)]
        yield Violation("one_order", name, f"{room} shows what is not there, or not in its order: {extra[:3]}")


def _of_people(evidence: Evidence, client: Client) -> Iterator[Violation]:
    wanted = evidence.people.get(client.room)
    shown = frozenset(client.people)
    if wanted is not None and shown != wanted:
        yield Violation(
            "presence",
            client.name,
            f"{client.room}: {sorted(shown - wanted)} too many, {sorted(wanted - shown)} missing",
        )


def _of_simple(store: Store, simple: Simple) -> Iterator[Violation]:
    places = {content: [seq for room, seq in at if room == LOBBY] for content, at in store.places.items()}
    if not simple.online:
        yield Violation("comes_to_rest", simple.name, "has not come back")
    for content in simple.acknowledged:
        if not places.get(content):
            yield Violation("acknowledged_is_stored", simple.name, f"{content} is not there")
    for content, count in Counter(content for heard in simple.heard for content in heard).items():
        if not places.get(content):
            yield Violation("shown_is_stored", simple.name, f"heard {content}, which is not there")
        elif count > 1:
            yield Violation("shown_once", simple.name, f"heard {content} {count} times")
    for heard in simple.heard:
        numbers = [places[content][0] for content in heard if places.get(content)]
        if numbers != sorted(numbers):
            yield Violation("one_order", simple.name, f"heard {_first_break(numbers)}")


def _of_bounds(evidence: Evidence) -> Iterator[Violation]:
    before, after = evidence.idle, evidence.idle_again
    if before and after:
        for what, spare in (("tasks", SPARE_TASKS), ("sockets", SPARE_SOCKETS), ("files", SPARE_FILES)):
            was, left = getattr(before, what), getattr(after, what)
            if left > was + spare:
                yield Violation("bounds", "server", f"{left} {what} when all have gone, {was} before they came")
    before, after = evidence.crowded, evidence.crowded_at_rest
    if before and after and after.memory_mb > before.memory_mb * SPARE_MEMORY + SPARE_MEMORY_MB:
        yield Violation("bounds", "server", f"{after.memory_mb:.0f} MB with everybody, {before.memory_mb:.0f} before")


def _first_break(numbers: Sequence[int]) -> str:
    for before, after in itertools.pairwise(numbers):
        if after != before + 1:
            return f"{after} follows {before}"
    return f"{list(numbers[:3])} …"

"""The audit list: whatever one does to others is in it; and acts in vain are counted against their address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from chatzilla.core.audit import DEEDS_AT_MOST, PACE, Done
from chatzilla.core.policy import Role
from chatzilla.core.rooms import Grade, RoomId
from chatzilla.core.succession import find_heirs
from chatzilla.core.tries import TOO_MANY, TRIES, WINDOW_SECONDS
from chatzilla.errors import Unavailable
from tests.helpers.callers import Caller
from tests.helpers.clients import Client
from tests.helpers.clock import ManualClock
from tests.helpers.people import Person, Town, town
from tests.helpers.servers import ROOT, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def place(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Town]:
    settings: dict[str, Any] = {"sign_in": "links", "message_rate": 0.0, "call_rate": 0.0}
    async with serving(tmp_path / "data", clock=clock, **settings) as server, town(server) as opened:
        yield opened


async def entries(person: Person) -> list[dict[str, Any]]:
    """The audit list over HTTP, the oldest first."""
    status, answer = await person.ask("GET", "audit")
    assert status == 200, answer
    return list(reversed(answer["entries"]))


async def told(person: Person) -> list[tuple[str, str | None, str | None, str | None]]:
    """The list as (act, actor, person, room)."""
    return [
        (each["act"], (each["actor"] or {}).get("name"), (each["person"] or {}).get("name"), each["room"])
        for each in await entries(person)
    ]


async def test_what_is_done_to_a_room_and_in_it_is_in_the_list_without_what_anybody_wrote(place: Town) -> None:
    """Over HTTP, and by the operator's command in the same order; a private room shows its id alone."""
    olga, bob, eve = await place.enters("Olga", Role.OWNER), await place.enters("Bob"), await place.enters("Eve")
    _, made = await bob.ask("POST", "rooms", {"name": "Plot", "kind": "private", "people": [eve.id]})
    room = made["room"]["room"]
    for path, change in (
        (f"rooms/{room}", {"name": "Plots", "topic": "revolt"}),
        (f"rooms/{room}", {"topic": "revolt"}),
    ):
        assert (await bob.ask("PATCH", path, change))[0] == 200, "asked again, nothing changes, and nothing is written"
    for method, path, body in (
        ("PUT", f"rooms/{room}/members/{eve.id}", {"grade": "read"}),
        ("PUT", f"rooms/{room}/members/{eve.id}", {}),
        ("PUT", f"rooms/{room}/members/{olga.id}", {}),
        ("DELETE", f"rooms/{room}/members/{eve.id}", None),
    ):
        assert (await bob.ask(method, path, body))[0] == 204
    assert (await bob.ask("PATCH", f"rooms/{room}", {"archived": True}))[0] == 200
    assert (await bob.ask("PATCH", f"rooms/{room}", {"archived": False}))[0] == 200
    assert (await bob.ask("DELETE", f"rooms/{room}/members/{bob.id}"))[0] == 204
    expected: list[tuple[str, str | None, str | None, str | None]] = [
        ("create-room", "Bob", None, room),
        ("invite", "Bob", "Eve", room),
        ("rename-room", "Bob", None, room),
        ("set-topic", "Bob", None, room),
        ("grade", "Bob", "Eve", room),
        ("invite", "Bob", "Olga", room),
        ("remove-member", "Bob", "Eve", room),
        ("archive-room", "Bob", None, room),
        ("reopen-room", "Bob", None, room),
        ("inherit", "Bob", "Olga", room),
    ]
    assert await told(olga) == expected
    assert not [word for word in ("Plot", "revolt") if word in str(await entries(olga))]
    lines = await place.server.house.commands["audit"]({})
    assert [line.split("  ")[2:4] for line in reversed(lines)] == [[actor, act] for act, actor, _, _ in expected]
    assert (await bob.ask("GET", "audit"))[0] == 403


async def test_what_is_done_with_links_sign_ins_and_programs_is_in_the_list(place: Town) -> None:
    """What concerns one's own browsers alone is not; no entry has a secret."""
    olga, bob = await place.enters("Olga", Role.OWNER), await place.enters("Bob")
    secrets = []
    _, own = await bob.ask("POST", "links", {"account": "me"})
    phone = await place.comes(own["url"].rpartition("/")[2])
    assert (await bob.ask("DELETE", f"sign-ins/{await phone.sign_in_id()}"))[0] == 204
    assert await told(olga) == [], "one's own phone is nobody's matter"
    _, link = await bob.ask("POST", "links", {"role": "member"})
    _, for_bob = await olga.ask("POST", "links", {"account": bob.id})
    assert (await olga.ask("DELETE", f"links/{link['link']['id']}"))[0] == 204
    _, token = await bob.ask("POST", "tokens", {"label": "backups"})
    assert (await bob.ask("DELETE", f"tokens/{token['token']['id']}"))[0] == 204
    _, bot = await olga.ask("POST", "bots", {"name": "Robot"})
    assert (await olga.ask("DELETE", f"bots/{bot['bot']['id']}"))[0] == 204
    _, hook = await bob.ask("POST", "hooks", {"name": "CI", "room": "lobby"})
    assert (await olga.ask("DELETE", f"hooks/{hook['hook']['id']}"))[0] == 204
    assert (await olga.ask("DELETE", f"sign-ins/{await bob.sign_in_id()}"))[0] == 204
    assert (await olga.ask("DELETE", f"sign-ins?account={bob.id}"))[0] == 204
    secrets += [each["url"].rpartition("/")[2] for each in (link, for_bob, hook)] + [token["secret"], bot["secret"]]
    assert await told(olga) == [
        ("make-link", "Bob", None, None),
        ("make-link", "Olga", "Bob", None),
        ("revoke-link", "Olga", None, None),
        ("make-token", "Bob", "Bob", None),
        ("end-token", "Bob", "Bob", None),
        ("make-bot", "Olga", "Robot", None),
        ("end-bot", "Olga", "Robot", None),
        ("make-hook", "Bob", None, "lobby"),
        ("end-hook", "Olga", "Bob", "lobby"),
        ("end-sign-in", "Olga", "Bob", None),
        ("end-sign-ins", "Olga", "Bob", None),
    ]
    text = str(await entries(olga))
    assert not [secret for secret in (*secrets, "backups") if secret in text]


async def test_what_the_operator_does_is_in_the_list_as_the_operators(place: Town) -> None:
    commands = place.server.house.commands
    await commands["owner-link"]({})
    await commands["invite-link"]({"role": "member"})
    await commands["bot"]({"name": "Robot"})
    await commands["end-bot"]({"name": "Robot"})
    await commands["hook"]({"name": "CI", "room": "lobby"})
    (hook,) = await commands["hooks"]({})
    await commands["end-hook"]({"id": hook.split()[0]})
    await commands["rotate-key"]({})
    found = reversed(await place.server.house.means.records.deeds(None, 50))
    assert [(each.act, each.actor) for each in found] == [
        (act, None) for act in ("make-link", "make-link", "make-bot", "end-bot", "make-hook", "end-hook", "rotate-key")
    ]


async def test_what_is_done_in_a_call_is_in_the_list(place: Town) -> None:
    olga, bob = await place.enters("Olga", Role.OWNER), await place.enters("Bob")
    host, caller = await Caller(olga.url).connect(token=olga.token), await Caller(bob.url).connect(token=bob.token)
    await host.joins("garden")
    joined = await caller.joins("garden")
    participant = joined["participant"]["id"]
    assert (await caller.call("lock", {"locked": True}))[1]["code"] == "forbidden"
    for event, question in (
        ("lock", {"locked": True}),
        ("lock", {"locked": True}),
        ("lock", {"locked": False}),
        ("moderate", {"participant": participant, "action": "mute"}),
        ("moderate", {"participant": participant, "action": "kick"}),
        ("end", {}),
    ):
        accepted, answer = await host.call(event, question)
        assert accepted, answer
    await caller.close()
    await host.close()
    place.server.house.book._thread.submit(lambda: None).result()  # which writes them when it comes to it
    assert await told(olga) == [
        ("lock-call", "Olga", None, "garden"),
        ("unlock-call", "Olga", None, "garden"),
        ("mute", "Olga", "Bob", "garden"),
        ("kick-from-call", "Olga", "Bob", "garden"),
        ("end-call", "Olga", None, "garden"),
    ]


async def test_a_typed_name_is_marked_as_one(tmp_path: Path) -> None:
    async with serving(tmp_path / "data") as server, town(server) as place:
        olga = await place.enters("Olga", Role.OWNER)
        client = await Client(server.url).connect(auth={"dialect": "full"})
        await client.joins("lobby", name="Eve")
        assert (await client.call("create", {"name": "Eves"}))[0]
        (entry,) = await entries(olga)
        assert (entry["act"], entry["actor"]["name"]) == ("create-room", "Eve")
        assert entry["details"] == {"kind": "public", "unverified": True}
        await client.close()


async def test_nobody_pushes_out_of_the_list_what_they_have_done(place: Town, clock: ManualClock) -> None:
    """One person fills it so slowly that everything stays in it for two days."""
    bob = await place.enters("Bob")
    scribe, account = place.server.house.directory.scribe, place.server.house.sign_ins.person(bob.id)
    assert (DEEDS_AT_MOST - PACE.burst) / PACE.per_second > 48 * 3600
    allowance = scribe._paces.of(bob.id)
    while allowance.take():
        pass
    status, answer = await bob.ask("POST", "rooms", {"name": "One more"})
    assert (status, answer["code"]) == (429, "too-fast")
    assert not await place.server.house.means.records.deeds(None, 1)
    clock.advance(10)
    assert (await bob.ask("POST", "rooms", {"name": "One more"}))[0] == 201
    assert account is not None


class TestInVain:
    """What nobody may, or what is not there: the same refusal, counted against the address; what is right passes."""

    async def test_twenty_acts_are_judged_in_a_quarter_of_an_hour(self, place: Town, clock: ManualClock) -> None:
        olga, bob = await place.enters("Olga", Role.OWNER), await place.enters("Bob")
        _, own = await bob.ask("POST", "rooms/lobby/messages", {"content": "mine"})
        _, hers = await olga.ask("POST", "rooms/lobby/messages", {"content": "hers"})
        vain = [
            ("DELETE", f"messages/{hers['id']}", None, 403),
            ("PATCH", f"messages/{hers['id']}", {"content": "x"}, 403),
            ("DELETE", "messages/lobby:999", None, 404),
            ("PUT", f"people/{olga.id}/role", {"role": "emperor"}, 400),
            ("PUT", f"people/{olga.id}/role", {"role": "member"}, 404),
            ("POST", "links", {"role": "king"}, 400),
            ("POST", "links", {"role": "owner"}, 403),
            ("DELETE", "links/nothing", None, 404),
            ("DELETE", f"sign-ins/{await olga.sign_in_id()}", None, 404),
            ("POST", "kicks", {"room": "lobby", "account": olga.id}, 404),
            ("POST", "bans", {"account": "nobody"}, 404),
            ("DELETE", "bans/nothing", None, 404),
            ("POST", "purges", {"account": olga.id}, 404),
            ("POST", "locks", {"room": "lobby", "on": True}, 404),
            ("GET", "audit", None, 403),
            ("GET", "roles", None, 403),
            ("DELETE", "bots/nothing", None, 404),
            ("DELETE", "hooks/nothing", None, 404),
            ("DELETE", f"people/{olga.id}", None, 404),
            ("PUT", f"rooms/lobby/members/{olga.id}", {"grade": "read"}, 403),
        ]
        assert len(vain) == TRIES
        for method, path, body, expected in vain:
            assert (await bob.ask(method, path, body))[0] == expected, path
        for method, path, body, _ in vain:
            status, answer = await bob.ask(method, path, body)
            assert (status, answer["detail"]) == (429, TOO_MANY), path
        client = await bob.connect()
        await client.joins("lobby")
        for event, fields in (
            ("delete", {"id": hers["id"]}),
            ("edit", {"id": "lobby:999", "content": "x"}),
            ("invite", {"room": "lobby", "account": "nobody"}),
            ("remove", {"room": "lobby", "account": olga.id}),
        ):
            accepted, refusal = await client.call(event, fields)
            assert (accepted, refusal["code"]) == (False, "too-fast"), "a connection is no other door"
        assert (await bob.ask("DELETE", f"messages/{own['id']}"))[0] == 200, "what is right is never refused for that"
        assert (await olga.ask("POST", "kicks", {"room": "lobby", "account": bob.id}))[0] == 200
        assert (await place.use("x" * 22))[0] == 401, "and who comes in is counted apart"
        clock.advance(WINDOW_SECONDS)
        assert (await bob.ask("DELETE", "messages/lobby:999"))[0] == 404
        await client.close()

    async def test_by_a_connection_it_counts_as_well(self, place: Town) -> None:
        olga, bob = await place.enters("Olga", Role.OWNER), await place.enters("Bob")
        client, boss = await bob.connect(), await olga.connect()
        await client.joins("lobby")
        await boss.joins("lobby")
        hers = await boss.says("lobby", "hers")
        codes = [(await client.call("delete", {"id": hers["id"]}))[1]["code"] for _ in range(TRIES + 1)]
        assert codes == ["forbidden"] * TRIES + ["too-fast"]
        assert (await bob.ask("DELETE", f"people/{olga.id}"))[0] == 429
        assert (await boss.call("delete", {"id": hers["id"]}))[0], "whoever shares the address is not kept from theirs"
        await client.close()
        await boss.close()

    async def test_a_message_of_a_room_that_one_has_not_joined_yet_is_no_guess(self, place: Town) -> None:
        """A page whose connection is new says its changes before it has joined again: that is not trying."""
        bob = await place.enters("Bob")
        client = await bob.connect()
        await client.joins("lobby")
        for _ in range(TRIES + 1):
            assert (await client.call("delete", {"id": "garden:1"}))[1]["code"] == "not-found"
        hidden = f"p-{'a' * 24}:1"
        codes = [(await client.call("delete", {"id": hidden}))[1]["code"] for _ in range(TRIES + 1)]
        assert codes == ["not-found"] * TRIES + ["too-fast"], "and of a private room it is"
        await client.close()


class TestHeirs:
    """A private room whose only moderator is kept out of it goes to whoever has been there longest and can."""

    async def test_the_end_of_a_membership_and_a_ban_leave_no_room_without_a_moderator(self, place: Town) -> None:
        olga, bob, carl, dan = [
            await place.enters(name, role)
            for name, role in (("Olga", Role.OWNER), ("Bob", Role.MEMBER), ("Carl", Role.MEMBER), ("Dan", Role.MEMBER))
        ]
        _, made = await bob.ask("POST", "rooms", {"name": "Plot", "kind": "private", "people": [carl.id, dan.id]})
        room = made["room"]["room"]
        ear, late = await carl.connect(), await bob.connect()
        await ear.joins(room)
        await late.joins(room)
        assert (await olga.ask("DELETE", f"people/{bob.id}"))[0] == 204
        await ear.fence()
        (notice,) = [each for each in ear.heard() if each["kind"] == "notice"]
        assert notice["content"] == "Bob is not on this server any more. Carl moderates this room now."
        assert [each["may"] for each in ear.heard("room") if "may" in each][-1].count("remove") == 1
        assert (await carl.ask("POST", "bans", {"account": dan.id, "room": room}))[0] == 201, "Carl does moderate"
        (ban,) = (await carl.ask("GET", f"bans?room={room}"))[1]["bans"]
        assert (await carl.ask("DELETE", f"bans/{ban['id']}"))[0] == 204
        assert (await olga.ask("POST", "bans", {"account": carl.id, "hours": 1}))[0] == 201
        _, roll = await dan.ask("GET", f"rooms/{room}/members")
        assert [(each["name"], each["grade"]) for each in roll["members"]] == [
            ("Carl", "post"),
            ("Dan", "moderate"),
        ]
        assert [each for each in await told(olga) if each[0] == "inherit"] == [
            ("inherit", "Olga", "Carl", room),
            ("inherit", "Olga", "Dan", room),
        ]
        assert (await olga.ask("PUT", f"people/{bob.id}/role", {"role": "member"}))[0] == 200
        back = await place.comes((await olga.ask("POST", "links", {"account": bob.id}))[1]["url"].rpartition("/")[2])
        assert (await back.ask("GET", f"rooms/{room}"))[0] == 404, "a role brings nobody back into private rooms"
        await late.gone.wait()
        await late.close()
        await ear.close()

    async def test_what_was_done_holds_where_nothing_more_can_be_stored(
        self, place: Town, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nobody is told that a removal failed which did not; the next start finds who follows."""
        olga, bob, carl = await place.enters("Olga", Role.OWNER), await place.enters("Bob"), await place.enters("Carl")
        _, made = await bob.ask("POST", "rooms", {"name": "Plot", "kind": "private", "people": [carl.id]})
        room = RoomId(made["room"]["room"])

        async def full(*_: Any, **__: Any) -> None:
            raise Unavailable("The disk is full.")

        house = place.server.house
        with monkeypatch.context() as disk:
            disk.setattr(house.rooms, "dismiss", full)
            assert (await olga.ask("DELETE", f"people/{bob.id}"))[0] == 204
        assert house.directory.find(room).grades == {bob.id: Grade.MODERATE, carl.id: Grade.POST}
        await find_heirs(house.ports)
        assert house.directory.find(room).grades[carl.id] is Grade.MODERATE

    async def test_a_bot_that_is_ended_and_a_room_from_before_have_heirs_too(self, place: Town) -> None:
        olga, bob = await place.enters("Olga", Role.OWNER), await place.enters("Bob")
        _, bot = await olga.ask("POST", "bots", {"name": "Robot"})
        robot = Person(place.http, bob.url, bot["secret"], bot["bot"]["id"], "Robot")
        _, made = await robot.ask("POST", "rooms", {"name": "Logs", "kind": "private", "people": [bob.id]})
        room = RoomId(made["room"]["room"])
        assert (await olga.ask("DELETE", f"bots/{robot.id}"))[0] == 204
        directory = place.server.house.directory
        assert directory.find(room).grades == {bob.id: Grade.MODERATE}
        directory.keep(directory.find(room).graded(bob.id, Grade.POST))  # as an earlier version left such a room
        await find_heirs(place.server.house.ports)
        assert directory.find(room).grades == {bob.id: Grade.MODERATE}


def test_every_word_of_the_list_is_documented_and_said_in_words_by_the_page() -> None:
    """A word that the page does not know would be shown as it is written here."""
    documented = (ROOT / "docs/protocol.md").read_text()
    words = (ROOT / "static/js/views/keeping-order.js").read_text().partition("const WORDS = {")[2].partition("\n};")[0]
    shown = {
        line.strip().split(":")[0].strip('"') for line in words.splitlines() if line.startswith("  ") and ":" in line
    }
    for done in Done:
        assert f"`{done}`" in documented
        assert done in shown

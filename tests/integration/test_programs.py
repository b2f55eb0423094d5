"""Bots, tokens of programs, and hooks: made once, shown once, listed, ended."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from chatzilla.core.hooks import HOOKS_PER_PERSON
from chatzilla.core.policy import Role
from chatzilla.core.programs import DAY_MS, TOKENS_PER_PERSON
from chatzilla.core.tries import TRIES
from tests.helpers.clock import ManualClock
from tests.helpers.people import Person, Town, town
from tests.helpers.servers import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LOBBY = "rooms/lobby/messages"
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Town]:
    async with serving(tmp_path / "data", sign_in="links") as server, town(server) as opened:
        yield opened


async def made_bot(maker: Person, name: str = "Robot", **terms: Any) -> Person:
    status, made = await maker.ask("POST", "bots", {"name": name, **terms})
    assert status == 201, made
    return replace(maker, token=made["secret"], id=made["bot"]["id"], name=name)


async def made_hook(maker: Person, name: str = "CI", room: str = "lobby") -> tuple[str, str]:
    """Make a hook; returns its id and its address."""
    status, made = await maker.ask("POST", "hooks", {"name": name, "room": room})
    assert status == 201, made
    return made["hook"]["id"], made["url"]


async def sent(
    place: Town, url: str, body: str | bytes, kind: str | None = FORM, *, key: str | None = None
) -> tuple[int, str]:
    """Send something to a hook; returns the status and what was answered."""
    headers = {} if kind is None else {"Content-Type": kind}
    headers |= {} if key is None else {"Idempotency-Key": key}
    skip = ["Content-Type"] if kind is None else []
    async with place.http.post(
        url, data=body.encode() if isinstance(body, str) else body, headers=headers, skip_auto_headers=skip
    ) as answer:
        return answer.status, await answer.text()


# Bots and tokens.


async def test_a_bot_talks_at_every_door(place: Town) -> None:
    olga = await place.enters("Olga", Role.OWNER)
    bot = await made_bot(olga)
    client = await bot.connect()
    you = (await client.joins())["you"]
    assert (you["name"], you["id"], you["verified"]) == ("Robot", bot.id, True)
    await client.says("lobby", "by socket")
    assert (await bot.ask("POST", LOBBY, {"content": "by http"}))[0] == 201
    _, page = await olga.ask("GET", LOBBY)
    assert [(row["name"], row["content"]) for row in page["messages"]] == [("Robot", "by socket"), ("Robot", "by http")]
    _, answer = await olga.ask("GET", "bots")
    assert [(each["name"], each["tokens"]) for each in answer["bots"]] == [("Robot", 1)]
    assert bot.token not in json.dumps(answer), "a token is told once"
    await client.close()


async def test_a_bot_that_is_ended_is_out_at_once_and_comes_back_as_who_it_was(place: Town) -> None:
    olga = await place.enters("Olga", Role.OWNER)
    bot = await made_bot(olga)
    client = await bot.connect()
    await client.joins()
    await client.says("lobby", "hello")
    assert (await olga.ask("DELETE", f"bots/{bot.id}"))[0] == 204
    assert (await client.hears("goodbye"))["code"] == "sign-in"
    await asyncio.wait_for(client.gone.wait(), 5)
    assert (await bot.ask("GET", "me"))[0] == 401
    assert (await olga.ask("DELETE", f"bots/{bot.id}"))[0] == 404
    assert (await olga.ask("GET", "bots"))[1] == {"bots": []}
    again = await made_bot(olga)
    assert again.id == bot.id
    assert (await bot.ask("GET", "me"))[0] == 401, "its old token stays ended"
    assert (await again.ask("PATCH", "messages/lobby:1", {"content": "hello again"}))[0] == 200
    await client.close()


async def test_a_bots_name_is_its_own(place: Town) -> None:
    olga = await place.enters("Olga", Role.OWNER)
    await made_bot(olga)
    for name in ("robot", "R0bot", "Olga"):
        status, problem = await olga.ask("POST", "bots", {"name": name})
        assert (status, problem["code"]) == (409, "conflict"), name
    _, secret = await place.link()
    assert (await place.use(secret, "Robot"))[0] == 409
    for wrong in ("", "  ", "a\nb", "\u200d", 5):
        assert (await olga.ask("POST", "bots", {"name": wrong}))[0] == 400, wrong


async def test_a_bot_by_a_link_is_a_bot_like_any_other(place: Town) -> None:
    olga, bob = await place.enters("Olga", Role.OWNER), await place.enters("Robot", Role.BOT)
    assert [each["id"] for each in (await olga.ask("GET", "bots"))[1]["bots"]] == [bob.id]
    _, made = await olga.ask("POST", "tokens", {"label": "on the server", "bot": bob.id})
    program = replace(bob, token=made["secret"])
    assert (await program.ask("GET", "me"))[1]["you"]["id"] == bob.id
    assert (await olga.ask("DELETE", f"bots/{bob.id}"))[0] == 204
    for each in (bob, program):
        assert (await each.ask("GET", "me"))[0] == 401


async def test_a_persons_token_acts_in_their_name_until_it_is_ended(place: Town) -> None:
    alice = await place.enters("Alice")
    status, made = await alice.ask("POST", "tokens", {"label": "backup script"})
    assert status == 201
    script = replace(alice, token=made["secret"])
    assert (await script.ask("POST", LOBBY, {"content": "done"}))[0] == 201
    client = await script.connect()
    await client.joins()
    _, listed = await alice.ask("GET", "tokens")
    assert listed == {"tokens": [made["token"]]}
    assert (made["token"]["label"], made["token"]["person"]["id"]) == ("backup script", alice.id)
    _, sign_ins = await alice.ask("GET", "sign-ins")
    assert {each["id"]: each["program"] for each in sign_ins["sign_ins"]}[made["token"]["id"]] is True
    assert (await alice.ask("DELETE", f"tokens/{await alice.sign_in_id()}"))[0] == 404, "a browser is no token"
    assert (await alice.ask("DELETE", f"tokens/{made['token']['id']}"))[0] == 204
    assert (await client.hears("goodbye"))["code"] == "sign-in"
    assert (await script.ask("GET", "me"))[0] == 401
    assert (await alice.ask("GET", "me"))[0] == 200
    await client.close()


async def test_a_token_lasts_unused_and_over_a_restart_until_its_time(tmp_path: Path) -> None:
    clock = ManualClock()
    async with serving(tmp_path / "data", clock=clock, sign_in="links") as server, town(server) as place:
        alice = await place.enters("Alice")
        _, made = await alice.ask("POST", "tokens", {"label": "yearly", "days": 100})
        script = replace(alice, token=made["secret"])
    clock.advance(99 * DAY_MS / 1000)
    async with serving(tmp_path / "data", clock=clock, sign_in="links") as server, town(server) as place:
        script.http, script.url = place.http, server.url
        alice.http, alice.url = place.http, server.url
        assert (await alice.ask("GET", "me"))[0] == 401, "a browser's sign-in ends when it is not used for a month"
        assert (await script.ask("GET", "me"))[0] == 200
        clock.advance(DAY_MS / 1000)
        assert (await script.ask("GET", "me"))[0] == 401


async def test_many_browsers_push_no_token_out(place: Town) -> None:
    alice = await place.enters("Alice")
    _, made = await alice.ask("POST", "tokens", {"label": "script"})
    for _ in range(25):
        _, secret = await place.link(account=alice.id)
        newest = await place.comes(secret)
    assert (await replace(alice, token=made["secret"]).ask("GET", "me"))[0] == 200
    for _ in range(TOKENS_PER_PERSON - 1):
        assert (await newest.ask("POST", "tokens", {"label": "more"}))[0] == 201
    status, problem = await newest.ask("POST", "tokens", {"label": "too many"})
    assert (status, problem["code"]) == (503, "full")


async def test_what_somebody_else_ends_takes_the_tokens_and_hooks_with_it(place: Town) -> None:
    olga, bob = await place.enters("Olga", Role.OWNER), await place.enters("Bob")
    _, made = await bob.ask("POST", "tokens", {"label": "script"})
    script = replace(bob, token=made["secret"])
    _, second = await script.ask("POST", "tokens", {"label": "made by the script"})
    _, url = await made_hook(bob)
    assert (await olga.ask("DELETE", f"sign-ins/{await bob.sign_in_id()}"))[0] == 204
    for token in (made["secret"], second["secret"]):
        assert (await replace(bob, token=token).ask("GET", "me"))[0] == 401
    assert (await sent(place, url, "hello"))[0] == 404


async def test_what_one_ends_oneself_leaves_tokens_and_hooks(place: Town) -> None:
    bob = await place.enters("Bob")
    _, made = await bob.ask("POST", "tokens", {"label": "script"})
    _, url = await made_hook(bob)
    assert (await bob.ask("POST", "sign-out", {}))[0] == 204
    script = replace(bob, token=made["secret"])
    assert (await script.ask("GET", "me"))[0] == 200
    assert (await sent(place, url, "hello"))[0] == 200
    assert (await script.ask("DELETE", "sign-ins"))[0] == 204, "everywhere else"
    assert (await script.ask("GET", "me"))[0] == 200


# Hooks.


SAID: list[tuple[str | bytes, str | None, str]] = [
    ("hello", FORM, "hello"),
    ("build 5 = ok & done, 100%", FORM, "build 5 = ok & done, 100%"),
    ("text=hello%20there%0Ayou", FORM, "hello there\nyou"),
    ("content=a%2Bb", FORM, "a+b"),
    ("payload=" + quote(json.dumps({"text": "from Slack & co"})), FORM, "from Slack & co"),
    ("hello\n", "text/plain", "hello"),
    ("grüße 👋".encode(), "text/plain; charset=utf-8", "grüße 👋"),
    ("hello", None, "hello"),
    ('{"text": "hello", "channel": "#general", "username": "x"}', JSON, "hello"),
    ('{"content": "hello", "embeds": []}', JSON, "hello"),
    ('{"text": null, "content": "hello"}', JSON, "hello"),
    (
        '{"attachments": [{"fallback": "f", "title": "Disk", "text": "is full"}, {"fallback": "only this"}]}',
        JSON,
        "Disk\nis full\nonly this",
    ),
    (
        '{"blocks": [{"text": {"text": "Deployed"}}, {"type": "divider"}, {"fields": [{"text": "to the moon"}]}]}',
        JSON,
        "Deployed\nto the moon",
    ),
]


async def test_a_hook_says_what_it_is_sent(place: Town) -> None:
    alice = await place.enters("Alice")
    client = await alice.connect()
    await client.joins()
    ident, url = await made_hook(alice)
    for body, kind, heard in SAID:
        assert await sent(place, url, body, kind) == (200, "ok")
        message = await client.hears()
        assert (message["name"], message["content"], message["kind"]) == ("CI", heard, "text")
        assert message["sender"] not in (alice.id, ident)
    await client.close()


UNSAYABLE: list[tuple[str | bytes, str, int, str]] = [
    ("", FORM, 400, "bad-request"),
    (" \n ", "text/plain", 400, "bad-request"),
    (b"\xff\xfe", "text/plain", 400, "bad-request"),
    ("a\0b", "text/plain", 400, "bad-request"),
    ("x" * 10_001, "text/plain", 413, "too-long"),
    ("x" * 200_000, "text/plain", 413, "too-long"),
    ("{}", JSON, 400, "bad-request"),
    ("[]", JSON, 400, "bad-request"),
    ('{"text": 5}', JSON, 400, "bad-request"),
    ("payload=hello", FORM, 400, "bad-request"),
    ("payload=%ff", FORM, 400, "bad-request"),
    ("text=", FORM, 400, "bad-request"),
    ("text=a" + "&b=c" * 200, FORM, 400, "bad-request"),
    ("hello", "multipart/form-data; boundary=x", 415, "bad-request"),
]


async def test_a_hook_refuses_what_it_cannot_say(place: Town) -> None:
    alice = await place.enters("Alice")
    _, url = await made_hook(alice)
    for body, kind, status, code in UNSAYABLE:
        answered, text = await sent(place, url, body, kind)
        assert (answered, json.loads(text)["code"]) == (status, code)
        assert (await alice.ask("GET", LOBBY))[1]["messages"] == []


async def test_what_a_hook_says_again_under_the_same_key_is_said_once(place: Town) -> None:
    alice = await place.enters("Alice")
    (_, url), (_, other) = await made_hook(alice), await made_hook(alice, name="Till")
    assert [await sent(place, url, "built", key="run-7") for _ in range(3)] == [(200, "ok")] * 3
    assert (await sent(place, other, "built", key="run-7"))[0] == 200, "keys are each hook's own"
    assert (await sent(place, url, "built", key="run-8"))[0] == 200
    status, problem = await sent(place, url, "failed", key="run-7")
    assert (status, json.loads(problem)["code"]) == (409, "conflict")
    for key in ("", "x" * 65, "tab\tbed"):
        status, problem = await sent(place, url, "built", key=key)
        assert (status, json.loads(problem)["code"]) == (400, "bad-request")
    said = [(each["name"], each["content"]) for each in (await alice.ask("GET", LOBBY))[1]["messages"]]
    assert said == [("CI", "built"), ("Till", "built"), ("CI", "built")]


async def test_a_hook_that_is_ended_is_as_one_that_never_was(place: Town) -> None:
    alice, bob = await place.enters("Alice"), await place.enters("Bob")
    ident, url = await made_hook(alice, room="garden")
    _, listed = await alice.ask("GET", "hooks")
    assert [(each["id"], each["name"], each["room"], each["maker"]["id"]) for each in listed["hooks"]] == [
        (ident, "CI", "garden", alice.id)
    ]
    assert url.rpartition("/")[2] not in json.dumps(listed), "an address is told once"
    assert (await bob.ask("GET", "hooks"))[1] == {"hooks": []}
    assert (await bob.ask("DELETE", f"hooks/{ident}"))[0] == 404
    assert (await alice.ask("DELETE", f"hooks/{ident}"))[0] == 204
    assert (await alice.ask("DELETE", f"hooks/{ident}"))[0] == 404
    ended = await sent(place, url, "hello")
    never = await sent(place, f"{place.server.url}/hooks/{'x' * 22}", "hello")
    odd = await sent(place, f"{place.server.url}/hooks/{quote('ü/../' * 20, safe='')}", "hello")
    assert ended == never == odd
    assert (ended[0], json.loads(ended[1])["code"]) == (404, "not-found")


async def test_guessing_is_counted_and_keeps_no_hook_from_speaking(place: Town) -> None:
    alice = await place.enters("Alice")
    _, url = await made_hook(alice)
    guesses = [(await sent(place, f"{place.server.url}/hooks/{at:022}", "x"))[0] for at in range(TRIES + 1)]
    assert guesses == [404] * TRIES + [429]
    assert (await sent(place, url, "hello"))[0] == 200
    _, secret = await place.link()
    assert (await place.use(secret, "Bob"))[0] == 201, "nor anybody from coming in"


async def test_a_hook_speaks_for_as_long_as_its_maker_might_make_it(place: Town) -> None:
    olga = await place.enters("Olga", Role.OWNER)
    bot = await made_bot(olga)
    for person in (bot, await place.enters("Gus", Role.GUEST, "garden")):
        status, problem = await person.ask("POST", "hooks", {"name": "CI", "room": "garden"})
        assert (status, problem["code"]) == (403, "forbidden")
    bob = await place.enters("Bob")
    _, url = await made_hook(bob)
    assert (await sent(place, url, "hello"))[0] == 200
    await place.server.house.sign_ins.retire(place.server.house.sign_ins.person(bob.id))  # type: ignore[arg-type]
    assert (await sent(place, url, "hello"))[0] == 404


async def test_a_hook_in_a_private_room_falls_silent_with_its_makers_leave(place: Town) -> None:
    alice, bob = await place.enters("Alice"), await place.enters("Bob")
    _, made = await alice.ask("POST", "rooms", {"name": "Plans", "kind": "private", "people": [bob.id]})
    room = made["room"]["room"]
    stranger = await place.enters("Carol")
    status, problem = await stranger.ask("POST", "hooks", {"name": "CI", "room": room})
    assert (status, problem["code"]) == (404, "not-found")
    _, url = await made_hook(bob, room=room)
    assert (await sent(place, url, "hello"))[0] == 200
    assert (await alice.ask("PATCH", f"rooms/{room}", {"archived": True}))[0] == 200
    status, text = await sent(place, url, "in an archived room")
    assert (status, json.loads(text)["code"]) == (403, "forbidden")
    assert (await alice.ask("PATCH", f"rooms/{room}", {"archived": False}))[0] == 200
    assert (await sent(place, url, "open again"))[0] == 200
    assert (await alice.ask("DELETE", f"rooms/{room}/members/{bob.id}"))[0] == 204
    assert (await sent(place, url, "he is gone"))[0] == 404
    _, page = await alice.ask("GET", f"rooms/{room}/messages")
    assert [row["content"] for row in page["messages"] if row["kind"] == "text"] == ["hello", "open again"]


async def test_hooks_are_bounded_and_named_like_nobody(place: Town) -> None:
    alice = await place.enters("Alice")
    for name in ("Alice", "A1ice", "", "a\nb"):
        assert (await alice.ask("POST", "hooks", {"name": name, "room": "lobby"}))[0] in (400, 409), name
    assert (await alice.ask("POST", "hooks", {"name": "CI", "room": "a b"}))[0] == 400
    for _ in range(HOOKS_PER_PERSON):
        await made_hook(alice)
    status, problem = await alice.ask("POST", "hooks", {"name": "CI", "room": "lobby"})
    assert (status, problem["code"]) == (503, "full")


async def test_a_hook_has_a_rate_of_its_own(tmp_path: Path) -> None:
    clock = ManualClock()
    settings: dict[str, Any] = {"message_rate": 1.0, "message_burst": 2}
    async with serving(tmp_path / "data", clock=clock, sign_in="links", **settings) as server, town(server) as place:
        alice = await place.enters("Alice")
        _, url = await made_hook(alice)
        _, other = await made_hook(alice)
        statuses = [(await sent(place, url, "hello"))[0] for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert (await sent(place, other, "hello"))[0] == 200
        clock.advance(1.5)
        assert (await sent(place, url, "hello"))[0] == 200


async def test_a_hook_outlives_the_server(tmp_path: Path) -> None:
    async with serving(tmp_path / "data", sign_in="links") as server, town(server) as place:
        _, url = await made_hook(await place.enters("Alice"))
    async with serving(tmp_path / "data", sign_in="links") as server, town(server) as place:
        address = f"{server.url}/hooks/{url.rpartition('/')[2]}"
        assert (await sent(place, address, "hello"))[0] == 200


async def test_secrets_of_programs_are_in_no_log_and_in_no_database(
    place: Town, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    olga = await place.enters("Olga", Role.OWNER)
    bot = await made_bot(olga)
    _, url = await made_hook(olga)
    secret = url.rpartition("/")[2]
    assert (await sent(place, url, "what was said"))[0] == 200
    assert (await sent(place, f"{url}x", "what was said"))[0] == 404
    assert (await bot.ask("POST", LOBBY, {"content": "what was said"}))[0] == 201
    for hidden in (secret, bot.token[-40:], "what was said"):
        assert hidden not in caplog.text
    assert "POST /hooks/… 200" in caplog.text
    stored = b"".join(path.read_bytes() for path in (place.server.house.database.folder).glob("chatzilla.db*"))
    assert secret.encode() not in stored
    assert bot.token[-40:].encode() not in stored

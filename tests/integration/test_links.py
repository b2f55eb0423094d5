"""A closed server: links let people in, and whatever is wrong with one is answered alike."""

from __future__ import annotations

import asyncio
import re
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any

import aiohttp
import jwt
import pytest
import socketio.exceptions

from chatzilla.core.links import LINKS_PER_PERSON
from chatzilla.core.policy import Role
from chatzilla.core.rooms import RoomId
from chatzilla.core.signin import SIGN_INS_PER_ACCOUNT
from chatzilla.core.tries import TRIES, WINDOW_SECONDS
from tests.helpers.clients import Client
from tests.helpers.clock import ManualClock
from tests.helpers.people import Town, town
from tests.helpers.servers import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HOUR_MS = 3600 * 1000
PAGE = {"Accept": "text/html"}


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Town]:
    async with serving(tmp_path / "data", sign_in="links") as server, town(server) as opened:
        yield opened


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def timed(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Town]:
    async with serving(tmp_path / "data", clock=clock, sign_in="links") as server, town(server) as opened:
        yield opened


async def refused(url: str, **auth: Any) -> dict[str, Any]:
    """What a connection of the full dialect is told that is not let in."""
    client = Client(url)
    told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    client.sio.on("connect_error", told.set_result, namespace="/chat")
    with pytest.raises(socketio.exceptions.ConnectionError):
        await client.connect(auth={"dialect": "full", **auth})
    await client.close()
    data = (await told)["data"]
    assert isinstance(data, dict)
    return data


async def test_without_a_sign_in_nothing_is_heard_and_nothing_is_read(place: Town) -> None:
    alice = await (await place.enters("Alice")).connect()
    await alice.joins()
    assert (await refused(place.server.url))["code"] == "sign-in"
    assert (await refused(place.server.url, token="x"))["code"] == "sign-in"
    simple = await Client(place.server.url).connect()
    await alice.says("lobby", "secret")
    accepted, sentence = await simple.call("join", "bob@example.com")
    assert (accepted, "Sign in" in sentence) == (False, True)
    accepted, refusal = await simple.call("join", {"name": "bob"})
    assert (accepted, refusal["code"]) == (False, "sign-in")
    assert (await simple.call("message", "hello"))[0] is False
    assert (await simple.call("history", {"room": "lobby"}))[1]["code"] == "not-joined"
    for event in ("message", "stats", "presence", "room"):
        await simple.hears_nothing(event)
    await simple.close()
    await alice.close()


async def test_with_a_token_a_tutorial_client_talks_as_itself(place: Town) -> None:
    alice = await place.enters("Alice")
    bob = await (await place.enters("Bob")).connect()
    await bob.joins()
    simple = await Client(place.server.url).connect(auth={"token": alice.token})
    assert (await simple.call("join", "Mallory"))[0] is False
    await bob.says("lobby", "before you came")
    await simple.hears_nothing()
    assert await simple.call("join", "alice") == (True, "Alice")
    assert await simple.call("message", "hello") == (True, "hello")
    assert (await bob.hears())["name"] == "Alice"
    await simple.close()
    await bob.close()


async def test_a_browser_comes_in_by_a_form_and_stays_by_its_cookie(place: Town) -> None:
    _, secret = await place.link(room=RoomId("garden"))
    url = place.server.url
    async with aiohttp.ClientSession(url, cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        for _ in range(5):  # link previews and mail filters look, too
            async with browser.get(f"/in/{secret}") as answer:
                assert answer.status == 200
                assert answer.headers["Cache-Control"] == "no-store"
        async with browser.post(
            f"/in/{secret}", data={"name": "Bob"}, headers={"Origin": url}, allow_redirects=False
        ) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/r/garden")
            ((name, cookie),) = SimpleCookie(answer.headers["Set-Cookie"]).items()
            assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["secure"]) == (True, "Lax", "/", "")
        async with browser.get("/api/v1/me") as answer:
            assert (await answer.json())["you"]["name"] == "Bob"
        header = {"Cookie": f"{name}={cookie.value}"}
    named = url.replace("127.0.0.1", "localhost")  # to an address alone, this client sends no cookies
    client = await Client(named).connect(auth={"dialect": "full"}, headers=header | {"Origin": named})
    assert (await client.joins())["you"]["name"] == "Bob"
    await client.close()
    polling = await Client(named).connect(auth={"dialect": "full"}, headers=dict(header), transports=("polling",))
    assert (await polling.joins())["you"]["name"] == "Bob"
    await polling.close()


async def test_behind_tls_the_cookie_is_secure_and_this_hosts_alone(tmp_path: Path) -> None:
    async with serving(tmp_path / "data", sign_in="links", proxies=1) as server, town(server) as place:
        _, secret = await place.link()
        headers = {
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "chat.example.com",
            "Origin": "https://chat.example.com",
        }
        async with place.http.post(
            f"{server.url}/in/{secret}", data={"name": "Bob"}, headers=headers, allow_redirects=False
        ) as answer:
            ((name, cookie),) = SimpleCookie(answer.headers["Set-Cookie"]).items()
        assert name == "__Host-chatzilla-session"
        assert (cookie["secure"], cookie["path"], cookie["domain"]) == (True, "/", "")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {},
    ],
)
async def test_a_page_elsewhere_does_nothing_with_somebodys_cookie(place: Town, headers: dict[str, str]) -> None:
    """Not over HTTP, where even no origin at all changes nothing, nor by a connection."""
    alice = await place.enters("Alice")
    port = place.server.url.rpartition(":")[2]
    cookie = {"Cookie": f"chatzilla-session-{port}={alice.token}"} | headers
    for method, path in (("POST", "links"), ("POST", "sign-out"), ("DELETE", "sign-ins")):
        status, _ = await alice.ask(method, path, {}, headers=cookie)
        assert status == 401, (method, path)
    assert (await alice.ask("GET", "me"))[0] == 200
    if headers:
        assert (await alice.ask("GET", "me", headers=cookie))[0] == 401
        _, secret = await place.link()
        async with place.http.post(
            f"{place.server.url}/in/{secret}", data={"name": "Eve"}, headers=headers, allow_redirects=False
        ) as answer:
            assert answer.status == 403, "nobody is signed in as somebody by a page elsewhere"


async def test_what_changes_something_takes_json_that_says_so(place: Town) -> None:
    alice = await place.enters("Alice")
    bearer = {"Authorization": f"Bearer {alice.token}"}
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        status, _ = await alice.ask("POST", "links", headers=bearer | {"Content-Type": kind}, data=b"{}")
        assert status == 415
    for body in (
        b"",
        b"[",
        b"5",
        b"[]",
        b'{"role": "king"}',
        b'{"role": ["owner"]}',
        b'{"uses": 0}',
        b'{"hours": 721}',
    ):
        status, _ = await alice.ask("POST", "links", headers=bearer | {"Content-Type": "application/json"}, data=body)
        assert status == 400, body
    status, _ = await alice.ask(
        "POST", "links", headers=bearer | {"Content-Type": "application/json"}, data=b" " * 200_000
    )
    assert status == 413


async def test_useless_links_are_all_answered_alike(timed: Town, clock: ManualClock) -> None:
    """Over, used up, revoked, for somebody who is gone, never made: one sentence, one page."""
    _, used_up = await timed.link()
    await timed.comes(used_up, "Bob")
    _, over = await timed.link(lasts_ms=HOUR_MS)
    clock.advance(3600)
    revoked_id, revoked = await timed.link()
    await timed.server.house.register.revoke_link(revoked_id, clock.wall_ms())  # type: ignore[arg-type]  # it is one
    _, guests = await timed.link(role=Role.GUEST, room=RoomId("garden"), lasts_ms=HOUR_MS)
    guest = await timed.comes(guests, "Gus")
    _, for_nobody = await timed.link(account=guest.id)
    clock.advance(3600)
    useless = [used_up, over, revoked, for_nobody, "never-made", "%00", "é", "x" * 3000, used_up[:-1]]
    answers = {tuple(map(str, await timed.use(secret, "Eve"))) for secret in (used_up, over, revoked, for_nobody, "x")}
    assert len(answers) == 1
    assert answers.pop()[0] == "401"
    pages = set()
    for secret in useless:
        async with timed.http.get(f"{timed.server.url}/in/{secret}", headers=PAGE) as answer:
            pages.add((answer.status, re.sub(r"\d+", "", await answer.text())))
    assert len(pages) == 1
    assert pages.pop()[0] == 404


async def test_twenty_tries_are_judged_and_nobody_is_locked_out(timed: Town, clock: ManualClock) -> None:
    """Beyond, even a right link is not judged from that address; whoever is in stays in, and time heals it."""
    alice = await timed.enters("Alice")
    _, secret = await timed.link()
    for _ in range(TRIES):
        assert (await timed.use("wrong", "Eve"))[0] == 401
    assert (await timed.use("wrong", "Eve"))[0] == 429
    assert (await timed.use(secret, "Eve"))[0] == 429
    async with timed.http.get(f"{timed.server.url}/in/{secret}", headers=PAGE) as answer:
        assert answer.status == 429
    assert (await alice.ask("GET", "me"))[0] == 200
    client = await alice.connect()
    await client.joins()
    await client.close()
    clock.advance(WINDOW_SECONDS)
    assert (await timed.use(secret, "Bob"))[0] == 201


async def test_the_tries_of_one_address_are_not_anothers(tmp_path: Path) -> None:
    async with serving(tmp_path / "data", sign_in="links", proxies=1) as server, town(server) as place:
        _, secret = await place.link()
        for at in range(TRIES + 1):
            await place.use("wrong", headers={"X-Forwarded-For": f"2001:db8::{at}"})
        assert (await place.use(secret, "Eve", headers={"X-Forwarded-For": "2001:db8::ffff"}))[0] == 429
        assert (await place.use(secret, "Bob", headers={"X-Forwarded-For": "2001:db8:0:1::1"}))[0] == 201


async def test_forged_tokens_open_no_door(timed: Town, clock: ManualClock) -> None:
    alice, bob = await timed.enters("Alice"), await timed.enters("Bob")
    claims = jwt.decode(alice.token, options={"verify_signature": False})
    key = timed.server.house.database.key
    forgeries = {
        "another key": jwt.encode(claims, "k" * 48, "HS256"),
        "no signature": jwt.encode(claims, "", "none"),
        "another algorithm": jwt.encode(claims, key, "HS512"),
        "over": jwt.encode(claims | {"exp": claims["iat"] - 1}, key, "HS256"),
        "for another purpose": jwt.encode(claims | {"aud": "calls"}, key, "HS256"),
        "by another": jwt.encode(claims | {"iss": "twilio"}, key, "HS256"),
        "somebody else's sign-in": jwt.encode(claims | {"sub": bob.id}, key, "HS256"),
        "no sign-in": jwt.encode(claims | {"sid": "x" * 20}, key, "HS256"),
        "a typed name": jwt.encode(
            {"iss": "chatzilla", "sub": alice.id, "kind": "open", "name": "Alice"}
            | {c: claims[c] for c in ("iat", "exp")},
            key,
            "HS256",
        ),
    }
    told = set()
    for what, token in forgeries.items():
        status, problem = await alice.ask("GET", "me", headers={"Authorization": f"Bearer {token}"})
        assert status == 401, what
        clock.advance(WINDOW_SECONDS)
        told.add(problem["detail"])
        refusal = await refused(timed.server.url, token=token)
        assert refusal["code"] == "sign-in", what
        told.add(refusal["message"])
        port = timed.server.url.rpartition(":")[2]
        async with timed.http.get(timed.server.url, headers={"Cookie": f"chatzilla-session-{port}={token}"}) as answer:
            assert "This Chatzilla is closed" in await answer.text(), what
    assert len(told) == 1, told


async def test_an_ended_sign_in_is_out_at_every_door(place: Town) -> None:
    owner, bob = await place.enters("Olga", Role.OWNER), await place.enters("Bob")
    client, second = await bob.connect(), await bob.connect()
    await client.joins()
    await second.joins("garden")
    _, device = await bob.ask("POST", "links", {"account": "me"})
    _, invitation = await bob.ask("POST", "links", {})
    status, _ = await owner.ask("DELETE", f"sign-ins/{await bob.sign_in_id()}")
    assert status == 204
    for each in (client, second):
        assert await each.hears("goodbye") == {
            "code": "sign-in",
            "message": "You have been signed out.",
            "reconnect": False,
        }
        await asyncio.wait_for(each.gone.wait(), 5)
        await each.close()
    assert (await refused(place.server.url, token=bob.token))["code"] == "sign-in"
    assert (await bob.ask("GET", "me"))[0] == 401
    for link in (device, invitation):
        assert (await place.use(link["url"].rpartition("/")[2], "Bob again"))[0] == 401, "it took its links with it"


async def test_signing_out_by_oneself_keeps_ones_invitations(place: Town) -> None:
    bob = await place.enters("Bob")
    _, device = await bob.ask("POST", "links", {"account": "me"})
    _, invitation = await bob.ask("POST", "links", {})
    assert (await bob.ask("POST", "sign-out", {}))[0] == 204
    assert (await bob.ask("GET", "me"))[0] == 401
    assert (await place.use(device["url"].rpartition("/")[2]))[0] == 401
    assert (await place.use(invitation["url"].rpartition("/")[2], "Carol"))[0] == 201


async def test_everywhere_else_is_everywhere_but_here(place: Town) -> None:
    bob = await place.enters("Bob")
    _, made = await bob.ask("POST", "links", {"account": "me"})
    phone = await place.comes(made["url"].rpartition("/")[2])
    assert phone.id == bob.id
    assert (await phone.ask("DELETE", "sign-ins"))[0] == 204
    assert (await bob.ask("GET", "me"))[0] == 401
    assert (await phone.ask("GET", "me"))[0] == 200


async def test_a_guest_has_one_room_and_an_end(timed: Town, clock: ManualClock) -> None:
    _, secret = await timed.link(role=Role.GUEST, room=RoomId("garden"), lasts_ms=HOUR_MS, uses=2)
    gus, other = await timed.comes(secret, "Gus"), await timed.comes(secret, "Gisela")
    assert gus.id != other.id
    client = await gus.connect()
    await client.joins("garden")
    await client.says("garden", "hello")
    assert (await client.call("join", {"room": "lobby"}))[1]["code"] == "forbidden"
    clock.advance(3599)
    assert (await gus.ask("GET", "me"))[0] == 200
    clock.advance(2)
    assert (await client.hears("goodbye"))["code"] == "sign-in"
    await asyncio.wait_for(client.gone.wait(), 5)
    await client.close()
    assert (await gus.ask("GET", "me"))[0] == 401
    again = await timed.enters("Gus", Role.GUEST, "garden")
    assert again.id != gus.id, "the name is free again, and is somebody else"


async def test_a_name_that_is_taken_uses_nothing_up(place: Town) -> None:
    alice = await place.enters("Alice")
    _, secret = await place.link()
    for name in ("Alice", "ALICE", "Al\u0456ce", "A\u200dlice", "A1ice"):
        assert (await place.use(secret, name))[0] == 409, name
    for wrong in ("", "  ", None, 5, "x" * 300, "a\nb", "\u200d"):
        assert (await place.use(secret, wrong))[0] in (400, 413), wrong
    assert (await place.comes(secret, "Bob")).id != alice.id


async def test_one_use_lets_one_in_however_many_come_at_once(place: Town) -> None:
    _, secret = await place.link(uses=3)
    results = await asyncio.gather(*(place.use(secret, f"Person {at}") for at in range(8)))
    assert sorted(status for status, _ in results) == [201] * 3 + [401] * 5


async def test_one_name_is_one_persons_however_many_come_at_once(place: Town) -> None:
    _, secret = await place.link(uses=10)
    results = await asyncio.gather(*(place.use(secret, name) for name in ("Bob", "B0b", "bob", "BOB")))
    assert sorted(status for status, _ in results) == [201, 409, 409, 409]


async def test_links_and_sign_ins_are_bounded(place: Town) -> None:
    bob = await place.enters("Bob")
    for _ in range(LINKS_PER_PERSON):
        assert (await bob.ask("POST", "links", {}))[0] == 201
    assert (await bob.ask("POST", "links", {}))[0] == 503
    for _ in range(SIGN_INS_PER_ACCOUNT):
        _, secret = await place.link(account=bob.id)
        newest = await place.comes(secret)
    assert (await bob.ask("GET", "me"))[0] == 401, "the one that was not used for longest made room"
    _, answer = await newest.ask("GET", "sign-ins")
    assert len(answer["sign_ins"]) == SIGN_INS_PER_ACCOUNT


async def test_people_sign_ins_and_links_outlive_the_server(tmp_path: Path) -> None:
    async with serving(tmp_path / "data", sign_in="links") as server, town(server) as place:
        bob = await place.enters("Bob", Role.ADMIN)
        ended = await place.enters("Eve")
        await bob.ask("DELETE", f"sign-ins/{await ended.sign_in_id()}")
        _, secret = await place.link()
    async with serving(tmp_path / "data", sign_in="links") as server, town(server) as place:
        bob.http, bob.url, ended.http, ended.url = place.http, server.url, place.http, server.url
        status, answer = await bob.ask("GET", "me")
        assert (status, answer["you"]["role"]) == (200, "admin")
        assert (await ended.ask("GET", "me"))[0] == 401
        assert (await place.use(secret, "B0b"))[0] == 409
        assert (await place.use(secret, "Carol"))[0] == 201


async def test_a_role_that_nobody_has_is_nothing(place: Town) -> None:
    """Written into the database by hand, it lets nobody in."""
    bob = await place.enters("Bob")
    ident, secret = await place.link()
    with place.server.house.database.writing.begin() as connection:
        connection.exec_driver_sql("UPDATE links SET role = 'king' WHERE id = ?", (ident,))
        connection.exec_driver_sql("UPDATE accounts SET role = 'king' WHERE id = ?", (bob.id,))
    assert (await place.use(secret, "Carol"))[0] == 401
    people, sign_ins = place.server.house.register.recall(0)
    assert bob.id not in {person.id for person in people} | {each.account.id for each in sign_ins}


async def test_typed_names_cannot_pass_for_somebody_who_is_verified_or_here(tmp_path: Path) -> None:
    async with serving(tmp_path / "data") as server, town(server) as place:
        await place.enters("Olga", Role.OWNER)
        bob = await Client(server.url).connect(auth={"dialect": "full"})
        token = (await bob.joins(name="Bob"))["you"]["token"]
        for name in ("olga", "0lga", "B\u043eb", "b0b", "Bo\u200db"):
            full = await Client(server.url).connect(auth={"dialect": "full"})
            assert (await full.call("join", {"name": name}))[1]["code"] == "forbidden", name
            await full.close()
            simple = await Client(server.url).connect()
            assert (await simple.call("join", name))[0] is False
            await simple.close()
        same = await Client(server.url).connect(auth={"dialect": "full"})
        assert (await same.joins(name="bob"))["you"]["id"] == bob.you["id"], "the same name is the same person"
        await same.close()
        await bob.close()
        twin = await Client(server.url).connect(auth={"dialect": "full"})
        await twin.joins(name="B0b")
        back = await Client(server.url).connect(auth={"dialect": "full", "token": token})
        await back.joins()
        await back.close()
        await twin.close()


async def test_secrets_and_tokens_are_in_no_log_and_in_no_database(
    place: Town, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    _, secret = await place.link()
    async with place.http.get(f"{place.server.url}/in/{secret}") as answer:
        assert answer.status == 200
    bob = await place.comes(secret, "Bob")
    await bob.ask("GET", "me")
    await refused(place.server.url, token=bob.token + "x")
    assert secret not in caplog.text
    assert bob.token[-40:] not in caplog.text
    stored = b"".join(path.read_bytes() for path in (place.server.house.database.folder).glob("chatzilla.db*"))
    assert secret.encode() not in stored

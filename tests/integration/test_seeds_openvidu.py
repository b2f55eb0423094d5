"""OpenVidu's doors: by its basic application, unchanged and as a process of its own, and by pages without it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from typing import TYPE_CHECKING, Any, Final

import pytest
import socketio.exceptions

from chatzilla.core.directory import Room, mint_private
from chatzilla.core.policy import Role
from chatzilla.core.rights import LASTS_SECONDS, CallRole
from chatzilla.core.rooms import Grade, Kind
from chatzilla.core.tries import TRIES
from chatzilla.errors import SignInNeeded
from tests.helpers import seeds
from tests.helpers.apps import running
from tests.helpers.callers import Caller, party
from tests.helpers.clients import Client
from tests.helpers.clock import ManualClock
from tests.helpers.doors import JUNK, KEY, SECRET, Doors, basic, doors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

BASIC_PYTHON: Final = """
import os
import requests
from flask import Flask, request
from flask_cors import CORS

app = Flask(__name__)
# Enable CORS support
cors = CORS(app, resources={r"/*": {"origins": "*"}})

# Load env variables
SERVER_PORT = os.environ.get("SERVER_PORT")
OPENVIDU_URL = os.environ.get("OPENVIDU_URL")
OPENVIDU_SECRET = os.environ.get("OPENVIDU_SECRET")


@app.route("/api/sessions", methods=['POST'])
def initializeSession():
    try:
        body = request.json if request.data else {}
        response = requests.post(
            OPENVIDU_URL + "openvidu/api/sessions",
            verify=False,
            auth=("OPENVIDUAPP", OPENVIDU_SECRET),
            headers={'Content-type': 'application/json'},
            json=body
        )
        response.raise_for_status()
        return response.json()["sessionId"]
    except requests.exceptions.HTTPError as err:
        if (err.response.status_code == 409):
            # Session already exists in OpenVidu
            return request.json["customSessionId"]
        else:
            return err


@app.route("/api/sessions/<sessionId>/connections", methods=['POST'])
def createConnection(sessionId):
    body = request.json if request.data else {}
    return requests.post(
        OPENVIDU_URL + "openvidu/api/sessions/" + sessionId + "/connection",
        verify=False,
        auth=("OPENVIDUAPP", OPENVIDU_SECRET),
        headers={'Content-type': 'application/json'},
        json=body
    ).json()["token"]


if __name__ == "__main__":
    app.run(debug=True, host="0.0.0.0", port=SERVER_PORT)
"""
"""`openvidu-basic-python`, as its document shows it."""


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Doors]:
    async with doors(tmp_path / "data") as found:
        yield found


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncIterator[Doors]:
    async with doors(tmp_path / "data", sign_in="links") as found:
        yield found


async def session_of(where: Doors, wanted: str = "SessionA") -> str:
    status, session = await where.post("/api/sessions", json={"customSessionId": wanted}, headers=basic())
    assert (status, session) == (200, wanted)
    return session


class TestTheBasicApplication:
    """Two people open its page: each asks the application for the session, and for a token to it."""

    async def test_it_runs_unchanged_with_its_url_pointing_here(self, house: Doors, tmp_path: Path) -> None:
        environ = {"SERVER_PORT": "0"} | seeds.environ("OpenVidu", house.server.url)
        async with running(tmp_path / "app", {"app.py": BASIC_PYTHON}, "app.py", environ=environ) as url:
            tokens = []
            for name in ("Ann", "Bob"):
                sessions = f"{url}/api/sessions"
                async with house.http.post(sessions, json={"customSessionId": "SessionA"}) as answer:
                    assert (answer.status, await answer.text()) == (200, "SessionA"), "new for Ann, there for Bob"
                wish = {"role": "SUBSCRIBER", "data": json.dumps({"clientData": name})} if name == "Bob" else {}
                async with house.http.post(f"{sessions}/SessionA/connections", json=wish) as answer:
                    assert answer.status == 200
                    tokens.append(await answer.text())
            async with house.http.post(f"{url}/api/sessions") as answer:
                new = await answer.text()
            async with house.http.post(f"{url}/api/sessions/{new}/connections") as answer:
                assert house.judged(await answer.text()).room == new
        ann, bob = (house.judged(token) for token in tokens)
        assert (ann.room, ann.role, ann.account.verified) == ("sessiona", CallRole.PUBLISHER, False)
        assert (bob.room, bob.role, bob.account.name) == ("sessiona", CallRole.SUBSCRIBER, "Bob")
        assert ann.account.id != bob.account.id
        assert (await house.enters_chat(tokens[1], "sessiona"))["name"] == "Bob"
        for token, role in zip(tokens, ("publisher", "subscriber"), strict=True):
            assert (await house.enters_call(token, "sessiona"))["role"] == role

    async def test_with_another_secret_it_is_refused(self, house: Doors, tmp_path: Path) -> None:
        environ = {"SERVER_PORT": "0"} | seeds.environ("OpenVidu", house.server.url) | {"OPENVIDU_SECRET": "MY_SECRET"}
        async with (
            running(tmp_path / "app", {"app.py": BASIC_PYTHON}, "app.py", environ=environ) as url,
            house.http.post(f"{url}/api/sessions", json={"customSessionId": "SessionA"}) as answer,
        ):
            assert answer.status == 500
        assert not house.server.house.bookings.all()


class TestPages:
    """What a page asks of that application, asked here directly."""

    async def test_a_session_and_a_token_are_bare_text(self, house: Doors) -> None:
        sessions = f"{house.server.url}/api/sessions"
        # Axios says this; the answer is text all the same.
        accept = {"Accept": "application/json, text/plain, */*"}
        async with house.http.post(sessions, json={"customSessionId": "SessionA"}, headers=accept) as answer:
            assert (answer.status, answer.content_type, await answer.text()) == (200, "text/plain", "SessionA")
            assert answer.headers["Cache-Control"] == "no-store"
        async with house.http.post(f"{sessions}/SessionA/connections", headers=accept) as answer:
            assert (answer.status, answer.content_type) == (200, "text/plain")
            right = house.judged(await answer.text())
        assert (right.room, right.role, right.account.kind) == ("sessiona", CallRole.PUBLISHER, "open")
        assert abs(right.ends_at / 1000 - time.time() - LASTS_SECONDS) < 60

    async def test_they_can_be_asked_as_the_document_says(self, house: Doors) -> None:
        make, connect, show, end = seeds.commands("OpenVidu", house.server.url)
        assert await seeds.run(make) == "SessionA"
        token = await seeds.run(connect)
        assert house.judged(token).room == "sessiona"
        (shown,) = json.loads(await seeds.run(show, CHATZILLA_API_SECRET=SECRET))["content"]
        assert shown["token"] == token
        assert await seeds.run(end, CHATZILLA_API_SECRET=SECRET) == ""
        with pytest.raises(SignInNeeded):
            house.judged(token)

    async def test_an_id_that_exists_is_answered_with_itself(self, house: Doors) -> None:
        for wanted in ("SessionA", "SessionA", "sessiona", "lobby"):
            assert await house.post("/api/sessions", json={"customSessionId": wanted}) == (200, wanted)

    async def test_without_an_id_each_session_is_a_new_one(self, house: Doors) -> None:
        bodies: list[dict[str, Any]] = [{}, {"json": {}}, {"json": {"customSessionId": ""}}, {"data": b""}]
        found = {await house.post("/api/sessions", **body) for body in bodies}
        assert len(found) == len(bodies)
        for status, session in found:
            assert status == 200
            status, token = await house.post(f"/api/sessions/{session}/connections")
            assert house.judged(token).room == session

    async def test_roles_come_in_either_case_and_data_comes_along(self, house: Doors) -> None:
        session = await session_of(house)
        for written, role in (
            ("SUBSCRIBER", CallRole.SUBSCRIBER),
            ("subscriber", CallRole.SUBSCRIBER),
            ("Publisher", CallRole.PUBLISHER),
            ("PUBLISHER", CallRole.PUBLISHER),
        ):
            wish = {"role": written, "data": "level=4"}
            _, token = await house.post(f"/api/sessions/{session}/connections", json=wish)
            right = house.judged(token)
            assert (right.role, right.data) == (role, "level=4")
            assert right.account.name.startswith("Guest ")

    async def test_a_moderator_needs_the_secret_always(self, house: Doors) -> None:
        session = await session_of(house)
        path, wish = f"/api/sessions/{session}/connections", {"role": "MODERATOR"}
        assert (await house.post(path, json=wish))[0] == 401
        wrong = basic(secret="o" * 40)
        assert (await house.post(path, json=wish, headers=wrong))[0] == 401
        assert (await house.post(path, json=wish, headers=basic("somebody")))[0] == 401
        for user in ("OPENVIDUAPP", KEY):
            status, token = await house.post(path, json=wish, headers=basic(user))
            assert (status, house.judged(token).role) == (200, CallRole.MODERATOR)

    async def test_without_a_secret_nobody_makes_a_moderator(self, tmp_path: Path) -> None:
        async with doors(tmp_path / "data", api_secret="") as house:
            assert await house.post("/api/sessions", json={"customSessionId": "a"}) == (200, "a")
            assert (await house.post("/api/sessions/a/connections", json={"role": "PUBLISHER"}))[0] == 200
            for secret in ("", "x", SECRET):
                auth = basic(secret=secret)
                path = "/api/sessions/a/connections"
                assert (await house.post(path, json={"role": "MODERATOR"}, headers=auth))[0] == 401
                assert (await house.post("/openvidu/api/sessions", headers=auth))[0] == 401

    async def test_a_session_that_nobody_asked_for_is_not_there(self, house: Doors) -> None:
        for unknown in ("nobody-asked", "My%20Room", "x" * 65, "%00", "a%2Fb"):
            assert (await house.post(f"/api/sessions/{unknown}/connections"))[0] == 404
        client = await Client(house.server.url).connect(auth={"dialect": "full"})
        await client.joins("garden", name="Ann")
        assert (await house.post("/api/sessions/garden/connections"))[0] == 404, "nothing was said there"
        await client.says("garden", "hello")
        assert (await house.post("/api/sessions/garden/connections"))[0] == 200
        assert (await house.post("/api/sessions/lobby/connections"))[0] == 200
        await client.close()

    @pytest.mark.parametrize("wrong", ["a b", "a/b", "é", "x" * 65, 5, [], " "])
    async def test_an_id_that_is_none_is_refused(self, house: Doors, wrong: object) -> None:
        status, words = await house.post("/api/sessions", data=json.dumps({"customSessionId": wrong}))
        assert (status, bool(json.loads(words)["detail"])) == (400, True)

    @pytest.mark.parametrize(
        "wish",
        [
            *({"role": role} for role in ("OWNER", "publisheronly", " ", "5")),
            {"role": 5},
            {"role": ["publisher"]},
            {"data": True},
            {"data": {}},
            *({"data": data} for data in ("\0", " ", "\ud800")),
        ],
    )
    async def test_a_wish_that_makes_no_sense_is_refused(self, house: Doors, wish: dict[str, object]) -> None:
        await session_of(house, "a")
        status, words = await house.post("/api/sessions/a/connections", data=json.dumps(wish))
        assert (status, bool(json.loads(words)["detail"])) == (400, True)

    async def test_bodies_are_bounded_and_json_or_nothing(self, house: Doors) -> None:
        await session_of(house, "a")
        for path in ("/api/sessions", "/api/sessions/a/connections"):
            for junk in JUNK:
                assert (await house.post(path, data=junk))[0] == 400
            assert (await house.post(path, data=b"x" * 20_000))[0] == 413
        assert (await house.post("/api/sessions/a/connections", json={"data": "x" * 1001}))[0] == 413
        assert (await house.post("/api/sessions/a/connections", json={"data": "\U0001f600" * 1000}))[0] == 400
        assert (await house.get("/api/sessions"))[0] == 405

    async def test_a_name_that_is_somebodys_here_is_refused(self, house: Doors) -> None:
        await house.enters("Alice")
        session = await session_of(house)
        path = f"/api/sessions/{session}/connections"
        status, words = await house.post(path, json={"data": '{"clientData": "Аlice"}'})
        assert (status, "looks like this one" in words) == (403, True)

    async def test_sessions_are_forgotten_with_the_last_right_to_them(self, tmp_path: Path) -> None:
        clock = ManualClock()
        async with doors(tmp_path / "data", clock=clock) as house:
            session = await session_of(house)
            clock.advance(LASTS_SECONDS - 1)
            assert (await house.post(f"/api/sessions/{session}/connections"))[0] == 200
            clock.advance(LASTS_SECONDS - 1)
            assert len(house.server.house.bookings.all()) == 1
            clock.advance(1)
            assert not house.server.house.bookings.all()
            assert (await house.post(f"/api/sessions/{session}/connections"))[0] == 404

    async def test_whoever_asks_too_fast_is_told_so_and_an_application_is_not(self, tmp_path: Path) -> None:
        clock = ManualClock()
        async with doors(tmp_path / "data", clock=clock, call_rate=1.0, call_burst=3) as house:
            assert [(await house.post("/api/sessions"))[0] for _ in range(4)] == [200, 200, 200, 429]
            assert [(await house.post("/api/sessions", headers=basic()))[0] for _ in range(4)] == [200] * 4
            clock.advance(1)
            assert (await house.post("/api/sessions"))[0] == 200


class TestAClosedServer:
    async def test_everything_needs_the_secret_or_a_sign_in(self, closed: Doors) -> None:
        for path in ("/api/sessions", "/api/sessions/lobby/connections"):
            assert (await closed.post(path))[0] == 401
            assert (await closed.post(path, headers={"Authorization": "Bearer nonsense"}))[0] == 401
            assert (await closed.post(path, headers=basic()))[0] == 200

    async def test_whoever_is_signed_in_gets_a_right_of_their_own(self, closed: Doors) -> None:
        alice = await closed.enters("Alice")
        headers = {"Authorization": f"Bearer {alice.token}"}
        assert await closed.post("/api/sessions", json={"customSessionId": "a"}, headers=headers) == (200, "a")
        path = "/api/sessions/a/connections"
        status, token = await closed.post(path, json={"data": '{"clientData": "Olga"}'}, headers=headers)
        right = closed.judged(token)
        assert (status, right.account.id, right.account.name) == (200, alice.id, "Alice")
        assert (await closed.post(path, json={"role": "MODERATOR"}, headers=headers))[0] == 401
        assert (await closed.enters_chat(token, "a"))["verified"] is True
        await alice.ask("POST", "sign-out", {})
        with pytest.raises(Exception, match="not valid any more"):
            closed.judged(token)

    async def test_a_guest_asks_for_their_own_room_alone(self, closed: Doors) -> None:
        guest = await closed.enters("Gert", Role.GUEST, "garden")
        headers = {"Authorization": f"Bearer {guest.token}"}
        for room, status in (("garden", 200), ("attic", 403)):
            assert (await closed.post("/api/sessions", json={"customSessionId": room}, headers=headers))[0] == status
            await session_of(closed, room)
            assert (await closed.post(f"/api/sessions/{room}/connections", headers=headers))[0] == status

    async def test_a_private_room_is_for_its_members_whoever_asks(self, closed: Doors) -> None:
        """Nobody else learns that it is there, an application neither; a member's right opens it."""
        alice, bob = await closed.enters("Alice"), await closed.enters("Bob")
        room = mint_private()
        grades = {alice.id: Grade.MODERATE}
        closed.server.house.directory.keep(Room(room, "Secret", Kind.PRIVATE, grades=grades))
        own, others = ({"Authorization": f"Bearer {person.token}"} for person in (alice, bob))
        body = {"customSessionId": room}
        for headers in (others, basic()):
            assert (await closed.post("/api/sessions", json=body, headers=headers))[0] == 404
            assert (await closed.post(f"/api/sessions/{room}/connections", headers=headers))[0] == 404
            login = {"username": "Bob", "room": room}
            assert (await closed.post("/login", json=login, headers=headers))[0] == 404
        assert await closed.post("/api/sessions", json=body, headers=own) == (200, room)
        assert (await closed.get(f"/openvidu/api/sessions/{room}", headers=basic()))[0] == 404
        listed = json.loads((await closed.get("/openvidu/api/sessions", headers=basic()))[1])
        assert listed == {"numberOfElements": 0, "content": []}
        for wanted in ("PUBLISHER", "SUBSCRIBER"):
            path = f"/api/sessions/{room}/connections"
            status, token = await closed.post(path, json={"role": wanted}, headers=own)
            assert status == 200
            assert (await closed.enters_chat(token, room))["id"] == alice.id
        closed.server.house.directory.keep(Room(room, "Secret", Kind.PRIVATE, grades={bob.id: Grade.MODERATE}))
        client = await Client(closed.server.url).connect(auth={"dialect": "full", "token": token})
        assert (await client.call("join", {"room": room}))[0] is False, "a right lets nobody in who was removed"
        await client.close()

    async def test_a_page_elsewhere_cannot_use_somebodys_cookie(self, closed: Doors) -> None:
        alice = await closed.enters("Alice")
        cookie = {"Cookie": f"chatzilla-session-{closed.server.url.rpartition(':')[2]}={alice.token}"}
        origin = {"Origin": closed.server.url}
        assert (await closed.post("/api/sessions", headers=cookie | origin))[0] == 200
        for evil in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {}):
            assert (await closed.post("/api/sessions", headers=cookie | evil))[0] == 401

    async def test_guesses_of_the_secret_are_counted_and_the_secret_itself_passes(self, closed: Doors) -> None:
        wrong = basic(secret="o" * 40)
        told = [(await closed.post("/api/sessions", headers=wrong))[0] for _ in range(22)]
        assert told == [401] * 20 + [429] * 2
        assert (await closed.post("/api/sessions", headers=basic()))[0] == 200


class TestTheRestApi:
    async def test_a_session_that_exists_is_a_conflict(self, house: Doors) -> None:
        body = {"customSessionId": "SessionA"}
        status, text = await house.post("/openvidu/api/sessions", json=body, headers=basic())
        assert status == 200
        made = json.loads(text)
        assert made["sessionId"] == made["id"] == made["customSessionId"] == "SessionA"
        assert (await house.post("/openvidu/api/sessions", json=body, headers=basic()))[0] == 409
        assert (await house.post("/openvidu/api/sessions", json={"customSessionId": "a b"}, headers=basic()))[0] == 400
        assert made["connections"] == {"numberOfElements": 0, "content": []}
        assert json.loads((await house.get("/openvidu/api/sessions/SessionA", headers=basic()))[1]) == made
        assert (await house.get("/openvidu/api/sessions/unknown", headers=basic()))[0] == 404
        listed = json.loads((await house.get("/openvidu/api/sessions", headers=basic()))[1])
        assert listed == {"numberOfElements": 1, "content": [made]}

    async def test_a_connection_carries_its_token(self, house: Doors) -> None:
        await session_of(house)
        path = "/openvidu/api/sessions/SessionA/connection"
        wish = {"type": "WEBRTC", "role": "MODERATOR", "data": "Olga", "record": True}
        status, text = await house.post(path, json=wish, headers=basic())
        made = json.loads(text)
        right = house.judged(made["token"])
        assert (status, made["role"], made["serverData"], made["id"]) == (200, "MODERATOR", "Olga", right.id)
        assert (right.role, right.account.name, right.account.kind) == (CallRole.MODERATOR, "Olga", "app")
        assert (await house.post(path, json={"type": "IPCAM"}, headers=basic()))[0] == 400
        unknown = "/openvidu/api/sessions/unknown/connection"
        assert (await house.post(unknown, json=wish, headers=basic()))[0] == 404

    async def test_all_of_it_needs_the_secret_on_an_open_server_too(self, house: Doors) -> None:
        await session_of(house, "a")
        for method, path in (
            ("POST", "/openvidu/api/sessions"),
            ("GET", "/openvidu/api/sessions"),
            ("GET", "/openvidu/api/sessions/a"),
            ("DELETE", "/openvidu/api/sessions/a"),
            ("POST", "/openvidu/api/sessions/a/connection"),
            ("GET", "/openvidu/api/sessions/a/connection"),
            ("GET", "/openvidu/api/sessions/a/connection/x"),
            ("DELETE", "/openvidu/api/sessions/a/connection/x"),
        ):
            for headers in ({}, {"Authorization": "Basic %%%"}, {"Authorization": "x"}):
                async with house.http.request(method, house.server.url + path, headers=headers) as answer:
                    assert answer.status == 401
                    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")

    async def test_who_first_asks_without_the_secret_and_then_with_it_may_do_so_for_ever(self, house: Doors) -> None:
        """As clients do that wait to be asked for it (RFC 7617); only a wrong secret is a guess."""
        url = f"{house.server.url}/openvidu/api/sessions"
        for _ in range(TRIES + 5):
            async with house.http.get(url) as answer:
                assert (answer.status, answer.headers["WWW-Authenticate"].partition(" ")[0]) == (401, "Basic")
            async with house.http.get(url, headers=basic()) as answer:
                assert answer.status == 200


class Upstream:
    """OpenVidu's REST API, as an application asks it."""

    def __init__(self, house: Doors) -> None:
        self._house = house

    async def ask(self, method: str, path: str = "", body: object = None) -> tuple[int, Any]:
        url = f"{self._house.server.url}/openvidu/api/sessions{path}"
        async with self._house.http.request(method, url, json=body, headers=basic()) as answer:
            text = await answer.text()
            assert answer.headers["Cache-Control"] == "no-store"
            return answer.status, json.loads(text) if text else None

    async def connection(self, session: str = "SessionA", **wish: str) -> dict[str, Any]:
        status, made = await self.ask("POST", f"/{session}/connection", wish)
        assert status == 200
        return dict(made)


class TestEnds:
    """Sessions and connections that are listed and ended."""

    async def test_a_connection_is_pending_until_somebody_is_there_by_it(self, house: Doors) -> None:
        api = Upstream(house)
        await api.ask("POST", body={"customSessionId": "SessionA"})
        await api.ask("POST", body={"customSessionId": "SessionB"})
        ann, bob = await api.connection(data="Ann"), await api.connection(data="Bob", role="SUBSCRIBER")
        other = await api.connection("SessionB")
        assert await api.ask("GET", "/SessionA/connection") == (200, {"numberOfElements": 2, "content": [ann, bob]})
        assert (ann["status"], ann["object"], ann["sessionId"]) == ("pending", "connection", "SessionA")
        client = await Client(house.server.url).connect(auth={"dialect": "full", "token": ann["token"]})
        await client.joins("sessiona")
        assert await api.ask("GET", f"/SessionA/connection/{ann['id']}") == (200, ann | {"status": "active"})
        assert (await api.ask("GET", f"/SessionA/connection/{bob['id']}"))[1]["status"] == "pending"
        assert (await api.ask("GET", f"/SessionA/connection/{other['id']}"))[0] == 404
        session = (await api.ask("GET", "/SessionA"))[1]
        assert [each["status"] for each in session["connections"]["content"]] == ["active", "pending"]
        await client.close()
        async with asyncio.timeout(10):
            while (await api.ask("GET", f"/SessionA/connection/{ann['id']}"))[1]["status"] == "active":
                await asyncio.sleep(0)

    async def test_who_came_by_a_connection_that_is_ended_is_out_and_stays_out(self, house: Doors) -> None:
        """On the chat and in the call; others of the same name, and their own way in anew, are not concerned."""
        api = Upstream(house)
        await api.ask("POST", body={"customSessionId": "SessionA"})
        ann, twin = await api.connection(data="Ann"), await api.connection(data="Ann")
        on_chat = await Client(house.server.url).connect(auth={"dialect": "full", "token": ann["token"]})
        await on_chat.joins("sessiona")
        async with party(house.server) as calls:
            callers = [await calls.connect(token=each["token"]) for each in (ann, twin)]
            for caller in callers:
                await caller.joins("sessiona")
            assert await api.ask("DELETE", f"/SessionA/connection/{ann['id']}") == (204, None)
            assert await on_chat.hears("goodbye") == {
                "code": "forbidden",
                "message": "You were removed from this room.",
                "reconnect": False,
            }
            assert (await callers[0].hears("ended"))["reason"] == "kicked"
            assert (await callers[0].hears("goodbye"))["code"] == "forbidden"
            left = await callers[1].hears_of("left")
            assert (left["id"], left["reason"]) == (callers[0].id, "kicked")
            for resume in ({}, {"resume": callers[0].resume}):
                assert await Caller(house.server.url).refused(token=ann["token"], **resume) == "sign-in"
        with pytest.raises(socketio.exceptions.ConnectionError):
            await Client(house.server.url).connect(auth={"dialect": "full", "token": ann["token"]})
        status, refusal = await api.ask("DELETE", f"/SessionA/connection/{ann['id']}")
        assert (status, refusal["code"]) == (404, "not-found")
        assert house.judged(twin["token"]).account.name == "Ann"
        assert house.judged((await api.connection(data="Ann"))["token"]).account.name == "Ann"
        await on_chat.close()

    async def test_a_session_that_is_closed_is_over_for_everybody(self, house: Doors) -> None:
        """Its call, every token, used or not; and it can be made again, for tokens that hold."""
        api = Upstream(house)
        await api.ask("POST", body={"customSessionId": "SessionA"})
        ann, unused = await api.connection(data="Ann"), await api.connection()
        member = await Client(house.server.url).connect(auth={"dialect": "full"})
        me = await member.joins("sessiona", name="Mia")
        client = await Client(house.server.url).connect(auth={"dialect": "full", "token": ann["token"]})
        await client.joins("sessiona")
        await client.says("sessiona", "hello")
        async with party(house.server) as calls:
            caller, mia = await calls.connect(token=ann["token"]), await calls.connect(token=me["you"]["token"])
            for each in (caller, mia):
                await each.joins("sessiona")
            assert await api.ask("DELETE", "/SessionA") == (204, None)
            assert (await caller.hears("ended"))["reason"] == "kicked"
            assert (await mia.hears("ended"))["reason"] == "ended"
        assert (await client.hears("goodbye"))["code"] == "forbidden"
        for made in (ann, unused):
            with pytest.raises(SignInNeeded):
                house.judged(made["token"])
        assert (await member.hears("message"))["content"] == "hello", "what was said stays, and so does Mia"
        for method, path, status in (
            ("GET", "/SessionA", 404),
            ("DELETE", "/SessionA", 404),
            ("GET", "/SessionA/connection", 404),
            ("POST", "/SessionA/connection", 404),
            ("GET", f"/SessionA/connection/{ann['id']}", 400),
            ("DELETE", f"/SessionA/connection/{ann['id']}", 400),
        ):
            assert (await api.ask(method, path))[0] == status, (method, path)
        assert (await api.ask("GET"))[1] == {"numberOfElements": 0, "content": []}
        assert (await api.ask("POST", body={"customSessionId": "SessionA"}))[0] == 200, "and no conflict"
        anew = await api.connection(data="Ann")
        assert (await house.enters_chat(anew["token"], "sessiona"))["name"] == "Ann"
        await client.close()
        await member.close()

    async def test_what_was_ended_stays_ended_over_a_restart(self, tmp_path: Path) -> None:
        """And whoever is there by a token that was handed out before the start can be put out all the same."""
        clock = ManualClock()
        tokens = {}
        async with doors(tmp_path / "data", clock=clock) as house:
            api = Upstream(house)
            for session in ("one", "two"):
                await api.ask("POST", body={"customSessionId": session})
            kept, ended, closed = [await api.connection(each) for each in ("one", "one", "two")]
            await api.ask("DELETE", f"/one/connection/{ended['id']}")
            await api.ask("DELETE", "/two")
            tokens = {"kept": kept["token"], "ended": ended["token"], "closed": closed["token"]}
        async with doors(tmp_path / "data", clock=clock) as house:
            api = Upstream(house)
            for gone in ("ended", "closed"):
                with pytest.raises(SignInNeeded):
                    house.judged(tokens[gone])
            assert (await api.ask("GET", f"/one/connection/{kept['id']}"))[0] == 400, "the booking is forgotten"
            await api.ask("POST", body={"customSessionId": "one"})
            assert (await api.ask("GET", f"/one/connection/{kept['id']}"))[0] == 404
            client = await Client(house.server.url).connect(auth={"dialect": "full", "token": tokens["kept"]})
            await client.joins("one")
            assert (await api.ask("GET", f"/one/connection/{kept['id']}")) == (200, kept | {"status": "active"})
            assert (await api.ask("DELETE", f"/one/connection/{kept['id']}"))[0] == 204
            assert (await client.hears("goodbye"))["code"] == "forbidden"
            with pytest.raises(SignInNeeded):
                house.judged(tokens["kept"])
            await client.close()

    async def test_what_cannot_be_stored_is_not_ended(self, house: Doors) -> None:
        """A database that is locked: nothing is half done, and it is said when to try again."""
        api = Upstream(house)
        await api.ask("POST", body={"customSessionId": "SessionA"})
        made = await api.connection()
        locking = sqlite3.connect(house.server.house.database.path, isolation_level=None)
        locking.execute("BEGIN IMMEDIATE")
        try:
            for path in ("/SessionA", f"/SessionA/connection/{made['id']}"):
                url = f"{house.server.url}/openvidu/api/sessions{path}"
                async with house.http.delete(url, headers=basic()) as answer:
                    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        finally:
            locking.execute("ROLLBACK")
            locking.close()
        assert house.judged(made["token"]).id == made["id"]
        assert (await api.ask("DELETE", "/SessionA"))[0] == 204


class TestPagesElsewhere:
    APP: Final = "https://app.example.com"

    @pytest.fixture
    async def shared(self, tmp_path: Path) -> AsyncIterator[Doors]:
        async with doors(tmp_path / "data", cors_origins=(self.APP,)) as found:
            yield found

    async def test_an_origin_that_was_named_may_ask_and_read(self, shared: Doors) -> None:
        for path in ("/api/sessions", "/api/sessions/a/connections", "/login", "/chat"):
            asking = {
                "Origin": self.APP,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "content-type",
            }
            async with shared.http.options(shared.server.url + path, headers=asking) as answer:
                assert answer.status == 204
                assert answer.headers["Access-Control-Allow-Origin"] == self.APP
                assert answer.headers["Access-Control-Allow-Methods"] == "POST"
                assert "content-type" in answer.headers["Access-Control-Allow-Headers"].lower()
            async with shared.http.post(shared.server.url + path, headers={"Origin": self.APP}) as answer:
                assert answer.headers["Access-Control-Allow-Origin"] == self.APP, "refusals too can be read"
                assert "Origin" in answer.headers.getall("Vary")
                assert "Access-Control-Allow-Credentials" not in answer.headers

    async def test_no_other_origin_may(self, shared: Doors) -> None:
        for origin in (
            "https://evil.example",
            "null",
            "http://app.example.com",
            f"{self.APP}:8443",
            f"{self.APP}.evil",
        ):
            for method in ("OPTIONS", "POST"):
                url = f"{shared.server.url}/api/sessions"
                async with shared.http.request(method, url, headers={"Origin": origin}) as answer:
                    assert "Access-Control-Allow-Origin" not in answer.headers
        for path in ("/api/v1/me", "/openvidu/api/sessions", "/"):
            async with shared.http.get(shared.server.url + path, headers={"Origin": self.APP}) as answer:
                assert "Access-Control-Allow-Origin" not in answer.headers

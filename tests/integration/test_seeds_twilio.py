"""The Flask and Twilio tutorial's door: its page's own request, and the tokens of its official helper."""

from __future__ import annotations

import json
import time
import warnings
from typing import TYPE_CHECKING, Final

import pytest

from chatzilla.core.rights import LASTS_SECONDS, CallRole, room_of
from chatzilla.errors import ChatError
from tests.helpers import seeds
from tests.helpers.apps import running
from tests.helpers.doors import JUNK, KEY, SECRET, Doors, basic, doors

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns of its own parts
    from twilio.jwt.access_token import AccessToken
    from twilio.jwt.access_token.grants import ChatGrant, VideoGrant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ROUTES: Final = """
from flask import Flask, request, abort
from twilio.jwt.access_token import AccessToken
from twilio.jwt.access_token.grants import VideoGrant
import os

app = Flask(__name__)
for name in ('TWILIO_ACCOUNT_SID', 'TWILIO_API_KEY_SID', 'TWILIO_API_KEY_SECRET'):
    app.config[name] = os.environ.get(name)

@app.route('/login', methods=['POST'])
def login():
    username = request.get_json(force=True).get('username')
    if not username:
        abort(401)
    token = AccessToken(
        app.config['TWILIO_ACCOUNT_SID'],
        app.config['TWILIO_API_KEY_SID'],
        app.config['TWILIO_API_KEY_SECRET'],
        identity=username
    )
    token.add_grant(VideoGrant(room='My Room'))
    return {'token': token.to_jwt()}
"""
"""The tutorial's server. Its `.decode()` is gone: the helper of today gives text."""


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Doors]:
    async with doors(tmp_path / "data") as found:
        yield found


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncIterator[Doors]:
    async with doors(tmp_path / "data", sign_in="links") as found:
        yield found


async def token_of(where: Doors, body: object, **options: dict[str, str]) -> str:
    """Ask as the tutorial's page does: `fetch('/login', {method: 'POST', body: JSON.stringify(…)})`."""
    headers = {"Content-Type": "text/plain;charset=UTF-8"} | options.get("headers", {})
    status, text = await where.post("/login", data=json.dumps(body), headers=headers)
    assert status == 200, text
    assert json.loads(text).keys() == {"token"}
    return str(json.loads(text)["token"])


class TestTheHelper:
    @pytest.mark.parametrize("mode", ["open", "links"])
    async def test_the_tutorials_own_server_lets_people_into_its_room(self, tmp_path: Path, mode: str) -> None:
        command = ("-m", "flask", "--app", "routes.py", "run", "--port", "0")
        async with (
            doors(tmp_path / "data", sign_in=mode) as house,
            running(
                tmp_path / "app",
                {"routes.py": ROUTES},
                *command,
                environ=seeds.environ("Flask and Twilio", house.server.url),
            ) as url,
        ):
            rights = []
            for name in ("ann", "bob"):
                async with house.http.post(f"{url}/login", data=json.dumps({"username": name})) as answer:
                    rights.append(house.judged((await answer.json())["token"]))
            assert [right.account.name for right in rights] == ["ann", "bob"]
            assert {(right.room, right.role) for right in rights} == {("my-room", CallRole.PUBLISHER)}
            assert (await house.enters_chat(rights[0].token, "my-room"))["name"] == "ann"
            assert (await house.enters_call(rights[1].token, "my-room"))["name"] == "bob"
            async with house.http.post(f"{url}/login", data=json.dumps({"username": ""})) as answer:
                assert answer.status == 401

    async def test_other_grants_and_other_secrets_let_nobody_in(self, house: Doors) -> None:
        chat = AccessToken("AC0", KEY, SECRET, identity="ann")
        chat.add_grant(ChatGrant(service_sid="IS0"))
        forged = AccessToken("AC0", KEY, "o" * 40, identity="ann", grants=[VideoGrant(room="My Room")])
        stranger = AccessToken("AC0", "SK1", SECRET, identity="ann", grants=[VideoGrant(room="My Room")])
        for token in (chat, forged, stranger):
            with pytest.raises(ChatError):
                house.judged(token.to_jwt())

    async def test_over_http_such_a_token_is_nobodys(self, house: Doors) -> None:
        token = AccessToken("AC0", KEY, SECRET, identity="ann", grants=[VideoGrant(room="lobby")]).to_jwt()
        headers = {"Authorization": f"Bearer {token}"}
        assert (await house.get("/api/v1/me", headers=headers))[0] == 401
        assert (await house.post("/chat", data="hello", headers=headers))[0] == 401
        assert (await house.post("/login", json={"username": "ann"}, headers=headers))[0] == 401


class TestLogin:
    async def test_a_name_is_answered_with_a_token(self, house: Doors) -> None:
        right = house.judged(await token_of(house, {"username": " Ann "}))
        assert (right.account.name, right.account.verified, right.room) == ("Ann", False, "lobby")
        assert right.role is CallRole.PUBLISHER
        assert abs(right.ends_at / 1000 - time.time() - LASTS_SECONDS) < 60
        assert (await house.enters_chat(right.token, "lobby"))["name"] == "Ann"

    async def test_it_can_be_asked_as_the_document_says(self, house: Doors) -> None:
        (command,) = seeds.commands("Flask and Twilio", house.server.url)
        assert house.judged(json.loads(await seeds.run(command))["token"]).account.name == "ann"

    async def test_a_room_may_be_named(self, house: Doors) -> None:
        for named, room in (("Garden", "garden"), ("My Room", room_of("My Room"))):
            assert house.judged(await token_of(house, {"username": "Ann", "room": named})).room == room

    @pytest.mark.parametrize("body", [{}, {"username": ""}, {"username": None}, {"username": "  "}, {"user": "x"}])
    async def test_nobody_is_answered_with_401(self, house: Doors, body: dict[str, object]) -> None:
        assert (await house.post("/login", json=body))[0] == 401

    @pytest.mark.parametrize("junk", [b"", *JUNK])
    async def test_what_is_no_json_object_is_answered_with_400(self, house: Doors, junk: bytes) -> None:
        status, text = await house.post("/login", data=junk)
        assert (status, bool(json.loads(text)["detail"])) == (400, True)

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            ({"username": 5}, 400),
            ({"username": ["Ann"]}, 400),
            ({"username": "two\nlines"}, 400),
            ({"username": "\u200b"}, 400),
            ({"username": "x" * 255}, 413),
            ({"username": "x" * 20_000}, 413),
            ({"username": "Ann", "room": 5}, 400),
            ({"username": "Ann", "room": " "}, 400),
            ({"username": "Ann", "room": "x" * 256}, 413),
        ],
    )
    async def test_what_is_no_name_is_refused(self, house: Doors, body: dict[str, object], status: int) -> None:
        assert (await house.post("/login", json=body))[0] == status

    async def test_a_name_that_is_somebodys_here_is_refused(self, house: Doors) -> None:
        await house.enters("Alice")
        assert (await house.post("/login", json={"username": "A1ice"}))[0] == 403

    async def test_on_a_closed_server_it_needs_a_sign_in(self, closed: Doors) -> None:
        alice = await closed.enters("Alice")
        own = {"Authorization": f"Bearer {alice.token}"}
        assert (await closed.post("/login", json={"username": "Alice"}))[0] == 401
        right = closed.judged(await token_of(closed, {"username": "alice"}, headers=own))
        assert (right.account.id, right.account.name, right.account.verified) == (alice.id, "Alice", True)
        assert (await closed.post("/login", json={"username": "Bob"}, headers=own))[0] == 403
        app = closed.judged(await token_of(closed, {"username": "Bob", "room": "garden"}, headers=basic()))
        assert (app.account.name, app.account.verified) == ("Bob", False)

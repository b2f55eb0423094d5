"""OpenTok's door: its official SDK makes sessions here, and what it signs by itself is judged here."""

from __future__ import annotations

import asyncio
import json
import re
import time
import warnings
from typing import TYPE_CHECKING, Any, Final

import pytest

from chatzilla.core.rights import CallRole, room_of
from chatzilla.errors import ChatError
from tests.helpers import seeds
from tests.helpers.apps import running
from tests.helpers.clock import TodaysClock
from tests.helpers.doors import KEY, SECRET, Doors, doors

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns of its own parts
    from opentok import ArchiveModes, Client, MediaModes, Roles
    from opentok.exceptions import AuthError, OpenTokException, RequestError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HELLO_WORLD: Final = {
    "helloworld.py": """
from flask import Flask, render_template
from opentok import OpenTok
import os

api_key = os.environ["API_KEY"]
api_secret = os.environ["API_SECRET"]

app = Flask(__name__)
CLIENT
session = opentok.create_session()

@app.route("/")
def hello():
    key = api_key
    session_id = session.session_id
    token = opentok.generate_token(session_id)
    return render_template('index.html', api_key=key, session_id=session_id, token=token)

if __name__ == "__main__":
    app.run(port=0)
""",
    "templates/index.html": "{{ api_key }} {{ session_id }} {{ token }}",
}
"""The sample as its document shows it, on a free port; `CLIENT` is the one line that names this server."""


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Doors]:
    async with doors(tmp_path / "data") as found:
        yield found


def sdk(where: Doors, secret: str = SECRET, key: str = KEY) -> Client:
    return Client(key, secret, api_url=where.server.url)


async def make_session(client: Client, **options: Any) -> str:
    """The SDK waits for its answer, so it has a thread of its own."""
    return str((await asyncio.to_thread(client.create_session, **options)).session_id)


@pytest.mark.parametrize("mode", ["open", "links"])
async def test_the_sample_makes_one_session_and_a_fresh_token_for_each_page_view(tmp_path: Path, mode: str) -> None:
    async with doors(tmp_path / "data", sign_in=mode) as house:
        (line,) = seeds.blocks("OpenTok", "python")
        client = line.replace("http://127.0.0.1:5000", house.server.url)
        files = {name: text.replace("CLIENT", client) for name, text in HELLO_WORLD.items()}
        environ = seeds.environ("OpenTok", house.server.url)
        async with running(tmp_path / "app", files, "helloworld.py", environ=environ) as url:
            views = []
            for _ in range(3):
                async with house.http.get(url) as page:
                    views.append((await page.text()).split())
        assert {key for key, _, _ in views} == {KEY}
        (session,) = {session for _, session, _ in views}
        rights = [house.judged(token) for _, _, token in views]
        assert {(right.room, right.role) for right in rights} == {(room_of(session), CallRole.PUBLISHER)}
        assert len({right.id for right in rights}) == len({right.account.id for right in rights}) == 3
        for right in rights:
            you = await house.enters_chat(right.token, room_of(session))
            assert re.fullmatch(r"Guest \w{6}", you["name"])
            assert (await house.enters_call(right.token, room_of(session)))["role"] == "publisher"


async def test_sessions_of_the_sdk_are_rooms_of_their_own(house: Doors) -> None:
    client = sdk(house)
    first, second = await make_session(client), await make_session(client, media_mode=MediaModes.routed)
    assert room_of(first) != room_of(second)
    assert house.judged(client.generate_token(first)).room == room_of(first)


@pytest.mark.parametrize("use_jwt", [True, False], ids=["jwt", "T1"])
async def test_what_the_sdk_signs_is_accepted_with_role_end_and_data(house: Doors, use_jwt: bool) -> None:
    client = sdk(house)
    session = await make_session(client)
    end = int(time.time()) + 3600
    for role, allowed in (
        (Roles.subscriber, CallRole.SUBSCRIBER),
        (Roles.publisher, CallRole.PUBLISHER),
        (Roles.moderator, CallRole.MODERATOR),
    ):
        token = client.generate_token(session, role, end, data="name=Ann,level=4", use_jwt=use_jwt)
        right = house.judged(token)
        assert (right.role, right.ends_at, right.data) == (allowed, end * 1000, "name=Ann,level=4")
    assert (await house.enters_chat(token, room_of(session)))["name"] == "Ann"


@pytest.mark.parametrize("use_jwt", [True, False], ids=["jwt", "T1"])
async def test_what_others_sign_and_what_is_over_is_not(tmp_path: Path, use_jwt: bool) -> None:
    clock = TodaysClock()
    async with doors(tmp_path / "data", clock=clock) as house:
        session = await make_session(sdk(house))
        with pytest.raises(ChatError):
            house.judged(sdk(house, "o" * 40).generate_token(session, use_jwt=use_jwt))
        token = sdk(house).generate_token(session, use_jwt=use_jwt, expire_time=clock.seconds + 60)
        house.judged(token)
        clock.advance(60)
        with pytest.raises(ChatError):
            house.judged(token)


async def test_another_key_or_secret_makes_no_sessions(house: Doors) -> None:
    for stranger in (sdk(house, "o" * 40), sdk(house, key="99")):
        with pytest.raises(RequestError, match="invalid credentials"):
            await make_session(stranger)
    async with house.http.post(f"{house.server.url}/session/create") as answer:
        assert answer.status == 403
    token = sdk(house).generate_token(await make_session(sdk(house)))
    async with house.http.post(f"{house.server.url}/session/create", headers={"X-OPENTOK-AUTH": token}) as answer:
        assert answer.status == 403, "the token of a session is no signature of a request"


async def test_without_a_secret_there_are_no_applications(tmp_path: Path) -> None:
    async with doors(tmp_path / "data", api_secret="") as house:
        with pytest.raises(RequestError, match="invalid credentials"):
            await make_session(sdk(house))


async def test_guesses_are_counted(house: Doors) -> None:
    url = f"{house.server.url}/session/create"
    told = []
    for n in range(22):
        async with house.http.post(url, headers={"X-TB-PARTNER-AUTH": f"{KEY}:guess{n}"}) as answer:
            told.append(answer.status)
    assert told == [403] * 20 + [429] * 2
    assert await make_session(sdk(house))


async def test_what_there_is_not_here_is_refused(house: Doors) -> None:
    """Recording, and end-to-end encryption that we could not promise."""
    for options in ({"archive_mode": ArchiveModes.always, "media_mode": MediaModes.routed}, {"e2ee": True}):
        with pytest.raises(OpenTokException):
            await make_session(sdk(house), **options)
    headers = {"X-OPENTOK-AUTH": sdk(house).get_headers()["X-OPENTOK-AUTH"]}
    url = f"{house.server.url}/session/create"
    for body, status in (("archiveMode=always", 400), ("a=1&" * 30 + "b=1", 400), ("a=" + "x" * 20_000, 413)):
        form = headers | {"Content-Type": "application/x-www-form-urlencoded"}
        async with house.http.post(url, data=body, headers=form) as answer:
            assert answer.status == status
    async with house.http.post(url, data=b"{}", headers=headers | {"Content-Type": "application/json"}) as answer:
        assert answer.status == 415


async def test_older_sdks_show_the_secret_itself_and_read_xml(house: Doors) -> None:
    headers = {"X-TB-PARTNER-AUTH": f"{KEY}:{SECRET}"}
    async with house.http.post(f"{house.server.url}/session/create", headers=headers) as answer:
        assert (answer.status, answer.content_type) == (200, "application/xml")
        found = re.search(r"<session_id>(.+)</session_id>", await answer.text())
    assert found is not None
    assert house.judged(sdk(house).generate_token(found[1])).room == room_of(found[1])


async def test_the_answer_is_what_the_sdk_looks_for(house: Doors) -> None:
    headers = sdk(house).get_headers()
    async with house.http.post(f"{house.server.url}/session/create", headers=headers) as answer:
        assert answer.headers["Content-Type"] == "application/json", "with nothing behind it"
        (made,) = json.loads(await answer.text())
    assert made["session_id"].startswith("2_")
    assert len(made["session_id"]) <= 255
    assert issubclass(AuthError, OpenTokException)

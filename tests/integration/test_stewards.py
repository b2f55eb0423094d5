"""The operator keeps order by commands: through the running server, so that it holds at once, or on its folder."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from chatzilla.core.policy import Role
from chatzilla.core.rooms import RoomId
from tests.helpers.clients import Client
from tests.helpers.people import town
from tests.helpers.servers import serving
from tests.unit.test_cli import Done, chatzilla

if TYPE_CHECKING:
    from pathlib import Path


def run(folder: Path, *arguments: str) -> Done:
    return chatzilla(*arguments, "--data", folder, cwd=folder.parent)


async def operate(folder: Path, *arguments: str) -> list[str]:
    """Run a command that has to work, while this loop serves; returns its lines."""
    done = await asyncio.to_thread(run, folder, *arguments)
    assert done.returncode == 0, done
    return done.stdout.splitlines()


async def refused(folder: Path, *arguments: str) -> str:
    """Run a command that has to be refused in one line."""
    done = await asyncio.to_thread(run, folder, *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    return done.stderr


async def test_on_an_open_server_the_operator_turns_people_out(tmp_path: Path) -> None:
    """Nobody has a role there. Whoever is kicked or banned hears nothing once the command has ended."""
    data = tmp_path / "data"
    async with serving(data) as server:

        async def comes(name: str, room: str = "garden", transport: str = "websocket") -> Client:
            client = await Client(server.url).connect(auth={"dialect": "full"}, transports=(transport,))
            await client.joins(room, name=name)
            return client

        alice = await comes("alice")
        eve = [await comes("Eve"), await comes("Eve", transport="polling")]
        await eve[0].says("garden", "rude")
        await alice.fence()
        lines = await operate(data, "people")
        assert [line.split(" ")[0] for line in lines] == ["alice", "Eve"]
        assert "in garden; from 127.0.0.1" in lines[1]

        assert "2 of their connections" in (await operate(data, "kick", "garden", "Eve"))[0]
        await alice.says("garden", "quiet")
        for each in eve:
            await each.fence()
            assert "quiet" not in [message["content"] for message in each.heard()]
        assert "nobody like that" in await refused(data, "kick", "garden", "Eve")
        assert "nobody like that" in (words := await refused(data, "kick", "garden", "nobody"))
        assert "not yours" not in words, "everything is the operator's to do"
        assert "--address" in await refused(data, "ban")

        assert await operate(data, "purge", "Eve", "--room", "garden") == ["Deleted messages: 1."]
        assert (await alice.hears())["content"] == "rude"
        assert (await alice.hears())["removed"] is True

        for command in ("lock", "unlock"):
            assert "no such room yet" in await refused(data, command, "gardne")
        assert server.house.directory.get(RoomId("gardne")) is None
        await operate(data, "lock", "garden")
        refusal = await alice.call("message", {"room": "garden", "client_id": "x", "content": "but"})
        assert (refusal[0], refusal[1]["code"]) == (False, "forbidden")
        await operate(data, "unlock", "garden")
        await alice.says("garden", "good")

        lines = await operate(data, "ban", "eve", "--room", "garden", "--hours", "1.5")
        ident = lines[0].split(" ")[0]
        assert "as 127.0.0.1: banned in garden until" in lines[0]
        assert "Everybody unverified" in lines[1]
        assert (await eve[0].call("join", {"room": "garden"}))[1]["code"] == "forbidden"
        assert await operate(data, "bans") == lines[:1]
        assert ident in (await operate(data, "unban", ident))[0]
        assert await operate(data, "bans") == ["Nobody is banned."]
        await eve[0].joins("garden")

        await operate(data, "ban", "--address", "127.0.0.1")
        for each in (alice, *eve):
            assert (await each.hears("goodbye"))["code"] == "forbidden"
            await asyncio.wait_for(each.gone.wait(), 5)
        assert "no address" in await refused(data, "ban", "Eve")

        lines = await operate(data, "audit")
        assert [re.split(r"  +", line)[3] for line in lines] == [
            "ban", "unban", "ban", "unlock", "lock", "purge", "kick",
        ]  # fmt: skip
        assert all("the operator" in line for line in lines)
        first = lines[-1].split(" ")[0]
        assert await operate(data, "audit", "--before", first) == ["Nothing was done."]
        for each in (alice, *eve):
            await each.close()


async def test_on_a_closed_server_the_operator_gives_roles(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with serving(data, sign_in="links") as server, town(server) as place:
        await place.enters("Olga", Role.OWNER)
        bob = await place.enters("Bob")
        client = await bob.connect()
        await client.joins()
        assert (await operate(data, "roles"))[0].startswith("owner    Olga")
        assert await operate(data, "set-role", "bob", "admin") == ["Bob is admin now."]
        assert (await client.hears("you"))["role"] == "admin"
        assert "has to be an owner" in await refused(data, "set-role", "Olga", "member")
        assert "one of owner" in await refused(data, "set-role", "Bob", "king")
        assert "invited into a room" in await refused(data, "set-role", "Bob", "guest")
        assert "nobody like that" in await refused(data, "set-role", "nobody", "member")
        await operate(data, "remove-person", "Bob")
        assert (await client.hears("goodbye"))["reconnect"] is False
        assert "has to be an owner" in await refused(data, "remove-person", "Olga")
        await client.close()


async def test_without_a_server_the_same_commands_work_on_its_folder(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with serving(data, sign_in="links") as server, town(server) as place:
        await place.enters("Olga", Role.OWNER)
        bob = await place.enters("Bob")
        client = await bob.connect()
        await client.joins("garden")
        for at in range(3):
            await client.says("garden", f"spam {at}")
        await client.close()
    assert await operate(data, "people") == ["Nobody is here."]
    assert await operate(data, "set-role", bob.id, "bot") == ["Bob is bot now."]
    assert await operate(data, "purge", "Bob") == ["Deleted messages: 3."]
    await operate(data, "lock", "garden")
    assert "banned everywhere for good" in (await operate(data, "ban", "Bob"))[0]
    assert "nobody like that" in await refused(data, "kick", "garden", "Bob")
    async with serving(data, sign_in="links") as server, town(server) as place:
        bob.http, bob.url = place.http, server.url
        assert (await bob.ask("GET", "me"))[0] == 403
        olga = await place.enters("Ada", Role.OWNER)
        client = await olga.connect()
        joined = await client.joins("garden")
        assert joined["room"]["locked"] is True
        assert [(row["removed"], row["content"]) for row in joined["messages"]] == [(True, "")] * 3
        entries = (await olga.ask("GET", "audit"))[1]["entries"]
        assert [(entry["act"], entry["actor"]) for entry in entries] == [
            ("ban", None),
            ("lock", None),
            ("purge", None),
            ("role", None),
        ]
        await client.close()

"""The relay: real coturn, which lets in whom our credentials name, for as long as they say."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from chatzilla.clock import SystemClock
from chatzilla.media import stun
from chatzilla.media.stun import StunError
from chatzilla.media.turn import LIFETIME_SECONDS, IceRelay, credentials
from tests.helpers.callers import party
from tests.helpers.clock import ManualClock
from tests.helpers.coturn import SECRET, Coturn, coturn
from tests.helpers.servers import ROOT, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Coturn]:
    async with coturn(tmp_path) as running:
        yield running


async def test_it_relays_over_udp_and_tcp_for_whom_we_let_in(tmp_path: Path, relay: Coturn) -> None:
    """What the page is given opens the relay, as it stands."""
    settings: dict[str, Any] = {"turn_urls": (relay.udp, relay.tcp), "stun_urls": (relay.stun,), "turn_secret": SECRET}
    async with serving(tmp_path / "data", **settings) as server, party(server) as people:
        alice, bob = await people.enters("alice"), await people.enters("bob")
        told, turn = alice.answer["ice"]["servers"]
        assert told == {"urls": [relay.stun]}
        assert turn["urls"] == [relay.udp, relay.tcp]
        assert turn["username"].endswith(f":{alice.id}")
        assert turn["username"] != bob.answer["ice"]["servers"][1]["username"], "nobody's is another's"
        assert alice.answer["ice"]["ends_at"] / 1000 == pytest.approx(time.time() + LIFETIME_SECONDS, abs=60)
        for url in turn["urls"]:
            found = await stun.ask(url, turn["username"], turn["credential"])
            assert found.address.startswith("127.0.0.1:")
            assert found.relay is not None
            assert found.relay.startswith("127.0.0.1:")
        fresh = await alice.does("ice")
        assert fresh["servers"][1]["urls"] == turn["urls"]
        assert (await stun.ask(relay.udp, *turn_of(fresh))).relay
        assert (await stun.ask(relay.stun)).relay is None
        carol = await people.connect("carol")
        trial = await carol.does("ice")
        assert trial["ends_at"] / 1000 < time.time() + 600, "to try one's connection before a call"
        assert (await stun.ask(relay.tcp, *turn_of(trial))).relay


def turn_of(ice: dict[str, list[dict[str, str]]]) -> tuple[str, str]:
    return ice["servers"][1]["username"], ice["servers"][1]["credential"]


async def test_credentials_end_and_cannot_be_made_up(relay: Coturn) -> None:
    now = int(time.time())
    over = credentials(SECRET.encode(), "alice", now - 10)
    forged = credentials(b"another secret", "alice", now + 1000)
    longer = f"{now + 100_000}:alice", credentials(SECRET.encode(), "alice", now + 1000)[1]
    for url in (relay.udp, relay.tcp):
        for name, password in (over, forged, longer, ("alice", "nonsense")):
            with pytest.raises(StunError) as refused:
                await stun.ask(url, name, password)
            assert refused.value.code == 401


async def test_the_recipe_for_operators_reaches_nothing_private(tmp_path: Path) -> None:
    """The configuration in the guide, as it stands there, but for its addresses, its secret and its certificate."""
    guide = (ROOT / "docs/calls.md").read_text()
    block = guide.partition("`/etc/turnserver.conf`:\n\n```\n")[2].partition("```")[0]
    ours = re.compile(r"#|listening-port=|tls-listening-port=|cert=|pkey=|static-auth-secret=|no-cli")
    recipe = [line for line in block.splitlines() if not ours.match(line)]
    assert "use-auth-secret" in recipe
    async with coturn(tmp_path, *recipe) as relay:
        name, password = credentials(SECRET.encode(), "alice", int(time.time()) + 60)
        reached = {
            address: (await stun.ask(relay.udp, name, password, reaching=address)).reaches
            for address in (
                "10.1.2.3",
                "127.0.0.1",
                "169.254.169.254",
                "172.31.255.255",
                "192.168.0.1",
                "93.184.215.14",
            )
        }
    assert reached.pop("93.184.215.14"), "people elsewhere are reached"
    assert not any(reached.values()), reached


async def test_who_is_not_there_is_said_so(relay: Coturn) -> None:
    nobody = relay.udp.replace(str(relay.port), "1")
    with pytest.raises(StunError, match=r"cannot be reached|did not answer"):
        await stun.ask(nobody, "name", "password", seconds=0.3)
    with pytest.raises(StunError, match="cannot be reached"):
        await stun.ask(nobody.replace("udp", "tcp"), "name", "password")
    with pytest.raises(ValueError, match="no address"):
        await stun.ask("https://turn.example.com")
    open_: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: open_.append(writer), "127.0.0.1", 0)
    async with silent:
        port = silent.sockets[0].getsockname()[1]
        with pytest.raises(StunError, match="did not answer"):
            await stun.ask(f"turn:127.0.0.1:{port}?transport=tcp", "name", "password", seconds=0.2)
        for writer in open_:
            writer.close()


def test_credentials_are_those_of_the_draft() -> None:
    """What openssl makes of it: `printf 1433895918:chat | openssl dgst -sha1 -hmac north -binary | base64`."""
    name, password = credentials(b"north", "chat", 1433895918)
    assert (name, password) == ("1433895918:chat", "8dY1Twh5nrQN476ORM2X62Amvm8=")


def test_without_a_relay_there_are_no_credentials() -> None:
    clock = ManualClock()
    assert IceRelay(clock, stun=(), turn=(), secret="").servers("alice").servers == ()
    only_stun = IceRelay(SystemClock(), stun=("stun:stun.example.com",), turn=(), secret="").servers("alice")
    assert [server.urls for server in only_stun.servers] == [("stun:stun.example.com",)]
    assert only_stun.ends_at is None

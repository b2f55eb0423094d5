"""The doctor: what is there, what is not, and what is to be done, each on the real thing."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from chatzilla import doctor
from chatzilla.cli import main
from chatzilla.config import Config
from chatzilla.doctor import Verdict
from chatzilla.tls import OWN_FILE, Certificates
from tests.helpers import janus_server
from tests.helpers.coturn import SECRET, coturn
from tests.helpers.janus_server import JanusServer
from tests.helpers.servers import serving

if TYPE_CHECKING:
    from pathlib import Path

RECIPE: Final = ("realm=chatzilla.test", "use-auth-secret", "denied-peer-ip=127.0.0.0-127.255.255.255")


async def findings(config: Config) -> dict[str, tuple[Verdict, str]]:
    return {finding.what: (finding.verdict, finding.words) async for finding in doctor.look(config)}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(data=tmp_path, port=0)


async def test_a_server_for_this_machine_is_well(config: Config) -> None:
    found = await findings(config)
    assert {what: verdict for what, (verdict, _) in found.items()} == {
        **dict.fromkeys(("address", "data folder", "SQLite", "clock", "HTTPS"), Verdict.GOOD),
        "relay": Verdict.NOTE,
    }


async def test_a_running_server_is_seen(tmp_path: Path) -> None:
    async with serving(tmp_path / "data"):
        config = Config(data=tmp_path / "data", port=0)
        found = await asyncio.to_thread(lambda: asyncio.run(findings(config)))
    assert found["address"][1].startswith("the server runs")


async def test_an_address_that_somebody_has_is_found(config: Config) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        verdict, words = (await findings(replace(config, port=other.getsockname()[1])))["address"]
    assert verdict is Verdict.BAD
    assert "choose another port" in words


async def test_a_clock_that_went_back_is_found(config: Config) -> None:
    config.database_path.write_bytes(b"")
    ahead = config.database_path.stat().st_mtime + 3600
    os.utime(config.database_path, (ahead, ahead))
    assert (await findings(config))["clock"][0] is Verdict.BAD


async def test_phones_need_https(config: Config) -> None:
    everywhere = replace(config, host="0.0.0.0")
    verdict, words = (await findings(everywhere))["HTTPS"]
    assert (verdict, "--tls self-signed" in words) == (Verdict.BAD, True)
    assert (await findings(replace(everywhere, proxies=1)))["HTTPS"][0] is Verdict.GOOD
    signed = replace(everywhere, tls="self-signed")
    assert (await findings(signed))["HTTPS"] == (Verdict.GOOD, "a certificate will be made at the start.")
    Certificates(config.data / OWN_FILE, config.data / OWN_FILE, made_for=())
    assert "is good for 396 days" in (await findings(signed))["HTTPS"][1]
    (config.data / OWN_FILE).write_text("nonsense")
    assert (await findings(signed))["HTTPS"][0] is Verdict.BAD


async def test_a_relay_is_tried(config: Config, tmp_path: Path) -> None:
    async with coturn(tmp_path, *RECIPE) as relay:
        turn = replace(config, turn_urls=(relay.udp, relay.tcp), stun_urls=(relay.stun,), turn_secret=SECRET)
        found = await findings(turn)
        assert [found[url][0] for url in (relay.udp, relay.tcp, relay.stun)] == [Verdict.GOOD] * 3
        verdict, words = (await findings(replace(turn, turn_secret="another secret, as long")))[relay.udp]
        assert (verdict, "static-auth-secret differ" in words) == (Verdict.BAD, True)
    assert (await findings(turn))[relay.tcp][0] is Verdict.BAD


async def test_a_relay_into_private_networks_is_found(config: Config, tmp_path: Path) -> None:
    async with coturn(tmp_path) as relay:
        verdict, words = (await findings(replace(config, turn_urls=(relay.udp,), turn_secret=SECRET)))[relay.udp]
    assert (verdict, "denied-peer-ip" in words) == (Verdict.BAD, True)


async def test_janus_is_tried(config: Config, tmp_path: Path) -> None:
    janus = await JanusServer(tmp_path).start()
    try:
        through = replace(config, calls="auto", janus_url=janus.url, janus_secret=janus_server.SECRET)
        assert (await findings(through))["Janus"][0] is Verdict.GOOD
        verdict, words = (await findings(replace(through, janus_secret="not-the-one-it-knows")))["Janus"]
        assert (verdict, "CHATZILLA_JANUS_SECRET" in words) == (Verdict.BAD, True)
    finally:
        await janus.kill()
    verdict, words = (await findings(through))["Janus"]
    assert (verdict, "browser to browser meanwhile" in words) == (Verdict.BAD, True)


def test_it_is_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "0")
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", "--data", str(tmp_path)]) == 0
    assert "good  SQLite: " in capsys.readouterr().out
    monkeypatch.setenv("CHATZILLA_HOST", "0.0.0.0")
    assert main(["doctor", "--data", str(tmp_path)]) == 2
    assert "bad   HTTPS: " in capsys.readouterr().out

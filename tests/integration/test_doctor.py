"""The doctor: what is there, what is not, and what is to be done, each on the real thing."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import sqlite3
import sys
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from chatzilla import doctor
from chatzilla.cli import main
from chatzilla.config import Config
from chatzilla.doctor import Verdict
from chatzilla.store.database import Database, look_at
from chatzilla.tls import OWN_FILE, Certificates
from tests.helpers import extras, janus_server
from tests.helpers.call_tabs import CAST
from tests.helpers.callers import Party
from tests.helpers.coturn import SECRET, coturn
from tests.helpers.damage import damage
from tests.helpers.janus_server import JanusServer
from tests.helpers.servers import ROOT, Process, serving
from tests.helpers.tls_proxy import Certificate

if TYPE_CHECKING:
    from collections.abc import Callable
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
        **dict.fromkeys(
            ("address", "settings", "data folder", "database", "SQLite", "clock", "HTTPS", "names"), Verdict.GOOD
        ),
        "relay": Verdict.NOTE,
    }


async def test_a_running_server_says_where_it_listens_and_how_it_was_started(tmp_path: Path) -> None:
    """By flags that the doctor was not given: they decide who can reach it, and so what is missing."""
    server = await Process(tmp_path / "data", "--host", "0.0.0.0", "--proxies", "1").start()
    config = Config(data=server.data)
    try:
        found = await findings(config)
        assert found["address"] == (Verdict.GOOD, f"the server runs, at http://0.0.0.0:{server.port}.")
        assert "left to the proxy" in found["HTTPS"][1]
        assert found["names"][0] is Verdict.NOTE
    finally:
        await server.kill()
    assert "http" not in (await findings(replace(config, port=server.port)))["address"][1], "it was killed"
    secure = await Process(tmp_path / "data", "--tls", "self-signed").start()
    try:
        found = await findings(config)
        assert found["address"] == (Verdict.GOOD, f"the server runs, at https://127.0.0.1:{secure.port}.")
        assert "is good for" in found["HTTPS"][1]
    finally:
        await secure.kill()


async def test_a_server_of_another_version_does_not_say_where(tmp_path: Path) -> None:
    async with serving(tmp_path / "data") as server:
        del server.house.control._commands["started"]  # type: ignore[attr-defined]  # as one that knows less
        found = await asyncio.to_thread(lambda: asyncio.run(findings(Config(data=tmp_path / "data", port=0))))
    assert found["address"][0] is Verdict.NOTE
    assert "of the same version" in found["address"][1]


async def test_an_address_that_somebody_has_is_found(config: Config) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        verdict, words = (await findings(replace(config, port=other.getsockname()[1])))["address"]
    assert verdict is Verdict.BAD
    assert "choose another port" in words


@pytest.fixture
def stored(config: Config) -> Path:
    """A database as a server leaves it."""
    Database(config.data, config.database_path).open().close(cleanly=True)
    return config.database_path


async def test_a_sound_database_is_well_beside_a_server_and_without_one(config: Config, stored: Path) -> None:
    before = sorted(config.data.iterdir())
    assert (await findings(config))["database"] == (Verdict.GOOD, f"{stored} is sound.")
    assert sorted(config.data.iterdir()) == before, "it only looks"
    async with serving(config.data):
        assert look_at(stored) == ""


@pytest.mark.parametrize(
    ("spoilt", "word"),
    [
        (lambda path: path.write_text("Dear diary, this is no database at all.\n" * 200), "is not a database"),
        (lambda path: damage(path, "messages"), "is damaged"),
        (lambda path: _alter(path, "UPDATE alembic_version SET version_num = 'f00'"), "written by a newer Chatzilla"),
        (lambda path: _alter(path, "DROP TABLE alembic_version"), "is no database of Chatzilla"),
    ],
    ids=["text", "damaged", "newer", "another"],
)
async def test_a_database_that_cannot_be_used_is_found(
    config: Config, stored: Path, spoilt: Callable[[Path], object], word: str
) -> None:
    spoilt(stored)
    verdict, words = (await findings(config))["database"]
    assert (verdict, word in words) == (Verdict.BAD, True), words


def _alter(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as stranger:
        stranger.execute(statement)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"sign_in": "email"}, "CHATZILLA_SMTP_URL"),
        ({"calls": "janus"}, "CHATZILLA_JANUS_URL"),
        ({"turn_urls": ("turn:127.0.0.1:1",)}, "CHATZILLA_TURN_SECRET"),
        ({"sign_in": "links", "host": "0.0.0.0", "data": Config.data}, "CHATZILLA_DATA"),
    ],
)
async def test_settings_that_the_start_refuses_are_found(config: Config, settings: dict[str, Any], word: str) -> None:
    verdict, words = (await findings(replace(config, **settings)))["settings"]
    assert (verdict, word in words) == (Verdict.BAD, True)


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


@pytest.mark.parametrize(
    ("settings", "verdict", "word"),
    [
        ({"host": "0.0.0.0"}, Verdict.NOTE, "CHATZILLA_URL is not set"),
        ({"proxies": 1}, Verdict.NOTE, "CHATZILLA_URL is not set"),
        ({"host": "0.0.0.0", "url": "https://chat.example"}, Verdict.GOOD, "https://chat.example may connect"),
        ({}, Verdict.GOOD, "this machine may connect"),
    ],
)
async def test_a_server_should_know_its_name(
    config: Config, settings: dict[str, Any], verdict: Verdict, word: str
) -> None:
    """By any other, pages of strangers could reach it whose name was turned to it (DNS rebinding)."""
    found = (await findings(replace(config, **settings)))["names"]
    assert (found[0], word in found[1]) == (verdict, True)


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


async def test_the_recipe_for_one_small_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands in the guide, but for its addresses, folders and secrets: everything is good, and calls work."""
    guide = (ROOT / "docs/calls.md").read_text()
    relay = guide.partition("`/etc/turnserver.conf`:\n\n```\n")[2].partition("```")[0]
    others = re.compile(r"#|listening-port=|tls-listening-port=|cert=|pkey=|static-auth-secret=|no-cli")
    settings = dict(re.findall(r"^   ([A-Z_]+)=(.*)$", guide.partition("## One small server")[2], re.MULTILINE))
    assert (settings["CHATZILLA_CALLS"], settings.pop("PORT")) == ("auto", "443")
    certificate = Certificate.make(tmp_path)
    janus = JanusServer(tmp_path)
    with monkeypatch.context() as environ:
        environ.setenv("CHATZILLA_JANUS_SECRET", janus_server.SECRET)
        assert main(["janus-config", str(janus.folder)]) == 0
    async with AsyncExitStack() as stack:
        coturn_ = coturn(tmp_path, *(line for line in relay.splitlines() if not others.match(line)))
        turn = await stack.enter_async_context(coturn_)
        await janus.start()
        stack.push_async_callback(janus.kill)
        for name in ("CHATZILLA_STUN_URLS", "CHATZILLA_TURN_URLS"):
            assert "chat.example.com:3478" in settings[name]
            settings[name] = settings[name].replace("chat.example.com:3478", f"127.0.0.1:{turn.port}")
        server: Any = Process(tmp_path / "data")
        settings |= {
            "CHATZILLA_HOST": "127.0.0.1",
            "CHATZILLA_DATA": str(server.data),
            "CHATZILLA_TLS_CERT": str(certificate.certificate),
            "CHATZILLA_TLS_KEY": str(certificate.key),
            "CHATZILLA_JANUS_URL": janus.url,
            "CHATZILLA_JANUS_SECRET": janus_server.SECRET,
            "CHATZILLA_TURN_SECRET": SECRET,
        }
        environment = os.environ | settings | {"PORT": "0"}
        looking = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "chatzilla", "doctor"),
            cwd=ROOT,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said = (await looking.communicate())[0].decode().splitlines()
        # The certificate of a test is good for two days, which is noticed.
        verdicts = {line[6:].partition(": ")[0]: line[:4].strip() for line in said if line[4:6] == "  "}
        assert verdicts.pop("HTTPS") == "bad", said
        assert set(verdicts.values()) == {"good"}, said
        assert verdicts.keys() >= {"Janus", "SQLite", "clock", "data folder", settings["CHATZILLA_STUN_URLS"]}
        server.environ = settings
        await server.start()
        stack.push_async_callback(server.kill)
        people = Party(server, stack)
        cast = await extras.enter(people, "garden", "Eve", "Finn")
        for extra in cast:
            stack.push_async_callback(extra.vanishes)
        await extras.all_see(cast, {extra.id: CAST[extra.name] for extra in cast})


async def test_a_data_folder_that_cannot_be_written_is_found(config: Config, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    verdict, words = (await findings(replace(config, data=tmp_path / "file" / "data")))["data folder"]
    assert (verdict, "Give the server's user the folder" in words) == (Verdict.BAD, True)


async def test_an_old_sqlite_is_found(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "OLDEST_SQLITE", (99, 0, 0))
    verdict, words = (await findings(config))["SQLite"]
    assert (verdict, "99.0 is needed. Use a Python" in words) == (Verdict.BAD, True)


async def test_a_certificate_that_ends_soon_is_found(config: Config, tmp_path: Path) -> None:
    made = Certificate.make(tmp_path)
    verdict, words = (await findings(replace(config, tls_cert=made.certificate, tls_key=made.key)))["HTTPS"]
    assert (verdict, "Renew it" in words) == (Verdict.BAD, True)


def test_it_is_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "0")
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", "--data", str(tmp_path)]) == 0
    assert "good  SQLite: " in capsys.readouterr().out
    monkeypatch.setenv("CHATZILLA_HOST", "0.0.0.0")
    assert main(["doctor", "--data", str(tmp_path)]) == 2
    assert "bad   HTTPS: " in capsys.readouterr().out

"""`python -m chatzilla doctor`: is everything there that the settings speak of, and if not, what is to be done.

It asks what the settings name, and nothing else: the relay for a relay, Janus for a session, the disk for its room.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import shutil
import socket
import sqlite3
import ssl
import time
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chatzilla import control
from chatzilla.errors import ChatError, StartError
from chatzilla.media import stun
from chatzilla.media.janus_api import JanusError, JanusSession
from chatzilla.media.janus_room import attempt
from chatzilla.media.turn import credentials
from chatzilla.operators import FLAGS
from chatzilla.store.database import OLDEST_SQLITE, look_at
from chatzilla.tls import OWN_FILE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from chatzilla.config import Config

ROOM_NEEDED_MB: Final = 500
ENDS_SOON_DAYS: Final = 14
AHEAD_SECONDS: Final = 120

PRIVATE: Final = "127.0.0.1"
"""What no relay may send to."""


class Verdict(StrEnum):
    """How something is."""

    GOOD = "good"
    NOTE = "note"
    """It works, and somebody may miss something."""
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """How one thing is, and what to do about it."""

    verdict: Verdict
    what: str
    words: str

    def __str__(self) -> str:
        return f"{self.verdict.value:4}  {self.what}: {self.words}"


async def look(config: Config) -> AsyncIterator[Finding]:
    """Look at one thing after the other."""
    running, config = _at_server(config)
    yield running or _at_address(config)
    yield _at_settings(config)
    yield _at_disk(config)
    yield _at_database(config.database_path)
    yield _at_sqlite()
    yield _at_clock(config)
    yield _at_https(config)
    yield _at_names(config)
    for url in config.stun_urls:
        yield await _at_stun(url)
    for url in config.turn_urls:
        yield await _at_turn(url, config.turn_secret)
    if config.calls == "off":
        yield Finding(Verdict.NOTE, "calls", "are switched off.")
        return
    if not config.turn_urls:
        yield Finding(
            Verdict.NOTE,
            "relay",
            "there is none. Calls work within a network; over the internet, some people will not get through. "
            "docs/calls.md shows how to run one.",
        )
    if config.calls in ("janus", "auto") and config.janus_url and config.janus_secret:
        yield await _at_janus(config)


def _at_server(config: Config) -> tuple[Finding | None, Config]:
    """The server that runs on this folder, if one does, and the settings with the flags that it was started with."""
    try:
        told = control.ask(config.data, "started")
    except PermissionError:
        raise
    except OSError:
        return None, config
    except StartError as error:
        return Finding(Verdict.NOTE, "address", f"a server runs here, and does not say where. {error}"), config
    flags = {name: told[name] for name in FLAGS if name in told}
    flags |= {name: flags[name] and Path(flags[name]) for name in ("tls_cert", "tls_key")}
    where = ", ".join(told["listens"])
    return Finding(Verdict.GOOD, "address", f"the server runs, at {where}."), replace(config, **flags)


def _at_address(config: Config) -> Finding:
    where = f"{config.host}:{config.port}"
    try:
        family, kind, _, _, address = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except OSError as error:
        words = f"cannot listen on {where}: {error.strerror}. Another program may have it; choose another port."
        return Finding(Verdict.BAD, "address", words)
    return Finding(Verdict.GOOD, "address", f"{where} is free.")


def _at_settings(config: Config) -> Finding:
    try:
        config.check()
    except StartError as error:
        return Finding(Verdict.BAD, "settings", str(error))
    return Finding(Verdict.GOOD, "settings", "they go together.")


def _at_database(path: Path) -> Finding:
    wrong = look_at(path)
    if wrong:
        return Finding(Verdict.BAD, "database", wrong)
    if path.exists() and not os.access(path, os.W_OK):
        return Finding(Verdict.BAD, "database", f"{path} cannot be written. Give the server's user the file.")
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):  # SQLite keeps files of its own beside it
        return Finding(Verdict.BAD, "database", f"{folder} cannot be written. Give the server's user the folder.")
    return Finding(
        Verdict.GOOD, "database", f"{path} is sound." if path.exists() else "it is made with the first start."
    )


def _at_disk(config: Config) -> Finding:
    folder = config.data
    while not folder.exists():
        folder = folder.parent
    try:
        free = shutil.disk_usage(folder).free // 1_000_000
        probe = folder / ".chatzilla-doctor"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        words = f"{config.data} cannot be written: {error.strerror}. Give the server's user the folder."
        return Finding(Verdict.BAD, "data folder", words)
    if free < ROOM_NEEDED_MB:
        return Finding(Verdict.BAD, "data folder", f"{config.data} has {free} MB left. Make room before it is full.")
    return Finding(Verdict.GOOD, "data folder", f"{config.data}, with {free:,} MB left.")


def _at_sqlite() -> Finding:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE[:2]))
        words = f"{sqlite3.sqlite_version}, and {oldest} is needed. Use a Python that brings a newer one."
        return Finding(Verdict.BAD, "SQLite", words)
    return Finding(Verdict.GOOD, "SQLite", f"{sqlite3.sqlite_version}.")


def _at_clock(config: Config) -> Finding:
    """Tokens and the relay's credentials end by the clock; one that went back lets old ones in again."""
    now = time.time()
    files = [file for file in (config.database_path, config.data / "starts") if file.exists()]
    if any(file.stat().st_mtime > now + AHEAD_SECONDS for file in files):
        words = "it is behind the newest file of the data folder. Set it, best by NTP: tokens end by it."
        return Finding(Verdict.BAD, "clock", words)
    return Finding(Verdict.GOOD, "clock", datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC."))


def _at_https(config: Config) -> Finding:
    own = config.data / OWN_FILE
    file = config.tls_cert or (own if config.tls == "self-signed" and own.exists() else None)
    if file is not None:
        return _at_certificate(file, config.tls_key or file)
    if config.tls == "self-signed":
        return Finding(Verdict.GOOD, "HTTPS", "a certificate will be made at the start.")
    if config.proxies:
        return Finding(Verdict.GOOD, "HTTPS", "left to the proxy in front, which has to tell by X-Forwarded-Proto.")
    if config.loopback:
        return Finding(Verdict.GOOD, "HTTPS", "not needed: only this machine can connect.")
    words = "there is none, so browsers on other machines give no camera and no microphone. Try --tls self-signed."
    return Finding(Verdict.BAD if config.calls != "off" else Verdict.NOTE, "HTTPS", words)


def _at_names(config: Config) -> Finding:
    if config.any_name:
        words = "CHATZILLA_URL is not set, so pages of every name that leads here may connect, strangers' too. Set it."
        return Finding(Verdict.NOTE, "names", words)
    known = ", ".join(filter(None, (config.url, *config.origins))) or "this machine"
    return Finding(Verdict.GOOD, "names", f"pages of {known} may connect, and those of plain addresses.")


def _at_certificate(file: Path, key: Path) -> Finding:
    from cryptography import x509

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file, key, lambda: "")
        made = x509.load_pem_x509_certificate(file.read_bytes())
    except (OSError, ValueError) as error:
        return Finding(
            Verdict.BAD, "HTTPS", f"{file} with {key} cannot be used: {error}. Name a certificate and its key, in PEM."
        )
    left = (made.not_valid_after_utc - datetime.datetime.now(datetime.UTC)).days
    if left < ENDS_SOON_DAYS:
        words = f"{file} {'ends in ' + str(left) + ' days' if left >= 0 else 'is over'}. Renew it."
        return Finding(Verdict.BAD, "HTTPS", words)
    return Finding(Verdict.GOOD, "HTTPS", f"{file} is good for {left} days.")


async def _at_stun(url: str) -> Finding:
    try:
        found = await stun.ask(url)
    except stun.StunError as error:
        return Finding(Verdict.BAD, url, f"{error}. Is it running, and does the firewall let UDP through?")
    return Finding(Verdict.GOOD, url, f"sees this machine as {found.address}.")


async def _at_turn(url: str, secret: str) -> Finding:
    name, password = credentials(secret.encode(), "doctor", int(time.time()) + 60)
    try:
        found = await stun.ask(url, name, password, reaching=PRIVATE)
    except stun.StunError as error:
        words = f"{error}. "
        if error.code == 401:
            words += "CHATZILLA_TURN_SECRET and the server's static-auth-secret differ, or the two clocks do."
        else:
            words += "Is it running, and does the firewall let it through?"
        return Finding(Verdict.BAD, url, words)
    if found.reaches:
        words = (
            f"relays, also to {PRIVATE}, so strangers reach what is private. docs/calls.md has denied-peer-ip lines."
        )
        return Finding(Verdict.BAD, url, words)
    return Finding(Verdict.GOOD, url, f"relays by {found.relay}, and to nothing private.")


async def _at_janus(config: Config) -> Finding:
    session = JanusSession(config.janus_secret, lambda *_: None)
    fallback = " Calls go from browser to browser meanwhile." if config.calls == "auto" else ""
    try:
        await session.connect(config.janus_url)
        await attempt(session, await session.attach(), config.janus_secret, "Chatzilla's doctor")
    except JanusError as error:
        words = (
            f"{error}. Does it know CHATZILLA_JANUS_SECRET, as api_secret and as admin_key of its VideoRoom, and has "
            f"that string_ids? `python -m chatzilla janus-config` writes both.{fallback}"
        )
        return Finding(Verdict.BAD, "Janus", words)
    except ChatError as error:
        return Finding(Verdict.BAD, "Janus", f"{error} Start it, as docs/calls.md says.{fallback}")
    finally:
        await session.close()
    return Finding(Verdict.GOOD, "Janus", f"carries calls at {config.janus_url}.")


def run(config: Config, tell: Callable[[str], object]) -> bool:
    """Tell each finding; returns whether nothing is bad."""

    async def all_of_it() -> bool:
        well = True
        async for finding in look(config):
            tell(f"{finding}\n")
            well = well and finding.verdict is not Verdict.BAD
        return well

    return asyncio.run(all_of_it())

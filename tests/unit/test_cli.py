"""The operator's commands, run as an operator runs them; what is refused is refused in one line, with status 2."""

from __future__ import annotations

import asyncio
import io
import os
import re
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
import pytest

from chatzilla import __version__
from chatzilla.cli import main
from chatzilla.config import settings
from chatzilla.store.database import Database
from tests.helpers import installs
from tests.helpers.clients import Client
from tests.helpers.servers import ROOT, START_SECONDS, Process

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "correct-horse-battery-staple-0123456789"


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str


def spawned(*arguments: str | Path, cwd: Path, **environ: str) -> Done:
    """Run `python -m chatzilla …` to its end, as a process."""
    done = subprocess.run(
        [sys.executable, "-m", "chatzilla", *map(str, arguments)],
        cwd=cwd,
        env=installs.clean_environ(**{"PYTHONPATH": str(ROOT), "CHATZILLA_LOG_LEVEL": "warning"} | environ),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def chatzilla(*arguments: str | Path, cwd: Path, **environ: str) -> Done:
    """Run a command to its end; `serve` as a process, what needs no loop and no log without the cost of one."""
    if "serve" in arguments:
        return spawned(*arguments, cwd=cwd, **environ)
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        for name in os.environ.keys() - installs.clean_environ().keys():
            patch.delenv(name)
        for name, value in environ.items():
            patch.setenv(name, value)
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = int(ended.code or 0)
    return Done(status, out.getvalue(), err.getvalue())


def refusal(*arguments: str | Path, cwd: Path, **environ: str) -> str:
    """Run a command that has to be refused; returns its one line."""
    done = chatzilla(*arguments, cwd=cwd, **environ)
    assert (done.returncode, done.stdout) == (2, ""), done
    (line,) = done.stderr.splitlines()
    assert line.startswith("chatzilla: ")
    return line.removeprefix("chatzilla: ")


def test_config_shows_every_setting_with_its_value_and_its_help(tmp_path: Path) -> None:
    shown = spawned("config", cwd=tmp_path, PORT="1234", CHATZILLA_ORIGINS="https://a.example").stdout
    for name, field in settings():
        assert re.search(rf"^{name}=.*\n    {re.escape(field.metadata['help'])}$", shown, re.MULTILINE), name
    assert "PORT=1234\n" in shown
    assert "https://a.example" in shown
    assert f"CHATZILLA_DATA={tmp_path / 'data'}\n" in shown


def test_config_says_that_there_is_a_secret_and_not_which(tmp_path: Path) -> None:
    assert "CHATZILLA_SECRET=\n" in chatzilla("config", cwd=tmp_path).stdout
    done = chatzilla("config", cwd=tmp_path, CHATZILLA_SECRET=SECRET)
    assert "CHATZILLA_SECRET=(set)\n" in done.stdout
    assert SECRET not in done.stdout + done.stderr


def test_config_changes_nothing(tmp_path: Path) -> None:
    """It may be run beside a server, and before there is one."""
    assert chatzilla("config", cwd=tmp_path).returncode == 0
    assert not list(tmp_path.iterdir())


def test_the_file_of_settings_is_read_where_the_command_runs(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=1111\nCHATZILLA_PROXIES=3\n")
    shown = chatzilla("config", cwd=tmp_path, PORT="2222").stdout
    assert "PORT=2222\n" in shown
    assert "CHATZILLA_PROXIES=3\n" in shown


def test_a_bad_setting_is_refused(tmp_path: Path) -> None:
    assert refusal("config", cwd=tmp_path, CHATZILLA_PROXIES="some").startswith("CHATZILLA_PROXIES has to be ")
    assert refusal("serve", "--port", "http", cwd=tmp_path).startswith("--port has to be ")
    assert refusal("serve", cwd=tmp_path, CHATZILLA_PROXY="1").startswith("CHATZILLA_PROXY is not a setting")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [(), ("server",), ("serve", "--prot", "1"), ("config", "extra")])
def test_what_is_no_command_is_answered_with_the_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = chatzilla(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: chatzilla")


def test_the_version_is_said(tmp_path: Path) -> None:
    assert chatzilla("--version", cwd=tmp_path).stdout == f"Chatzilla {__version__}\n"


def test_a_port_that_is_taken_is_refused_and_the_folder_given_back(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refusal("serve", "--port", str(port), "--data", tmp_path / "data", cwd=tmp_path)
    assert line.startswith(f"Cannot listen on 127.0.0.1:{port}: ")
    assert "already in use" in line
    assert chatzilla("new-epoch", "--data", tmp_path / "data", cwd=tmp_path).returncode == 0


def test_an_address_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    """203.0.113.0/24 is nobody's (RFC 5737)."""
    line = refusal("serve", "--host", "203.0.113.1", "--port", "0", "--data", tmp_path / "data", cwd=tmp_path)
    assert line.startswith("Cannot listen on 203.0.113.1:0: ")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "data"
    line = refusal("serve", "--data", folder, cwd=tmp_path)
    assert line.startswith(f"The data folder {folder} cannot be used: ")
    assert "Not a directory" in line


def test_a_new_epoch_is_for_a_database_that_is_there(tmp_path: Path) -> None:
    """A wrong folder is named and not made."""
    line = refusal("new-epoch", "--data", tmp_path / "data", cwd=tmp_path)
    assert line.startswith(f"There is no database at {tmp_path / 'data/chatzilla.db'}")
    assert not (tmp_path / "data").exists()


def test_a_database_elsewhere_that_cannot_be_made_is_refused_by_its_name(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/nowhere/chat.db"
    line = refusal("serve", "--data", tmp_path / "data", cwd=tmp_path, DATABASE_URL=url)
    assert f"{tmp_path}/nowhere/chat.db" in line


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/chatzilla.db").write_bytes(b"somebody's diary " * 1000)
    line = refusal("serve", "--port", "0", "--data", tmp_path / "data", cwd=tmp_path)
    assert line.startswith(
        f"The database {tmp_path / 'data/chatzilla.db'} is damaged (file is not a database). Put back"
    )
    assert (tmp_path / "data/chatzilla.db").read_bytes() == b"somebody's diary " * 1000


def test_a_database_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    Database(tmp_path / "data").open().close(cleanly=True)
    with closing(sqlite3.connect(tmp_path / "data/chatzilla.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    assert "newer Chatzilla" in refusal("serve", "--port", "0", "--data", tmp_path / "data", cwd=tmp_path)


async def test_a_folder_that_a_server_has_is_refused_with_its_process(tmp_path: Path) -> None:
    """And the server that has it goes on; after a kill -9 the folder is free."""
    running = await Process(tmp_path / "data").start()
    try:
        for command in (("serve", "--port", "0"), ("new-epoch",)):
            line = refusal(*command, "--data", tmp_path / "data", cwd=tmp_path)
            assert line.startswith(f"The data folder {tmp_path / 'data'} is in use by another Chatzilla"), command
            assert f"(process {running.pid})" in line, command
        client = await Client(running.url).connect()
        assert await client.call("join", "alice") == (True, "alice")
        await client.close()
    finally:
        await running.kill()
    again = await Process(tmp_path / "data").start()
    assert await again.stop() == 0


async def test_a_new_epoch_is_what_clients_are_told(tmp_path: Path) -> None:
    Database(tmp_path / "data").open().close(cleanly=True)
    drawn = [chatzilla("new-epoch", "--data", tmp_path / "data", cwd=tmp_path).stdout for _ in range(2)]
    assert drawn[0] != drawn[1]
    epoch = re.search(r"has a new epoch, (\S+); every client starts over\.\n$", drawn[1])
    assert epoch
    running = await Process(tmp_path / "data").start()
    client = await Client(running.url).connect(auth={"dialect": "full"})
    assert (await client.joins(name="alice"))["epoch"] == epoch[1]
    await client.close()
    assert await running.stop() == 0


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_server_with_status_0_and_no_traceback(tmp_path: Path, signum: int) -> None:
    running = await Process(tmp_path / "data").start()
    assert await running.stop(signum) == 0
    assert "Traceback" not in running.log.read_text()


def test_an_address_of_ipv6_is_printed_as_a_browser_takes_it(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "chatzilla", "serve", "--host", "::1", "--port", "0", "--data", tmp_path / "data")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    server = installs.Command(command, cwd=tmp_path, environ={"PYTHONPATH": str(ROOT)})
    try:
        assert server.says(r"Chatzilla is at http://\[::1\]:\d+$")
    finally:
        assert server.stop() == 0


def test_what_the_data_folder_holds_is_its_owners_alone(tmp_path: Path) -> None:
    """The key, and what people said."""
    command = (sys.executable, "-m", "chatzilla", "serve", "--port", "0", "--data", tmp_path / "data")
    server = installs.Command(command, cwd=tmp_path, environ={"PYTHONPATH": str(ROOT)})
    try:
        server.says("Chatzilla is at")
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "data").iterdir()}
        assert (tmp_path / "data").stat().st_mode & 0o077 == 0
        assert {"chatzilla.db", "secret"} <= modes.keys()
        assert not {
            name for name, mode in modes.items() if name.startswith(("chatzilla.db", "secret")) and mode & 0o077
        }
    finally:
        assert server.stop() == 0


def test_a_checkout_that_was_never_set_up_says_what_to_run(tmp_path: Path) -> None:
    """Before it touches the data folder."""
    for folder in ("chatzilla", "templates", "static"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("vendor", "__pycache__"))
    line = refusal("serve", "--port", "0", "--data", tmp_path / "data", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert "`make setup`" in line
    assert str(tmp_path / "static") in line
    assert not (tmp_path / "data").exists()


def path_of(done: Done) -> str:
    """The path of the one link that a command has printed."""
    assert done.returncode == 0, done
    (path,) = re.findall(r"^https?://[^/\s]+(/in/[\w-]{22})$", done.stdout, re.MULTILINE)
    return str(path)


def test_links_are_made_where_no_server_runs(tmp_path: Path) -> None:
    data = tmp_path / "data"
    first, second = (path_of(chatzilla("owner-link", "--data", data, cwd=tmp_path)) for _ in range(2))
    assert first != second
    done = chatzilla("owner-link", "--data", data, cwd=tmp_path, CHATZILLA_URL="https://chat.example.com")
    assert "https://chat.example.com/in/" in done.stdout
    path_of(chatzilla("invite-link", "--data", data, "--role", "guest", "--room", "garden", cwd=tmp_path))
    with closing(sqlite3.connect(data / "chatzilla.db")) as database:
        found = database.execute("SELECT role, revoked_at IS NULL FROM links ORDER BY made_at").fetchall()
    assert found == [("owner", 0), ("owner", 0), ("owner", 1), ("guest", 1)], "only the last one for the owner is good"
    for wrong in (
        ("--role", "king"),
        ("--role", "guest"),
        ("--uses", "none"),
        ("--hours", "1e9"),
        ("--room", "no!room"),
    ):
        assert refusal("invite-link", "--data", data, *wrong, cwd=tmp_path)


async def test_commands_reach_a_running_server(tmp_path: Path) -> None:
    """Through a socket that is its owner's alone; the first start of a closed server prints the owner's link."""
    server = await Process(tmp_path / "data", environ={"CHATZILLA_SIGN_IN": "links"}).start()
    try:
        assert "owner" in await server.line()
        printed = await server.line()
        control = server.data / "control"
        assert stat.S_IMODE(control.stat().st_mode) == 0o600
        done = await asyncio.to_thread(spawned, "owner-link", "--data", server.data, cwd=tmp_path)
        path = path_of(done)
        assert server.url in done.stdout, "it knows where it is"
        async with aiohttp.ClientSession(server.url) as http:
            async with http.get(printed.removeprefix(server.url)) as answer:
                assert answer.status == 404, "a newer link ended it"
            async with http.post("/api/v1/sign-in", json={"secret": path[4:], "name": "Olga"}) as answer:
                token = (await answer.json())["you"]["token"]
            old = {"Authorization": f"Bearer {token}"}
            done = await asyncio.to_thread(spawned, "rotate-key", "--data", server.data, cwd=tmp_path)
            assert done.returncode == 0, done
            async with http.get("/api/v1/me", headers=old) as answer:
                assert answer.status == 200, "tokens of the key before hold"
            done = await asyncio.to_thread(spawned, "rotate-key", "--forget", "--data", server.data, cwd=tmp_path)
            assert done.returncode == 0, done
            async with http.get("/api/v1/me", headers=old) as answer:
                assert answer.status == 401
    finally:
        assert await server.stop() == 0
    assert not control.exists()
    assert stat.S_IMODE((server.data / "secret").stat().st_mode) == 0o600


async def test_a_closed_server_with_an_owner_prints_no_link(tmp_path: Path) -> None:
    data = tmp_path / "data"
    path = path_of(await asyncio.to_thread(chatzilla, "owner-link", "--data", data, cwd=tmp_path))
    server = await Process(data, environ={"CHATZILLA_SIGN_IN": "links"}).start()
    try:
        async with aiohttp.ClientSession(server.url) as http:
            async with http.get(path) as answer:
                assert answer.status == 404, "nobody was the owner yet, so this start printed a link of its own"
            path = (await server.line(), await server.line())[1].removeprefix(server.url)
            async with http.post("/api/v1/sign-in", json={"secret": path[4:], "name": "Olga"}) as answer:
                assert answer.status == 201
        await server.kill()
        await server.start()
        assert (await asyncio.to_thread(spawned, "owner-link", "--data", data, cwd=tmp_path)).returncode == 0
        assert await server.stop() == 0
        assert await server.line() == ""
    finally:
        await server.kill()


def test_a_closed_server_that_all_can_reach_has_to_say_where_it_keeps_its_data(tmp_path: Path) -> None:
    line = refusal("serve", "--host", "0.0.0.0", "--port", "0", cwd=tmp_path, CHATZILLA_SIGN_IN="links")
    assert "CHATZILLA_DATA" in line
    assert "CHATZILLA_SECRET" in line
    assert not list(tmp_path.iterdir())


BY_MAIL = {
    "CHATZILLA_SIGN_IN": "email",
    "CHATZILLA_SMTP_URL": "smtp+plain://localhost:1",
    "CHATZILLA_MAIL_FROM": "chat@example.com",
    "CHATZILLA_URL": "https://chat.example.com",
}


@pytest.mark.parametrize("missing", ["CHATZILLA_SMTP_URL", "CHATZILLA_MAIL_FROM", "CHATZILLA_URL"])
def test_signing_in_by_mail_needs_its_settings(missing: str, tmp_path: Path) -> None:
    environ = {name: value for name, value in BY_MAIL.items() if name != missing}
    line = refusal("serve", "--port", "0", "--data", tmp_path / "data", cwd=tmp_path, **environ)
    assert f"needs {missing}: " in line
    assert not (tmp_path / "data").exists()


def test_signing_in_by_mail_is_closed_and_keeps_its_data(tmp_path: Path) -> None:
    line = refusal("serve", "--host", "0.0.0.0", "--port", "0", cwd=tmp_path, **BY_MAIL)
    assert "CHATZILLA_DATA" in line


def test_an_address_is_invited_where_no_server_runs(tmp_path: Path) -> None:
    invite = ("invite-link", "--data", tmp_path / "data", "--role", "owner", "--email", "Olga@Example.com")
    done = chatzilla(*invite, cwd=tmp_path, **BY_MAIL)
    assert (done.returncode, done.stdout) == (0, "olga@example.com may come in by mail at https://chat.example.com/\n")
    assert "by mail" in refusal(*invite, cwd=tmp_path)
    for wrong in (("--email", "x"), ("--email", "a@b.example", "--role", "guest", "--room", "den")):
        assert refusal("invite-link", "--data", tmp_path / "data", *wrong, cwd=tmp_path, **BY_MAIL)


def test_a_key_that_is_a_setting_is_not_rotated_here(tmp_path: Path) -> None:
    Database(tmp_path / "data").open().close(cleanly=True)
    line = refusal("rotate-key", "--data", tmp_path / "data", cwd=tmp_path, CHATZILLA_SECRET=SECRET)
    assert "CHATZILLA_SECRET_BEFORE" in line


def _rooms(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        return [room for (room,) in connection.execute("SELECT id FROM rooms ORDER BY no")]


async def test_a_backup_of_a_running_server_is_restored_once_it_has_stopped(tmp_path: Path) -> None:
    data, kept = tmp_path / "data", tmp_path / "kept.db"
    server = await Process(data).start()
    try:
        client = await Client(server.url).connect(auth={"dialect": "full"})
        epoch = (await client.joins(name="alice"))["epoch"]
        await client.says("lobby", "kept")
        done = await asyncio.to_thread(chatzilla, "backup", kept, "--data", data, cwd=tmp_path)
        assert (done.returncode, stat.S_IMODE(kept.stat().st_mode)) == (0, 0o600)
        assert "Name a new file" in refusal("backup", kept, "--data", data, cwd=tmp_path)
        await client.joins("garden")
        await client.says("garden", "after that")
        assert "is in use by another Chatzilla" in refusal("restore", kept, "--data", data, cwd=tmp_path)
        await client.close()
    finally:
        await server.kill()  # it leaves what it wrote beside the database
    assert data.joinpath("chatzilla.db-wal").stat().st_size
    done = await asyncio.to_thread(chatzilla, "restore", kept, "--data", data, cwd=tmp_path)
    assert (done.returncode, str(data / "chatzilla.db.before") in done.stdout) == (0, True), done
    assert _rooms(data / "chatzilla.db") == ["lobby"]
    assert _rooms(data / "chatzilla.db.before") == ["lobby", "garden"]
    await server.start()
    try:
        client = await Client(server.url).connect(auth={"dialect": "full"})
        joined = await client.joins(name="alice")
        assert ([row["content"] for row in joined["messages"]], joined["epoch"] == epoch) == (["kept"], False)
        await client.close()
    finally:
        assert await server.stop() == 0
    names = {path.name for path in data.iterdir()}
    database = {f"chatzilla.db{end}" for end in ("", "-wal", "-shm", ".lock", ".before")}
    assert names <= database | {"secret", "starts", "lock"}


def test_what_is_no_copy_is_not_restored(tmp_path: Path) -> None:
    data = tmp_path / "data"
    Database(data).open().close(cleanly=True)
    before = (data / "chatzilla.db").read_bytes()
    diary, empty = tmp_path / "diary", tmp_path / "empty"
    diary.write_text("Dear diary, " * 1000)
    empty.touch()
    for file, word in ((diary, "not a database"), (empty, "is empty"), (tmp_path / "none", "no file")):
        assert word in refusal("restore", file, "--data", data, cwd=tmp_path)
    assert (data / "chatzilla.db").read_bytes() == before
    assert "no database" in refusal("backup", tmp_path / "copy", "--data", tmp_path / "nosuch", cwd=tmp_path)


def test_a_copy_that_others_could_read_is_its_owners_alone_after_a_start(tmp_path: Path) -> None:
    Database(tmp_path / "data").open().close(cleanly=True)
    path = tmp_path / "data/chatzilla.db"
    path.chmod(0o644)
    Database(tmp_path / "data").open().close(cleanly=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "command", [("roles",), ("ban", "--address", "192.0.2.1"), ("bot", "Robot"), ("lock", "garden"), ("new-epoch",)]
)
def test_a_mistyped_folder_makes_no_house(command: tuple[str, ...], tmp_path: Path) -> None:
    """What is done in one is done nowhere."""
    line = refusal(*command, "--data", tmp_path / "nosuch", cwd=tmp_path)
    assert line.startswith(f"There is no database at {tmp_path / 'nosuch' / 'chatzilla.db'}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["roles", "doctor", "new-epoch"])
def test_a_command_of_another_user_says_whose_it_would_be(command: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o000)
    become = "os.setuid(65_534)" if os.getuid() == 0 else "None"  # whom modes do not bind cannot try it
    script = f"import os, sys\nfrom chatzilla.cli import main\n{become}\nsys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", script, command, "--data", folder],
        cwd="/",
        env=installs.clean_environ(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done
    assert done.stderr.endswith("is not for you: run this as the user whose server it is.\n")


def test_whoever_reads_may_stop_reading(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "chatzilla", "config"]
    environ = installs.clean_environ(PYTHONPATH=str(ROOT)) | {"PYTHONUNBUFFERED": ""}
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(command, cwd=tmp_path, env=environ, stdout=writing, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def said(done: Done) -> list[str]:
    """The lines that a command has printed."""
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout.splitlines()


def test_bots_and_hooks_are_made_listed_and_ended_where_no_server_runs(tmp_path: Path) -> None:
    data = ("--data", tmp_path / "data")
    Database(tmp_path / "data").open().close(cleanly=True)
    title, token = said(chatzilla("bot", "Robot", *data, "--days", "90", cwd=tmp_path))
    assert "Robot" in title
    assert token.count(".") == 2
    assert "somebody here" in refusal("bot", "R0bot", *data, cwd=tmp_path).lower()
    assert [line.split("  ")[1:] for line in said(chatzilla("bots", *data, cwd=tmp_path))] == [["1", "Robot"]]
    title, address = said(chatzilla("hook", "CI", "--room", "Garden", *data, cwd=tmp_path))
    assert "garden" in title
    assert re.fullmatch(r"http://127\.0\.0\.1:5000/hooks/[\w-]{22}", address)
    ((ident, *rest),) = (line.split("  ") for line in said(chatzilla("hooks", *data, cwd=tmp_path)))
    assert rest == ["garden", "CI"]
    for command in (("end-bot", "robot"), ("end-hook", ident)):
        assert said(chatzilla(*command, *data, cwd=tmp_path))[0].endswith("is ended.")
        assert "no such" in refusal(*command, *data, cwd=tmp_path)
    for listing in ("bots", "hooks"):
        assert not "".join(said(chatzilla(listing, *data, cwd=tmp_path)))
    for wrong in (
        ("bot", "a\nb"),
        ("bot", "x", "--days", "0"),
        ("bot", "x", "--days", "9999999999999"),
        ("bot", "x", "--days", "\u0663"),
        ("hook", ""),
        ("hook", "x", "--room", "no room"),
        ("hook", "x", "--room", "p-" + "a" * 24),
    ):
        assert refusal(*wrong, *data, cwd=tmp_path), wrong


async def test_a_bot_and_a_hook_of_the_operators_are_in_at_once(tmp_path: Path) -> None:
    """Also after the key was changed, for as long as the token lasts."""
    server = await Process(tmp_path / "data", environ={"CHATZILLA_SIGN_IN": "links"}).start()

    async def command(*arguments: str) -> list[str]:
        return said(await asyncio.to_thread(chatzilla, *arguments, "--data", server.data, cwd=tmp_path))

    try:
        _, token = await command("bot", "Robot", "--days", "90")
        _, address = await command("hook", "CI")
        bot = await Client(server.url).connect(auth={"dialect": "full", "token": token})
        await bot.joins()
        async with aiohttp.ClientSession() as http:
            async with http.post(address, data="hello", headers={"Content-Type": "text/plain"}) as answer:
                assert (answer.status, await answer.text()) == (200, "ok")
            heard = await bot.hears()
            assert (heard["name"], heard["content"]) == ("CI", "hello")
            await command("rotate-key")
            until = int((server.data / "secret").read_text().splitlines()[1].split()[1])
            assert until > time.time() + 89 * 24 * 3600
            await command("end-bot", "Robot")
            assert (await bot.hears("goodbye"))["code"] == "sign-in"
            ((ident, *_),) = (line.split() for line in await command("hooks"))
            await command("end-hook", ident)
            async with http.post(address, data="hello") as answer:
                assert answer.status == 404
        await bot.close()
        assert token not in server.log.read_text()
        assert address.rpartition("/")[2] not in server.log.read_text()
    finally:
        assert await server.stop() == 0

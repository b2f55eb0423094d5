"""A real Janus that others use as well, that does not stay, or that is not set up for calls."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chatzilla.config import Config
from chatzilla.doctor import Verdict, look
from chatzilla.errors import Unavailable
from chatzilla.media import janus_api
from tests.helpers import extras
from tests.helpers.call_tabs import CAST
from tests.helpers.callers import party
from tests.helpers.clients import PATIENCE_SECONDS
from tests.helpers.janus_server import SECRET, through
from tests.helpers.servers import Process, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.helpers.callers import Party
    from tests.helpers.janus_server import JanusServer

RESTS_SECONDS = 0.9
"""What the shortest rest is at least, by a clock that may be coarse."""


async def carries(people: Party) -> None:
    """Wait until the server takes its Janus for one that carries calls."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not people.server.house.engines[0].healthy:
            await asyncio.sleep(0.02)


async def test_another_server_on_the_same_janus_ends_no_call(tmp_path: Path, janus: JanusServer) -> None:
    """It clears what it left behind itself, after kill -9 too, and nothing of what is somebody else's."""
    environ = {"CHATZILLA_CALLS": "janus", "CHATZILLA_JANUS_URL": janus.url, "CHATZILLA_JANUS_SECRET": SECRET}
    other = Process(tmp_path / "other", environ=environ)
    async with serving(tmp_path / "data", **through(janus)) as server, party(server) as people:
        cast = await extras.enter(people, "garden", "Eve", "Finn")
        seen = {one.id: CAST[one.name] for one in cast}
        await extras.all_see(cast, seen)
        (garden,), handles = await janus.rooms(), await janus.handles()
        downs = [one.downs for one in cast]
        for _ in range(2):
            await other.start()
            try:
                async with party(other) as strangers:  # type: ignore[arg-type]  # it has an address, which is enough
                    stranger = await strangers.enters("stranger", "attic")
                    attic = stranger.answer["call"]["id"]
                    assert sorted(await janus.rooms()) == sorted([garden, attic])
                    await other.kill()
            finally:
                await other.kill()
            assert sorted(await janus.rooms()) == sorted([garden, attic]), "nobody has told Janus that it is over"
        await extras.all_see(cast, seen)
        assert (await janus.handles(), [one.downs for one in cast]) == (handles, downs), "nobody began anew"
        for one in cast:
            await one.leaves()


@asynccontextmanager
async def cutter(janus: JanusServer, cuts: int) -> AsyncIterator[tuple[str, list[float]]]:
    """Stands before Janus, and cuts the first few connections once it is known what rooms there are.

    Yields its address, and when each connection came.
    """
    came: list[float] = []
    path = janus.folder / "cutter.sock"
    writers: set[asyncio.StreamWriter] = set()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, until: bytes) -> None:
        said = b""
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
            said += data
            if until and until in said:
                return

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(asyncio.get_running_loop().time())
        there, to_janus = await asyncio.open_unix_connection(str(janus.socket))
        writers.update((writer, to_janus))
        until = b'"list"' if len(came) <= cuts else b""
        both = [
            asyncio.create_task(pass_on(reader, to_janus, until=b"")),
            asyncio.create_task(pass_on(there, writer, until=until)),
        ]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)
        for each in (writer, to_janus):
            writers.discard(each)
            each.close()

    server = await asyncio.start_unix_server(connected, str(path))
    try:
        yield f"unix:{path}", came
    finally:
        server.close()
        for each in tuple(writers):
            each.close()
        with suppress(FileNotFoundError):
            path.unlink()


async def test_a_janus_that_does_not_stay_is_left_alone_for_longer_and_longer(
    tmp_path: Path, janus: JanusServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Everybody in a call begins anew whenever it is there, and the log has a line: so not a hundred times a second."""
    caplog.set_level(logging.INFO, "chatzilla.media.janus")
    async with cutter(janus, 2) as (url, came):
        settings = through(janus) | {"janus_url": url}
        async with serving(tmp_path / "data", **settings) as server, party(server) as people:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while len(came) < 3:
                    await asyncio.sleep(0.02)
            await carries(people)
            assert came[2] - came[1] >= RESTS_SECONDS, "the first time it may have been a restart, the second not"
            said = [record.getMessage() for record in caplog.records]
            assert sum(line.startswith("Janus is gone, 0 s after it was there") for line in said) == 2, said
            assert (await people.enters("alice")).answer["engine"] == "sfu"


def stands_still(pid: int) -> bool:
    """Whether every thread of a process is stopped."""
    stats = [task.joinpath("stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


async def test_what_lets_nobody_in_and_says_nothing_is_told_apart(
    janus: JanusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped process: its socket takes whoever comes. The log used to end with a colon, and nothing behind it."""
    monkeypatch.setattr(janus_api, "ANSWER_SECONDS", 0.1)
    os.kill(janus.pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not stands_still(janus.pid):  # a thread that has not stopped yet may shake hands
                await asyncio.sleep(0.01)
        with pytest.raises(Unavailable, match=r"Janus is not there: it does not answer$"):
            await janus_api.JanusSession(SECRET, lambda *_: None).connect(janus.url)
    finally:
        os.kill(janus.pid, signal.SIGCONT)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (f'admin_key = "{SECRET}"', 'admin_key = "another-one-than-that-of-the-server"'),
        ("string_ids = true", "string_ids = false"),
    ],
    ids=["another secret in its second place", "rooms with numbers, as packages bring it"],
)
async def test_a_janus_that_answers_and_carries_no_calls_is_not_believed(
    tmp_path: Path, janus: JanusServer, caplog: pytest.LogCaptureFixture, right: str, wrong: str
) -> None:
    """Calls go from browser to browser, and the log and the doctor say why."""
    file = janus.folder / "janus.plugin.videoroom.jcfg"
    text = file.read_text()
    assert right in text
    file.write_text(text.replace(right, wrong))
    await janus.kill()
    await janus.start()
    async with serving(tmp_path / "data", **through(janus, "auto")) as server, party(server) as people:
        assert (await people.enters("alice")).answer["engine"] == "mesh"
        async with asyncio.timeout(PATIENCE_SECONDS):
            while "Janus does not carry calls: " not in caplog.text:
                await asyncio.sleep(0.02)
        config = Config(data=tmp_path / "nobodys", port=0, **through(janus, "auto"))
        found = {finding.what: finding async for finding in look(config)}["Janus"]
        assert (found.verdict, "admin_key" in found.words, "string_ids" in found.words) == (Verdict.BAD, True, True)
        file.write_text(text)
        await janus.kill()
        await janus.start()
        await carries(people)
        assert (await people.enters("bob", "garden")).answer["engine"] == "sfu"
        assert caplog.text.count("Janus does not carry calls: ") == 1, "one line, however often it was tried"

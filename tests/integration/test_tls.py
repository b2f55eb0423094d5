"""HTTPS without a proxy: real handshakes, and WebSockets that live on them."""

from __future__ import annotations

import asyncio
import datetime
import os
import ssl
import stat
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from cryptography import x509

from chatzilla import tls
from chatzilla.errors import StartError
from chatzilla.realtime import websocket
from chatzilla.tls import OWN_FILE, Certificates
from tests.helpers.callers import Party
from tests.helpers.clients import PATIENCE_SECONDS, Client
from tests.helpers.house import OpenHouse
from tests.helpers.servers import Process, serving
from tests.helpers.sockets import RawSocket, hang_up_all
from tests.helpers.tls_proxy import Certificate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TEXT = "x" * 9_900


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.make(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
async def house(tmp_path: Path, certificate: Certificate) -> AsyncIterator[OpenHouse]:
    """A server that presents a certificate."""
    presents = Certificates(certificate.certificate, certificate.key).context
    async with (
        serving(tmp_path / "data", presents=presents, message_rate=0.0, synchronous="normal") as server,
        AsyncExitStack() as stack,
    ):
        yield OpenHouse(server, stack)
        await hang_up_all()


async def connect(house: OpenHouse, certificate: Certificate, name: str, *transports: str) -> Client:
    """A Socket.IO client that trusts the certificate and nothing else."""
    connector = aiohttp.TCPConnector(ssl=certificate.trusted())
    http = await house.stack.enter_async_context(aiohttp.ClientSession(connector=connector))
    client = Client(house.server.url, http_session=http)
    house.stack.push_async_callback(client.close)
    await client.connect(auth={"dialect": "full"}, transports=transports or ("websocket",))
    await client.joins(name=name)
    return client


async def raw_socket(house: OpenHouse, certificate: Certificate) -> RawSocket:
    """A WebSocket over TLS, frame by frame."""
    raw = await RawSocket.connect(int(house.server.url.rpartition(":")[2]), certificate.trusted())
    return await raw.shakes_hands("/socket.io/?EIO=4&transport=websocket")


class TestWebSockets:
    async def test_what_is_said_arrives_whole_and_in_order(self, house: OpenHouse, certificate: Certificate) -> None:
        """Frames of every size, many at once, both ways: over TLS all of them go through the transport."""
        alice = await connect(house, certificate, "alice")
        bob = await connect(house, certificate, "bob", "polling", "websocket")
        texts = [TEXT[: 1 + 97 * number] for number in range(100)]
        said = [alice.says("lobby", text) for text in texts]
        await asyncio.gather(*said)
        assert sorted([(await bob.hears())["content"] for _ in texts], key=len) == texts
        await house.fill(texts)
        assert [(await alice.hears())["content"] for _ in texts] == texts
        assert [(await bob.hears())["content"] for _ in texts] == texts

    async def test_frames_in_pieces_and_in_one_are_the_same(self, house: OpenHouse, certificate: Certificate) -> None:
        raw = await raw_socket(house, certificate)
        assert (await raw.text()).startswith("0{")
        await raw.say("40/chat,")
        assert (await raw.text()).startswith("40/chat,{")
        for number in range(50):
            await raw.say(f'42/chat,{number}["message","{number}"]')
        answers = [await raw.text() for _ in range(50)]
        assert all(answer.startswith(f"43/chat,{number}[") for number, answer in enumerate(answers))

    async def test_a_slow_reader_is_let_go(
        self, house: OpenHouse, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What waits for it is counted, although it waits inside of TLS."""
        monkeypatch.setattr(websocket, "CLOSING_SECONDS", 0.2)
        bob = await connect(house, certificate, "bob")
        slow = await raw_socket(house, certificate)
        await slow.text()
        await slow.say('40/chat,{"dialect":"full"}')
        await slow.text()
        await slow.say('42/chat,1["join",{"name":"slow"}]')
        await slow.text()
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it reads as well
        listeners = house.server.house.delivery.listeners
        for _ in range(300):
            await house.fill([TEXT] * 10, author="talker")  # less than may wait for bob, however long he has to wait
            await bob.fence()
            if listeners("lobby") == 1:  # type: ignore[arg-type]  # a room's id
                break
        assert listeners("lobby") == 1, "it was let go"  # type: ignore[arg-type]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(house.server.house.server.eio._transports) > 1:
                await asyncio.sleep(0.01)
        await slow.reset()

    async def test_whoever_goes_is_gone(self, house: OpenHouse, certificate: Certificate) -> None:
        alice, bob = await connect(house, certificate, "alice"), await connect(house, certificate, "bob")
        await bob.close()
        gone: set[str] = set()
        while "bob" not in gone:
            gone |= {person["name"] for person in (await alice.hears("presence"))["went"]}


class TestServing:
    async def test_a_certificate_of_its_own(self, tmp_path: Path) -> None:
        """Made at the first start, for this machine's addresses, and found again at the next."""
        process = await Process(tmp_path / "data", "--host", "0.0.0.0", "--tls", "self-signed").start()
        try:
            assert process.url.startswith("https://127.0.0.1:")
            assert process.log.read_text().count("set CHATZILLA_URL") == 1, "it does not know its name"
            file = tmp_path / "data" / OWN_FILE
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            made = file.read_bytes()
            alternatives = x509.load_pem_x509_certificate(made).extensions.get_extension_for_class(
                x509.SubjectAlternativeName
            )
            addresses = [str(address) for address in alternatives.value.get_values_for_type(x509.IPAddress)]
            assert {"127.0.0.1", "::1"} <= set(addresses)
            async with AsyncExitStack() as stack:
                connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(file)))
                http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
                async with http.get(process.url) as page:
                    assert page.status == 200
                    assert "camera=(self)" in page.headers["Permissions-Policy"]
                    assert "Strict-Transport-Security" not in page.headers, "nobody could pass the warning any more"
                client = Client(process.url, http_session=http)
                stack.push_async_callback(client.close)
                await client.connect(auth={"dialect": "full"}, headers={"Origin": process.url})
                await client.joins(name="alice")
                assert (await client.says("lobby", "hello"))["seq"] == 1
                people = Party(type("Address", (), {"url": process.url}), stack)  # type: ignore[arg-type]
                caller = await people.connect(token=client.you["token"])
                await caller.joins()
            second = Process(tmp_path / "data", "--tls", "self-signed", environ={"CHATZILLA_URL": "https://b.example"})
            with pytest.raises(AssertionError, match="in use by another Chatzilla"):
                await second.start()
            assert await second.stop() == 2
            assert file.read_bytes() == made, "whoever is refused changes nothing of the server's that runs"
            assert await process.stop() == 0
            await process.start()
            assert file.read_bytes() == made
        finally:
            await process.kill()

    async def test_whoever_connects_and_does_not_shake_hands_counts_and_is_let_go(
        self, tmp_path: Path, certificate: Certificate
    ) -> None:
        """As on plain HTTP: an address has so many connections, and each has so long to ask for something."""
        process = Process(
            tmp_path / "data",
            *("--tls-cert", str(certificate.certificate), "--tls-key", str(certificate.key)),
            environ={"CHATZILLA_HEADER_SECONDS": "0.5", "CHATZILLA_CONNECTIONS_PER_ADDRESS": "2"},
        )
        await process.start()
        try:
            silent = [await RawSocket.connect(process.port) for _ in range(4)]
            await silent[0].send(half_a_hello())
            for _ in range(5):
                await (await RawSocket.connect(process.port)).is_over()
            assert not any(each.reader.at_eof() for each in silent), "those before had the room"
            for each in silent:
                await each.is_over()
            async with (
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=certificate.trusted())) as http,
                http.get(f"{process.url.replace('127.0.0.1', 'localhost')}/healthz") as answer,
            ):
                assert answer.status == 200
                assert answer.headers["Strict-Transport-Security"]
            plain = await RawSocket.connect(process.port)
            await plain.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await plain.is_over()
            assert await asks_with_the_end_of_its_handshake(process.port, certificate) == b"HTTP/1.1 200 OK"
            await (await RawSocket.connect(process.port)).send(half_a_hello())
            assert await process.stop() == 0
            assert "Traceback" not in (log := process.log.read_text())
            assert "CHATZILLA_URL" not in log, "on a loopback address no stranger's name counts"
        finally:
            await process.stop()
            await hang_up_all()


def half_a_hello() -> bytes:
    """The beginning of a handshake that never goes on."""
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(into, out, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()[:100]


async def asks_with_the_end_of_its_handshake(port: int, certificate: Certificate) -> bytes:
    """Send the last of the handshake and a request in one piece; returns how the answer begins."""
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = certificate.trusted().wrap_bio(into, out, server_hostname="localhost")
    raw = await RawSocket.connect(port)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                client.do_handshake()
            except ssl.SSLWantReadError:
                await raw.send(out.read())
                into.write(await raw.reader.read(65_536))
            else:
                break
        client.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await raw.send(out.read())
        while True:
            assert into.write(await raw.reader.read(65_536)), "it is answered"
            try:
                return client.read(15)
            except ssl.SSLWantReadError:  # tickets for another time come before
                continue


class TestCertificates:
    def test_one_that_ends_soon_is_made_anew(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = tmp_path / OWN_FILE
        with monkeypatch.context() as patch:
            patch.setattr(tls, "LASTS_DAYS", tls.RENEWED_BEFORE_DAYS - 1)
            Certificates(file, file, made_for=())
        before = file.read_bytes()
        Certificates(file, file, made_for=())
        made = x509.load_pem_x509_certificate(file.read_bytes())
        assert file.read_bytes() != before
        left = made.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
        assert datetime.timedelta(days=300) < left < datetime.timedelta(days=398), "as long as browsers take any"
        assert not file.with_suffix(".new").exists()

    def test_one_that_lacks_an_address_is_made_anew(self, tmp_path: Path) -> None:
        file = tmp_path / "new folder" / OWN_FILE
        Certificates(file, file, made_for=("0.0.0.0", "192.0.2.7"))
        before = file.read_bytes()
        Certificates(file, file, made_for=("192.0.2.7",))
        assert file.read_bytes() == before
        Certificates(file, file, made_for=("192.0.2.8", "Chat.Example.com"))
        made = x509.load_pem_x509_certificate(file.read_bytes())
        alternatives = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert "chat.example.com" in alternatives.get_values_for_type(x509.DNSName)
        assert "192.0.2.8" in map(str, alternatives.get_values_for_type(x509.IPAddress))

    @pytest.mark.parametrize(
        "held", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
    )
    def test_a_spoilt_one_of_our_own_is_made_anew(self, tmp_path: Path, held: bytes) -> None:
        file = tmp_path / OWN_FILE
        file.write_bytes(held)
        Certificates(file, file, made_for=())
        assert file.read_bytes() != held

    async def test_one_that_was_renewed_is_shown_without_a_restart(self, tmp_path: Path) -> None:
        """By whoever renews it: the next handshake sees the new one, and a half-written one is passed over."""
        folders = [tmp_path / name for name in ("first", "second")]
        for folder in folders:
            folder.mkdir()
        first, second = map(Certificate.make, folders)
        shown = Certificates(first.certificate, first.key)

        async def serves() -> bytes:
            server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=shown.context)
            async with server:
                port = server.sockets[0].getsockname()[1]
                pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))
            return ssl.PEM_cert_to_DER_cert(pem)

        before = await serves()
        second.certificate.replace(first.certificate)
        shown.look()
        assert await serves() == before, "the key does not fit yet"
        second.key.replace(first.key)
        shown.look()
        assert await serves() != before

    def test_what_cannot_be_used_is_refused_in_words(self, tmp_path: Path, certificate: Certificate) -> None:
        nonsense = tmp_path / "nonsense.pem"
        nonsense.write_text("nonsense")
        for files in ((nonsense, certificate.key), (certificate.certificate, nonsense)):
            with pytest.raises(StartError, match=r"are no certificate with its key"):
                Certificates(*files)
        with pytest.raises(StartError, match=r"missing\.pem cannot be read"):
            Certificates(tmp_path / "missing.pem", certificate.key)

    def test_a_key_with_a_password_is_refused_in_words(self, tmp_path: Path, certificate: Certificate) -> None:
        locked = tmp_path / "locked.pem"
        command = f"openssl ec -aes256 -passout pass:hunter2 -in {certificate.key} -out {locked}"
        assert os.system(f"{command} 2>/dev/null") == 0  # noqa: S605
        with pytest.raises(StartError, match="has a password"):
            Certificates(certificate.certificate, locked)

    @pytest.mark.parametrize(
        "arguments",
        [
            ("--tls-cert", "cert.pem"),
            ("--tls-key", "key.pem"),
            ("--tls", "self-signed", "--tls-cert", "cert.pem", "--tls-key", "key.pem"),
            ("--tls", "please"),
        ],
    )
    async def test_half_of_it_is_refused_at_the_start(self, tmp_path: Path, arguments: tuple[str, ...]) -> None:
        process = Process(tmp_path / "data", *arguments)
        with pytest.raises(AssertionError):
            await process.start()
        assert await process.stop() == 2
        assert "--tls" in process.log.read_text() or "CHATZILLA_TLS" in process.log.read_text()

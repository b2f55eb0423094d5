"""Ask a STUN server for one's address, or a TURN server for a relay, to see whether browsers would get it.

As much of RFC 8489 and RFC 8656 as one question takes, over UDP, TCP and TLS; a relay is given back at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import ipaddress
import os
import re
import ssl
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

COOKIE: Final = 0x2112A442
PORT: Final = 3478
TLS_PORT: Final = 5349
LARGEST: Final = 4_096
"""Bytes of a message that is read."""

ASKED_AGAIN_AFTER_SECONDS: Final = (0.5, 1.0, 2.0)
"""UDP loses things: when a question is sent again (RFC 8489, 6.2.1)."""

_BINDING: Final = 0x0001
_ALLOCATE: Final = 0x0003
_REFRESH: Final = 0x0004
_CREATE_PERMISSION: Final = 0x0008
_ERROR: Final = 0x0110
_CLASS: Final = 0x0110

_USERNAME: Final = 0x0006
_MESSAGE_INTEGRITY: Final = 0x0008
_ERROR_CODE: Final = 0x0009
_LIFETIME: Final = 0x000D
_RELAYED: Final = 0x0016
_PEER: Final = 0x0012
_REALM: Final = 0x0014
_NONCE: Final = 0x0015
_TRANSPORT: Final = 0x0019
_MAPPED: Final = 0x0020

_UDP: Final = struct.pack("!BBH", 17, 0, 0)

_URL: Final = re.compile(r"(stuns?|turns?):(\[[^\]]+\]|[^:?\[\]]+)(?::(\d+))?(?:\?transport=(udp|tcp))?", re.ASCII)


class StunError(Exception):
    """There was no answer, or a refusal; the text says which, in words."""

    def __init__(self, words: str, code: int | None = None) -> None:
        super().__init__(words)
        self.code = code
        """The number of the refusal, such as 401, where it is one."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a server answered."""

    address: str
    """Where we are, as it sees us."""
    relay: str | None = None
    """Where it would relay for us."""
    reaches: bool | None = None
    """Whether it would relay to the address that was asked about."""


async def ask(
    url: str,
    name: str = "",
    password: str = "",
    *,
    reaching: str | None = None,
    seconds: float = 5.0,
    trusts: ssl.SSLContext | None = None,
) -> Found:
    """Ask a server what it is there for: `stun:` for an address, `turn:` for a relay.

    Args:
        url: the server's address (RFC 7064, RFC 7065).
        name: of the credentials; a relay asks for them.
        password: likewise.
        reaching: an IPv4 address; whether a relay would send there, which is nobody's business if it is private.
        seconds: how long all of it may take.
        trusts: whom to believe where the address says `stuns:` or `turns:`.

    Raises:
        StunError: it did not give it.
        ValueError: this is no such address.
    """
    form = _URL.fullmatch(url)
    if form is None:
        raise ValueError(f"{url} is no address of a STUN or TURN server")
    scheme, host, port, transport = form.groups()
    secure = scheme.endswith("s")
    where = host.strip("[]"), int(port or (TLS_PORT if secure else PORT))
    context = (trusts or ssl.create_default_context()) if secure else None
    try:
        async with asyncio.timeout(seconds), _line(*where, tcp=transport == "tcp" or secure, context=context) as line:
            if scheme.startswith("stun"):
                return Found(_address(await line.asks(_BINDING, {}), _MAPPED))
            return await _allocate(line, name, password, reaching)
    except TimeoutError:
        raise StunError("did not answer") from None
    except ssl.SSLError as error:
        raise StunError(f"does not prove who it is: {error.reason}") from error
    except OSError as error:
        raise StunError(f"cannot be reached: {error.strerror or error}") from error


async def _allocate(line: _Line, name: str, password: str, reaching: str | None) -> Found:
    """Ask for a relay, learn how to ask, ask again; and give it back."""
    wish = {_TRANSPORT: _UDP}
    try:
        await line.asks(_ALLOCATE, wish)
    except _Refused as refusal:
        if refusal.code != 401:
            raise
        realm, nonce = refusal.attributes.get(_REALM, b""), refusal.attributes.get(_NONCE, b"")
    else:
        raise StunError("relays for everybody, without credentials")
    key = hashlib.md5(b":".join((name.encode(), realm, password.encode())), usedforsecurity=False).digest()
    proof = {_USERNAME: name.encode(), _REALM: realm, _NONCE: nonce}
    answer = await line.asks(_ALLOCATE, wish | proof, key)
    reaches = None if reaching is None else await _permits(line, reaching, proof, key)
    found = Found(_address(answer, _MAPPED), _address(answer, _RELAYED), reaches)
    with contextlib.suppress(StunError):
        await line.asks(_REFRESH, {_LIFETIME: struct.pack("!I", 0)} | proof, key)
    return found


async def _permits(line: _Line, address: str, proof: dict[int, bytes], key: bytes) -> bool:
    """Whether a relay would send to an address; it says 403 to what it must not reach (RFC 8656, 10.2)."""
    number = int(ipaddress.IPv4Address(address)) ^ COOKIE
    peer = struct.pack("!BBHI", 0, 1, 9 ^ (COOKIE >> 16), number)
    try:
        await line.asks(_CREATE_PERMISSION, {_PEER: peer} | proof, key)
    except _Refused as refusal:
        if refusal.code != 403:
            raise
        return False
    return True


class _Refused(StunError):
    """The server says no."""

    def __init__(self, code: int, reason: str, attributes: dict[int, bytes]) -> None:
        super().__init__(f"refused: {code} {reason}".rstrip(), code)
        self.code: int = code
        self.attributes = attributes


class _Line:
    """A way to a server: questions go out, and what comes in answers one of them, or nothing."""

    def __init__(self, *, again: bool) -> None:
        self._again = again
        """Whether questions may be lost on the way."""
        self._answers: asyncio.Queue[bytes] = asyncio.Queue(16)
        self.send: Callable[[bytes], object] = _nowhere

    def came(self, message: bytes) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._answers.put_nowait(message)

    async def asks(self, method: int, attributes: dict[int, bytes], key: bytes | None = None) -> dict[int, bytes]:
        """Ask one question; returns what the answer carries.

        Raises:
            StunError: the answer is a refusal.
        """
        transaction = os.urandom(12)
        question = _message(method, transaction, attributes, key)
        asking = asyncio.get_running_loop().create_task(self._keep_asking(question))
        try:
            while True:
                answer = await self._answers.get()
                if len(answer) >= 20 and answer[8:20] == transaction:
                    break
        finally:
            asking.cancel()
        kind, _, cookie = struct.unpack("!HHI", answer[:8])
        found = _attributes(answer, transaction)
        if cookie != COOKIE or kind & ~_CLASS != method:
            raise StunError("answers what nobody asked")
        if kind & _CLASS == _ERROR:
            words = found.get(_ERROR_CODE, b"\0\0\0\0")
            code = (words[2] & 7) * 100 + words[3] if len(words) >= 4 else 0
            raise _Refused(code, words[4:].decode(errors="replace"), found)
        return found

    async def _keep_asking(self, question: bytes) -> None:
        self.send(question)
        for seconds in ASKED_AGAIN_AFTER_SECONDS if self._again else ():
            await asyncio.sleep(seconds)
            self.send(question)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, line: _Line) -> None:
        self._line = line

    def datagram_received(self, data: bytes, _address: object) -> None:
        self._line.came(data)


@contextlib.asynccontextmanager
async def _line(host: str, port: int, *, tcp: bool, context: ssl.SSLContext | None) -> AsyncIterator[_Line]:
    line = _Line(again=not tcp)
    if not tcp:
        loop = asyncio.get_running_loop()
        datagrams, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(line), remote_addr=(host, port))
        line.send = datagrams.sendto
        try:
            yield line
        finally:
            datagrams.close()
        return
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    line.send = writer.write
    reading = asyncio.get_running_loop().create_task(_read(reader, line))
    try:
        yield line
    finally:
        reading.cancel()
        writer.close()


async def _read(reader: asyncio.StreamReader, line: _Line) -> None:
    """Cut a stream into messages: each says how long it is (RFC 8489, 6.2.2)."""
    with contextlib.suppress(asyncio.IncompleteReadError, OSError):
        while True:
            head = await reader.readexactly(20)
            size = int.from_bytes(head[2:4], "big")
            if size > LARGEST:
                return
            line.came(head + await reader.readexactly(size))


def _nowhere(_: bytes) -> None:
    raise RuntimeError("there is no line yet")


def _message(method: int, transaction: bytes, attributes: dict[int, bytes], key: bytes | None) -> bytes:
    """A question; with a key, it proves that we know it (RFC 8489, 14.5)."""
    body = b"".join(_attribute(kind, value) for kind, value in attributes.items())
    if key is None:
        return struct.pack("!HHI", method, len(body), COOKIE) + transaction + body
    head = struct.pack("!HHI", method, len(body) + 24, COOKIE) + transaction
    return head + body + _attribute(_MESSAGE_INTEGRITY, hmac.digest(key, head + body, hashlib.sha1))


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def _attributes(message: bytes, transaction: bytes) -> dict[int, bytes]:
    """What a message carries, each kind once; addresses as they are written here."""
    found: dict[int, bytes] = {}
    position = 20
    while position + 4 <= len(message):
        kind, size = struct.unpack_from("!HH", message, position)
        value = message[position + 4 : position + 4 + size]
        position += 4 + size + (-size % 4)
        if kind in (_MAPPED, _RELAYED):
            value = _unmasked(value, transaction)
        found.setdefault(kind, value)
    return found


def _unmasked(value: bytes, transaction: bytes) -> bytes:
    """An address, which is sent masked so that no router in between rewrites it (RFC 8489, 14.2)."""
    mask = struct.pack("!I", COOKIE) + transaction
    if len(value) not in (8, 20):
        return b""
    port = int.from_bytes(value[2:4], "big") ^ (COOKIE >> 16)
    address = ipaddress.ip_address(bytes(a ^ b for a, b in zip(value[4:], mask, strict=False)))
    return (f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}").encode()


def _address(found: dict[int, bytes], kind: int) -> str:
    value = found.get(kind)
    if not value:
        raise StunError("answers without an address")
    return value.decode()

"""Extras: people in a call through Janus who have no browser, so that one process carries many of them.

To the server and to Janus each is a participant like any other: a connection to `/calls`, and two peer connections with
ICE and DTLS-SRTP, which are aiortc's. What they send is a film, encoded once. Of what they receive every packet is
counted, and of each camera the last picture that stands alone is kept, so that one can look at its colour.

Like a page, they negotiate one thing after another, begin anew when media is reset, and come back by themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import struct
from dataclasses import dataclass, field
from socket import SO_RCVBUF, SOL_SOCKET
from typing import TYPE_CHECKING, Any, Final

import socketio.exceptions
from aiortc import RTCCertificate, RTCIceGatherer, RTCIceTransport
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtp import RTCP_PSFB_PLI, RtcpPsfbPacket, RtcpReceiverInfo, RtcpRrPacket, is_rtcp
from aiortc.sdp import SessionDescription, candidate_to_sdp

from tests.helpers import films
from tests.helpers.call_tabs import CAST, PATIENCE_SECONDS, alike
from tests.helpers.callers import CALLS, Caller
from tests.helpers.films import SOUND_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from aiortc.sdp import MediaDescription

    from tests.helpers.callers import Party
    from tests.helpers.films import Colour, Film

CONNECT_SECONDS: Final = 15.0
"""How long a peer connection may take before everything begins anew, as in a page."""

AGAIN_SECONDS: Final = 0.5

OVERTAKEN: Final = {"conflict", "offline", "timeout", "unavailable"}
"""Refusals of an answer after which another offer, or another beginning, comes by itself, as in a page."""

LOOK_AGAIN_SECONDS: Final = 0.1
ASK_EVERY: Final = 10
"""Looks; a browser that is asked more often does nothing but paint pictures that stand alone."""

BUFFER: Final = 1 << 20
"""Bytes that may wait to be read; the system may allow fewer."""

HASH: Final = "sha-256"
"""Of the certificate, and the one that Janus reads."""

SOUND, PICTURE = 111, 96
"""Payload types of what is sent."""

TICKS: Final = {SOUND: 48_000, PICTURE: 90_000}
_CODECS: Final = {"audio": (SOUND, "opus/48000/2"), "video": (PICTURE, "VP8/90000")}

_CERTIFICATE: Final = RTCCertificate.generateCertificate()

_RTP: Final = 2
"""The version, which tells RTP from what else comes by the same way (RFC 7983)."""

_HEAD: Final = struct.Struct("!BBHLL")
"""A packet's first twelve bytes (RFC 3550, 5.1)."""

_numbers: Final = itertools.count(1)


@dataclass(slots=True)
class Line:
    """What comes on one line of the connection down."""

    participant: str
    source: str
    ssrc: int
    sealed: bool = False
    """Whether nothing but the head of a packet can be read."""
    packets: int = 0
    lost: int = 0
    """Packets that never came, or came late: gaps in their numbers."""
    pictures: int = 0
    alone: bytes = b""
    """The last picture that stands alone."""
    _next: int | None = None
    _parts: list[bytes] = field(default_factory=list)

    def take(self, packet: bytes) -> None:
        """Count one packet, and put pictures together."""
        head, kind, number, _, _ = _HEAD.unpack_from(packet)
        missed = 0 if self._next is None else (number - self._next) & 0xFFFF
        if missed >= 0x8000:  # an old one
            return
        self.packets += 1
        self.lost += missed
        self._next = (number + 1) & 0xFFFF
        if self.source != "camera" or self.sealed:
            return
        start = _HEAD.size + 4 * (head & 0x0F)
        if head & 0x10:
            start += 4 + 4 * int.from_bytes(packet[start + 2 : start + 4], "big")
        payload = packet[start : len(packet) - (packet[-1] if head & 0x20 else 0)]
        if missed or not payload:
            self._parts = []
        elif films.begins(payload):
            self._parts = [payload]
        elif self._parts:
            self._parts.append(payload)
        if kind & 0x80 and self._parts:
            self.pictures += 1
            if films.stands_alone(films.picture_in(self._parts[0])):
                self.alone = b"".join(films.picture_in(part) for part in self._parts)
            self._parts = []


class _Secured(RTCDtlsTransport):
    """Hands over packets as they are."""

    def __init__(self, ice: RTCIceTransport, heard: Callable[[bytes], None]) -> None:
        super().__init__(ice, [_CERTIFICATE])
        self._heard = heard

    async def _handle_rtp_data(self, data: bytes, arrival_time_ms: int) -> None:  # noqa: ARG002  # aiortc's
        self._heard(data)

    async def _handle_rtcp_data(self, data: bytes) -> None:
        """Reports and requests: what is played needs neither."""


class Leg:
    """One peer connection with Janus; whoever offers has the better word (RFC 8445, 6.1.1)."""

    def __init__(self, *, offers: bool, heard: Callable[[bytes], None], sealed: bool = False) -> None:
        """Gather nothing yet.

        Args:
            offers: whether this side does.
            heard: takes each packet of RTP.
            sealed: whether as it came: its head can be read, and nothing else of it (RFC 3711, 3.1).
        """
        self._gatherer = RTCIceGatherer(iceServers=[])
        self._gatherer._connection.ice_controlling = offers
        self._ice = RTCIceTransport(self._gatherer)
        self._dtls = _Secured(self._ice, heard)
        self._dtls._set_role("server" if offers else "client")
        self._setup = "actpass" if offers else "active"
        if sealed:
            connection = self._gatherer._connection
            usual = connection.data_received

            def received(data: bytes, component: int) -> None:
                if data[0] >> 6 == _RTP and not is_rtcp(data):
                    heard(data)
                else:
                    usual(data, component)

            connection.data_received = received  # type: ignore[method-assign]  # below everything that takes time
        self._gathering: asyncio.Task[None] | None = None
        self._connecting: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        return self._dtls.state == "connected"

    async def describe(self, lines: Iterable[tuple[MediaDescription | str, str, str, int]]) -> str:
        """A description of this side: lines of a kind, a mid, a direction and a source's number."""
        if self._gathering is None:
            self._gathering = asyncio.get_running_loop().create_task(self._gatherer.gather())
        await asyncio.shield(self._gathering)  # whoever gives up in the middle of it leaves sockets open
        for way in self._gatherer._connection._protocols:
            # As browsers do: a picture that stands alone is many packets at once.
            way.transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_RCVBUF, BUFFER)
        mine, prints = self._gatherer.getLocalParameters(), self._dtls.getLocalParameters().fingerprints
        ways = "".join(f"a=candidate:{candidate_to_sdp(each)}\r\n" for each in self._gatherer.getLocalCandidates())
        common = (
            f"c=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=rtcp-mux\r\na=setup:{self._setup}\r\n"
            f"a=ice-ufrag:{mine.usernameFragment}\r\na=ice-pwd:{mine.password}\r\n"
            + "".join(f"a=fingerprint:{each.algorithm} {each.value}\r\n" for each in prints if each.algorithm == HASH)
        )
        text = ""
        mids: list[str] = []
        for kind, mid, direction, ssrc in lines:
            mids.append(mid)
            number, codec = _codec_in(kind)
            name = kind if isinstance(kind, str) else kind.kind
            text += f"m={name} 9 UDP/TLS/RTP/SAVPF {number}\r\n{common}a=mid:{mid}\r\na={direction}\r\n"
            text += f"a=rtpmap:{number} {codec}\r\n"
            if ssrc:
                text += f"a=ssrc:{ssrc} cname:extra\r\n"
            if len(mids) == 1:
                text += ways  # which hold for all lines of a bundle (RFC 8843, 7.1.3)
        head = f"v=0\r\no=- {id(self)} 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {' '.join(mids)}\r\n"
        return head + text

    def connect(self, other: SessionDescription) -> None:
        """Begin to reach the other side; once."""
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect(other))

    async def _connect(self, other: SessionDescription) -> None:
        media = other.media[0]
        assert media.ice is not None
        assert media.dtls is not None
        for candidate in media.ice_candidates:
            await self._ice.addRemoteCandidate(candidate)
        await self._ice.addRemoteCandidate(None)
        await self._ice.start(media.ice)
        if self._ice.state == "completed":
            await self._dtls.start(media.dtls)

    async def connected(self) -> bool:
        """Wait until it is; False if it never is."""
        assert self._connecting is not None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._connecting), CONNECT_SECONDS)
        return self.up

    async def send(self, packet: bytes) -> None:
        """Send one packet of RTP or RTCP; nobody hears it on a connection that is gone."""
        with contextlib.suppress(ConnectionError):
            await self._dtls._send_rtp(packet)

    async def close(self) -> None:
        if self._gathering is not None:
            await self._gathering
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        await self._dtls.stop()
        # Not by its `stop`, which waits for a word that the connection may have said before.
        monitor: asyncio.Task[None] | None = vars(self._ice)["_RTCIceTransport__monitor_task"]
        if monitor is not None:
            monitor.cancel()
        await self._gatherer._connection.close()


class Extra:
    """One of them."""

    def __init__(self, people: Party, name: str, film: Film | None, *, sealed: bool = False) -> None:
        """Nobody yet; `enters` brings them in.

        Args:
            people: those whom they belong to.
            name: what they are called.
            film: what they send; without one they watch.
            sealed: whether they look at nothing that comes, and only count it.
        """
        self.name = name
        self.film = film
        self._sealed = sealed
        self.sent = 0
        """Packets."""
        self.downs = 0
        """Connections down, from the first on."""
        self._people = people
        self._caller: Caller | None = None
        self._lines: dict[str, Line] = {}
        self._by_ssrc: dict[int, Line] = {}
        self._up: Leg | None = None
        self._down: Leg | None = None
        self._session = ""
        self._round = 0
        """Counts beginnings."""
        self._inbox: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def id(self) -> str:
        assert self._caller is not None
        return self._caller.id

    @property
    def lines(self) -> list[Line]:
        """What comes now."""
        return list(self._lines.values())

    async def enters(self, room: str) -> Extra:
        """Enter the room's call, and stay until `leaves`."""
        sends = self.film is not None
        self._caller = self._attend(await self._people.connect(self.name))
        await self._caller.joins(room, audio=sends, video=sends)
        loop = asyncio.get_running_loop()
        self._inbox.put_nowait(("begin", self._round))
        self._tasks = [loop.create_task(self._live(room))]
        if self.film is not None:
            self._tasks.append(loop.create_task(self._play(self.film)))
        return self

    async def leaves(self) -> None:
        """Leave the call, and end everything."""
        if self._caller is not None and not self._caller.gone.is_set():
            await self._caller.does("leave")
        await self.vanishes()

    async def vanishes(self) -> None:
        """End everything without a word."""
        for task in self._tasks:
            task.cancel()
        ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._stop()
        if self._caller is not None:
            await self._caller.close()
        for end in ends:
            if isinstance(end, Exception):
                raise end

    def colours(self) -> dict[str, Colour | None]:
        """The colour of each camera that comes, by whose it is."""
        return {
            line.participant: films.colour_of(line.alone) if line.alone else None
            for line in self._lines.values()
            if line.source == "camera"
        }

    def sees(self, wanted: Mapping[str, Colour]) -> bool:
        """Whether exactly these cameras come, in these colours."""
        seen = self.colours()
        return seen.keys() == wanted.keys() and all(alike(seen[one], colour) for one, colour in wanted.items())

    def watch(self) -> None:
        """Forget what has been seen and counted, so that whatever is there afterwards has come since."""
        for line in self._lines.values():
            line.alone = b""
            line.packets = line.lost = line.pictures = 0

    async def ask_for_pictures(self) -> None:
        """Have every camera that is not seen send a picture that stands alone (RFC 4585, 6.3.1)."""
        for line in self.lines:
            if line.source == "camera" and not line.alone and self._down is not None and self._down.up:
                report = RtcpReceiverInfo(line.ssrc, 0, 0, 0, 0, 0, 0)  # by which Janus knows what it is about
                wish = RtcpPsfbPacket(fmt=RTCP_PSFB_PLI, ssrc=1, media_ssrc=line.ssrc)
                await self._down.send(bytes(RtcpRrPacket(1, [report])) + bytes(wish))

    # What happens to them, one thing after another.

    def _attend(self, caller: Caller) -> Caller:
        for event in ("offer", "media"):
            caller.sio.on(event, lambda told, event=event: self._inbox.put_nowait((event, told)), namespace=CALLS)
        caller.sio.on("disconnect", lambda *_: self._lost(caller), namespace=CALLS)
        return caller

    def _lost(self, caller: Caller) -> None:
        caller.gone.set()
        self._inbox.put_nowait(("gone", caller))

    async def _live(self, room: str) -> None:
        while True:
            event, told = await self._inbox.get()
            if event == "offer":
                await self._answer(told)
            elif event == "gone":
                if told is self._caller:
                    await self._come_back(room)
            elif event == "begin":
                if told == self._round:  # and nothing has begun anew meanwhile
                    await self._begin()
            elif told["state"] == "reset":
                await self._begin()
            else:
                await self._stop()

    async def _come_back(self, room: str) -> None:
        """Be the same participant on another connection, as soon as there is a server."""
        assert self._caller is not None
        while True:
            caller = self._attend(Caller(self._people.server.url))
            try:
                await caller.connect(resume=self._caller.resume)
                await caller.joins(room, resume=self._caller.resume)
            except (socketio.exceptions.ConnectionError, OSError, TimeoutError):
                await caller.close()
                await asyncio.sleep(AGAIN_SECONDS / 2)
            else:
                self._people.stack.push_async_callback(caller.close)
                self._caller = caller
                return

    async def _begin(self) -> None:
        """Throw both connections away, and make them anew."""
        self._round += 1
        await self._stop()
        assert self._caller is not None
        caller, loop = self._caller, asyncio.get_running_loop()
        accepted, _ = await self._ask("ready")
        if accepted and self.film is not None:
            self._up = Leg(offers=True, heard=lambda _: None)
            self._ssrcs = {kind: next(_numbers) << 8 | kind for kind in TICKS}
            lines = [("audio", "0", "sendonly", self._ssrcs[SOUND]), ("video", "1", "sendonly", self._ssrcs[PICTURE])]
            offer = {"type": "offer", "sdp": await self._up.describe(lines)}
            tracks = [{"mid": "0", "source": "microphone"}, {"mid": "1", "source": "camera"}]
            accepted, answer = await self._ask("publish", {"offer": offer, "tracks": tracks})
            if accepted:
                self._up.connect(SessionDescription.parse(answer["answer"]["sdp"]))
                accepted = await self._up.connected()
        if not accepted and not caller.gone.is_set():
            loop.call_later(AGAIN_SECONDS, self._inbox.put_nowait, ("begin", self._round))

    async def _answer(self, told: dict[str, Any]) -> None:
        """Take what the server offers; one that is not current any more is followed by another."""
        offer = SessionDescription.parse(told["offer"]["sdp"])
        session = str(offer.origin).split()[1]
        if self._down is None or session != self._session:
            if self._down is not None:
                await self._down.close()
            self._session = session
            self._down = Leg(offers=False, heard=self._take, sealed=self._sealed)
            self.downs += 1
            self._lines = {}
        whose = {track["mid"]: (track["participant"], track["source"]) for track in told["tracks"]}
        self._name_lines(offer, whose)
        answer = await answer_by(self._down, offer)
        accepted, refusal = await self._ask("ready", {"seq": told["seq"], "answer": answer})
        if accepted:
            self._down.connect(offer)
        else:
            assert refusal["code"] in OVERTAKEN, refusal

    async def _ask(self, event: str, payload: Any = None) -> tuple[bool, Any]:
        """Ask the server; whoever loses it meanwhile waits no longer."""
        assert self._caller is not None
        loop = asyncio.get_running_loop()
        asking = loop.create_task(self._caller.call(event, payload))
        losing = loop.create_task(self._caller.gone.wait())
        try:
            await asyncio.wait((asking, losing), return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                return asking.result()
        except (TimeoutError, socketio.exceptions.SocketIOError):
            return False, {"code": "timeout"}
        finally:
            for task in (asking, losing):
                task.cancel()
            await asyncio.gather(asking, losing, return_exceptions=True)
        return False, {"code": "offline"}

    def _name_lines(self, offer: SessionDescription, whose: dict[str, tuple[str, str]]) -> None:
        before, self._lines, self._by_ssrc = self._lines, {}, {}
        for each in offer.media:
            mid = each.rtp.muxId
            if mid not in whose or not each.ssrc:
                continue
            line, ssrc = before.get(mid), each.ssrc[0].ssrc
            if line is None or (line.participant, line.source, line.ssrc) != (*whose[mid], ssrc):
                line = Line(*whose[mid], ssrc, self._sealed)
            self._lines[mid] = self._by_ssrc[ssrc] = line

    def _take(self, packet: bytes) -> None:
        line = self._by_ssrc.get(int.from_bytes(packet[8:12], "big"))
        if line is not None:
            line.take(packet)

    async def _play(self, film: Film) -> None:
        """Send the film, whoever there is to receive it; what one is late for is left out."""
        loop = asyncio.get_running_loop()
        numbers = dict.fromkeys(TICKS, 0)
        begun = loop.time()
        for tick in itertools.count():
            await asyncio.sleep(max(0.0, begun + tick * SOUND_SECONDS - loop.time()))
            if self._up is None or not self._up.up:
                continue
            due: list[tuple[int, tuple[bytes, ...]]] = [(SOUND, (film.sounds[tick % len(film.sounds)],))]
            picture = int(tick * SOUND_SECONDS * film.rate)
            if picture != int((tick - 1) * SOUND_SECONDS * film.rate):
                due.append((PICTURE, film.pictures[picture % len(film.pictures)]))
            for kind, payloads in due:
                stamp = int(tick * SOUND_SECONDS * TICKS[kind]) & 0xFFFFFFFF
                for at, payload in enumerate(payloads):
                    last = 0x80 if kind == PICTURE and at == len(payloads) - 1 else 0
                    number = numbers[kind] = (numbers[kind] + 1) & 0xFFFF
                    await self._up.send(_HEAD.pack(0x80, kind | last, number, stamp, self._ssrcs[kind]) + payload)
                    self.sent += 1

    async def _stop(self) -> None:
        legs = [leg for leg in (self._up, self._down) if leg is not None]
        self._up = self._down = None
        self._lines, self._by_ssrc, self._session = {}, {}, ""
        for leg in legs:
            await leg.close()


async def answer_by(leg: Leg, offer: SessionDescription) -> dict[str, str]:
    """An answer that takes whatever an offer sends."""
    directions = {"sendonly": "recvonly", "sendrecv": "recvonly"}
    lines = [(each, each.rtp.muxId, directions.get(each.direction or "", "inactive"), 0) for each in offer.media]
    return {"type": "answer", "sdp": await leg.describe(lines)}


def _codec_in(offered: MediaDescription | str) -> tuple[int, str]:
    """The payload type and the name of what a line carries."""
    if isinstance(offered, str):
        return _CODECS[offered]
    wanted = _CODECS[offered.kind][1].partition("/")[0].lower()
    codec = next(each for each in offered.rtp.codecs if each.mimeType.lower().endswith(f"/{wanted}"))
    assert codec.payloadType is not None
    return codec.payloadType, _CODECS[offered.kind][1]


async def enter(people: Party, room: str, *names: str) -> list[Extra]:
    """Bring some of the cast into a room's call, one after another."""
    tones = {name: 900 + 100 * number for number, name in enumerate(CAST)}
    return [await Extra(people, name, films.flat(CAST[name], tones[name])).enters(room) for name in names]


async def all_see(extras: Iterable[Extra], wanted: Mapping[str, Colour]) -> None:
    """Wait until each extra sees exactly the others, each in their own colour, and now.

    Args:
        extras: who looks.
        wanted: everybody who is seen in the call, by their id, with their colour.
    """

    async def sees(extra: Extra) -> None:
        others = {one: colour for one, colour in wanted.items() if one != extra.id}
        extra.watch()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                for turn in itertools.count():
                    if extra.sees(others):
                        return
                    if turn % ASK_EVERY == 0:
                        await extra.ask_for_pictures()
                    await asyncio.sleep(LOOK_AGAIN_SECONDS)
        except TimeoutError:
            raise AssertionError(f"{extra.name} wants to see {others}, and sees {extra.colours()}") from None

    await asyncio.gather(*map(sees, extras))

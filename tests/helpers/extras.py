"""Extras: people in a call through Janus who have no browser, so that one process carries many of them.

To the server and to Janus each is a participant like any other: a connection to `/calls`, and two peer connections with
ICE and DTLS-SRTP, which are aiortc's. What they send is a film, encoded once. Of what they receive every packet is
counted, and of each camera the last picture that stands alone is kept, so that one can look at its colour.

Like a page, they negotiate one thing after another, begin anew when media is reset or a connection comes to nothing,
and come back by themselves. What happened to each lately is kept, for whoever wonders why something did not.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import struct
from collections import deque
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
    from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping

    from aiortc.sdp import MediaDescription

    from tests.helpers.callers import Party
    from tests.helpers.films import Colour, Film

CONNECT_SECONDS: Final = 15.0
"""How long a peer connection may take before everything begins anew, as in a page."""

AGAIN_SECONDS: Final = 0.5

REMEMBERED_AT_MOST: Final = 60
"""What is kept of what happened to somebody."""

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

    @property
    def state(self) -> str:
        """In words, of its two halves."""
        return f"ICE {self._ice.state}, DTLS {self._dtls.state}"

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

    def connect(self, other: SessionDescription) -> bool:
        """Begin to reach the other side, once; returns whether this was the time."""
        if self._connecting is not None:
            return False
        self._connecting = asyncio.get_running_loop().create_task(self._connect(other))
        return True

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
        """Counts beginnings, and what voids them."""
        self._inbox: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        """Those that run, and those that failed."""
        self._story: deque[str] = deque(maxlen=REMEMBERED_AT_MOST)

    @property
    def id(self) -> str:
        assert self._caller is not None
        return self._caller.id

    @property
    def here(self) -> bool:
        """Whether they have a connection to the server."""
        return self._caller is not None and not self._caller.gone.is_set()

    @property
    def lines(self) -> list[Line]:
        """What comes now."""
        return list(self._lines.values())

    async def enters(self, room: str) -> Extra:
        """Enter the room's call, and stay until `leaves`."""
        sends = self.film is not None
        self._caller = self._attend(await self._people.connect(self.name))
        await self._caller.joins(room, audio=sends, video=sends)
        self._note("enters")
        self._inbox.put_nowait(("begin", self._round))
        self._start(self._live(room))
        if self.film is not None:
            self._start(self._play(self.film))
        return self

    async def leaves(self) -> None:
        """Leave the call, and end everything."""
        await self._rest()
        if self.here:
            assert self._caller is not None
            await self._caller.does("leave")
        await self.vanishes()

    async def vanishes(self) -> None:
        """End everything without a word; harmless twice."""
        await self._rest()
        await self._stop()
        if self._caller is not None:
            await self._caller.close()
        self.check()

    def check(self) -> None:
        """See that nothing that they do has failed."""
        for task in tuple(self._tasks):
            if task.done() and (failure := task.exception()) is not None:
                self._tasks.discard(task)
                raise AssertionError(f"{self.name} is broken:\n{self.account()}") from failure

    def account(self) -> str:
        """Who they are, how they are connected, what comes, and what happened to them lately."""
        legs = [f"{way}: {leg.state if leg else 'none'}" for way, leg in (("up", self._up), ("down", self._down))]
        lines = [f"{line.source} of {line.participant}, {line.packets} packets" for line in self.lines]
        told = "\n  ".join((f"{'here' if self.here else 'away'}; {'; '.join(legs)}", f"receives {lines}", *self._story))
        return f"{self.name} ({self._caller.id if self._caller else 'nobody yet'}):\n  {told}"

    async def is_cut_off(self) -> None:
        """Lose the connection to the server; they come back by themselves."""
        assert self._caller is not None
        self._note("is cut off")
        await self._caller.vanish()

    def begins_anew(self) -> None:
        """Throw everything away, as whoever has lost their way does."""
        self._note("wants to begin anew")
        self._inbox.put_nowait(("begin", self._round))

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

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            self._tasks.discard(task)

    async def _rest(self) -> None:
        """Do nothing more."""
        running = [task for task in self._tasks if not task.done()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _note(self, words: str) -> None:
        self._story.append(f"{asyncio.get_running_loop().time():.3f} {words}")

    def _attend(self, caller: Caller) -> Caller:
        caller.sio.on("offer", lambda told: self._inbox.put_nowait(("offer", told)), namespace=CALLS)
        caller.sio.on("media", self._media, namespace=CALLS)
        caller.sio.on("disconnect", lambda *_: self._lost(caller), namespace=CALLS)
        return caller

    def _lost(self, caller: Caller) -> None:
        caller.gone.set()
        self._note("loses the connection")
        self._inbox.put_nowait(("gone", caller))

    def _media(self, told: dict[str, Any]) -> None:
        """Whatever has begun meanwhile is void at once: it may be what the news is about."""
        self._note(f"hears that media is {told['state']}")
        self._round += 1
        self._inbox.put_nowait(("begin" if told["state"] == "reset" else "stop", self._round))

    async def _live(self, room: str) -> None:
        while True:
            event, told = await self._inbox.get()
            if event == "offer":
                await self._answer(told)
            elif event == "gone":
                if told is self._caller:
                    await self._come_back(room)
            elif told != self._round:
                continue  # something has begun anew meanwhile
            elif event == "begin":
                await self._begin()
            else:
                await self._stop()

    async def _come_back(self, room: str) -> None:
        """Be the same participant on another connection, as soon as there is a server."""
        assert self._caller is not None
        while True:
            caller = self._attend(Caller(self._people.server.url))
            self._people.stack.push_async_callback(caller.close)
            try:
                await caller.connect(resume=self._caller.resume)
                accepted, answer = await caller.enters(room, resume=self._caller.resume)
            except (socketio.exceptions.SocketIOError, OSError, TimeoutError) as error:
                self._note(f"cannot come back: {error!r}")
            else:
                if accepted:
                    self._note("is back")
                    self._caller = caller
                    return
                self._note(f"may not come back: {answer}")
                assert answer["code"] == "unavailable", answer
            await caller.close()
            await asyncio.sleep(AGAIN_SECONDS / 2)

    async def _begin(self) -> None:
        """Throw both connections away, and make them anew; and again, whatever it is that comes to nothing."""
        self._round += 1
        turn = self._round
        self._note("begins")
        await self._stop()
        accepted, _ = await self._ask("ready")
        if accepted and turn == self._round and self.film is not None:
            accepted = await self._send_anew(turn)
        if not accepted:
            self._begin_soon(turn)

    async def _send_anew(self, turn: int) -> bool:
        self._up = leg = Leg(offers=True, heard=lambda _: None)
        self._ssrcs = {kind: next(_numbers) << 8 | kind for kind in TICKS}
        lines = [("audio", "0", "sendonly", self._ssrcs[SOUND]), ("video", "1", "sendonly", self._ssrcs[PICTURE])]
        offer = {"type": "offer", "sdp": await leg.describe(lines)}
        tracks = [{"mid": "0", "source": "microphone"}, {"mid": "1", "source": "camera"}]
        accepted, answer = await self._ask("publish", {"offer": offer, "tracks": tracks})
        if accepted and turn == self._round:
            leg.connect(SessionDescription.parse(answer["answer"]["sdp"]))
            self._start(self._expect(leg, "up"))
        return accepted

    def _begin_soon(self, turn: int) -> None:
        """Unless something else has begun by then."""
        asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._inbox.put_nowait, ("begin", turn))

    async def _expect(self, leg: Leg, way: str) -> None:
        """Begin anew where a connection comes to nothing, as a page does."""
        turn = self._round
        up = await leg.connected()
        self._note(f"has the connection {way}: {leg.state}")
        if not up and leg in (self._up, self._down):
            self._begin_soon(turn)

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
        self._note(f"is offered {told['seq']} of {session}: {sorted({of for of, _ in whose.values()})}")
        self._name_lines(offer, whose)
        answer = await answer_by(self._down, offer)
        accepted, refusal = await self._ask("ready", {"seq": told["seq"], "answer": answer})
        if not accepted:
            assert refusal["code"] in OVERTAKEN, refusal
        elif self._down.connect(offer):
            self._start(self._expect(self._down, "down"))

    async def _ask(self, event: str, payload: Any = None) -> tuple[bool, Any]:
        """Ask the server; whoever loses it meanwhile waits no longer."""
        assert self._caller is not None
        loop = asyncio.get_running_loop()
        asking = loop.create_task(self._caller.call(event, payload))
        losing = loop.create_task(self._caller.gone.wait())
        found: tuple[bool, Any] = False, {"code": "offline"}
        try:
            await asyncio.wait((asking, losing), return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                found = asking.result()
        except (TimeoutError, socketio.exceptions.SocketIOError):
            found = False, {"code": "timeout"}
        finally:
            for task in (asking, losing):
                task.cancel()
            await asyncio.gather(asking, losing, return_exceptions=True)
        self._note(f"{event}: {'done' if found[0] else found[1]['code']}")
        return found

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
    """Bring some of the cast into a room's call, one after another; when the party is over, nothing of them is left."""
    tones = {name: 900 + 100 * number for number, name in enumerate(CAST)}
    cast = [Extra(people, name, films.flat(CAST[name], tones[name])) for name in names]
    for one in cast:
        people.stack.push_async_callback(one.vanishes)
        await one.enters(room)
    return cast


async def all_see(extras: Collection[Extra], wanted: Mapping[str, Colour], within: float = PATIENCE_SECONDS) -> None:
    """Wait until each extra sees exactly the others, each in their own colour, and now.

    Args:
        extras: who looks.
        wanted: everybody who is seen in the call, by their id, with their colour.
        within: how many seconds it may take.
    """
    others = {extra: {one: colour for one, colour in wanted.items() if one != extra.id} for extra in extras}

    async def sees(extra: Extra) -> None:
        extra.watch()
        for turn in itertools.count():
            extra.check()
            if extra.sees(others[extra]):
                return
            if turn % ASK_EVERY == 0:
                await extra.ask_for_pictures()
            await asyncio.sleep(LOOK_AGAIN_SECONDS)

    looking = {extra: asyncio.create_task(sees(extra)) for extra in extras}
    try:
        await asyncio.wait(looking.values(), timeout=within, return_when=asyncio.FIRST_EXCEPTION)
        blind = [extra for extra, task in looking.items() if not task.done()]
        for task in looking.values():
            if task.done():
                task.result()
    finally:
        for task in looking.values():
            task.cancel()
        await asyncio.gather(*looking.values(), return_exceptions=True)
    told = [f"{extra.name} wants to see {others[extra]}, and sees {extra.colours()}" for extra in blind]
    assert not blind, "\n".join((*told, *(extra.account() for extra in extras)))

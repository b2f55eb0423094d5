"""Calls through Janus: every browser sends once, and receives once, whatever the number of people.

Janus forwards; it knows nobody. Who is in a call, who sends what and who receives it is kept here, and everything in
Janus can be made anew from it: a room for each call, and two handles for each participant, up for what they send and
down for what they receive. Browsers never speak to Janus. On its way up, a description is held to its author's grants;
on the way down Janus offers, and a browser answers, one offer at a time.

When Janus is gone, everybody is told that media is lost, and when it is back, to begin anew. A call ends with neither.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from chatzilla.core.call import CallLimits, Order, Picture, Source
from chatzilla.core.call_events import (
    ANSWER_LIMIT,
    Description,
    MediaChanged,
    Offered,
    Publish,
    Quality,
    Ready,
    Received,
    Restart,
    Trickle,
)
from chatzilla.core.call_limits import PEOPLE_AT_MOST
from chatzilla.errors import BadRequest, Conflict, Forbidden, NotFound, Unavailable
from chatzilla.media import sdp
from chatzilla.media.janus_api import JanusError, JanusSession

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from chatzilla.core.call import Call, CallId, Participant, ParticipantId
    from chatzilla.core.call_events import Candidate, MediaRequest
    from chatzilla.media.janus_api import Jsep
    from chatzilla.ports import Stage

logger = logging.getLogger(__name__)

PICTURES: Final = (
    Picture(4, 640, 480, 24, 600_000),
    Picture(9, 640, 480, 20, 400_000),
    Picture(50, 480, 360, 15, 250_000),
)
"""What a camera sends, once: what it costs to receive all of them decides."""

START_SECONDS: Final = 1.0
"""How long the start of the server waits for Janus."""

AGAIN_SECONDS: Final = (0.25, 0.5)
"""How long until Janus is tried again. When it is back, everybody waits for no more than the last of these."""

ANSWER_WITHIN_SECONDS: Final = 30.0
"""How long a browser may take to answer an offer, a lost connection included."""

OFFERS_IN_VAIN: Final = 3
"""Offers that may come to nothing, one after the other, before somebody has to begin anew."""

GATHER_SECONDS: Final = 0.5
"""How long people who begin to send are waited for, so that one offer has them all. Each offer costs a browser much."""

LOOK_AGAIN_SECONDS: Final = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""How long until what Janus has left out is asked for again."""

BEGINS_WITHIN_SECONDS: Final = 0.25
"""How long whoever has thrown a connection away may take to say that they begin anew, before they are told to."""

_NO_SUCH_ROOM: Final = 426
_ROOM_EXISTS: Final = 427
_NO_SUCH_FEED: Final = 428
_NOT_JOINED: Final = "Say that you can receive first."
_GONE: Final = "Calls cannot be carried now. They come back by themselves."

_Feed = tuple[str, str]
"""A line of what somebody sends: Janus' name for the whole of it, and the line's."""


class _NoAnswerError(Exception):
    """Somebody left an offer without an answer."""


@dataclass(slots=True, eq=False)
class _Peer:
    """A participant, as Janus has them."""

    call: Call
    participant: Participant
    up: int | None = None
    feed: str = ""
    """Their name in Janus, a new one for each connection up: an old one may still be taken."""
    count: int = 0
    published: bool = False
    live: bool = False
    """Whether the connection up stands: before that, Janus gives nobody what they send."""
    sends: dict[str, Source] = field(default_factory=dict)
    """What each line of theirs carries."""
    down: int | None = None
    receives: set[_Feed] = field(default_factory=set)
    """What they are subscribed to, by Janus' own words."""
    silent: set[_Feed] = field(default_factory=set)
    """What of it was off when it was offered last, so that they do not listen to it."""
    lines: dict[str, _Feed] = field(default_factory=dict)
    """What each line of what they receive carries."""
    left_out: int = 0
    """How often, one time after the other, Janus has left something out that was asked for."""
    asking: asyncio.Task[None] | None = None
    """Asks for it again, when its time has come."""
    ready: bool = False
    began: float = 0.0
    """When they said so, by the event loop's time."""
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """What they send has come, or will not."""
    restart: bool = False
    """Whether the connection down has to look for another way."""
    seq: int = 0
    offer: Offered | None = None
    """What waits for an answer."""
    answer: asyncio.Future[Jsep] | None = None
    vain: int = 0
    syncing: asyncio.Task[None] | None = None
    stale: bool = False
    """Whether what they receive may not be what it should be."""
    muted: set[Source] = field(default_factory=set)
    """What a moderator has muted or taken away."""

    def anew(self) -> _Peer:
        """The same participant, of whom there is nothing in Janus."""
        return _Peer(self.call, self.participant, count=self.count, seq=self.seq, muted=self.muted)


@dataclass(slots=True, eq=False)
class _Room:
    """A call, as Janus has it."""

    call: Call
    made: bool = False
    making: asyncio.Lock = field(default_factory=asyncio.Lock)
    peers: dict[ParticipantId, _Peer] = field(default_factory=dict)


class Janus:
    """Implements `ports.Media` with Janus' VideoRoom."""

    name = "sfu"

    def __init__(self, stage: Stage, url: str, secret: str, *, people: int, publishers: int, bitrate: int) -> None:
        """Begin without a connection; `start` makes one.

        Args:
            stage: tells participants.
            url: where Janus is, see `JanusSession.connect`.
            secret: Janus' `api_secret`, and the `admin_key` of its VideoRoom.
            people: how many may be in a call.
            publishers: how many of them may be seen or heard.
            bitrate: what one of them may send, in bits per second.
        """
        self.limits = CallLimits(people, publishers, PICTURES, PEOPLE_AT_MOST, video_bitrate=bitrate)
        self._stage = stage
        self._url = url
        self._secret = secret
        self._rooms: dict[CallId, _Room] = {}
        self._session: JanusSession | None = None
        self._control = 0
        """The handle by which rooms are made and ended."""
        self._peers: dict[int, _Peer] = {}
        """Whose each handle is."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: asyncio.Task[None] | None = None

    @property
    def healthy(self) -> bool:
        return self._session is not None and self._session.open

    # Its life.

    async def start(self) -> None:
        """Try to reach Janus, for a moment now and then for as long as it takes, in the background."""
        with contextlib.suppress(Unavailable, JanusError, TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                await self._connect()
        self._running = asyncio.get_running_loop().create_task(self._keep_connected())

    async def close(self) -> None:
        """End everything that there is in Janus."""
        tasks = [*self._tasks, *([self._running] if self._running is not None else ())]
        tasks += [
            peer.syncing for room in self._rooms.values() for peer in room.peers.values() if peer.syncing is not None
        ]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _keep_connected(self) -> None:
        failures = 0
        while True:
            if self._session is not None:
                await self._session.gone.wait()
                logger.warning("Janus is gone")
                self._forget_all()
                await self._session.close()
                self._session = None
                failures = 0
            try:
                await self._connect()
                continue
            except (Unavailable, JanusError) as error:
                if not failures:
                    logger.warning("%s", error)
            except Exception:
                logger.exception("Janus answers in a way that nobody foresaw")
            await asyncio.sleep(AGAIN_SECONDS[min(failures, len(AGAIN_SECONDS) - 1)])
            failures += 1

    async def _connect(self) -> None:
        """Connect, clear what an earlier server left behind, and let everybody begin anew."""
        session = JanusSession(self._secret, self._heard)
        await session.connect(self._url)
        try:
            self._control = await session.attach()
            rooms, _ = await session.message(self._control, {"request": "list", "admin_key": self._secret})
            for room in rooms.get("list", ()):
                await self._destroy(session, room["room"])
        except BaseException:
            await session.close()
            raise
        self._session = session
        logger.info("Janus is there")
        for each in self._rooms.values():
            self._tell(each, MediaChanged(reset=True))

    def _forget_all(self) -> None:
        """Nothing of what was in Janus is there any more."""
        self._peers.clear()
        for room in self._rooms.values():
            room.made = False
            for peer in room.peers.values():
                if peer.syncing is not None:
                    peer.syncing.cancel()
                room.peers[peer.participant.id] = peer.anew()
            self._tell(room, MediaChanged(reset=False))

    # What the roster asks for.

    async def open(self, call: Call) -> None:
        session = self._here()
        room = self._rooms.setdefault(call.id, _Room(call))
        await self._make(session, room)

    def end(self, call: Call) -> None:
        room = self._rooms.pop(call.id, None)
        if room is None:
            return
        for participant in [peer.participant for peer in room.peers.values()]:
            self._drop(room, participant)
        if self._session is not None:  # it may be there even if nobody heard that it was made
            self._run(self._destroy(self._session, call.id))

    async def join(self, call: Call, participant: Participant) -> None:
        room = self._rooms.get(call.id)
        if room is None:  # the call ended meanwhile
            raise Unavailable(_GONE)
        room.peers[participant.id] = _Peer(call, participant)

    async def resume(self, call: Call, participant: Participant) -> None:
        room = self._rooms.setdefault(call.id, _Room(call))
        peer = room.peers.setdefault(participant.id, _Peer(call, participant))
        if not peer.ready:  # one of the three was away meanwhile, and what there was in Janus is gone
            if self.healthy:
                self._run(self._tell_later(participant, MediaChanged(reset=True)))
        elif peer.offer is not None:
            self._run(self._tell_later(participant, peer.offer))

    def leave(self, call: Call, participant: Participant) -> None:
        room = self._rooms.get(call.id)
        if room is not None:
            self._drop(room, participant)

    async def handle(
        self, call: Call, participant: Participant, request: MediaRequest, take_place: Callable[[], None]
    ) -> dict[str, Any]:
        session, room = self._here(), self._rooms.get(call.id)
        peer = None if room is None else room.peers.get(participant.id)
        if room is None or peer is None:
            raise Unavailable(_GONE)
        try:
            match request:
                case Publish():
                    return await self._publish(session, room, peer, request, take_place)
                case Trickle():
                    await self._trickle(session, peer, request)
                case Ready(answer=None):
                    self._begin(room, peer)
                case Ready(seq, Description() as answer):
                    self._take_answer(peer, seq, answer)
                case Quality():
                    await self._choose(session, peer, request)
                case Restart():
                    peer.restart = True
                    self._sync(room, peer)
                case _:
                    raise BadRequest("This call goes through the server; what is for it, is not for others.")
        except JanusError as error:
            if error.code == _NO_SUCH_ROOM:  # the next beginning makes it
                room.made = False
            raise Conflict(f"That could not be done: {error}.") from error
        return {}

    async def moderate(self, call: Call, target: Participant, order: Order, source: Source | None) -> None:
        room = self._rooms.get(call.id)
        peer = None if room is None else room.peers.get(target.id)
        if peer is None:
            return
        if source is None and order is Order.MUTE:
            source = Source.MICROPHONE
        sources: set[Source] = set(Source) if source is None else {source}
        peer.muted |= sources
        await self._silence(peer, sources, mute=True)

    def allow(self, call: Call, participant: Participant, source: Source) -> None:
        room = self._rooms.get(call.id)
        peer = None if room is None else room.peers.get(participant.id)
        if peer is None:
            return
        again: set[Source] = {source, Source.SCREEN_AUDIO} if source is Source.SCREEN else {source}
        again &= peer.muted
        if again:
            peer.muted -= again
            self._run(self._silence(peer, again, mute=False))

    # Up: what somebody sends.

    async def _publish(
        self, session: JanusSession, room: _Room, peer: _Peer, request: Publish, take_place: Callable[[], None]
    ) -> dict[str, Any]:
        described = sdp.read(request.offer.sdp)
        sdp.check(described, peer.participant, request.tracks)
        named = {track.mid: track.source for track in request.tracks}
        sending = [line.mid for line in described.lines if line.sends]
        if not set(sending) <= named.keys():
            raise BadRequest("Say of every line that sends which source it carries.")
        if sending:
            take_place()
        await self._make(session, room)
        handle = await self._attach_up(session, room, peer) if peer.up is None else peer.up
        descriptions = [{"mid": mid, "description": named[mid].value} for mid in sending]
        body = {"request": "configure" if peer.published else "publish", "descriptions": descriptions}
        _, answer = await session.message(handle, body, _jsep(request.offer))
        if peer.up != handle or answer is None:
            raise Unavailable(_GONE)
        peer.published = True
        peer.sends = {mid: named[mid] for mid in sending}
        await self._silence(peer, peer.muted, mute=True)
        if peer.live:
            self._sync_others(room, peer)
        limited = sdp.with_limits(answer["sdp"], audio=peer.call.limits.audio_bitrate)  # of pictures, Janus tells them
        return {"answer": answer | {"sdp": limited}}

    async def _attach_up(self, session: JanusSession, room: _Room, peer: _Peer) -> int:
        handle = await session.attach()
        if room.peers.get(peer.participant.id) is not peer:  # gone meanwhile
            self._run(session.detach(handle))
            raise Unavailable(_GONE)
        self._peers[handle] = peer
        peer.up = handle
        peer.count += 1
        peer.feed = f"{peer.participant.id}.{peer.count}"
        body = {"request": "join", "ptype": "publisher", "room": room.call.id, "id": peer.feed}
        try:
            await session.message(handle, body)
        except (Unavailable, JanusError):  # by this handle nothing can be sent, so the next try has another one
            if self._peers.pop(handle, None) is not None:
                peer.up = None
                self._run(session.detach(handle))
            raise
        return handle

    async def _silence(self, peer: _Peer, sources: set[Source], *, mute: bool) -> None:
        """Have Janus drop what somebody sends of some sources, or forward it again."""
        for mid, source in tuple(peer.sends.items()):
            if source not in sources or self._session is None:
                continue
            body = {"request": "moderate", "room": peer.call.id, "id": peer.feed, "mid": mid, "mute": mute}
            with contextlib.suppress(JanusError):
                await self._session.message(self._control, body)

    async def _trickle(self, session: JanusSession, peer: _Peer, request: Trickle) -> None:
        handle = peer.up if request.up else peer.down
        if handle is None:
            raise NotFound("There is no such connection.")
        await session.trickle(handle, _candidate(request.candidate))

    # Down: what somebody receives.

    def _sync_others(self, room: _Room, peer: _Peer) -> None:
        for other in room.peers.values():
            if other is not peer:
                self._sync(room, other)

    def _sync(self, room: _Room, peer: _Peer) -> None:
        """See that somebody receives what the others send, soon."""
        peer.stale = True
        if peer.ready and peer.syncing is None and self.healthy:
            peer.syncing = asyncio.get_running_loop().create_task(self._keep_syncing(room, peer))

    async def _keep_syncing(self, room: _Room, peer: _Peer) -> None:
        """Offer, wait for the answer, and look again, until nothing has changed meanwhile."""
        try:
            while peer.stale and peer.ready and self._session is not None:
                await _gather_beginners(room, peer)
                peer.stale = False
                try:
                    await self._sync_once(self._session, room, peer)
                except _NoAnswerError:
                    logger.info("participant %s leaves an offer without an answer", peer.participant.id)
                    await self._give_up_down(room, peer, silent=True)
                except (Unavailable, JanusError) as error:
                    logger.warning("participant %s cannot receive: %s", peer.participant.id, error)
                    await self._give_up_down(room, peer)
                except Exception:
                    logger.exception("participant %s cannot receive", peer.participant.id)
                    await self._give_up_down(room, peer)
        finally:
            peer.syncing = None

    async def _sync_once(self, session: JanusSession, room: _Room, peer: _Peer) -> None:
        """Compare what somebody should receive with what they do, and offer them the difference.

        What they do receive, Janus says: it passes over what is off at that moment, or has just gone, without a word.
        """
        others = [other for other in room.peers.values() if other is not peer and other.live]
        wanted = {(other.feed, mid) for other in others for mid in other.sends}
        come, go = wanted - peer.receives, (peer.receives - wanted) | peer.silent
        again = _belonging(come) & _belonging(go)  # one after the other, so that a page knows that they begin anew
        come = {feed for feed in come if _owner(feed) not in again}
        if again or wanted & peer.silent:
            peer.stale = True
        body: dict[str, Any]
        if peer.down is None:
            if not wanted:
                return
            peer.down = await session.attach()
            self._peers[peer.down] = peer
            body = {"request": "join", "ptype": "subscriber", "room": room.call.id, "autoupdate": False}
            body["streams"] = _streams(wanted)
        elif come or go:
            body = {"request": "update"}
            if come:
                body["subscribe"] = _streams(come)
            if go:
                body["unsubscribe"] = _streams(go)
        elif peer.restart:
            body = {"request": "configure", "restart": True}
        else:
            return
        if body["request"] != "update":
            peer.restart = False
        try:
            data, offer = await session.message(peer.down, body)
        except JanusError as error:
            if error.code != _NO_SUCH_FEED or body["request"] != "update" or peer.vain + 1 >= OFFERS_IN_VAIN:
                raise
            # Somebody has left just now, and nothing was changed: no reason to take the others away.
            peer.vain += 1
            peer.stale = True
            await asyncio.sleep(AGAIN_SECONDS[0])
            return
        if "streams" in data:
            peer.lines = {
                stream["mid"]: (stream["feed_id"], stream["feed_mid"])
                for stream in data["streams"]
                if stream.get("active") and "feed_id" in stream
            }
            peer.receives = set(peer.lines.values())
        else:
            peer.receives -= go
        peer.silent &= peer.receives
        self._ask_again(room, peer, come - peer.receives)
        if peer.restart:
            peer.stale = True
        if offer is not None:
            await self._negotiate(session, room, peer, peer.down, offer)

    def _ask_again(self, room: _Room, peer: _Peer, missing: set[_Feed]) -> None:
        """Ask for what Janus has left out, later and later: whatever was in the way may be over by then."""
        if not missing:
            peer.left_out = 0
            return
        logger.info("participant %s does not receive %s yet", peer.participant.id, sorted(missing))
        delay = LOOK_AGAIN_SECONDS[min(peer.left_out, len(LOOK_AGAIN_SECONDS) - 1)]
        peer.left_out += 1
        if peer.asking is None or peer.asking.done():
            peer.asking = self._run(self._sync_later(room, peer, delay))

    async def _sync_later(self, room: _Room, peer: _Peer, delay: float) -> None:
        await asyncio.sleep(delay)
        if room.peers.get(peer.participant.id) is peer:
            self._sync(room, peer)

    async def _negotiate(self, session: JanusSession, room: _Room, peer: _Peer, down: int, offer: Jsep) -> None:
        """Offer somebody what they receive, and give Janus their answer."""
        peer.seq += 1
        sources = {
            (each.feed, mid): (each, source) for each in room.peers.values() for mid, source in each.sends.items()
        }
        tracks = tuple(
            Received(mid, sources[feed][0].participant.id, sources[feed][1])
            for mid, feed in peer.lines.items()
            if feed in sources
        )
        described = sdp.with_origin(offer["sdp"], down, peer.seq)
        off = sdp.silent(described)
        peer.silent = {feed for mid, feed in peer.lines.items() if mid in off}
        peer.offer = Offered(peer.seq, Description(offer["type"], described), tracks)
        peer.answer = asyncio.get_running_loop().create_future()
        if peer.participant.seat is not None:
            self._stage.tell([peer.participant.seat.connection], peer.offer)
        try:
            async with asyncio.timeout(ANSWER_WITHIN_SECONDS):
                answer = await peer.answer
        except TimeoutError:
            raise _NoAnswerError from None
        finally:
            peer.offer = peer.answer = None
        peer.vain = 0
        if peer.down is not None:
            await session.message(peer.down, {"request": "start"}, answer)

    def _begin(self, room: _Room, peer: _Peer) -> None:
        """Somebody has thrown their connections away, if they had any; what was at their other end goes, too."""
        self._drop(room, peer.participant)
        peer = room.peers[peer.participant.id] = peer.anew()
        peer.ready, peer.began = True, asyncio.get_running_loop().time()
        self._sync(room, peer)

    def _take_answer(self, peer: _Peer, seq: int | None, answer: Description) -> None:
        if peer.offer is None or peer.answer is None or peer.answer.done() or seq != peer.seq:
            raise Conflict("This offer does not wait for an answer.")
        offered = peer.offer.offer.sdp.count("\nm=")
        session = sdp.read(answer.sdp, lines=offered, characters=ANSWER_LIMIT)
        if any(line.sends for line in session.lines):
            raise Forbidden("Nothing is sent on the connection on which one receives.")
        peer.answer.set_result(_jsep(answer))

    async def _give_up_down(self, room: _Room, peer: _Peer, *, silent: bool = False) -> None:
        """Throw a connection down away, and begin another one; or let them begin anew where that was in vain too often.

        Not at once: whatever Janus refused, it may be about to tell why. Whoever is silent is left alone, until they
        say that they can receive, or come back from a lost connection.
        """
        peer.vain += 1
        handle, peer.down = peer.down, None
        peer.receives, peer.silent, peer.lines = set(), set(), {}
        if handle is not None and self._session is not None:
            self._peers.pop(handle, None)
            await self._session.detach(handle)
        await asyncio.sleep(AGAIN_SECONDS[min(peer.vain, len(AGAIN_SECONDS)) - 1])
        if peer.vain < OFFERS_IN_VAIN:
            peer.stale = True
        elif silent:
            peer.ready = False
        elif room.peers.get(peer.participant.id) is peer:
            self._begin_anew(room, peer, "nothing came of several offers")

    async def _choose(self, session: JanusSession, peer: _Peer, request: Quality) -> None:
        if peer.down is None or request.mid not in peer.lines:
            raise NotFound("There is no such line.")
        streams = [{"mid": request.mid, "substream": request.layer}]
        await session.message(peer.down, {"request": "configure", "streams": streams})

    # What Janus tells.

    def _heard(self, handle: int, message: dict[str, Any]) -> None:
        """A connection up stands, so that others can receive what comes by it; or one is gone, and nobody has left."""
        peer = self._peers.get(handle)
        room = None if peer is None else self._rooms.get(peer.call.id)
        if peer is None or room is None or room.peers.get(peer.participant.id) is not peer:
            return
        kind = message.get("janus")
        if kind == "webrtcup" and handle == peer.up:
            peer.live = True
            peer.settled.set()
            self._sync_others(room, peer)
        elif kind in ("hangup", "detached"):
            self._begin_anew(room, peer, str(message.get("reason", "")))

    def _begin_anew(self, room: _Room, peer: _Peer, reason: str) -> None:
        logger.info("participant %s has lost media: %s", peer.participant.id, reason)
        self._drop(room, peer.participant)
        fresh = room.peers[peer.participant.id] = peer.anew()
        self._run(self._tell_to_begin(room, fresh))

    async def _tell_to_begin(self, room: _Room, peer: _Peer) -> None:
        """Tell somebody to begin anew, unless they do so themselves: Janus hears first of what they throw away."""
        await asyncio.sleep(BEGINS_WITHIN_SECONDS)
        if room.peers.get(peer.participant.id) is peer and peer.participant.seat is not None:
            self._stage.tell([peer.participant.seat.connection], MediaChanged(reset=True))

    # How it is done.

    def _here(self) -> JanusSession:
        if self._session is None or not self._session.open:
            raise Unavailable(_GONE)
        return self._session

    async def _make(self, session: JanusSession, room: _Room) -> None:
        """Make a room in Janus, unless it is there."""
        async with room.making:
            if room.made:
                return
            limits = room.call.limits
            body = {
                "request": "create",
                "room": room.call.id,
                "admin_key": self._secret,
                "permanent": False,
                "is_private": False,
                "publishers": 2 * limits.publishers,  # who begins anew may be there twice for a moment
                "bitrate": limits.video_bitrate,
                "bitrate_cap": True,
                "audiocodec": "opus",
                "videocodec": "vp8,h264",
                "fir_freq": 10,
                "notify_joining": False,
            }
            try:
                await session.message(self._control, body)
            except JanusError as error:
                if error.code != _ROOM_EXISTS:
                    raise Unavailable(f"Janus does not carry this call: {error}") from error
            room.made = True

    async def _destroy(self, session: JanusSession, room: str) -> None:
        body = {"request": "destroy", "room": room, "admin_key": self._secret, "permanent": False}
        with contextlib.suppress(JanusError, Unavailable):
            await session.message(self._control, body)

    def _drop(self, room: _Room, participant: Participant) -> None:
        """Undo whatever there is of somebody, and let the others receive it no more."""
        peer = room.peers.pop(participant.id, None)
        if peer is None:
            return
        peer.settled.set()
        if peer.syncing is not None:
            peer.syncing.cancel()
        handles = [handle for handle in (peer.up, peer.down) if handle is not None]
        for handle in handles:
            self._peers.pop(handle, None)
            if self._session is not None:
                self._run(self._session.detach(handle))
        if peer.sends:
            self._sync_others(room, peer)

    def _tell(self, room: _Room, event: MediaChanged) -> None:
        seats = [peer.participant.seat for peer in room.peers.values()]
        self._stage.tell([seat.connection for seat in seats if seat is not None], event)

    async def _tell_later(self, participant: Participant, event: Offered | MediaChanged) -> None:
        """Tell somebody something after what they are being told now."""
        await asyncio.sleep(0)
        if participant.seat is not None:
            self._stage.tell([participant.seat.connection], event)

    def _run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something that nobody waits for."""
        task = asyncio.get_running_loop().create_task(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _logged(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except (Unavailable, JanusError) as error:
        logger.info("not done in Janus: %s", error)
    except Exception:
        logger.exception("something about Janus failed")


async def _gather_beginners(room: _Room, peer: _Peer) -> None:
    """Wait for others who are about to send, for a moment."""
    now = asyncio.get_running_loop().time()
    others = [other for other in room.peers.values() if other is not peer and other.ready and not other.live]
    beginners = [other for other in others if other.participant.publishes and now - other.began < GATHER_SECONDS]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GATHER_SECONDS):
            for other in beginners:
                await other.settled.wait()


def _belonging(feeds: set[_Feed]) -> set[str]:
    return {_owner(feed) for feed in feeds}


def _owner(feed: _Feed) -> str:
    return feed[0].partition(".")[0]


def _streams(feeds: set[_Feed]) -> list[dict[str, str]]:
    return [{"feed": feed, "mid": mid} for feed, mid in sorted(feeds)]


def _jsep(description: Description) -> Jsep:
    return {"type": description.type, "sdp": description.sdp}


def _candidate(candidate: Candidate | None) -> dict[str, Any]:
    if candidate is None:
        return {"completed": True}
    return {"candidate": candidate.candidate, "sdpMid": candidate.mid, "sdpMLineIndex": candidate.line}

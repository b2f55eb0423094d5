"""Calls through Janus: every browser sends once, and receives once, whatever the number of people.

Janus forwards; it knows nobody. Who is in a call, who sends what and who receives it is kept here, and everything in
Janus can be made anew from it: a room for each call, and two handles for each participant, up for what they send and
down for what they receive. Browsers never speak to Janus. On its way up, a description is held to its author's grants;
on the way down Janus offers, and a browser answers, one offer at a time.

When Janus is gone, everybody is told that media is lost, and when it is back, to begin anew. A call ends with neither.

Others may use the same Janus, another Chatzilla for one: rooms say whose they are, and theirs are let alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final

from chatzilla.core.call import CallLimits, Order, Picture, Source
from chatzilla.core.call_events import (
    Description,
    MediaChanged,
    Offered,
    Publish,
    Quality,
    Ready,
    Restart,
    Trickle,
)
from chatzilla.core.call_limits import PEOPLE_AT_MOST
from chatzilla.errors import BadRequest, Conflict, NotFound, Unavailable
from chatzilla.media import janus_room, sdp
from chatzilla.media.janus_api import JanusError, JanusSession
from chatzilla.media.janus_down import Downs, jsep_of
from chatzilla.media.janus_room import Peer, Room

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from chatzilla.core.call import Call, CallId, Participant
    from chatzilla.core.call_events import Candidate, MediaRequest
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

STEADY_SECONDS: Final = 10.0
"""How long Janus has to be there to be taken for one that stays."""

FALLS_SECONDS: Final = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0)
"""How long one that did not stay is left alone, the first time and later: each time, everybody begins anew."""

REASONS_AT_MOST: Final = 8
"""Different reasons, one line of the log for each, why Janus cannot be used, until it can."""

BEGINS_WITHIN_SECONDS: Final = 0.25
"""How long whoever has thrown a connection away may take to say that they begin anew, before they are told to."""

_NO_SUCH_ROOM: Final = 426
_ROOM_EXISTS: Final = 427
_GONE: Final = "Calls cannot be carried now. They come back by themselves."


class Janus:
    """Implements `ports.Media` with Janus' VideoRoom."""

    name = "sfu"

    def __init__(
        self, stage: Stage, url: str, secret: str, *, house: str, people: int, publishers: int, bitrate: int
    ) -> None:
        """Begin without a connection; `start` makes one.

        Args:
            stage: tells participants.
            url: where Janus is, see `JanusSession.connect`.
            secret: Janus' `api_secret`, and the `admin_key` of its VideoRoom.
            house: tells us, from start to start, from all others who use the same Janus.
            people: how many may be in a call.
            publishers: how many of them may be seen or heard.
            bitrate: what one of them may send, in bits per second.
        """
        self.limits = CallLimits(people, publishers, PICTURES, PEOPLE_AT_MOST, video_bitrate=bitrate)
        self._stage = stage
        self._url = url
        self._secret = secret
        self._mark = f"Chatzilla {house}"
        """What Janus knows our rooms by."""
        self._rooms: dict[CallId, Room] = {}
        self._session: JanusSession | None = None
        self._since = 0.0
        """When that began, by the event loop's time."""
        self._reasons: set[str] = set()
        """Why there is none; the log knows these."""
        self._control = 0
        """The handle by which rooms are made and ended."""
        self._peers: dict[int, Peer] = {}
        """Whose each handle is."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: asyncio.Task[None] | None = None
        self._downs = Downs(
            stage,
            self._peers,
            session=lambda: self._session if self.healthy else None,
            run=self._run,
            begin_anew=self._begin_anew,
        )

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
        failures = falls = 0
        while True:
            if self._session is not None:
                await self._session.gone.wait()
                stood = asyncio.get_running_loop().time() - self._since
                failures, falls = 0, 0 if stood >= STEADY_SECONDS else falls + 1
                rest = FALLS_SECONDS[min(max(falls - 1, 0), len(FALLS_SECONDS) - 1)]
                logger.warning("Janus is gone, %.0f s after it was there; it is tried again in %.0f s", stood, rest)
                self._forget_all()
                await self._session.close()
                self._session = None
                await asyncio.sleep(rest)
            try:
                await self._connect()
                continue
            except Unavailable as error:
                if self._is_news(str(error)):
                    logger.warning("%s", error)
            except JanusError as error:
                if self._is_news(str(error)):
                    logger.warning("Janus does not carry calls: %s", error)
            except Exception as error:
                if self._is_news(repr(error)):
                    logger.exception("Janus answers in a way that nobody foresaw")
            await asyncio.sleep(AGAIN_SECONDS[min(failures, len(AGAIN_SECONDS) - 1)])
            failures += 1

    def _is_news(self, reason: str) -> bool:
        """Whether the log does not know yet why Janus cannot be used."""
        if reason in self._reasons or len(self._reasons) >= REASONS_AT_MOST:
            return False
        self._reasons.add(reason)
        return True

    async def _connect(self) -> None:
        """Connect, clear what an earlier server of this house left behind, and let everybody begin anew."""
        session = JanusSession(self._secret, self._heard)
        await session.connect(self._url)
        try:
            self._control = await session.attach()
            await janus_room.attempt(session, self._control, self._secret, self._mark)
            rooms, _ = await session.message(self._control, {"request": "list", "admin_key": self._secret})
            for room in rooms.get("list", ()):
                if room.get("description") == self._mark:
                    await self._destroy(session, room["room"])
        except BaseException:
            await session.close()
            raise
        self._reasons.clear()
        self._session = session
        self._since = asyncio.get_running_loop().time()
        logger.info("Janus is there")
        for each in self._rooms.values():
            self._tell(each, MediaChanged(reset=True))

    def _forget_all(self) -> None:
        """Nothing of what was in Janus is there any more."""
        self._peers.clear()
        for room in self._rooms.values():
            room.made = False
            for peer in room.peers.values():
                peer.rest()
                room.peers[peer.participant.id] = peer.anew()
            self._tell(room, MediaChanged(reset=False))

    # What the roster asks for.

    async def open(self, call: Call) -> None:
        session = self._here()
        room = self._rooms.setdefault(call.id, Room(call))
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
        room.peers[participant.id] = Peer(call, participant)

    async def resume(self, call: Call, participant: Participant) -> None:
        room = self._rooms.setdefault(call.id, Room(call))
        peer = room.peers.setdefault(participant.id, Peer(call, participant))
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
                    self._downs.take_answer(peer, seq, answer)
                case Quality():
                    await self._choose(session, peer, request)
                case Restart():
                    peer.restart = True
                    self._downs.sync(room, peer)
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
        self, session: JanusSession, room: Room, peer: Peer, request: Publish, take_place: Callable[[], None]
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
        _, answer = await session.message(handle, body, jsep_of(request.offer))
        if peer.up != handle or answer is None:
            raise Unavailable(_GONE)
        peer.published = True
        peer.sends = {mid: named[mid] for mid in sending}
        await self._silence(peer, peer.muted, mute=True)
        if peer.live:
            self._downs.sync_others(room, peer)
        limited = sdp.with_limits(answer["sdp"], audio=peer.call.limits.audio_bitrate)  # of pictures, Janus tells them
        return {"answer": answer | {"sdp": limited}}

    async def _attach_up(self, session: JanusSession, room: Room, peer: Peer) -> int:
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

    async def _silence(self, peer: Peer, sources: set[Source], *, mute: bool) -> None:
        """Have Janus drop what somebody sends of some sources, or forward it again."""
        for mid, source in tuple(peer.sends.items()):
            if source not in sources or self._session is None:
                continue
            body = {"request": "moderate", "room": peer.call.id, "id": peer.feed, "mid": mid, "mute": mute}
            with contextlib.suppress(JanusError):
                await self._session.message(self._control, body)

    async def _trickle(self, session: JanusSession, peer: Peer, request: Trickle) -> None:
        handle = peer.up if request.up else peer.down
        if handle is None:
            raise NotFound("There is no such connection.")
        await session.trickle(handle, _candidate(request.candidate))

    # Down: what somebody receives.

    def _begin(self, room: Room, peer: Peer) -> None:
        """Somebody has thrown their connections away, if they had any; what was at their other end goes, too."""
        self._drop(room, peer.participant)
        peer = room.peers[peer.participant.id] = peer.anew()
        peer.ready, peer.began = True, asyncio.get_running_loop().time()
        self._downs.sync(room, peer)

    async def _choose(self, session: JanusSession, peer: Peer, request: Quality) -> None:
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
            self._downs.sync_others(room, peer)
        elif kind in ("hangup", "detached"):
            self._begin_anew(room, peer, str(message.get("reason", "")))

    def _begin_anew(self, room: Room, peer: Peer, reason: str) -> None:
        logger.info("participant %s has lost media: %s", peer.participant.id, reason)
        self._drop(room, peer.participant)
        fresh = room.peers[peer.participant.id] = peer.anew()
        self._run(self._tell_to_begin(room, fresh))

    async def _tell_to_begin(self, room: Room, peer: Peer) -> None:
        """Tell somebody to begin anew, unless they do so themselves: Janus hears first of what they throw away."""
        await asyncio.sleep(BEGINS_WITHIN_SECONDS)
        if room.peers.get(peer.participant.id) is peer and peer.participant.seat is not None:
            self._stage.tell([peer.participant.seat.connection], MediaChanged(reset=True))

    # How it is done.

    def _here(self) -> JanusSession:
        if self._session is None or not self._session.open:
            raise Unavailable(_GONE)
        return self._session

    async def _make(self, session: JanusSession, room: Room) -> None:
        """Make a room in Janus, unless it is there."""
        async with room.making:
            if room.made:
                return
            limits = room.call.limits
            kind = {
                "description": self._mark,
                "publishers": 2 * limits.publishers,  # who begins anew may be there twice for a moment
                "bitrate": limits.video_bitrate,
                "bitrate_cap": True,
                "audiocodec": "opus",
                "videocodec": "vp8,h264",
                "fir_freq": 10,
                "notify_joining": False,
            }
            try:
                await janus_room.create(session, self._control, room.call.id, self._secret, **kind)
            except JanusError as error:
                if error.code != _ROOM_EXISTS:
                    raise Unavailable(f"Janus does not carry this call: {error}") from error
            room.made = True

    async def _destroy(self, session: JanusSession, room: str) -> None:
        with contextlib.suppress(JanusError, Unavailable):
            await janus_room.destroy(session, self._control, room, self._secret)

    def _drop(self, room: Room, participant: Participant) -> None:
        """Undo whatever there is of somebody, and let the others receive it no more."""
        peer = room.peers.pop(participant.id, None)
        if peer is None:
            return
        peer.settled.set()
        peer.rest()
        handles = [handle for handle in (peer.up, peer.down) if handle is not None]
        for handle in handles:
            self._peers.pop(handle, None)
            if self._session is not None:
                self._run(self._session.detach(handle))
        if peer.sends:
            self._downs.sync_others(room, peer)

    def _tell(self, room: Room, event: MediaChanged) -> None:
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


def _candidate(candidate: Candidate | None) -> dict[str, Any]:
    if candidate is None:
        return {"completed": True}
    return {"candidate": candidate.candidate, "sdpMid": candidate.mid, "sdpMLineIndex": candidate.line}

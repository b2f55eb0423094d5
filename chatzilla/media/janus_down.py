"""What people receive through Janus: what each should is compared with what they do, and the difference is offered.

One offer at a time, each with everything that has changed by then. What they do receive, Janus says in its answers;
nothing is taken for done because it was asked for, and whatever is missing is asked for again, for as long as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final

from chatzilla.core.call_events import ANSWER_LIMIT, Description, Offered, Received
from chatzilla.errors import Conflict, Forbidden, Unavailable
from chatzilla.media import sdp
from chatzilla.media.janus_api import JanusError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from chatzilla.media.janus_api import JanusSession, Jsep
    from chatzilla.media.janus_room import Feed, Peer, Room
    from chatzilla.ports import Stage

logger = logging.getLogger(__name__)

AGAIN_SECONDS: Final = (0.25, 0.5)
"""How long until what failed is tried again, the first time and later."""

ANSWER_WITHIN_SECONDS: Final = 30.0
"""How long a browser may take to answer an offer, a lost connection included."""

OFFERS_IN_VAIN: Final = 3
"""Offers that may come to nothing, one after the other, before somebody has to begin anew."""

GATHER_SECONDS: Final = 0.5
"""How long people who begin to send are waited for, so that one offer has them all. Each offer costs a browser much."""

LOOK_AGAIN_SECONDS: Final = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""How long until what Janus has left out is asked for again."""

_NO_SUCH_FEED: Final = 428


class _NoAnswerError(Exception):
    """Somebody left an offer without an answer."""


class Downs:
    """The connections down of one Janus."""

    def __init__(
        self,
        stage: Stage,
        handles: dict[int, Peer],
        *,
        session: Callable[[], JanusSession | None],
        run: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        begin_anew: Callable[[Room, Peer, str], None],
    ) -> None:
        """Begin with none.

        Args:
            stage: tells participants.
            handles: whose each handle is; those of connections down are noted there.
            session: the one with Janus, while there is one that stands.
            run: does something that nobody waits for.
            begin_anew: lets somebody begin anew, and says why.
        """
        self._stage = stage
        self._handles = handles
        self._session = session
        self._run = run
        self._begin_anew = begin_anew

    def sync_others(self, room: Room, peer: Peer) -> None:
        for other in room.peers.values():
            if other is not peer:
                self.sync(room, other)

    def sync(self, room: Room, peer: Peer) -> None:
        """See that somebody receives what the others send, soon."""
        peer.stale = True
        if peer.ready and peer.syncing is None and self._session() is not None:
            peer.syncing = asyncio.get_running_loop().create_task(self._keep_syncing(room, peer))

    async def _keep_syncing(self, room: Room, peer: Peer) -> None:
        """Offer, wait for the answer, and look again, until nothing has changed meanwhile."""
        try:
            while peer.stale and peer.ready and (session := self._session()) is not None:
                await _gather_beginners(room, peer)
                peer.stale = False
                try:
                    await self._sync_once(session, room, peer)
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

    async def _sync_once(self, session: JanusSession, room: Room, peer: Peer) -> None:
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
            self._handles[peer.down] = peer
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

    def _ask_again(self, room: Room, peer: Peer, missing: set[Feed]) -> None:
        """Ask for what Janus has left out, later and later: whatever was in the way may be over by then."""
        if not missing:
            peer.left_out = 0
            return
        logger.info("participant %s does not receive %s yet", peer.participant.id, sorted(missing))
        delay = LOOK_AGAIN_SECONDS[min(peer.left_out, len(LOOK_AGAIN_SECONDS) - 1)]
        peer.left_out += 1
        if peer.asking is None or peer.asking.done():
            peer.asking = self._run(self._sync_later(room, peer, delay))

    async def _sync_later(self, room: Room, peer: Peer, delay: float) -> None:
        await asyncio.sleep(delay)
        if room.peers.get(peer.participant.id) is peer:
            self.sync(room, peer)

    async def _negotiate(self, session: JanusSession, room: Room, peer: Peer, down: int, offer: Jsep) -> None:
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

    def take_answer(self, peer: Peer, seq: int | None, answer: Description) -> None:
        if peer.offer is None or peer.answer is None or peer.answer.done() or seq != peer.seq:
            raise Conflict("This offer does not wait for an answer.")
        offered = peer.offer.offer.sdp.count("\nm=")
        session = sdp.read(answer.sdp, lines=offered, characters=ANSWER_LIMIT)
        if any(line.sends for line in session.lines):
            raise Forbidden("Nothing is sent on the connection on which one receives.")
        peer.answer.set_result(jsep_of(answer))

    async def _give_up_down(self, room: Room, peer: Peer, *, silent: bool = False) -> None:
        """Throw a connection down away, and begin another one; or let them begin anew where that was in vain too often.

        Not at once: whatever Janus refused, it may be about to tell why. Whoever is silent is left alone, until they
        say that they can receive, or come back from a lost connection.
        """
        peer.vain += 1
        handle, peer.down = peer.down, None
        peer.receives, peer.silent, peer.lines = set(), set(), {}
        if handle is not None and (session := self._session()) is not None:
            self._handles.pop(handle, None)
            await session.detach(handle)
        await asyncio.sleep(AGAIN_SECONDS[min(peer.vain, len(AGAIN_SECONDS)) - 1])
        if peer.vain < OFFERS_IN_VAIN:
            peer.stale = True
        elif silent:
            peer.ready = False
        elif room.peers.get(peer.participant.id) is peer:
            self._begin_anew(room, peer, "nothing came of several offers")


async def _gather_beginners(room: Room, peer: Peer) -> None:
    """Wait for others who are about to send, for a moment."""
    now = asyncio.get_running_loop().time()
    others = [other for other in room.peers.values() if other is not peer and other.ready and not other.live]
    beginners = [other for other in others if other.participant.publishes and now - other.began < GATHER_SECONDS]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GATHER_SECONDS):
            for other in beginners:
                await other.settled.wait()


def _belonging(feeds: set[Feed]) -> set[str]:
    return {_owner(feed) for feed in feeds}


def _owner(feed: Feed) -> str:
    return feed[0].partition(".")[0]


def _streams(feeds: set[Feed]) -> list[dict[str, str]]:
    return [{"feed": feed, "mid": mid} for feed, mid in sorted(feeds)]


def jsep_of(description: Description) -> Jsep:
    """A description as Janus takes it."""
    return {"type": description.type, "sdp": description.sdp}

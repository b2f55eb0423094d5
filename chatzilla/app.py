"""The composition root: a Config goes in, an aiohttp Application comes out. The one place that knows every module."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from aiohttp import web

from chatzilla import __version__
from chatzilla.clock import SystemClock
from chatzilla.control import Control
from chatzilla.core import policy
from chatzilla.core.calls import Calls
from chatzilla.core.foreign import Pair
from chatzilla.core.limits import Rate
from chatzilla.core.lookalikes import Names
from chatzilla.core.presence import Presence
from chatzilla.core.reading import Reading
from chatzilla.core.rights import Rights
from chatzilla.core.signin import SignInMode, SignIns
from chatzilla.core.tokens import Tokens
from chatzilla.core.tries import Tries
from chatzilla.media.janus import Janus
from chatzilla.media.mesh import Mesh
from chatzilla.media.turn import IceRelay
from chatzilla.operators import Operators
from chatzilla.ports import Ports
from chatzilla.realtime.calls import CallsNamespace, Seats
from chatzilla.realtime.chat import ChatNamespace
from chatzilla.realtime.delivery import Delivery
from chatzilla.realtime.engine import Limits
from chatzilla.realtime.server import Server
from chatzilla.store.callbook import StoredCallBook
from chatzilla.store.database import Database
from chatzilla.store.log import RoomLog
from chatzilla.store.queries import RoomStore
from chatzilla.store.register import SignInRegister
from chatzilla.web import middleware
from chatzilla.web.api import Api
from chatzilla.web.assets import Assets, shipped
from chatzilla.web.callers import Callers
from chatzilla.web.entrance import Entrance
from chatzilla.web.pages import Pages
from chatzilla.web.patience import Patience
from chatzilla.web.peers import Peers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from chatzilla.config import Config
    from chatzilla.core.tokens import SignInId
    from chatzilla.ports import Clock, Media, Stage

logger = logging.getLogger(__name__)

CLOSING_SECONDS: Final = 1.0
"""How long a connection may take to close after it was told goodbye."""

FINISH_SECONDS: Final = 2.5
"""How long handlers in flight may take to be answered when the server stops."""


class House:
    """What lives as long as the server: the database, the log, who is connected."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self.database = Database(config.data, config.database_path, synchronous=config.synchronous).open()
        self.delivery = Delivery(clock)
        self.log = RoomLog(self.database.writing, clock, self.delivery.tell)
        self.store = RoomStore(self.database)
        self.ports = Ports(self.log, self.store, self.delivery, clock)
        tokens = tokens_of(config, self.database, clock)
        self.register = SignInRegister(self.database)
        self.sign_ins = SignIns(
            self.register,
            tokens,
            clock,
            SignInMode(config.sign_in),
            rights=Rights(tokens, clock, Pair(config.api_key, config.api_secret) if config.api_secret else None),
            ended=self._end_sign_ins,
        )
        self.tries = Tries(clock)
        """Vain tries with links."""
        self.operators = Operators(config, self.database, self.sign_ins, tokens)
        self.control = Control(config.data, self.operators.commands)
        self.presence = Presence(self.delivery, clock, Names(self.sign_ins.holder))
        self.reading = Reading(self.log, self.delivery, clock)
        self.peers = Peers(config.proxies, config.origins)
        self.patience = Patience(config.header_seconds)
        self.callers = Callers(self.sign_ins, self.peers)
        self.chat = ChatNamespace(
            self.ports,
            self.presence,
            self.reading,
            self.delivery,
            self.sign_ins,
            posting=Rate(config.message_rate, config.message_burst),
            posting_from_address=Rate(config.address_rate, config.address_burst),
            asking=Rate(config.call_rate, config.call_burst),
        )
        self.seats = Seats()
        self.book = StoredCallBook(self.database)
        self.engines = engines_of(config, self.seats)
        self.calls = Calls(
            clock,
            self.log,
            self.seats,
            self.delivery,
            self.book,
            tokens,
            IceRelay(clock, stun=config.stun_urls, turn=config.turn_urls, secret=config.turn_secret),
            policy.Rooms(),
            self.engines,
        )
        self.calls_door = CallsNamespace(
            self.calls, self.seats, self.sign_ins, clock, asking=Rate(config.call_rate, config.call_burst)
        )
        self.server = Server(
            limits=Limits(
                heartbeat=config.heartbeat,
                pong_within=config.heartbeat,
                queue=config.queue_kb * 1024,
                join_within=config.join_seconds,
                upgrade_within=config.upgrade_seconds,
                body_within=config.body_seconds,
                connections=config.connections,
                connections_per_address=config.connections_per_address,
            ),
            admits_origin=self.peers.admits,
            address_of=lambda request: self.peers.of(request).address,
            ticket_of=self.callers.ticket,
        )
        self.server.register_namespace(self.chat)
        self.server.register_namespace(self.calls_door)
        self._said_farewell = False

    async def farewell(self) -> None:
        """Answer what is in flight, then let everybody go in a way after which they come back. Harmless twice."""
        if self._said_farewell:
            return
        self._said_farewell = True
        await asyncio.gather(self.chat.finish(FINISH_SECONDS), self.calls_door.finish(FINISH_SECONDS))
        self.calls.stop()
        self.presence.stop()
        self.reading.stop()
        self.delivery.close("The server is restarting. You will be reconnected.")
        self.calls_door.close("The server is restarting. You will be reconnected.")
        await self.server.eio.drain(CLOSING_SECONDS)

    async def live(self, _app: web.Application) -> AsyncIterator[None]:
        """From the application's start to its end."""
        self.log.start()
        self.sign_ins.start()
        for engine in self.engines:
            await engine.start()
        self.calls.start(self.sign_ins)
        await self.control.start()
        yield
        await self.control.close()
        for engine in self.engines:
            await engine.close()
        self.sign_ins.stop()
        await self.log.close()
        self.register.close()
        self.book.close()
        self.store.close()
        self.database.close(cleanly=True)

    def _end_sign_ins(self, ended: Iterable[SignInId]) -> None:
        """Sign-ins are over: so is every connection that stands on one, at each door."""
        gone = tuple(ended)
        self.delivery.end_sign_ins(gone)
        self.calls_door.end_sign_ins(gone)

    async def health(self, _request: web.Request) -> web.Response:
        """GET /healthz: 200 while messages can be stored and read, else 503."""
        self.log.probe()
        healthy = self.log.healthy and await self.store.answers()
        report = {"status": "ok" if healthy else "degraded", "version": __version__}
        return web.json_response(report, status=200 if healthy else 503, headers={"Cache-Control": "no-store"})


def tokens_of(config: Config, database: Database, clock: Clock) -> Tokens:
    """Mint and judge tokens with the key of the settings, or else of the data folder."""
    if config.secret:
        return Tokens(config.secret, clock, before=(config.secret_before,) if config.secret_before else ())
    return Tokens(database.key, clock, before=database.keys_before)


def engines_of(config: Config, stage: Stage) -> Sequence[Media]:
    """What carries the media of calls, the preferred one first."""
    mesh = Mesh(stage, people=config.call_people, publishers=config.call_publishers)
    janus = Janus(
        stage,
        config.janus_url,
        config.janus_secret,
        people=config.janus_people,
        publishers=config.janus_publishers,
        bitrate=config.janus_kbits * 1000,
    )
    engines: dict[str, Sequence[Media]] = {"mesh": (mesh,), "janus": (janus,), "auto": (janus, mesh), "off": ()}
    return engines[config.calls]


HOUSE: Final = web.AppKey("house", House)


def create_app(config: Config, clock: Clock | None = None) -> web.Application:
    """Build the whole server.

    Raises:
        StartError: the data folder cannot be used, or the browser's client was never set up.
    """
    assets = Assets(shipped("static"))
    house = House(config, clock or SystemClock())
    pages = Pages(shipped("templates"), assets, house.callers, calls=config.calls != "off")
    entrance = Entrance(house.sign_ins, house.tries, house.callers, pages)
    api = Api(house.sign_ins, house.tries, house.callers, config.url)
    app = web.Application(middlewares=[middleware.trace(house.peers, house.patience), middleware.errors(pages)])
    app[HOUSE] = house
    app.on_response_prepare.append(middleware.secure(house.peers, strict=config.tls != "self-signed"))
    app.add_routes(
        [
            web.get("/", pages.landing),
            web.get("/r/{room}", pages.room),
            web.get("/call/{session}", pages.call),
            web.get("/static/{version}/{name:.+}", assets.serve),
            web.get("/healthz", house.health),
            web.get("/in/{secret}", entrance.show),
            web.post("/in/{secret}", entrance.enter),
            web.get("/api/v1/me", api.me),
            web.post("/api/v1/sign-in", api.sign_in),
            web.post("/api/v1/sign-out", api.sign_out),
            web.get("/api/v1/links", api.list_links),
            web.post("/api/v1/links", api.make_link),
            web.delete("/api/v1/links/{id}", api.revoke_link),
            web.get("/api/v1/sign-ins", api.list_sign_ins),
            web.delete("/api/v1/sign-ins", api.end_sign_ins),
            web.delete("/api/v1/sign-ins/{id}", api.end_sign_in),
        ]
    )
    house.server.attach(app)
    app.cleanup_ctx.append(house.live)
    app.on_shutdown.append(lambda app: app[HOUSE].farewell())
    return app

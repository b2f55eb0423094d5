"""The composition root: a Config goes in, an aiohttp Application comes out. The one place that knows every module."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from aiohttp import web

from chatzilla import __version__
from chatzilla.clock import SystemClock
from chatzilla.control import Control
from chatzilla.core.bookings import Bookings
from chatzilla.core.directory import Directory
from chatzilla.core.foreign import Pair
from chatzilla.core.limits import Paces, Rate
from chatzilla.core.lookalikes import Names
from chatzilla.core.presence import Presence
from chatzilla.core.reading import Reading
from chatzilla.core.rights import Rights
from chatzilla.core.signin import SignInMode, SignIns
from chatzilla.core.tokens import Tokens
from chatzilla.core.tries import Tries
from chatzilla.operators import Operators
from chatzilla.ports import Ports
from chatzilla.realtime.chat import ChatNamespace
from chatzilla.realtime.delivery import Delivery
from chatzilla.realtime.engine import Limits
from chatzilla.realtime.server import Server
from chatzilla.store.database import Database
from chatzilla.store.hooks import HookRegister
from chatzilla.store.log import RoomLog
from chatzilla.store.queries import RoomStore
from chatzilla.store.register import SignInRegister
from chatzilla.store.roombook import RoomRegister
from chatzilla.web import contract, middleware
from chatzilla.web.api import Api
from chatzilla.web.assets import Assets, shipped
from chatzilla.web.callers import Callers
from chatzilla.web.entrance import Entrance
from chatzilla.web.pages import Pages
from chatzilla.web.patience import Patience
from chatzilla.web.peers import Peers
from chatzilla.web.programs import Programs
from chatzilla.web.reference import Reference
from chatzilla.web.rooms import Rooms
from chatzilla.web.seeds.asking import Askers, CrossOrigin
from chatzilla.web.seeds.minichat import Minichat
from chatzilla.web.seeds.opentok import OpenTok
from chatzilla.web.seeds.openvidu import OpenVidu
from chatzilla.web.seeds.twilio import Twilio
from chatzilla.web.talk import Talk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from chatzilla.config import Config
    from chatzilla.ports import Clock

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
        tokens = tokens_of(config, self.database, clock)
        self.register = SignInRegister(self.database)
        self.rights = Rights(tokens, clock, Pair(config.api_key, config.api_secret) if config.api_secret else None)
        self.tries = Tries(clock)
        """Vain tries with links. Those at rooms are counted apart."""
        self.hooks = HookRegister(self.database, self.store)
        self.hook_tries = Tries(clock)
        """Vain tries with hooks: what a machine does with an old address keeps nobody from coming in."""
        self.rooms = RoomRegister(self.database)
        self.directory = Directory(self.rooms, Tries(clock), clock, lambda ident: self.sign_ins.person(ident))
        self.sign_ins = SignIns(
            self.register,
            tokens,
            clock,
            SignInMode(config.sign_in),
            self.directory,
            rights=self.rights,
            ended=self.delivery.end_sign_ins,
        )
        self.ports = Ports(self.log, self.store, self.delivery, clock, self.directory)
        self.operators = Operators(config, self.database, self.sign_ins, tokens, self.hooks)
        self.control = Control(config.data, self.operators.commands)
        self.presence = Presence(self.delivery, clock, Names(self.sign_ins.holder))
        self.reading = Reading(self.log, self.delivery, clock)
        self.peers = Peers(config.proxies, config.origins)
        self.patience = Patience(config.header_seconds)
        self.callers = Callers(self.sign_ins, self.peers)
        asking = Rate(config.call_rate, config.call_burst)
        self.paces = Paces(
            clock,
            posting=Rate(config.message_rate, config.message_burst),
            posting_from_address=Rate(config.address_rate, config.address_burst),
            asking=asking,
        )
        self.bookings = Bookings(self.ports, self.sign_ins, self.rights, asking)
        self.chat = ChatNamespace(
            self.ports,
            self.presence,
            self.reading,
            self.delivery,
            self.sign_ins,
            self.paces,
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
        self._said_farewell = False

    async def farewell(self) -> None:
        """Answer what is in flight, then let everybody go in a way after which they come back. Harmless twice."""
        if self._said_farewell:
            return
        self._said_farewell = True
        await self.chat.finish(FINISH_SECONDS)
        self.presence.stop()
        self.reading.stop()
        self.delivery.close("The server is restarting. You will be reconnected.")
        await self.server.eio.drain(CLOSING_SECONDS)

    async def live(self, _app: web.Application) -> AsyncIterator[None]:
        """From the application's start to its end."""
        self.log.start()
        self.sign_ins.start()
        self.directory.start()
        await self.control.start()
        yield
        await self.control.close()
        self.sign_ins.stop()
        await self.log.close()
        self.register.close()
        self.hooks.close()
        self.rooms.close()
        self.store.close()
        self.database.close(cleanly=True)

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


HOUSE: Final = web.AppKey("house", House)
REFERENCE: Final = web.AppKey("reference", Reference)


def create_app(config: Config, clock: Clock | None = None) -> web.Application:
    """Build the whole server.

    Raises:
        StartError: the data folder cannot be used, or the browser's client was never set up.
    """
    assets = Assets(shipped("static"))
    house = House(config, clock or SystemClock())
    pages = Pages(shipped("templates"), assets, house.callers, house.directory)
    entrance = Entrance(house.sign_ins, house.tries, house.callers, pages)
    apis = (
        Api(house.sign_ins, house.tries, house.callers, config.url),
        Rooms(house.ports, house.presence, house.paces, house.sign_ins, house.callers),
        Talk(house.ports, house.paces, house.callers),
        Programs(house.ports, house.paces, house.sign_ins, house.hooks, house.hook_tries, house.callers, config.url),
    )
    reference = Reference(contract.operations(*apis), house.callers, pages, config.url)
    askers = Askers(house.rights.pair, house.callers, Tries(house.ports.clock))
    doors = (
        Minichat(house.ports, house.paces, house.callers, pages),
        OpenVidu(house.bookings, askers),
        Twilio(house.bookings, askers),
        OpenTok(askers, house.ports.clock),
        cross_origin := CrossOrigin(config.cors_origins),
    )
    app = web.Application(middlewares=[middleware.trace(house.peers, house.patience), middleware.errors(pages)])
    app[HOUSE] = house
    app[REFERENCE] = reference
    app.on_response_prepare.extend((middleware.secure(house.peers), cross_origin.on_prepare))
    app.add_routes(
        [
            web.get("/", pages.landing),
            web.get("/r/{room}", pages.room),
            web.get("/static/{version}/{name:.+}", assets.serve),
            web.get("/healthz", house.health),
            web.get("/in/{secret}", entrance.show),
            web.post("/in/{secret}", entrance.enter),
            web.get("/api/v1/", reference.show),
            web.get("/api/v1/openapi.json", reference.serve),
            *contract.routes(house.callers, *apis),
            *(route for door in doors for route in door.routes()),
        ]
    )
    house.server.attach(app)
    app.cleanup_ctx.append(house.live)
    app.on_shutdown.append(lambda app: app[HOUSE].farewell())
    return app

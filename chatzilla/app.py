"""The composition root: a Config goes in, an aiohttp Application comes out. The one place that knows every module."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from aiohttp import web

from chatzilla import __version__
from chatzilla.clock import SystemClock
from chatzilla.control import Control
from chatzilla.core.directory import Directory
from chatzilla.core.limits import Rate
from chatzilla.core.lookalikes import Names
from chatzilla.core.moderation import Means
from chatzilla.core.presence import Presence
from chatzilla.core.reading import Reading
from chatzilla.core.signin import SignInMode, SignIns
from chatzilla.core.tokens import Tokens
from chatzilla.core.tries import Tries
from chatzilla.operators import Operators
from chatzilla.ports import Ports
from chatzilla.realtime.chat import ChatNamespace
from chatzilla.realtime.delivery import Delivery
from chatzilla.realtime.engine import Limits
from chatzilla.realtime.server import Server
from chatzilla.stewards import Stewards
from chatzilla.store.database import Database
from chatzilla.store.log import RoomLog
from chatzilla.store.queries import RoomStore
from chatzilla.store.records import ModerationRecords
from chatzilla.store.register import SignInRegister
from chatzilla.store.roombook import RoomRegister
from chatzilla.web import middleware
from chatzilla.web.api import Api
from chatzilla.web.assets import Assets, shipped
from chatzilla.web.callers import Callers
from chatzilla.web.entrance import Entrance
from chatzilla.web.moderation import ModerationApi
from chatzilla.web.pages import Pages
from chatzilla.web.patience import Patience
from chatzilla.web.peers import Peers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from chatzilla.config import Config
    from chatzilla.core.bans import Ban
    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.rooms import RoomId
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
        self.tries = Tries(clock)
        """Vain tries with links. Those at rooms are counted apart."""
        self.rooms = RoomRegister(self.database)
        self.directory = Directory(self.rooms, Tries(clock), clock, self._person, self._ban)
        self.sign_ins = SignIns(
            self.register, tokens, clock, SignInMode(config.sign_in), self.directory, ended=self.delivery.end_sign_ins
        )
        self.ports = Ports(self.log, self.store, self.delivery, clock, self.directory)
        self.operators = Operators(config, self.database, self.sign_ins, tokens)
        self.presence = Presence(self.delivery, clock, Names(self.sign_ins.holder))
        self.means = Means(self.ports, self.presence, self.sign_ins, ModerationRecords(self.database, self.register))
        self.stewards = Stewards(self.means)
        self.commands = {**self.operators.commands, **self.stewards.commands}
        """What the operator can have done."""
        self.control = Control(config.data, self.commands)
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

    def _person(self, ident: AccountId) -> Account | None:
        return self.sign_ins.person(ident)

    def _ban(self, account: Account, address: str | None, room: RoomId) -> Ban | None:
        return self.sign_ins.bans.against(account, address, room)

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
        self.begin()
        await self.control.start()
        yield
        await self.control.close()
        await self.end()

    def begin(self) -> None:
        """Recall everything, and take messages."""
        self.log.start()
        self.sign_ins.start()
        self.sign_ins.bans.recall(self.means.records.recall_bans(self.ports.clock.wall_ms()))
        self.directory.start()

    async def end(self) -> None:
        """Store what waits, and give the folder back."""
        self.sign_ins.stop()
        await self.log.close()
        self.register.close()
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


def create_app(config: Config, clock: Clock | None = None) -> web.Application:
    """Build the whole server.

    Raises:
        StartError: the data folder cannot be used, or the browser's client was never set up.
    """
    assets = Assets(shipped("static"))
    house = House(config, clock or SystemClock())
    pages = Pages(shipped("templates"), assets, house.callers, house.directory)
    entrance = Entrance(house.sign_ins, house.tries, house.callers, pages)
    api = Api(house.sign_ins, house.tries, house.callers, config.url)
    app = web.Application(middlewares=[middleware.trace(house.peers, house.patience), middleware.errors(pages)])
    app[HOUSE] = house
    app.on_response_prepare.append(middleware.secure(house.peers))
    app.add_routes(
        [
            web.get("/", pages.landing),
            web.get("/r/{room}", pages.room),
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
    app.add_routes(ModerationApi(house.means, house.callers).routes)
    house.server.attach(app)
    app.cleanup_ctx.append(house.live)
    app.on_shutdown.append(lambda app: app[HOUSE].farewell())
    return app

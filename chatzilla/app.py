"""The composition root: a Config goes in, an aiohttp Application comes out. The one place that knows every module."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aiohttp import web

from chatzilla import __version__
from chatzilla.clock import SystemClock
from chatzilla.control import Control
from chatzilla.core import moderation, succession
from chatzilla.core.bookings import Bookings
from chatzilla.core.by_mail import ByMail
from chatzilla.core.call_entry import CallEntry
from chatzilla.core.call_limits import parse_limits
from chatzilla.core.call_roster import Roster
from chatzilla.core.calls import Calls
from chatzilla.core.connections import PUT_OUT, Connections
from chatzilla.core.directory import Directory
from chatzilla.core.foreign import Pair
from chatzilla.core.limits import Paces, Rate
from chatzilla.core.lookalikes import Names
from chatzilla.core.moderation import Means
from chatzilla.core.presence import Presence
from chatzilla.core.reading import Reading
from chatzilla.core.rights import Rights
from chatzilla.core.rooms import RoomHead
from chatzilla.core.signin import SignInMode, SignIns
from chatzilla.core.tokens import Tokens
from chatzilla.core.tries import Tries
from chatzilla.errors import Unavailable
from chatzilla.mail.server import parse_sender, parse_server
from chatzilla.mail.smtp import SmtpMailer
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
from chatzilla.stewards import Stewards
from chatzilla.store.callbook import StoredCallBook
from chatzilla.store.database import Database
from chatzilla.store.hooks import HookRegister
from chatzilla.store.log import RoomLog
from chatzilla.store.queries import RoomStore
from chatzilla.store.records import ModerationRecords
from chatzilla.store.register import SignInRegister
from chatzilla.store.rightbook import StoredRightBook
from chatzilla.store.roombook import RoomRegister
from chatzilla.web import contract, middleware
from chatzilla.web.api import Api
from chatzilla.web.assets import Assets, shipped
from chatzilla.web.callers import Callers
from chatzilla.web.entrance import Entrance
from chatzilla.web.mail import MailEntrance
from chatzilla.web.moderation import ModerationApi
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
    from collections.abc import AsyncIterator, Iterable, Sequence

    from chatzilla.config import Config
    from chatzilla.core.bans import Ban
    from chatzilla.core.people import Account, AccountId
    from chatzilla.core.rights import Right
    from chatzilla.core.rooms import RoomId
    from chatzilla.core.tokens import SignInId
    from chatzilla.ports import Clock, Media, Stage

logger = logging.getLogger(__name__)

CLOSING_SECONDS: Final = 1.0
"""How long a connection may take to close after it was told goodbye."""

FINISH_SECONDS: Final = 2.5
"""How long handlers in flight may take to be answered when the server stops."""


HEALTHY_AGAIN_SECONDS: Final = 5
"""When to ask again whether messages can be stored."""


class House:
    """What lives as long as the server: the database, the log, who is connected."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self.database = Database(config.data, config.database_path, synchronous=config.synchronous).open()
        self.delivery = Delivery(clock, lambda room: self.directory.dress(RoomHead(room, room, 0, 0)))
        self.log = RoomLog(self.database.writing, clock, self.delivery.tell, self.database.condition)
        self.store = RoomStore(self.database)
        tokens = tokens_of(config, self.database, clock)
        self.register = SignInRegister(self.database)
        self.rights = Rights(tokens, clock, Pair(config.api_key, config.api_secret) if config.api_secret else None)
        self.tries = Tries(clock)
        """Vain tries with links. Those at rooms are counted apart."""
        self.hooks = HookRegister(self.database, self.store)
        self.hook_tries = Tries(clock)
        """Vain tries with hooks: what a machine does with an old address keeps nobody from coming in."""
        self.rooms = RoomRegister(self.database, self.log.note_left)
        self.directory = Directory(self.rooms, Tries(clock), clock, self._person, self._ban)
        self.sign_ins = SignIns(
            self.register,
            tokens,
            clock,
            SignInMode(config.sign_in),
            self.directory,
            rights=self.rights,
            ended=self._end_sign_ins,
            retired=self._retire,
        )
        self.ports = Ports(
            self.log, self.store, self.delivery, clock, self.directory, self._enforce_in_calls, self._put_out_of_calls
        )
        self.mailer: SmtpMailer | None = None
        self.by_mail: ByMail | None = None
        if self.sign_ins.mode is SignInMode.EMAIL:
            self.mailer = mailer_of(config, clock)
            self.by_mail = ByMail(
                self.sign_ins, tokens, self.tries, self.mailer, domains=config.mail_domains, base=config.url
            )
        self.operators = Operators(config, self.database, self.sign_ins, tokens, self.hooks)
        self.presence = Presence(self.delivery, clock, Names(self.sign_ins.holder))
        self.means = Means(self.ports, self.presence, self.sign_ins, ModerationRecords(self.database, self.register))
        self.stewards = Stewards(self.means)
        self.commands = {**self.operators.commands, **self.stewards.commands}
        """What the operator can have done."""
        self.control = Control(config.data, {**self.commands, "started": self.operators.started})
        self.reading = Reading(self.log, self.delivery, clock)
        self.peers = Peers(
            config.proxies,
            (*config.origins, config.url) if config.url else config.origins,
            any_name=config.any_name,
        )
        self.patience = Patience(
            head=config.header_seconds,
            idle=config.idle_seconds,
            # By long-polling, a session takes two: one waits, and one says something. Behind proxies all come from a
            # few addresses, and how many may come from where is for the proxies to say.
            per_address=0 if config.proxies else 2 * config.connections_per_address,
        )
        self.callers = Callers(self.sign_ins, self.peers)
        asking = Rate(config.call_rate, config.call_burst)
        self.paces = Paces(
            clock,
            posting=Rate(config.message_rate, config.message_burst),
            posting_from_address=Rate(config.address_rate, config.address_burst),
            asking=asking,
        )
        self.chat = ChatNamespace(
            self.ports,
            self.presence,
            self.reading,
            self.delivery,
            self.sign_ins,
            self.paces,
        )
        self.seats = Seats()
        self.book = StoredCallBook(self.database)
        self.engines = engines_of(config, self.seats, self.database.mark)
        self.call_roster = Roster(
            clock, self.log, self.seats, self.delivery, self.book, self.engines, parse_limits(config.call_limits)
        )
        relay = IceRelay(clock, stun=config.stun_urls, turn=config.turn_urls, secret=config.turn_secret)
        self.calls_door = CallsNamespace(
            self.call_roster,
            CallEntry(self.call_roster, tokens, relay, self.directory, clock),
            Calls(self.call_roster, self.book, relay, self.directory),
            self.seats,
            self.sign_ins,
            clock,
            asking=Rate(config.call_rate, config.call_burst),
        )
        self.right_book = StoredRightBook(self.database)
        self.connections = Connections(
            self.rights,
            self.right_book,
            self.call_roster,
            clock,
            on_chat=self._rights_on_chat,
            put_out=self._end_rights,
        )
        self.bookings = Bookings(self.ports, self.sign_ins, self.rights, self.connections, asking)
        self.server = Server(
            limits=Limits(
                heartbeat=config.heartbeat,
                pong_within=config.heartbeat,
                payload=config.payload,
                queue=config.queue_kb * 1024,
                backlog=config.backlog,
                signal_backlog=config.signal_backlog,
                packets=Rate(config.packet_rate, config.packet_burst),
                attempts=config.namespace_attempts,
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

    def _enforce_in_calls(self, ban: Ban) -> None:
        self.calls_door.enforce(ban)

    def _put_out_of_calls(self, account: AccountId, room: RoomId | None) -> None:
        self.call_roster.put_out(account, room)

    async def _retire(self, account: Account) -> None:
        await moderation.pass_on(self.means, account, None, gone=True)

    def _person(self, ident: AccountId) -> Account | None:
        return self.sign_ins.person(ident)

    def _ban(self, account: Account, address: str | None, room: RoomId) -> Ban | None:
        return self.sign_ins.bans.against(account, address, room)

    async def farewell(self) -> None:
        """Answer what is in flight, then let everybody go in a way after which they come back. Harmless twice."""
        if self._said_farewell:
            return
        self._said_farewell = True
        await asyncio.gather(self.chat.finish(FINISH_SECONDS), self.calls_door.finish(FINISH_SECONDS))
        self.call_roster.stop()
        self.presence.stop()
        self.reading.stop()
        self.delivery.close("The server is restarting. You will be reconnected.")
        self.calls_door.close("The server is restarting. You will be reconnected.")
        await self.server.eio.drain(CLOSING_SECONDS)

    async def live(self, _app: web.Application) -> AsyncIterator[None]:
        """From the application's start to its end."""
        self.begin()
        if self.mailer is not None:
            self.mailer.start()
        for engine in self.engines:
            await engine.start()
        try:
            await succession.find_heirs(self.ports)
        except Unavailable as refusal:  # as with messages: it goes on by itself when the disk does
            logger.warning("private rooms without a moderator are looked for with the next start: %s", refusal)
        self.call_roster.start(self.sign_ins)
        await self.control.start()
        yield
        await self.control.close()
        if self.mailer is not None:
            await self.mailer.close()
        for engine in self.engines:
            await engine.close()
        await self.end()

    def begin(self) -> None:
        """Recall everything, and take messages."""
        self.log.start()
        self.sign_ins.start()
        self.sign_ins.bans.recall(self.means.records.recall_bans(self.ports.clock.wall_ms()))
        self.directory.start()
        self.connections.start()

    async def end(self) -> None:
        """Store what waits, and give the folder back."""
        self.sign_ins.stop()
        await self.log.close()
        self.register.close()
        self.hooks.close()
        self.rooms.close()
        self.book.close()
        self.right_book.close()
        self.store.close()
        self.database.close(cleanly=True)

    def _end_sign_ins(self, ended: Iterable[SignInId]) -> None:
        """Sign-ins are over: so is every connection that stands on one, at each door."""
        gone = tuple(ended)
        self.delivery.end_sign_ins(gone)
        self.calls_door.end_sign_ins(gone)

    def _rights_on_chat(self) -> Iterable[Right]:
        """The rights by which connections to the chat have come."""
        return (session.right for session in self.delivery.sessions() if session.right is not None)

    def _end_rights(self, ended: Sequence[str]) -> None:
        """Rights are over: so is every connection that came by one, at each door."""
        gone = frozenset(ended)
        for session in self.delivery.sessions():
            if session.right is not None and session.right.id in gone:
                self.delivery.turn_out(session.connection, PUT_OUT)
        self.calls_door.end_rights(gone)

    async def health(self, _request: web.Request) -> web.Response:
        """GET /healthz: 200 while messages can be stored and read, else 503."""
        self.log.probe()
        healthy = self.log.healthy and await self.store.answers()
        report = {"status": "ok" if healthy else "degraded", "version": __version__}
        if self.mailer is not None:
            report["mail"] = "failing" if self.mailer.failing else "ok"
        headers = {"Cache-Control": "no-store"} | ({} if healthy else {"Retry-After": str(HEALTHY_AGAIN_SECONDS)})
        return web.json_response(report, status=200 if healthy else 503, headers=headers)


def tokens_of(config: Config, database: Database, clock: Clock) -> Tokens:
    """Mint and judge tokens with the key of the settings, or else of the data folder."""
    if config.secret:
        return Tokens(config.secret, clock, before=(config.secret_before,) if config.secret_before else ())
    return Tokens(database.key, clock, before=database.keys_before)


def mailer_of(config: Config, clock: Clock) -> SmtpMailer:
    """What hands mails to the mail server of the settings."""
    host = urlsplit(config.url).hostname or ""
    name = f"[IPv6:{host}]" if ":" in host else host
    return SmtpMailer(parse_server(config.smtp_url), parse_sender(config.mail_from), clock, name=name)


def engines_of(config: Config, stage: Stage, house: str) -> Sequence[Media]:
    """What carries the media of calls, the preferred one first; `house` is the mark of this server's database."""
    mesh = Mesh(stage, people=config.call_people, publishers=config.call_publishers)
    janus = Janus(
        stage,
        config.janus_url,
        config.janus_secret,
        house=house,
        people=config.janus_people,
        publishers=config.janus_publishers,
        bitrate=config.janus_kbits * 1000,
    )
    engines: dict[str, Sequence[Media]] = {"mesh": (mesh,), "janus": (janus,), "auto": (janus, mesh), "off": ()}
    return engines[config.calls]


HOUSE: Final = web.AppKey("house", House)
REFERENCE: Final = web.AppKey("reference", Reference)


def create_app(config: Config, clock: Clock | None = None) -> web.Application:
    """Build the whole server.

    Raises:
        StartError: the data folder cannot be used, or the browser's client was never set up.
    """
    if config.sign_in == SignInMode.EMAIL:
        config.check_mail()
    assets = Assets(shipped("static"))
    house = House(config, clock or SystemClock())
    mail_at = "" if house.by_mail is None else config.url
    pages = Pages(
        shipped("templates"), assets, house.callers, house.directory, mail_at=mail_at, calls=config.calls != "off"
    )
    entrance = Entrance(house.sign_ins, house.tries, house.callers, pages)
    mail_entrance = MailEntrance(house.by_mail, house.callers, pages)
    apis = (
        Api(house.sign_ins, house.tries, house.callers, config.url, house.by_mail),
        Rooms(house.ports, house.presence, house.paces, house.sign_ins, house.callers),
        Talk(house.ports, house.paces, house.callers),
        ModerationApi(house.means),
        Programs(house.ports, house.paces, house.sign_ins, house.hooks, house.hook_tries, house.callers, config.url),
    )
    reference = Reference(contract.operations(*apis), house.callers, pages, config.url)
    askers = Askers(house.rights.pair, house.callers, Tries(house.ports.clock))
    doors = (
        Minichat(house.ports, house.paces, house.callers, pages),
        OpenVidu(house.bookings, house.connections, askers),
        Twilio(house.bookings, askers),
        OpenTok(askers, house.ports.clock),
        cross_origin := CrossOrigin(config.cors_origins),
    )
    app = web.Application(middlewares=[middleware.trace(house.peers), middleware.errors(pages)])
    app[HOUSE] = house
    app[REFERENCE] = reference
    app.on_response_prepare.extend(
        (middleware.secure(house.peers, strict=config.tls != "self-signed"), cross_origin.on_prepare)
    )
    app.add_routes(
        [
            web.get("/", pages.landing),
            web.get("/r/{room}", pages.room),
            web.get("/call/{session}", pages.call),
            web.get("/static/{version}/{name:.+}", assets.serve),
            web.get("/healthz", house.health),
            web.post("/in", mail_entrance.ask),
            web.get("/in/mail/{secret}", mail_entrance.show),
            web.post("/in/mail/{secret}", mail_entrance.enter),
            web.get("/in/{secret}", entrance.show),
            web.post("/in/{secret}", entrance.enter),
            web.get("/api/v1/", reference.show),
            web.get("/api/v1/openapi.json", reference.serve),
            *contract.routes(house.callers, house.directory.vain, *apis),
            *(route for door in doors for route in door.routes()),
        ]
    )
    house.server.attach(app)
    app.cleanup_ctx.append(house.live)
    app.on_shutdown.append(lambda app: app[HOUSE].farewell())
    return app

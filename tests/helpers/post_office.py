"""A real mail server (aiosmtpd) inside the test's own loop, with a mailbox for everybody."""

from __future__ import annotations

import asyncio
import email
import email.policy
import re
import warnings
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any, Final

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.helpers.clients import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from ssl import SSLContext

USER: Final = "chat"
PASSWORD: Final = "p@ss/word:1"

_LINK: Final = re.compile(r"^(https?://\S+/in/mail/\S+)$", re.MULTILINE)


@dataclass
class Mail:
    """One mail as it arrived."""

    sender: str
    recipients: list[str]
    raw: bytes
    secure: bool
    user: str | None

    @property
    def message(self) -> EmailMessage:
        return email.message_from_bytes(self.raw, policy=email.policy.default)

    @property
    def text(self) -> str:
        return str(self.message.get_content()).replace("\r\n", "\n")

    @property
    def link(self) -> str:
        """The one link to sign in."""
        (found,) = _LINK.findall(self.text)
        return str(found)


@dataclass
class PostOffice:
    """Takes mails; `refusals` are answered first, one for each attempt."""

    port: int = 0
    mails: asyncio.Queue[Mail] = field(default_factory=asyncio.Queue)
    refusals: list[str] = field(default_factory=list)
    closed: bool = False
    """Whether nothing is answered for now."""
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0

    async def next(self) -> Mail:
        """The next mail."""
        return await asyncio.wait_for(self.mails.get(), PATIENCE_SECONDS)

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        if self.closed:
            await self.opened.wait()
        session.host_name = hostname
        return responses

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.refusals:
            return self.refusals.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        user = session.auth_data.login.decode() if isinstance(session.auth_data, LoginPassword) else None
        recipients = [str(each) for each in envelope.rcpt_tos]
        raw = envelope.original_content or b""
        transport = server.transport
        secure = transport is not None and transport.get_extra_info("ssl_object") is not None
        self.mails.put_nowait(Mail(str(envelope.mail_from), recipients, raw, secure, user))
        return "250 OK"


def _authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=right, handled=right, auth_data=data)


@asynccontextmanager
async def post_office(
    *, tls: SSLContext | None = None, starttls: SSLContext | None = None, port: int = 0
) -> AsyncIterator[PostOffice]:
    """Take mails on a port of the loopback; with TLS, only from who has the password."""
    office = PostOffice()
    options: dict[str, Any] = {"hostname": "localhost", "loop": asyncio.get_running_loop()}
    if tls or starttls:
        options |= {"authenticator": _authenticate, "auth_required": True, "auth_require_tls": starttls is not None}
    if starttls:
        options |= {"tls_context": starttls, "require_starttls": True}
    sessions: set[SMTP] = set()

    def accept() -> SMTP:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it cannot see the TLS that is there before it
            session = SMTP(office, **options)
        sessions.add(session)
        return session

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", port, ssl=tls)
    office.port = server.sockets[0].getsockname()[1]
    try:
        yield office
    finally:
        office.opened.set()
        server.close()
        for session in sessions:
            if isinstance(session.transport, asyncio.Transport):
                session.transport.abort()
        handlers = [session._handler_coroutine for session in sessions if session._handler_coroutine is not None]
        await asyncio.gather(*handlers, return_exceptions=True)

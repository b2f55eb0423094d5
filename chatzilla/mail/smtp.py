"""Sends mails by SMTP (RFC 5321): implements `ports.Mailer`.

What is posted waits in a bounded queue, and a few workers send it, each attempt under a deadline. What fails for now is
tried again until it would be of no more use; what the mail server refuses for good is not. Whether mail can be sent at
all is found out by looking now and then, not by what was posted, so that it tells nothing about who asked for a mail.

Neither the address nor the text of a mail is ever logged, nor what a mail server answers about one, which may quote it.
"""

from __future__ import annotations

import asyncio
import email.policy
import logging
import ssl
import traceback
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from email.headerregistry import Address as Mailbox
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import TYPE_CHECKING, Final

import aiosmtplib

from chatzilla.errors import ChatError, Full

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from chatzilla.mail.server import MailServer
    from chatzilla.ports import Clock, Letter, Timer

logger = logging.getLogger(__name__)

WAITING_AT_MOST: Final = 500
"""Mails that wait or are under way."""

WORKERS: Final = 4
ATTEMPT_SECONDS: Final = 30.0
"""How long one attempt may take, all of it."""

AGAIN_AFTER_SECONDS: Final = (2.0, 10.0, 30.0, 60.0)
"""How long to wait after each failure; after the last of these, always as long."""

CANCEL_AGAIN_SECONDS: Final = 0.1

LOOK_EVERY_SECONDS: Final = 300.0
LOOK_AGAIN_SECONDS: Final = 60.0
"""How soon to look again while mail cannot be sent."""

FOR_GOOD: Final = 500
"""From here on, an answer about a mail is no for ever (RFC 5321, 4.2.1)."""

CROWDED: Final = "There are as many mails under way as this server sends at once. Ask again in a few minutes."

_FAILURES: Final = (OSError, TimeoutError, ValueError, aiosmtplib.SMTPException)


@dataclass(slots=True, eq=False)
class _Waiting:
    """A mail on its way."""

    write: Callable[[], Awaitable[Letter | None]]
    until: float
    attempts: int = 0


class SmtpMailer:
    """Hands mails to one mail server."""

    def __init__(self, server: MailServer, sender: Mailbox, clock: Clock, *, name: str) -> None:
        """Prepare; nothing is connected to before `start`.

        Args:
            server: whom mails are handed to.
            sender: whom they come from.
            clock: what the times of trying again go by.
            name: what we call ourselves (RFC 5321, 4.1.1.1).
        """
        self._server = server
        self._sender = sender
        self._clock = clock
        self._name = name
        # By the system's authorities, or those of SSL_CERT_FILE.
        self._tls = None if server.tls == "never" else ssl.create_default_context()
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._held = 0
        self._later: dict[_Waiting, Timer] = {}
        """What waits to be tried again."""
        self._tasks: list[asyncio.Task[None]] = []
        self._look_now = asyncio.Event()
        self._look_later: Timer | None = None
        self._failing = False

    @property
    def failing(self) -> bool:
        return self._failing

    def post(self, write: Callable[[], Awaitable[Letter | None]], *, until: float) -> None:
        if self._held >= WAITING_AT_MOST:
            raise Full(CROWDED)
        self._held += 1
        self._queue.put_nowait(_Waiting(write, until))

    def start(self) -> None:
        """Begin to send, on the event loop."""
        self._look_now.set()
        self._tasks = [asyncio.create_task(self._work()) for _ in range(WORKERS)]
        self._tasks.append(asyncio.create_task(self._watch()))

    async def close(self) -> None:
        """Stop. Links in mails that were not sent would not outlive this server either."""
        for timer in (*self._later.values(), *filter(None, [self._look_later])):
            timer.cancel()
        left = set(self._tasks)
        while left:  # once is not always enough: `asyncio.wait_for` loses one that comes with its answer (bpo-37658)
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN_SECONDS)
        if self._held:
            logger.warning("%d mails were not sent", self._held)

    async def _work(self) -> None:
        while True:
            waiting = await self._queue.get()
            try:
                again = await self._attempt(waiting) and self._try_again(waiting)
            except Exception as error:  # noqa: BLE001  # logged without its text, which may have an address in it
                lines = "".join(traceback.format_tb(error.__traceback__))
                logger.error("a mail cannot be written: %s\n%s", type(error).__name__, lines)  # noqa: TRY400
                again = False
            if not again:
                self._held -= 1

    async def _attempt(self, waiting: _Waiting) -> bool:
        """Try to send it; whether it has to be tried again."""
        if self._clock.monotonic() >= waiting.until:
            return True
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                letter = await waiting.write()
                if letter is None:
                    return False
                await self._send(letter)
        except aiosmtplib.SMTPException as error:
            code = _refused_for_good(error)
            if code is None:
                logger.warning("a mail could not be sent: %s", _shown(error))
                return True
            logger.warning("a mail was refused by the mail server for good: %s %d", type(error).__name__, code)
            return False
        except (OSError, TimeoutError, ChatError) as error:
            logger.warning("a mail could not be sent: %s", _shown(error))
            return True
        logger.info("a mail was sent")
        return False

    def _try_again(self, waiting: _Waiting) -> bool:
        """Put it back for later, if it is of use then."""
        delay = AGAIN_AFTER_SECONDS[min(waiting.attempts, len(AGAIN_AFTER_SECONDS) - 1)]
        waiting.attempts += 1
        if self._clock.monotonic() + delay >= waiting.until:
            logger.warning("a mail was given up after %d attempts", waiting.attempts)
            return False

        def put_back() -> None:
            del self._later[waiting]
            self._queue.put_nowait(waiting)

        self._later[waiting] = self._clock.call_later(delay, put_back)
        return True

    async def _send(self, letter: Letter) -> None:
        message = self._written(letter)
        async with self._connected() as smtp:
            await smtp.sendmail(self._sender.addr_spec, [letter.to], message)

    def _written(self, letter: Letter) -> bytes:
        """The mail as it travels (RFC 5322); machines are asked not to answer it (RFC 3834)."""
        message = EmailMessage(policy=email.policy.SMTP)
        message["From"] = self._sender
        message["To"] = Mailbox(addr_spec=letter.to)
        message["Subject"] = letter.subject
        message["Date"] = formatdate(self._clock.wall_ms() / 1000)
        message["Message-ID"] = make_msgid(domain=self._sender.domain)
        message["Auto-Submitted"] = "auto-generated"
        # Left to itself, it would break a link in two.
        message.set_content(letter.text, cte="7bit" if letter.text.isascii() else "base64")
        return message.as_bytes()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[aiosmtplib.SMTP]:
        smtp = aiosmtplib.SMTP(
            hostname=self._server.host,
            port=self._server.port,
            username=self._server.user,
            password=self._server.password,
            local_hostname=self._name,
            use_tls=self._server.tls == "always",
            start_tls=self._server.tls == "starttls",
            tls_context=self._tls,
            timeout=ATTEMPT_SECONDS,
        )
        try:
            await smtp.connect()
            yield smtp
            with suppress(*_FAILURES):  # it has what it was given
                await smtp.quit()
        finally:
            smtp.close()

    async def _watch(self) -> None:
        """Look now and then whether the mail server would take something."""
        while True:
            await self._look_now.wait()
            self._look_now.clear()
            try:
                async with asyncio.timeout(ATTEMPT_SECONDS), self._connected():
                    pass
            except _FAILURES as error:
                logger.log(logging.DEBUG if self._failing else logging.ERROR, "mail cannot be sent: %s", _shown(error))
                self._failing = True
            else:
                logger.log(logging.WARNING if self._failing else logging.INFO, "mail can be sent")
                self._failing = False
            delay = LOOK_AGAIN_SECONDS if self._failing else LOOK_EVERY_SECONDS
            self._look_later = self._clock.call_later(delay, self._look_now.set)


def _refused_for_good(error: aiosmtplib.SMTPException) -> int | None:
    """With what answer a mail server said no for ever to a mail, and not merely to us or for now."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        code: int = error.recipients[0].code
    elif isinstance(error, aiosmtplib.SMTPDataError | aiosmtplib.SMTPSenderRefused):
        code = error.code
    else:
        return None
    return code if code >= FOR_GOOD else None


def _shown(error: Exception) -> str:
    """What the log may have of a failure: not what a mail server answered, which may quote an address."""
    name = type(error).__name__
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return f"{name} {error.recipients[0].code}"
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return f"{name} {error.code}"
    return f"{name}: {error}" if str(error) else name

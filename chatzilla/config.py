"""One frozen Config, read once from the command line, the environment and `.env`, in this order.

Every setting stands once, with its default, its unit and a line of help; the operating guide and
`chatzilla config` are made from the same table. What is unknown or unusable is refused in one line.
"""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from dotenv import dotenv_values

from chatzilla.core.addresses import parse_domain
from chatzilla.core.call_limits import PEOPLE_AT_MOST, PUBLISHERS_AT_MOST, parse_limits
from chatzilla.errors import BadRequest, StartError
from chatzilla.mail.server import parse_sender, parse_server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PREFIX: Final = "CHATZILLA_"
SHORTEST_SECRET: Final = 32
SHORTEST_SHARED_SECRET: Final = 16

ICE_URLS_AT_MOST: Final = 8

_ICE_FORM: Final = r"%ss?:(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?(?:\?transport=(?:udp|tcp))?"
"""The address of a STUN or TURN server (RFC 7064, RFC 7065)."""

_ORIGIN: Final = re.compile(r"https?://(\[[0-9a-f:.]+\]|[^\s/?#@:\[\]]+)(:[0-9]+)?", re.IGNORECASE)


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 20 or not least <= int(text) <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return int(text)

    return parse


def _number(least: float, most: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            raise ValueError(f"a number from {least:g} to {most:g}")
        return value

    return parse


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(" or ".join(words))
        return text.lower()

    return parse


def _folder(text: str) -> Path:
    if not text:
        raise ValueError("the path of a folder")
    return _path(text, "a folder")


def _path(text: str, what: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:  # ~somebody who is not here
        raise ValueError(f"the path of {what}") from error


def _file(text: str) -> Path | None:
    return _path(text, "a file") if text else None


def _host(text: str) -> str:
    if not text or any(character.isspace() for character in text):
        raise ValueError("an address to listen on, such as 127.0.0.1 or 0.0.0.0")
    return text


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError("origins such as https://chat.example.com, separated by commas")
    return tuple(origin.lower() for origin in origins)


def _janus(text: str) -> str:
    if text and not re.fullmatch(r"unix:/\S+|wss?://[^\s/?#@]+(/\S*)?", text):
        raise ValueError("unix:/path/to/janus.sock or ws://127.0.0.1:8188")
    return text


def _call_limits(text: str) -> str:
    parse_limits(text)
    return text


def _ice(scheme: str) -> Callable[[str], tuple[str, ...]]:
    form = re.compile(_ICE_FORM % scheme, re.ASCII)

    def parse(text: str) -> tuple[str, ...]:
        urls = tuple(part.strip() for part in text.split(",") if part.strip())
        if len(urls) > ICE_URLS_AT_MOST or not all(form.fullmatch(url) for url in urls):
            raise ValueError(f"addresses such as {scheme}:{scheme}.example.com:3478, separated by commas")
        return urls

    return parse


def _url(text: str) -> str:
    if text and not _ORIGIN.fullmatch(text.rstrip("/")):
        raise ValueError("an address such as https://chat.example.com, without a path")
    url = text.rstrip("/").lower()
    return url.removesuffix(":443") if url.startswith("https:") else url.removesuffix(":80")


def _secret(text: str) -> str:
    if text and len(text) < SHORTEST_SECRET:
        raise ValueError(f"at least {SHORTEST_SECRET} characters, made at random")
    return text


def _shared_secret(text: str) -> str:
    if text and (len(text) < SHORTEST_SHARED_SECRET or not (text.isascii() and text.isprintable()) or " " in text):
        raise ValueError(f"at least {SHORTEST_SHARED_SECRET} characters without spaces, made at random")
    return text


def _api_key(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text) or text == "chatzilla":
        raise ValueError("1 to 64 letters, digits, hyphens or underscores, and not chatzilla")
    return text


def _database(text: str) -> str:
    if text and (not re.fullmatch(r"sqlite:///[^?#]+", text) or not unquote(text).isprintable()):
        raise ValueError("sqlite:////path/to/chatzilla.db; this version stores in SQLite alone")
    return text


def _smtp(text: str) -> str:
    if text:
        parse_server(text)
    return text


def _sender(text: str) -> str:
    if text:
        parse_sender(text)
    return text


def _domains(text: str) -> tuple[str, ...]:
    try:
        return tuple(parse_domain(part) for part in text.split(",") if part.strip())
    except BadRequest as error:
        raise ValueError("domains such as example.com, separated by commas") from error


def _setting(default: Any, parse: Callable[[str], Any], help_: str, *, env: str = "", unit: str = "") -> Any:
    return dataclasses.field(default=default, metadata={"parse": parse, "help": help_, "env": env, "unit": unit})


@dataclass(frozen=True, kw_only=True)
class Config:
    """All settings, checked."""

    host: str = _setting("127.0.0.1", _host, "The address to listen on; 0.0.0.0 is every network.")
    port: int = _setting(5000, _whole(0, 65535), "The port to listen on; 0 takes a free one and prints it.", env="PORT")
    data: Path = _setting(
        Path("data").absolute(), _folder, "The folder of the database and the signing key; one server each."
    )
    database_url: str = _setting(
        "",
        _database,
        "sqlite:////path/file.db, to keep the database elsewhere than in the data folder.",
        env="DATABASE_URL",
    )
    synchronous: str = _setting(
        "full",
        _one_of("full", "normal"),
        "full: what is acknowledged survives a power cut. normal: it survives a crash of the server only.",
    )
    proxies: int = _setting(
        0, _whole(0, 10), "Reverse proxies in front whose X-Forwarded headers are believed.", unit="proxies"
    )
    origins: tuple[str, ...] = _setting(
        (), _origins, "Further origins whose pages may connect, separated by commas; the server's own always may."
    )
    tls: str = _setting(
        "off",
        _one_of("off", "self-signed"),
        "self-signed: HTTPS, with a certificate that the server makes itself. off: HTTP, or CHATZILLA_TLS_CERT.",
    )
    tls_cert: Path | None = _setting(
        None, _file, "The file of a certificate, with those above it: HTTPS. It is read again when it changes."
    )
    tls_key: Path | None = _setting(None, _file, "The file of the key of CHATZILLA_TLS_CERT.")
    sign_in: str = _setting(
        "open",
        _one_of("open", "links", "email"),
        "open: whoever types a name. links: whoever was given a link. email: also whoever reads mails to an address.",
    )
    url: str = _setting("", _url, "The address by which people reach this server, for links that it sends or prints.")
    smtp_url: str = dataclasses.field(
        default="",
        repr=False,
        metadata={
            "parse": _smtp,
            "help": "The mail server that takes our mails, such as smtps://user:password@mail.example.com.",
            "env": "",
            "unit": "",
        },
    )
    mail_from: str = _setting("", _sender, "Whom mails come from, such as Chatzilla <chat@example.com>.")
    mail_domains: tuple[str, ...] = _setting(
        (),
        _domains,
        "Whoever has an address in one of these domains may come in by mail; without, those who were invited.",
    )
    secret: str = dataclasses.field(
        default="",
        repr=False,
        metadata={
            "parse": _secret,
            "help": "The key that signs tokens; by default one is made in the data folder.",
            "env": "",
            "unit": "",
        },
    )
    secret_before: str = dataclasses.field(
        default="",
        repr=False,
        metadata={
            "parse": _secret,
            "help": "The key before CHATZILLA_SECRET; tokens that it signed hold until their time is over.",
            "env": "",
            "unit": "",
        },
    )
    api_key: str = _setting("app", _api_key, "The name under which applications sign with CHATZILLA_API_SECRET.")
    api_secret: str = dataclasses.field(
        default="",
        repr=False,
        metadata={
            "parse": _secret,
            "help": "The secret of applications, with which they let people into rooms. Empty: there are none.",
            "env": "",
            "unit": "",
        },
    )
    cors_origins: tuple[str, ...] = _setting(
        (), _origins, "Origins whose pages may ask for sessions and tokens, separated by commas."
    )
    message_rate: float = _setting(
        5.0,
        _number(0, 1_000_000),
        "What one connection may say for long, and one verified person on all of theirs; 0 is no limit for anybody.",
        unit="messages/s",
    )
    message_burst: int = _setting(200, _whole(1, 1_000_000), "What one of them may say at once.", unit="messages")
    address_rate: float = _setting(
        50.0, _number(0, 1_000_000), "What all behind one address may say for long; 0 is no limit.", unit="messages/s"
    )
    address_burst: int = _setting(
        2_000, _whole(1, 1_000_000), "What all behind one address may say at once.", unit="messages"
    )
    call_rate: float = _setting(
        20.0,
        _number(0, 1_000_000),
        "How often one connection may join, leave or read for long; 0 is no limit.",
        unit="calls/s",
    )
    call_burst: int = _setting(
        200, _whole(1, 1_000_000), "How often one connection may join, leave or read at once.", unit="calls"
    )
    connections: int = _setting(
        10_000, _whole(0, 10_000_000), "Connections that the server takes; 0 is no limit.", unit="connections"
    )
    connections_per_address: int = _setting(
        500, _whole(0, 10_000_000), "Connections from one address; 0 is no limit.", unit="connections"
    )
    queue_kb: int = _setting(
        160,
        _whole(16, 1_000_000),
        "What may wait for a client that does not read; beyond, nothing more is begun for it, and it is let go.",
        unit="KB",
    )
    payload: int = _setting(
        1_000_000,
        _whole(100_000, 1_000_000_000),
        "The longest message, or body of long-polling, that a client may send; while more than this waits for answers, "
        "nothing more is read from it.",
        unit="bytes",
    )
    backlog: int = _setting(
        1_000,
        _whole(1, 1_000_000),
        "What one connection may say or ask before the first of it is answered; beyond, it is let go.",
        unit="calls",
    )
    signal_backlog: int = _setting(
        100, _whole(1, 1_000_000), "The same for the signals of calls, which are larger.", unit="signals"
    )
    packet_rate: float = _setting(
        100.0,
        _number(0, 1_000_000),
        "What one connection may send for long, whatever it is; beyond, it is let go. 0 is no limit.",
        unit="packets/s",
    )
    packet_burst: int = _setting(
        5_000, _whole(1, 1_000_000), "What one connection may send at once, whatever it is.", unit="packets"
    )
    namespace_attempts: int = _setting(
        20,
        _whole(1, 1_000_000),
        "How often one connection may ask to enter a namespace at once, and once more every ten seconds.",
        unit="attempts",
    )
    join_seconds: float = _setting(
        20.0, _number(0.1, 3600), "How long a connection may stay without joining a namespace.", unit="s"
    )
    upgrade_seconds: float = _setting(
        10.0, _number(0.1, 3600), "How long an upgrade from long-polling to WebSocket may take.", unit="s"
    )
    header_seconds: float = _setting(
        10.0, _number(0.1, 3600), "How long a client that has connected may take to ask for something.", unit="s"
    )
    idle_seconds: float = _setting(
        75.0,
        _number(0.1, 86_400),
        "How long a connection stays on which nothing is asked, or an answer is not read; WebSockets have pings.",
        unit="s",
    )
    body_seconds: float = _setting(
        10.0, _number(0.1, 3600), "How long the body of a long-polling request may take to come.", unit="s"
    )
    heartbeat: float = _setting(
        10.0, _number(0.2, 60), "Between pings, and again for their answers: twice this finds the dead.", unit="s"
    )
    calls: str = _setting(
        "mesh",
        _one_of("mesh", "janus", "auto", "off"),
        "mesh: from browser to browser. janus: through Janus. auto: through Janus where it is there. off: no calls.",
    )
    call_people: int = _setting(8, _whole(2, 12), "People in one call from browser to browser.", unit="people")
    call_publishers: int = _setting(6, _whole(1, 12), "How many of them can be seen and heard.", unit="people")
    janus_url: str = _setting(
        "", _janus, "Where Janus listens: unix: and the path of its socket, or ws://127.0.0.1:8188."
    )
    janus_secret: str = dataclasses.field(
        default="",
        repr=False,
        metadata={
            "parse": _shared_secret,
            "help": "The secret that Janus knows as api_secret, and its VideoRoom as admin_key.",
            "env": "",
            "unit": "",
        },
    )
    janus_people: int = _setting(25, _whole(2, PEOPLE_AT_MOST), "People in one call through Janus.", unit="people")
    janus_publishers: int = _setting(
        12, _whole(1, PUBLISHERS_AT_MOST), "How many of these can be seen and heard.", unit="people"
    )
    janus_kbits: int = _setting(
        1_500, _whole(64, 20_000), "What one of them may send to Janus, screens included.", unit="kbit/s"
    )
    call_limits: str = _setting(
        "",
        _call_limits,
        "What is different about calls in some rooms, such as lobby people=4, all-hands audio=24 video=300.",
    )
    stun_urls: tuple[str, ...] = _setting(
        (), _ice("stun"), "STUN servers that tell browsers their address, such as stun:turn.example.com:3478."
    )
    turn_urls: tuple[str, ...] = _setting(
        (), _ice("turn"), "TURN servers that relay calls where nothing else gets through, separated by commas."
    )
    turn_secret: str = dataclasses.field(
        default="",
        repr=False,
        metadata={
            "parse": _shared_secret,
            "help": "The secret that the TURN servers know as static-auth-secret.",
            "env": "",
            "unit": "",
        },
    )
    log_level: str = _setting(
        "info", _one_of("debug", "info", "warning", "error"), "How much is logged to standard error."
    )
    log_rate: float = _setting(
        20.0,
        _number(0, 1_000_000),
        "Lines of the log that one address may cause for long, by what it requests, opens and closes; 0 is no limit.",
        unit="lines/s",
    )
    log_burst: int = _setting(2_000, _whole(1, 1_000_000), "How many of them at once.", unit="lines")

    @property
    def loopback(self) -> bool:
        """Whether nobody beyond this machine can reach the address."""
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"

    @property
    def any_name(self) -> bool:
        """Whether we may be called by a name that nobody has named: on a platform or in a network, it is not known."""
        return not self.url and (self.proxies > 0 or not self.loopback)

    def check(self) -> None:
        """See that the settings go together; the start asks this, and the doctor.

        Raises:
            StartError: they do not; the text says what is missing.
        """
        if self.sign_in != "open" and not self.loopback and not (self.secret or self.names_its_data):
            raise StartError(
                "A closed server on a public address has to keep who may come in: name a folder that outlives this "
                "machine's restarts with CHATZILLA_DATA (or --data), or set CHATZILLA_SECRET."
            )
        if self.turn_urls and not self.turn_secret:
            raise StartError("CHATZILLA_TURN_URLS needs CHATZILLA_TURN_SECRET, which the TURN servers know too.")
        if self.calls in ("janus", "auto") and not (self.janus_url and self.janus_secret):
            raise StartError(f"CHATZILLA_CALLS={self.calls} needs CHATZILLA_JANUS_URL and CHATZILLA_JANUS_SECRET.")
        if self.tls == "self-signed" and (self.tls_cert or self.tls_key):
            raise StartError("CHATZILLA_TLS=self-signed makes a certificate; leave CHATZILLA_TLS_CERT and _KEY out.")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise StartError("HTTPS needs both: CHATZILLA_TLS_CERT and CHATZILLA_TLS_KEY.")
        if self.sign_in == "email":
            self.check_mail()

    def check_mail(self) -> None:
        """See that everything is there that signing in by mail needs.

        Raises:
            StartError: something is missing; the text names it.
        """
        needed = {"CHATZILLA_SMTP_URL": self.smtp_url, "CHATZILLA_MAIL_FROM": self.mail_from, "CHATZILLA_URL": self.url}
        missing = [name for name, value in needed.items() if not value]
        if missing:
            raise StartError(
                f"CHATZILLA_SIGN_IN=email needs {' and '.join(missing)}: a mail server, whom mails come from, and the "
                "address that links begin with, since what a browser says of it could be forged."
            )

    @property
    def names_its_data(self) -> bool:
        """Whether the operator said where data are kept, so that they outlive this start."""
        return self.data is not Config.data

    @property
    def database_path(self) -> Path:
        """Where the database file is."""
        if self.database_url:
            return Path(unquote(self.database_url.removeprefix("sqlite:///"))).absolute()
        return self.data / "chatzilla.db"


def settings() -> list[tuple[str, dataclasses.Field[Any]]]:
    """Every setting with the name by which the environment knows it."""
    return [(f.metadata["env"] or PREFIX + f.name.upper(), f) for f in dataclasses.fields(Config)]


def read_config(
    environ: Mapping[str, str], *, overrides: Mapping[str, str] | None = None, dotenv: Path | None = None
) -> Config:
    """Read and check every setting.

    Args:
        environ: the environment.
        overrides: by field name, from the command line; they win.
        dotenv: a file of further variables; the environment wins over it.

    Raises:
        StartError: a setting is unknown or its value unusable; the text names it.
    """
    found = {**_read_dotenv(dotenv), **environ}
    known = dict(settings())
    for name in found:
        if name.startswith(PREFIX) and name not in known:
            bare = {other.removeprefix(PREFIX): other for other in known}
            near = difflib.get_close_matches(name.removeprefix(PREFIX), bare, n=1)
            hint = f" Did you mean {bare[near[0]]}?" if near else " `python -m chatzilla config` lists the settings."
            raise StartError(f"{name} is not a setting of Chatzilla.{hint}")
    values: dict[str, Any] = {}
    for name, field in known.items():
        source, text = name, found.get(name)
        if overrides and field.name in overrides:
            source, text = f"--{field.name.replace('_', '-')}", overrides[field.name]
        if text is None:
            continue
        try:
            values[field.name] = field.metadata["parse"](text)
        except ValueError as error:
            shown = "" if not field.repr or field.name == "database_url" else f", not {text!r}"
            raise StartError(f"{source} has to be {error}{shown}.") from None
    config = Config(**values)
    if config.api_secret and config.api_secret in (config.secret, config.secret_before):
        raise StartError("CHATZILLA_API_SECRET has to be another one than CHATZILLA_SECRET: applications know it.")
    return config


def _read_dotenv(path: Path | None) -> dict[str, str]:
    if path is None or not path.is_file():
        return {}
    try:
        return {name: value for name, value in dotenv_values(path).items() if value is not None}
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"{path} cannot be read: {error}.") from error

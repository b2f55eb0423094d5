"""Settings: read once, checked one by one, refused in one line that names what is wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from chatzilla.config import Config, read_config, settings
from chatzilla.errors import StartError
from chatzilla.mail.server import MailServer, parse_server

SECRET = "correct-horse-battery-staple-0123456789"

MAIL_SERVER = "smtps://chat:p%40ss@mail.example.com:4650"
ROOMS = "lobby people=4, all-hands publishers=3 audio=24 video=300"

WHAT_WOULD_DO = {
    "CHATZILLA_HOST": "an address to listen on",
    "PORT": "a whole number from 0 to 65535",
    "CHATZILLA_DATA": "the path of a folder",
    "DATABASE_URL": "sqlite:////path/to/chatzilla.db",
    "CHATZILLA_SYNCHRONOUS": "full or normal",
    "CHATZILLA_PROXIES": "a whole number from 0 to 10",
    "CHATZILLA_ORIGINS": "origins such as https://chat.example.com",
    "CHATZILLA_TLS": "off or self-signed",
    "CHATZILLA_TLS_CERT": "the path of a file",
    "CHATZILLA_TLS_KEY": "the path of a file",
    "CHATZILLA_SECRET": "at least 32 characters",
    "CHATZILLA_SECRET_BEFORE": "at least 32 characters",
    "CHATZILLA_SIGN_IN": "open or links or email",
    "CHATZILLA_SMTP_URL": "a mail server such as smtps://user:password@mail.example.com",
    "CHATZILLA_MAIL_FROM": "an address such as chat@example.com",
    "CHATZILLA_MAIL_DOMAINS": "domains such as example.com",
    "CHATZILLA_URL": "an address such as https://chat.example.com",
    "CHATZILLA_API_KEY": "1 to 64 letters",
    "CHATZILLA_API_SECRET": "at least 32 characters",
    "CHATZILLA_CORS_ORIGINS": "origins such as https://chat.example.com",
    "CHATZILLA_MESSAGE_RATE": "a number from 0 to 1e+06",
    "CHATZILLA_ADDRESS_RATE": "a number from 0 to 1e+06",
    "CHATZILLA_ADDRESS_BURST": "a whole number from 1 to 1000000",
    "CHATZILLA_MESSAGE_BURST": "a whole number from 1 to 1000000",
    "CHATZILLA_CALL_RATE": "a number from 0 to 1e+06",
    "CHATZILLA_CALL_BURST": "a whole number from 1 to 1000000",
    "CHATZILLA_CONNECTIONS": "a whole number from 0 to 10000000",
    "CHATZILLA_CONNECTIONS_PER_ADDRESS": "a whole number from 0 to 10000000",
    "CHATZILLA_QUEUE_KB": "a whole number from 16 to 1000000",
    "CHATZILLA_PAYLOAD": "a whole number from 100000 to 1000000000",
    "CHATZILLA_BACKLOG": "a whole number from 1 to 1000000",
    "CHATZILLA_SIGNAL_BACKLOG": "a whole number from 1 to 1000000",
    "CHATZILLA_PACKET_RATE": "a number from 0 to 1e+06",
    "CHATZILLA_PACKET_BURST": "a whole number from 1 to 1000000",
    "CHATZILLA_NAMESPACE_ATTEMPTS": "a whole number from 1 to 1000000",
    "CHATZILLA_JOIN_SECONDS": "a number from 0.1 to 3600",
    "CHATZILLA_UPGRADE_SECONDS": "a number from 0.1 to 3600",
    "CHATZILLA_HEADER_SECONDS": "a number from 0.1 to 3600",
    "CHATZILLA_IDLE_SECONDS": "a number from 0.1 to 86400",
    "CHATZILLA_BODY_SECONDS": "a number from 0.1 to 3600",
    "CHATZILLA_HEARTBEAT": "a number from 0.2 to 60",
    "CHATZILLA_CALLS": "mesh or janus or auto or off",
    "CHATZILLA_JANUS_URL": "unix:/path/to/janus.sock or ws://127.0.0.1:8188",
    "CHATZILLA_JANUS_SECRET": "at least 16 characters without spaces",
    "CHATZILLA_JANUS_PEOPLE": "a whole number from 2 to 200",
    "CHATZILLA_JANUS_PUBLISHERS": "a whole number from 1 to 50",
    "CHATZILLA_JANUS_KBITS": "a whole number from 64 to 20000",
    "CHATZILLA_CALL_PEOPLE": "a whole number from 2 to 12",
    "CHATZILLA_CALL_PUBLISHERS": "a whole number from 1 to 12",
    "CHATZILLA_CALL_LIMITS": "limits such as `lobby people=4",
    "CHATZILLA_STUN_URLS": "addresses such as stun:stun.example.com:3478",
    "CHATZILLA_TURN_URLS": "addresses such as turn:turn.example.com:3478",
    "CHATZILLA_TURN_SECRET": "at least 16 characters without spaces",
    "CHATZILLA_LOG_LEVEL": "debug or info or warning or error",
    "CHATZILLA_LOG_RATE": "a number from 0 to 1e+06",
    "CHATZILLA_LOG_BURST": "a whole number from 1 to 1000000",
}
"""How the refusal of each setting goes on: with what would do, not with what went wrong inside."""

GOOD: list[tuple[str, str, str, object]] = [
    ("CHATZILLA_HOST", "0.0.0.0", "host", "0.0.0.0"),
    ("CHATZILLA_HOST", "::", "host", "::"),
    ("PORT", "0", "port", 0),
    ("PORT", "65535", "port", 65535),
    ("CHATZILLA_DATA", "/srv/chat", "data", Path("/srv/chat")),
    ("CHATZILLA_DATA", "~/chat", "data", Path.home() / "chat"),
    ("CHATZILLA_DATA", "here", "data", Path.cwd() / "here"),
    ("DATABASE_URL", "", "database_path", Path.cwd() / "data" / "chatzilla.db"),
    ("DATABASE_URL", "sqlite:////srv/a%20b.db", "database_path", Path("/srv/a b.db")),
    ("CHATZILLA_SYNCHRONOUS", "NORMAL", "synchronous", "normal"),
    ("CHATZILLA_PROXIES", "2", "proxies", 2),
    ("CHATZILLA_ORIGINS", "", "origins", ()),
    (
        "CHATZILLA_ORIGINS",
        " https://Chat.Example.com/ , http://b.example:8080,",
        "origins",
        ("https://chat.example.com", "http://b.example:8080"),
    ),
    ("CHATZILLA_TLS", "self-signed", "tls", "self-signed"),
    ("CHATZILLA_TLS_CERT", "", "tls_cert", None),
    ("CHATZILLA_TLS_CERT", "/etc/chat/fullchain.pem", "tls_cert", Path("/etc/chat/fullchain.pem")),
    ("CHATZILLA_TLS_KEY", "key.pem", "tls_key", Path.cwd() / "key.pem"),
    ("CHATZILLA_SECRET", "", "secret", ""),
    ("CHATZILLA_SECRET", SECRET, "secret", SECRET),
    ("CHATZILLA_SECRET_BEFORE", SECRET, "secret_before", SECRET),
    ("CHATZILLA_API_KEY", "SK0123456789abcdef", "api_key", "SK0123456789abcdef"),
    ("CHATZILLA_API_SECRET", "", "api_secret", ""),
    ("CHATZILLA_API_SECRET", SECRET, "api_secret", SECRET),
    ("CHATZILLA_CORS_ORIGINS", "", "cors_origins", ()),
    ("CHATZILLA_CORS_ORIGINS", "https://App.example.com/", "cors_origins", ("https://app.example.com",)),
    ("CHATZILLA_SIGN_IN", "Links", "sign_in", "links"),
    ("CHATZILLA_URL", "https://Chat.example.com/", "url", "https://chat.example.com"),
    ("CHATZILLA_URL", "https://chat.example.com:443", "url", "https://chat.example.com"),
    ("CHATZILLA_URL", "http://chat.example.com:8080", "url", "http://chat.example.com:8080"),
    ("CHATZILLA_SIGN_IN", "EMAIL", "sign_in", "email"),
    ("CHATZILLA_SMTP_URL", "", "smtp_url", ""),
    ("CHATZILLA_SMTP_URL", MAIL_SERVER, "smtp_url", MAIL_SERVER),
    ("CHATZILLA_SMTP_URL", "smtp+plain://localhost", "smtp_url", "smtp+plain://localhost"),
    ("CHATZILLA_MAIL_FROM", "chat@example.com", "mail_from", "chat@example.com"),
    ("CHATZILLA_MAIL_FROM", "Café <chat@example.com>", "mail_from", "Café <chat@example.com>"),
    ("CHATZILLA_MAIL_DOMAINS", "", "mail_domains", ()),
    ("CHATZILLA_MAIL_DOMAINS", "Example.com, b.example,", "mail_domains", ("example.com", "b.example")),
    ("CHATZILLA_MESSAGE_RATE", "0", "message_rate", 0.0),
    ("CHATZILLA_MESSAGE_RATE", "2.5", "message_rate", 2.5),
    ("CHATZILLA_ADDRESS_RATE", "0", "address_rate", 0.0),
    ("CHATZILLA_ADDRESS_BURST", "300", "address_burst", 300),
    ("CHATZILLA_MESSAGE_BURST", "1", "message_burst", 1),
    ("CHATZILLA_CALL_RATE", "7", "call_rate", 7.0),
    ("CHATZILLA_CALL_BURST", "7", "call_burst", 7),
    ("CHATZILLA_CONNECTIONS", "0", "connections", 0),
    ("CHATZILLA_CONNECTIONS_PER_ADDRESS", "7", "connections_per_address", 7),
    ("CHATZILLA_QUEUE_KB", "16", "queue_kb", 16),
    ("CHATZILLA_PAYLOAD", "100000", "payload", 100_000),
    ("CHATZILLA_BACKLOG", "300", "backlog", 300),
    ("CHATZILLA_SIGNAL_BACKLOG", "50", "signal_backlog", 50),
    ("CHATZILLA_PACKET_RATE", "0", "packet_rate", 0.0),
    ("CHATZILLA_PACKET_BURST", "9", "packet_burst", 9),
    ("CHATZILLA_NAMESPACE_ATTEMPTS", "3", "namespace_attempts", 3),
    ("CHATZILLA_LOG_RATE", "0", "log_rate", 0.0),
    ("CHATZILLA_LOG_BURST", "50", "log_burst", 50),
    ("CHATZILLA_JOIN_SECONDS", "1.5", "join_seconds", 1.5),
    ("CHATZILLA_UPGRADE_SECONDS", "1.5", "upgrade_seconds", 1.5),
    ("CHATZILLA_HEADER_SECONDS", "1.5", "header_seconds", 1.5),
    ("CHATZILLA_IDLE_SECONDS", "30", "idle_seconds", 30.0),
    ("CHATZILLA_BODY_SECONDS", "1.5", "body_seconds", 1.5),
    ("CHATZILLA_HEARTBEAT", "0.2", "heartbeat", 0.2),
    ("CHATZILLA_CALLS", "Off", "calls", "off"),
    ("CHATZILLA_CALLS", "auto", "calls", "auto"),
    ("CHATZILLA_JANUS_URL", "", "janus_url", ""),
    ("CHATZILLA_JANUS_URL", "unix:/run/chatzilla/janus.sock", "janus_url", "unix:/run/chatzilla/janus.sock"),
    ("CHATZILLA_JANUS_URL", "ws://127.0.0.1:8188", "janus_url", "ws://127.0.0.1:8188"),
    ("CHATZILLA_JANUS_SECRET", SECRET, "janus_secret", SECRET),
    ("CHATZILLA_JANUS_PEOPLE", "100", "janus_people", 100),
    ("CHATZILLA_JANUS_PUBLISHERS", "20", "janus_publishers", 20),
    ("CHATZILLA_JANUS_KBITS", "800", "janus_kbits", 800),
    ("CHATZILLA_CALL_PEOPLE", "12", "call_people", 12),
    ("CHATZILLA_CALL_PUBLISHERS", "4", "call_publishers", 4),
    ("CHATZILLA_CALL_LIMITS", "", "call_limits", ""),
    ("CHATZILLA_CALL_LIMITS", ROOMS, "call_limits", ROOMS),
    ("CHATZILLA_STUN_URLS", "stun:[2001:db8::1]:3478", "stun_urls", ("stun:[2001:db8::1]:3478",)),
    (
        "CHATZILLA_TURN_URLS",
        "turn:turn.example.com:3478?transport=udp, turns:turn.example.com:5349?transport=tcp,",
        "turn_urls",
        ("turn:turn.example.com:3478?transport=udp", "turns:turn.example.com:5349?transport=tcp"),
    ),
    ("CHATZILLA_TURN_SECRET", "", "turn_secret", ""),
    ("CHATZILLA_TURN_SECRET", SECRET, "turn_secret", SECRET),
    ("CHATZILLA_LOG_LEVEL", "Debug", "log_level", "debug"),
]

BAD = [
    ("CHATZILLA_HOST", ""),
    ("CHATZILLA_HOST", "127.0.0.1 0.0.0.0"),
    ("PORT", ""),
    ("PORT", "http"),
    ("PORT", "-1"),
    ("PORT", "65536"),
    ("PORT", " 5000"),
    ("PORT", "5_000"),
    ("PORT", "５０００"),
    ("PORT", "9" * 5000),
    ("CHATZILLA_DATA", ""),
    ("CHATZILLA_DATA", "~nobody-by-this-name/chat"),
    ("DATABASE_URL", "postgres://db.example/chat"),
    ("DATABASE_URL", "sqlite://"),
    ("DATABASE_URL", "sqlite:///"),
    ("DATABASE_URL", "sqlite://host/chat.db"),
    ("DATABASE_URL", "http://[half"),
    ("CHATZILLA_SYNCHRONOUS", "off"),
    ("CHATZILLA_PROXIES", "yes"),
    ("CHATZILLA_PROXIES", "11"),
    ("CHATZILLA_ORIGINS", "*"),
    ("CHATZILLA_ORIGINS", "chat.example.com"),
    ("CHATZILLA_ORIGINS", "ftp://chat.example.com"),
    ("CHATZILLA_ORIGINS", "https://chat.example.com/room"),
    ("CHATZILLA_ORIGINS", "https://chat.example.com?x"),
    ("CHATZILLA_ORIGINS", "https://chat.example.com#x"),
    ("CHATZILLA_ORIGINS", "https://somebody@chat.example.com"),
    ("CHATZILLA_ORIGINS", "https://[half"),
    ("CHATZILLA_ORIGINS", "null"),
    ("CHATZILLA_TLS", "on"),
    ("CHATZILLA_TLS_CERT", "~nobody-by-this-name/cert.pem"),
    ("CHATZILLA_TLS_KEY", "~nobody-by-this-name/key.pem"),
    ("CHATZILLA_SECRET", "short"),
    ("CHATZILLA_SECRET_BEFORE", "short"),
    ("CHATZILLA_API_KEY", ""),
    ("CHATZILLA_API_KEY", "a~b"),
    ("CHATZILLA_API_KEY", "chatzilla"),
    ("CHATZILLA_API_KEY", "k" * 65),
    ("CHATZILLA_API_SECRET", "MY_SECRET"),
    ("CHATZILLA_CORS_ORIGINS", "*"),
    ("CHATZILLA_CORS_ORIGINS", "null"),
    ("CHATZILLA_SIGN_IN", "closed"),
    ("CHATZILLA_SIGN_IN", ""),
    ("CHATZILLA_URL", "chat.example.com"),
    ("CHATZILLA_URL", "https://chat.example.com/chat"),
    ("CHATZILLA_URL", "javascript://x"),
    ("CHATZILLA_SMTP_URL", "mail.example.com"),
    ("CHATZILLA_SMTP_URL", "https://mail.example.com"),
    ("CHATZILLA_SMTP_URL", "smtp://"),
    ("CHATZILLA_SMTP_URL", "smtp://mail.example.com:99999"),
    ("CHATZILLA_SMTP_URL", "smtp://mail.example.com/inbox"),
    ("CHATZILLA_SMTP_URL", "smtp://user@mail.example.com"),
    ("CHATZILLA_SMTP_URL", "smtp+plain://user:password@localhost"),
    ("CHATZILLA_SMTP_URL", "smtps://user:pass%0aword@mail.example.com"),
    ("CHATZILLA_SMTP_URL", "smtps://mail.example.com\nx"),
    ("CHATZILLA_MAIL_FROM", "chat"),
    ("CHATZILLA_MAIL_FROM", "Chat <chat@example.com>, Eve <eve@example.com>"),
    ("CHATZILLA_MAIL_FROM", "Chat\nBcc: x <chat@example.com>"),
    ("CHATZILLA_MAIL_DOMAINS", "*"),
    ("CHATZILLA_MAIL_DOMAINS", "com"),
    ("CHATZILLA_MAIL_DOMAINS", "@example.com"),
    ("CHATZILLA_MAIL_DOMAINS", "ex\u00e4mple.com"),
    ("CHATZILLA_MESSAGE_RATE", "-1"),
    ("CHATZILLA_ADDRESS_RATE", "-1"),
    ("CHATZILLA_ADDRESS_BURST", "0"),
    ("CHATZILLA_MESSAGE_RATE", "nan"),
    ("CHATZILLA_MESSAGE_RATE", "inf"),
    ("CHATZILLA_MESSAGE_RATE", "many"),
    ("CHATZILLA_MESSAGE_BURST", "0"),
    ("CHATZILLA_CALL_RATE", "-1"),
    ("CHATZILLA_CALL_BURST", "0"),
    ("CHATZILLA_CONNECTIONS", "-1"),
    ("CHATZILLA_CONNECTIONS_PER_ADDRESS", "x"),
    ("CHATZILLA_QUEUE_KB", "15"),
    ("CHATZILLA_PAYLOAD", "99999"),
    ("CHATZILLA_BACKLOG", "0"),
    ("CHATZILLA_SIGNAL_BACKLOG", "0"),
    ("CHATZILLA_PACKET_RATE", "-1"),
    ("CHATZILLA_PACKET_BURST", "0"),
    ("CHATZILLA_NAMESPACE_ATTEMPTS", "0"),
    ("CHATZILLA_LOG_RATE", "-1"),
    ("CHATZILLA_LOG_BURST", "0"),
    ("CHATZILLA_JOIN_SECONDS", "0"),
    ("CHATZILLA_UPGRADE_SECONDS", "0"),
    ("CHATZILLA_HEADER_SECONDS", "0"),
    ("CHATZILLA_IDLE_SECONDS", "0"),
    ("CHATZILLA_BODY_SECONDS", "0"),
    ("DATABASE_URL", "sqlite:///%00x"),
    ("CHATZILLA_HEARTBEAT", "0"),
    ("CHATZILLA_HEARTBEAT", "61"),
    ("CHATZILLA_CALLS", "zoom"),
    ("CHATZILLA_JANUS_URL", "http://127.0.0.1:8088"),
    ("CHATZILLA_JANUS_URL", "unix:janus.sock"),
    ("CHATZILLA_JANUS_SECRET", "short"),
    ("CHATZILLA_JANUS_PEOPLE", "1"),
    ("CHATZILLA_JANUS_PUBLISHERS", "0"),
    ("CHATZILLA_JANUS_KBITS", "8"),
    ("CHATZILLA_CALL_PEOPLE", "1"),
    ("CHATZILLA_CALL_PUBLISHERS", "0"),
    ("CHATZILLA_CALL_LIMITS", "lobby"),
    ("CHATZILLA_CALL_LIMITS", "my room people=4"),
    ("CHATZILLA_CALL_LIMITS", "a!b people=4"),
    ("CHATZILLA_STUN_URLS", "turn:turn.example.com"),
    ("CHATZILLA_STUN_URLS", "stun:"),
    ("CHATZILLA_TURN_URLS", "https://turn.example.com"),
    ("CHATZILLA_TURN_URLS", "turn:turn.example.com?transport=pigeon"),
    ("CHATZILLA_TURN_URLS", ",".join(f"turn:turn{number}.example.com" for number in range(9))),
    ("CHATZILLA_TURN_SECRET", "too short"),
    ("CHATZILLA_TURN_SECRET", "long enough, but with spaces"),
    ("CHATZILLA_LOG_LEVEL", "verbose"),
]


def test_nothing_set_is_a_server_for_this_machine_alone() -> None:
    config = read_config({})
    assert config == Config()
    assert (config.host, config.port, config.proxies, config.origins) == ("127.0.0.1", 5000, 0, ())
    assert config.synchronous == "full"
    assert config.database_path == Path.cwd() / "data" / "chatzilla.db"


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    GOOD,
)
def test_a_setting_is_read(name: str, text: str, field: str, value: object) -> None:
    assert getattr(read_config({name: text}), field) == value


@pytest.mark.parametrize(
    ("name", "text"),
    BAD,
)
def test_an_unusable_value_is_refused_in_one_line_that_says_what_would_do(name: str, text: str) -> None:
    with pytest.raises(StartError) as refused:
        read_config({name: text})
    line = str(refused.value)
    assert line.startswith(f"{name} has to be {WHAT_WOULD_DO[name]}")
    assert line.endswith(".")
    assert "\n" not in line


def test_every_setting_is_tried_here_with_a_good_and_a_bad_value() -> None:
    """A new setting comes with its rows above."""
    names = {name for name, _ in settings()}
    assert {row[0] for row in GOOD} == {row[0] for row in BAD} == names


def test_every_setting_has_a_line_of_help() -> None:
    for name, field in settings():
        assert field.metadata["help"].endswith("."), name
        assert "\n" not in field.metadata["help"], name


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("CHATZILLA_PROXY", "CHATZILLA_PROXIES"),
        ("CHATZILLA_SECERT", "CHATZILLA_SECRET"),
        ("CHATZILLA_PORT", "PORT"),
        ("CHATZILLA_DATABASE_URL", "DATABASE_URL"),
    ],
)
def test_a_misspelt_setting_is_refused_with_the_name_that_was_meant(typed: str, meant: str) -> None:
    with pytest.raises(StartError) as refused:
        read_config({typed: "1234"})
    line = str(refused.value)
    assert line.startswith(f"{typed} is not a setting")
    assert f" {meant}?" in line
    assert "1234" not in line, "the value may be a secret"


def test_an_unknown_setting_like_no_other_is_refused_with_where_to_look() -> None:
    with pytest.raises(StartError, match=r"^CHATZILLA_QQQQQQ is not .*`python -m chatzilla config`"):
        read_config({"CHATZILLA_QQQQQQ": "1"})


def test_other_programs_variables_are_left_alone() -> None:
    assert read_config({"PATH": "/bin", "CHATZILLAS": "x", "chatzilla_port": "x"}) == Config()


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("PORT=1\nCHATZILLA_PROXIES=1\nCHATZILLA_HEARTBEAT=1\n")
    environ = {"PORT": "2", "CHATZILLA_PROXIES": "2"}
    config = read_config(environ, overrides={"port": "3"}, dotenv=dotenv)
    assert (config.port, config.proxies, config.heartbeat) == (3, 2, 1.0)


def test_a_bad_value_on_the_command_line_is_named_as_it_was_typed() -> None:
    with pytest.raises(StartError, match=r"^--port has to be a whole number from 0 to 65535, not 'x'\.$"):
        read_config({"PORT": "5000"}, overrides={"port": "x"})


def test_the_file_is_held_to_the_same_rules(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("CHATZILLA_PROXI=1\n")
    with pytest.raises(StartError, match="Did you mean CHATZILLA_PROXIES"):
        read_config({}, dotenv=dotenv)
    dotenv.write_text("PORT=five\n")
    with pytest.raises(StartError, match=r"^PORT has to be"):
        read_config({}, dotenv=dotenv)


def test_a_file_that_is_no_text_is_refused_in_words(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_bytes(b"PORT=5000\nCHATZILLA_HOST=\xff\xfe\n")
    with pytest.raises(StartError, match=r"\.env"):
        read_config({}, dotenv=dotenv)


def test_no_file_is_no_settings(tmp_path: Path) -> None:
    assert read_config({}, dotenv=tmp_path / ".env") == Config()


def test_the_secret_does_not_show() -> None:
    """Neither where the settings are printed nor where one of them is refused."""
    assert SECRET not in repr(read_config({"CHATZILLA_SECRET": SECRET}))
    with pytest.raises(StartError) as refused:
        read_config({"CHATZILLA_SECRET": "too-short-to-be-safe"})
    assert "too-short-to-be-safe" not in str(refused.value)


def test_applications_do_not_know_the_key_of_the_house() -> None:
    for name in ("CHATZILLA_SECRET", "CHATZILLA_SECRET_BEFORE"):
        with pytest.raises(StartError, match="another one") as refused:
            read_config({name: SECRET, "CHATZILLA_API_SECRET": SECRET})
        assert SECRET not in str(refused.value)


def test_the_secret_of_applications_does_not_show() -> None:
    assert SECRET not in repr(read_config({"CHATZILLA_API_SECRET": SECRET}))
    with pytest.raises(StartError) as refused:
        read_config({"CHATZILLA_API_SECRET": "MY_SECRET"})
    assert "MY_SECRET" not in str(refused.value)


def test_the_password_of_the_mail_server_does_not_show() -> None:
    config = read_config({"CHATZILLA_SMTP_URL": MAIL_SERVER})
    assert "p%40ss" not in repr(config)
    assert "p@ss" not in repr(parse_server(config.smtp_url))
    with pytest.raises(StartError) as refused:
        read_config({"CHATZILLA_SMTP_URL": "smtp+plain://chat:p%40ss@localhost"})
    assert "p%40ss" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        (MAIL_SERVER, MailServer("mail.example.com", 4650, "always", "chat", "p@ss")),
        ("smtps://10.0.0.1", MailServer("10.0.0.1", 465, "always")),
        ("smtp://[::1]", MailServer("::1", 587, "starttls")),
        ("smtp+plain://localhost/", MailServer("localhost", 25, "never")),
    ],
)
def test_a_mail_server_is_read(url: str, server: MailServer) -> None:
    assert parse_server(url) == server


def test_the_password_of_another_database_does_not_show() -> None:
    """Platforms put theirs into DATABASE_URL; the refusal lands in a log that many can read."""
    with pytest.raises(StartError) as refused:
        read_config({"DATABASE_URL": "postgres://chat:hunter2@db.example/chat"})
    assert "hunter2" not in str(refused.value)


def test_settings_cannot_change_while_the_server_runs() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().port = 1  # type: ignore[misc]  # wrong on purpose

"""A configuration for Janus that serves the Chatzillas of one machine and nobody else.

The one that a distribution's package brings listens on every network without a secret, and has rooms for demonstration.
This one listens on a UNIX socket alone, loads what calls need, and lets nobody make a room without the secret.
"""

from __future__ import annotations

import ipaddress
import os
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

SOCKET: Final = "janus.sock"

LONGEST_SOCKET: Final = 100
"""Characters of the path of a UNIX socket; systems differ, and none takes less."""

_PLUGINS: Final = (
    *("audiobridge", "duktape", "echotest", "lua", "nosip", "recordplay", "sip", "streaming", "textroom", "videocall"),
    "voicemail",
)


def write(folder: Path, secret: str, ports: str, *, public: str = "") -> None:
    """Write a configuration folder, which its owner alone can read.

    Args:
        folder: where; Janus' socket will be in it.
        secret: what Chatzilla shows Janus; `CHATZILLA_JANUS_SECRET`.
        ports: the range of UDP ports for media, such as 20000-20400.
        public: the address by which browsers reach this machine, where that is another one than it has itself.

    Raises:
        ValueError: one of them is none.
        OSError: the folder cannot be written.
    """
    socket = folder / SOCKET
    if len(os.fsencode(socket)) > LONGEST_SOCKET:
        raise ValueError(f"its path is longer than the {LONGEST_SOCKET} characters that a socket's may have")
    if not re.fullmatch(r"[1-9]\d{3,4}-[1-9]\d{3,4}", ports):
        raise ValueError(f"{ports} is no range of ports such as 20000-20400")
    if public:
        ipaddress.ip_address(public)
    if any(character in f"{secret}{socket}" for character in '"\\'):
        raise ValueError("quotation marks and backslashes cannot be written into it")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, text in files(secret, socket, ports, public=public).items():
        with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)


def files(secret: str, socket: Path, ports: str, *, public: str = "") -> dict[str, str]:
    """The files of a configuration folder, by name; see `write`."""
    mapped = f'    nat_1_1_mapping = "{public}"\n' if public else ""
    plugins = ",".join(f"libjanus_{name}.so" for name in _PLUGINS)
    return {
        "janus.jcfg": f"""general: {{
    api_secret = "{secret}"
    admin_secret = "{secret}-admin"
    session_timeout = 60
    reclaim_session_timeout = 0
    debug_level = 3
    no_media_timer = 3
}}
media: {{
    rtp_port_range = "{ports}"
    no_media_timer = 3
}}
nat: {{
{mapped}    ignore_mdns = false
}}
plugins: {{
    disable = "{plugins}"
}}
transports: {{
    disable = "libjanus_http.so,libjanus_rabbitmq.so,libjanus_mqtt.so,libjanus_nanomsg.so,libjanus_pfunix.so"
}}
events: {{
    broadcast = false
}}
""",
        "janus.transport.websockets.jcfg": f"""general: {{
    json = "plain"
    ws = true
    wss = false
    ws_unix = "{socket}"
}}
admin: {{
    admin_ws = false
    admin_wss = false
}}
""",
        "janus.plugin.videoroom.jcfg": f"""general: {{
    admin_key = "{secret}"
    string_ids = true
    lock_rtp_forward = true
}}
""",
    }

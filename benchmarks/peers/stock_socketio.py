"""The chat of the tutorial on python-socketio and aiohttp as their documents show it; nothing is tuned.

python stock_socketio.py PORT
"""

from __future__ import annotations

import sys
from typing import Any

import socketio
from aiohttp import web


class Chat(socketio.AsyncNamespace):  # type: ignore[misc]  # python-socketio ships no types
    """`join` and `message`, in any room."""

    async def on_join(self, sid: str, user: str, room: str = "lobby") -> tuple[bool, str]:
        await self.save_session(sid, {"user": user, "room": room})
        await self.enter_room(sid, room)
        return True, user

    async def on_message(self, sid: str, text: str) -> tuple[bool, str]:
        session: dict[str, Any] = await self.get_session(sid)
        event = {"sender": session["user"], "content": text}
        await self.emit("message", event, room=session["room"], skip_sid=sid)
        return True, text


def main() -> None:
    server = socketio.AsyncServer(async_mode="aiohttp")
    server.register_namespace(Chat("/chat"))
    app = web.Application()
    server.attach(app)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None, backlog=4096)


if __name__ == "__main__":
    main()

"""The page's own `timeline.js`, run by node, so that properties hold for what people really run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final, Self

HOST: Final = Path(__file__).with_name("timeline_host.js")


class TimelineHost:
    """A node process that holds timelines."""

    def __enter__(self) -> Self:
        self._node = subprocess.Popen(["node", str(HOST)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._count = 0
        return self

    def __exit__(self, *_: object) -> None:
        assert self._node.stdin is not None
        assert self._node.stdout is not None
        self._node.stdin.close()
        self._node.wait(10)
        self._node.stdout.close()

    def timeline(self, room: str) -> RemoteTimeline:
        self._count += 1
        return RemoteTimeline(self, str(self._count), room)

    def ask(self, *command: object) -> dict[str, Any]:
        assert self._node.stdin is not None
        assert self._node.stdout is not None
        self._node.stdin.write(json.dumps(command).encode() + b"\n")
        self._node.stdin.flush()
        return dict(json.loads(self._node.stdout.readline()))


class RemoteTimeline:
    """One `Timeline` in the host."""

    def __init__(self, host: TimelineHost, ident: str, room: str) -> None:
        self._host = host
        self._ident = ident
        self.state = host.ask(ident, "new", room)

    def do(self, verb: str, *arguments: object) -> Any:
        """Call a method; returns its result."""
        self.state = self._host.ask(self._ident, verb, *arguments)
        return self.state["result"]

    @property
    def incomplete(self) -> bool:
        return bool(self.state["incomplete"])

    @property
    def rows(self) -> list[dict[str, Any]]:
        return list(self._host.ask(self._ident, "state")["rows"])

"""Static files, read once at the start and served from memory under a name that changes with their content.

The whole folder lives below one prefix, `/static/<version>/`, so modules import each other by relative names, an
upgrade is seen at once, and a browser never asks twice.

Comments, types and indentation are for those who read the checkout: they stay at home. What is left stands in the same
lines, so that an error names the line that one will look at.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from chatzilla.errors import NotFound, StartError

PACKAGE: Final = Path(__file__).resolve().parent.parent
CLIENT: Final = "vendor/socket.io.esm.min.js"
"""The Socket.IO client, put there by npm."""

_TYPES: Final = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
_OURS: Final = ("js/", "css/")
"""What is below them is ours, and has its comments in lines of their own, and no text over several lines."""

_COMMENTS: Final = re.compile(r"^[ \t]*(?://[^\n]*|/\*(?:(?!\*/).)*\*/[ \t]*)$", re.MULTILINE | re.DOTALL)
_TYPES_WITHIN: Final = re.compile(r"/\*\* @(?:(?!\*/).)*\*/ ?")
_INDENTATION: Final = re.compile(r"^[ \t]+", re.MULTILINE)
_LEFT_OUT: Final = {".ts", ".map"}
_COMPRESSED: Final = ("text/", "image/svg", "application/manifest")
_FOREVER: Final = "public, max-age=31536000, immutable"


def shipped(folder: str) -> Path:
    """A folder that ships with the package: inside it when installed, beside it in a checkout."""
    inside = PACKAGE / folder
    return inside if inside.is_dir() else PACKAGE.parent / folder


@dataclass(frozen=True, slots=True)
class _Asset:
    body: bytes
    zipped: bytes | None
    content_type: str


class Assets:
    """The static files of one version."""

    def __init__(self, folder: Path) -> None:
        """Read every file below `folder`.

        Raises:
            StartError: the browser's Socket.IO client is missing.
        """
        if not (folder / CLIENT).is_file():
            raise StartError(
                f"The browser's Socket.IO client is missing in {folder / 'vendor'}. "
                "Run `make setup` (or `npm ci --omit=dev`) in the checkout first."
            )
        self._files = {
            (name := path.relative_to(folder).as_posix()): _read(path, light=name.startswith(_OURS))
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix not in _LEFT_OUT
        }
        digest = hashlib.sha256()
        for name, asset in self._files.items():
            digest.update(name.encode() + b"\0" + asset.body + b"\0")
        self.version: Final = digest.hexdigest()[:12]

    def url(self, name: str) -> str:
        """The address of a file.

        Raises:
            KeyError: there is no such file; a template that asks for one is wrong.
        """
        self._files[name]
        return f"/static/{self.version}/{name}"

    async def serve(self, request: web.Request) -> web.Response:
        """GET /static/<version>/<name>

        Raises:
            NotFound: no file of this version has that name.
        """
        asset = self._files.get(request.match_info["name"])
        if asset is None or request.match_info["version"] != self.version:
            raise NotFound("There is no such file.")
        headers = {"Cache-Control": _FOREVER, "Content-Type": asset.content_type}
        if asset.zipped is None:
            return web.Response(body=asset.body, headers=headers)
        headers["Vary"] = "Accept-Encoding"
        if not takes_gzip(request):
            return web.Response(body=asset.body, headers=headers)
        return web.Response(body=asset.zipped, headers=headers | {"Content-Encoding": "gzip"})


def takes_gzip(request: web.Request) -> bool:
    """Whether the caller takes gzip; a weight of zero means no (RFC 9110, 12.5.3)."""
    for part in request.headers.get("Accept-Encoding", "").split(","):
        coding, _, weight = part.partition(";")
        if coding.strip().lower() == "gzip":
            return not re.fullmatch(r"\s*q=0(\.0*)?\s*", weight, re.IGNORECASE)
    return False


def lightened(source: str) -> str:
    """A script or a sheet without the comments that have lines of their own, without types, and not indented."""
    source = _COMMENTS.sub(lambda comment: "\n" * comment[0].count("\n"), source)
    return _INDENTATION.sub("", _TYPES_WITHIN.sub("", source))


def _read(path: Path, *, light: bool) -> _Asset:
    body = path.read_bytes()
    if light:
        body = lightened(body.decode()).encode()
    content_type = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    zipped = gzip.compress(body, mtime=0) if content_type.startswith(_COMPRESSED) else None
    if content_type.startswith("text/"):
        content_type += "; charset=utf-8"
    return _Asset(body, zipped, content_type)

"""What is known to be unsafe among the pinned packages: `make advisories`.

Asks the package index about each pin, by its JSON API (`/pypi/<name>/<version>/json` has `vulnerabilities`), or another
index that speaks the same (`--index`). Where the index cannot be reached, or is a mirror that serves no such thing, it
says so and holds the pins to `MENDED` alone. The tests ask an index of their own: they would fail one day without
anybody having changed anything.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.helpers.servers import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SECONDS: Final = 20.0

MENDED: Final = {
    "aiohttp": ((3, 13, 3), "CVE-2025-69223 and others: request smuggling, unbounded bodies"),
    "jinja2": ((3, 1, 6), "CVE-2025-27516: a way out of the sandbox"),
    "pyjwt": ((2, 10, 1), "CVE-2024-53861: part of an issuer was taken as the issuer"),
    "python-socketio": ((5, 14, 0), "CVE-2025-61765: pickled messages between servers"),
    "mako": ((1, 2, 2), "CVE-2022-40023: an expression that takes for ever"),
    "idna": ((3, 7), "CVE-2024-3651: a name that takes for ever"),
    "aiosmtplib": ((1, 1, 7), "a response that was injected before STARTTLS"),
}
"""The first versions in which what was known is mended."""

_PIN: Final = re.compile(r"^([A-Za-z0-9._-]+)==([0-9][\w.]*)", re.MULTILINE)


class Pin(NamedTuple):
    name: str
    version: str


class Finding(NamedTuple):
    """A pin that is known to be unsafe."""

    name: str
    version: str
    why: str


def pins(text: str) -> Sequence[Pin]:
    """The names and versions that a requirements file pins; of a name there may be two, each for other interpreters."""
    return [Pin(name.lower().replace("_", "-"), version) for name, version in _PIN.findall(text)]


def below_mended(pinned: Sequence[Pin]) -> list[Finding]:
    """What is older than the first version that is mended."""
    return [
        Finding(name, version, MENDED[name][1])
        for name, version in pinned
        if name in MENDED and tuple(map(int, re.findall(r"\d+", version)[:3])) < MENDED[name][0]
    ]


def read(name: str, version: str, document: Any) -> list[Finding] | None:
    """What the index says of one version; None if it tells nothing of vulnerabilities."""
    if not isinstance(document, dict) or not isinstance(document.get("vulnerabilities"), list):
        return None
    return [
        Finding(name, version, f"{each.get('id')}: {each.get('summary') or each.get('details', '')[:200]}")
        for each in document["vulnerabilities"]
        if not each.get("withdrawn")
    ]


def index_of_pip() -> str:
    """The JSON API of the index that pip installs from."""
    asked = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    configured = os.environ.get("PIP_INDEX_URL") or subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    if configured:
        return configured.rstrip("/").removesuffix("/simple") + "/pypi"
    default: str = importlib.import_module("pip._internal.models.index").PyPI.pypi_url
    return default


def ask(name: str, version: str, index: str) -> Any:
    """The index's document about one version; None if it gives none."""
    try:
        url = f"{index}/{name}/{version}/json"
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # noqa: S310  # whoever runs this names the index
            return json.loads(answer.read())
    except (urllib.error.URLError, TimeoutError, ValueError):
        return None


def findings(pinned: Sequence[Pin], asks: Callable[[str, str], Any]) -> Iterator[Finding | str]:
    """What is unsafe, and a line for each pin of which nothing could be learned."""
    yield from below_mended(pinned)
    silent = []
    for name, version in pinned:
        told = read(name, version, asks(name, version))
        if told is None:
            silent.append(name)
            if len(silent) == 1 and (name, version) == pinned[0]:
                yield "The package index tells nothing of advisories here; only what is written in MENDED was compared."
                return
        else:
            yield from told
    if silent:
        yield f"The package index tells nothing of: {', '.join(silent)}."


def main() -> int:
    parser = argparse.ArgumentParser(description="What is known to be unsafe among pinned packages.")
    parser.add_argument("--index", help="whose JSON API is asked; without it, that of pip's own index")
    parser.add_argument("requirements", nargs="?", type=Path, default=ROOT / "requirements.txt")
    asked = parser.parse_args()
    pinned = pins(asked.requirements.read_text())
    index = (asked.index or index_of_pip()).rstrip("/")
    found = list(findings(pinned, lambda name, version: ask(name, version, index)))
    for each in found:
        print(each if isinstance(each, str) else f"{each.name} {each.version}: {each.why}")
    unsafe = [each for each in found if isinstance(each, Finding)]
    if not unsafe:
        print(f"No pin of {len(pinned)} is known to be unsafe.")
    return 1 if unsafe else 0


if __name__ == "__main__":
    sys.exit(main())

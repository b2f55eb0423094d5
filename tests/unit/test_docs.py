"""The documents tell the truth: settings, events, routes and refusals are in them, and nothing else is."""

from __future__ import annotations

import functools
import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from chatzilla import errors
from chatzilla.app import HOUSE, create_app
from chatzilla.config import Config, settings
from tests.helpers.servers import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

ABOUT_THE_API: Final = {"/api/v1/", "/api/v1/openapi.json"}
"""The routes of the API are in a document of its own, see tests/integration/test_openapi.py."""

PROTOCOL: Final = (ROOT / "docs/protocol.md").read_text()
ARCHITECTURE: Final = (ROOT / "docs/architecture.md").read_text()
OPERATING: Final = (ROOT / "docs/operating.md").read_text()


def table(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table after a line that contains `heading`."""
    lines = iter(text[text.index(heading) :].splitlines())
    rows = []
    for line in lines:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif rows:
            break
    return rows[2:] if set(rows[1][0]) <= {"-", " "} else rows


def names(rows: list[list[str]]) -> set[str]:
    """The code words that the first cells begin with."""
    return {re.findall(r"`([^`]+)`", row[0])[0].split()[-1] for row in rows}


def test_every_setting_is_documented_with_its_default_and_its_help() -> None:
    rows = {row[0].strip("`"): row for row in table(OPERATING, "| setting |")}
    assert rows.keys() == {name for name, _ in settings()}
    for name, field in settings():
        default = field.default
        if isinstance(default, Path):
            default = default.name
        elif isinstance(default, tuple):
            default = ",".join(default)
        elif isinstance(default, float):
            default = f"{default:g}"
        elif default is None:
            default = ""
        assert rows[name][1].strip("`") == str(default), name
        first_words = field.metadata["help"].split(";")[0].split(".")[0].rstrip(",")
        assert first_words[:40].lower() in rows[name][2].lower(), name


def test_every_event_that_a_client_may_call_is_documented(tmp_path: Path) -> None:
    app = create_app(Config(data=tmp_path / "data"))
    try:
        assert names(table(PROTOCOL, "| event | does |")) == set(app[HOUSE].chat.events)
    finally:
        app[HOUSE].database.close()


@pytest.mark.parametrize("way", ["In, the whole way", "Out, when the batch"])
def test_the_way_of_a_frame_is_told_with_the_names_of_real_functions(way: str) -> None:
    steps = table(ARCHITECTURE, way)
    assert len(steps) == 10
    for module, function, _ in steps:
        there = importlib.import_module("chatzilla." + module.strip("`").replace("/", "."))
        assert callable(functools.reduce(getattr, function.strip("`").split("."), there)), function


def test_every_event_of_calls_is_documented(tmp_path: Path) -> None:
    app = create_app(Config(data=tmp_path / "data"))
    try:
        assert names(table(PROTOCOL, "| call event | does |")) == set(app[HOUSE].calls_door.events)
    finally:
        app[HOUSE].database.close()
    encoders = (ROOT / "chatzilla/wire_calls.py").read_text()
    told = set(re.findall(r'return "(\w+)", ', encoders)) | {"goodbye"}
    assert told == names(table(PROTOCOL, "| call event to clients |"))


def test_every_event_that_a_client_may_hear_is_documented() -> None:
    source = "".join(path.read_text() for path in (ROOT / "chatzilla/realtime").glob("*.py"))
    told = set(re.findall(r'packets\.event\((?:CHAT|namespace), "(\w+)"', source))
    assert told == names(table(PROTOCOL, "| event to clients |"))


def test_every_refusal_is_documented() -> None:
    def leaves(kind: type[errors.ChatError]) -> Iterator[str]:
        yield kind.code
        for child in kind.__subclasses__():
            yield from leaves(child)

    documented = {row[0].strip("`") for row in table(PROTOCOL, "| code | meaning |")}
    assert documented == set(leaves(errors.ChatError))


def test_every_route_is_documented(tmp_path: Path) -> None:
    app = create_app(Config(data=tmp_path / "data"))
    try:
        routes = {
            re.sub(r":[^}]*", "", resource.canonical)
            for resource in app.router.resources()
            if not resource.canonical.startswith("/calls")
            if not resource.canonical.startswith("/api/v1/") or resource.canonical in ABOUT_THE_API
        }
    finally:
        app[HOUSE].database.close()
    documented = {re.sub(r"^[A-Z]+ ", "", row[0].strip("`")) for row in table(PROTOCOL, "| route | does |")}
    assert {route.rstrip("/") for route in routes} == {route.rstrip("/") for route in documented}


def test_every_link_between_documents_leads_somewhere() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    missing = [
        f"{document.name}: {target}"
        for document in documents
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text())
        if "://" not in target and not (document.parent / target).exists()
    ]
    assert not missing

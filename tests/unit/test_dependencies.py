"""What is installed is pinned with hashes, and no pin is known to be unsafe. Nobody is asked over the network."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests import advisories
from tests.advisories import Finding
from tests.helpers.servers import ROOT


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_what_is_installed_is_pinned_with_hashes(name: str) -> None:
    text = (ROOT / name).read_text()
    pinned = advisories.pins(text)
    assert len(pinned) > 10
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(pinned)
    assert all("--hash=sha256:" in entry for entry in entries)
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    assert all("integrity" in each for path, each in packages.items() if path)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_no_pin_is_known_to_be_unsafe(name: str) -> None:
    pinned = advisories.pins((ROOT / name).read_text())
    assert not advisories.below_mended(pinned)
    assert len(pinned.keys() & advisories.MENDED.keys()) >= 5, "what is held to it is there"


def test_an_old_pin_is_found() -> None:
    assert [each.name for each in advisories.below_mended({"aiohttp": "3.9.1", "jinja2": "3.1.6"})] == ["aiohttp"]


def test_what_the_index_tells_is_read() -> None:
    told: dict[str, Any] = {
        "vulnerabilities": [{"id": "A-1", "summary": "bad"}, {"id": "A-2", "withdrawn": "2026-01-01", "summary": "no"}]
    }
    assert list(advisories.findings({"x": "1.0"}, lambda *_: told)) == [Finding("x", "1.0", "A-1: bad")]
    assert list(advisories.findings({"x": "1.0"}, lambda *_: {"vulnerabilities": []})) == []


@pytest.mark.parametrize("answer", [None, {}, [], "", {"vulnerabilities": None}])
def test_an_index_that_tells_nothing_is_said_to(answer: Any) -> None:
    (line,) = advisories.findings({"x": "1.0", "y": "2.0"}, lambda *_: answer)
    assert "tells nothing" in str(line)

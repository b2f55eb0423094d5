"""docs/security.md: every requirement has its line, no line is empty, and what it names exists."""

from __future__ import annotations

import re
from typing import Final

from tests.helpers.servers import ROOT

DOCUMENT: Final = (ROOT / "docs/security.md").read_text()
SECURITY: Final = (ROOT / "SECURITY.md").read_text()

# How many requirements of levels 1 and 2 each section of OWASP ASVS 5.0.0 has; those of level 3 come after them.
SECTIONS: Final = {
    "1.1": 2, "1.2": 9, "1.3": 11, "1.4": 3, "1.5": 2, "2.1": 3, "2.2": 3, "2.3": 4, "2.4": 1, "3.2": 2, "3.3": 4,
    "3.4": 6, "3.5": 5, "3.7": 2, "4.1": 3, "4.2": 1, "4.3": 2, "4.4": 4, "5.1": 1, "5.2": 3, "5.3": 2, "5.4": 3,
    "6.1": 3, "6.2": 12, "6.3": 4, "6.4": 4, "6.5": 5, "6.6": 3, "6.8": 4, "7.1": 3, "7.2": 4, "7.3": 2, "7.4": 5,
    "7.5": 2, "7.6": 2, "8.1": 2, "8.2": 3, "8.3": 1, "8.4": 1, "9.1": 3, "9.2": 4, "10.1": 2, "10.2": 2, "10.3": 4,
    "10.4": 11, "10.5": 5, "10.6": 2, "10.7": 3, "11.1": 2, "11.2": 3, "11.3": 3, "11.4": 4, "11.5": 1, "11.6": 1,
    "12.1": 3, "12.2": 2, "12.3": 4, "13.1": 1, "13.2": 5, "13.3": 2, "13.4": 5, "14.1": 2, "14.2": 4, "14.3": 3,
    "15.1": 3, "15.2": 3, "15.3": 7, "16.1": 1, "16.2": 5, "16.3": 4, "16.4": 3, "16.5": 3, "17.1": 1, "17.2": 4,
    "17.3": 2,
}  # fmt: skip

REQUIRED: Final = {f"{section}.{number}" for section, count in SECTIONS.items() for number in range(1, count + 1)}

_ROW: Final = re.compile(r"^\| (\d+\.\d+\.\d+(?:, \d+\.\d+\.\d+)*) \|(.*)\|$", re.MULTILINE)
_TEST: Final = re.compile(r"^\s*(?:async )?def (test_\w+)", re.MULTILINE)


def rows() -> list[tuple[str, list[str]]]:
    return [(item, [cell.strip() for cell in cells.split(" | ")]) for item, cells in _ROW.findall(DOCUMENT)]


def test_every_requirement_has_its_line_and_none_has_two() -> None:
    assert sum(SECTIONS.values()) == len(REQUIRED) == 253
    named = [item for items, _ in rows() for item in items.split(", ")]
    assert sorted(named) == sorted(set(named))
    assert set(named) == REQUIRED


def test_no_line_is_empty() -> None:
    """What applies has two cells, and the last of them a test, a document, a source, or whose it is and why."""
    for item, cells in rows():
        assert all(cells), item
        if "," in item or len(cells) == 1:
            assert len(cells) == 1, item
            assert len(cells[0]) >= 8, item
            continue
        assert len(cells) == 2, item
        shown = cells[1]
        assert "`" in shown or "](" in shown or re.search(r"Deviates|Operator|likewise|below|as \d", shown), item


def test_every_test_and_file_that_it_names_exists() -> None:
    tests = {name for path in (ROOT / "tests").rglob("test_*.py") for name in _TEST.findall(path.read_text())}
    files = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    named = set(re.findall(r"`((?:test_)\w+(?:\.py)?)`", DOCUMENT + SECURITY))
    assert len(named) > 100
    assert not named - tests - files
    paths = set(re.findall(r"`((?:chatzilla|tests|docs)/[\w./]*)`", DOCUMENT))
    assert not {path for path in paths if not (ROOT / path).exists()}


def test_a_deviation_says_why() -> None:
    for item, cells in rows():
        for reason in re.findall(r"Deviates[^.]*", cells[-1]):
            assert len(reason) > 40, item


def test_the_two_documents_do_not_contradict_each_other() -> None:
    """The figures that both have are the same, and those that the sources have."""
    from chatzilla.core import by_mail, links, tries
    from chatzilla.core.signin import SIGN_INS_PER_ACCOUNT
    from chatzilla.core.tokens import LIFETIME_SECONDS

    both = DOCUMENT + SECURITY
    assert f"within {by_mail.MINUTES} minutes" in SECURITY
    assert f"Deviates: {by_mail.MINUTES} minutes" in DOCUMENT
    assert f"after {tries.TRIES} vain tries" in SECURITY
    assert f"{LIFETIME_SECONDS // 86400} days unused" in DOCUMENT
    assert f"test_links_and_sign_ins_are_bounded`: {SIGN_INS_PER_ACCOUNT};" in DOCUMENT
    assert both.count("128 random bits") >= 2
    assert len(links.mint_secret()) * 6 // 8 >= 16
    assert "docs/security.md" in SECURITY

"""Session descriptions (RFC 8866), as far as one has to know them to say who sends what, and whether they may.

Read strictly: what two readers could understand differently is refused, so that no browser finds something in a
description that was not seen here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from chatzilla.core.call import Source
from chatzilla.core.call_events import CANDIDATES_AT_MOST, DESCRIPTION_LIMIT
from chatzilla.errors import BadRequest, Forbidden, TooLong

if TYPE_CHECKING:
    from chatzilla.core.call import Participant
    from chatzilla.core.call_events import Track

LINES_AT_MOST: Final = 16
"""Media lines of one description: four sources of each side, and as many that are not used any more."""

DIRECTIONS: Final = {"sendrecv": True, "sendonly": True, "recvonly": False, "inactive": False}
"""Each direction, and whether something is sent (RFC 3264, 5.1)."""

_KIND: Final = {
    Source.MICROPHONE: "audio",
    Source.CAMERA: "video",
    Source.SCREEN: "video",
    Source.SCREEN_AUDIO: "audio",
}
_OF_SCREEN: Final = {Source.SCREEN, Source.SCREEN_AUDIO}

_ORIGIN: Final = re.compile(r"^(o=\S+ )\S+ \S+( )", re.MULTILINE)
_BANDWIDTH: Final = re.compile(r"^b=(AS|TIAS):(\d{1,9})\r?\n", re.MULTILINE)
_HEAD_OF_MEDIA: Final = re.compile(r"m=.*\n(?:[ic]=.*\n)*")
_OPUS: Final = re.compile(r"a=rtpmap:(\d{1,3})[ \t]+opus/", re.IGNORECASE)
_FORM: Final = re.compile(r"a=fmtp:(\d{1,3})[ \t]+([^\r\n]*)", re.IGNORECASE)
_MAX_AVERAGE: Final = "maxaveragebitrate"
_AVERAGE: Final = re.compile(rf"{_MAX_AVERAGE}=(\d{{1,9}})", re.IGNORECASE)
_BESIDES_PICTURES: Final = 100_000
"""Chromium counts sound, and the heads of packets, as a part of what a line of video may have."""

_BEFORE_MEDIA: Final = re.compile(r"^(?=m=)", re.MULTILINE)
_MID_OF_LINE: Final = re.compile(r"^a=mid:(\S+)", re.MULTILINE)

_LINE: Final = re.compile(r"[a-z]=[^\x00-\x08\x0a-\x1f\x7f]+")
_MEDIA: Final = re.compile(r"(\S+) \d{1,5}(?:/\d{1,5})? \S+(?: \S+)+")
_MID: Final = re.compile(r"[!#$%&'*+.0-9A-Z^_`a-z{|}~-]{1,64}")


@dataclass(frozen=True, slots=True)
class MediaLine:
    """One line of media: a source of each side, or of one."""

    kind: str
    """audio or video."""
    mid: str
    sends: bool
    """Whether the side that describes itself sends on it."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a description says."""

    lines: tuple[MediaLine, ...]
    candidates: int

    def sending(self, kind: str) -> int:
        """How many lines of a kind something is sent on."""
        return sum(line.sends for line in self.lines if line.kind == kind)


@dataclass(slots=True)
class _Section:
    kind: str
    direction: bool | None = None
    mid: str | None = None


def read(text: str, *, lines: int = LINES_AT_MOST, characters: int = DESCRIPTION_LIMIT) -> Session:
    """Read a description.

    Args:
        text: the description.
        lines: how many lines of media it may have.
        characters: how long it may be.

    Raises:
        TooLong: it has more characters, lines of media or candidates than anybody needs.
        BadRequest: it is none, or could be understood in two ways; or it is for more than audio and video.
    """
    if len(text) > characters:
        raise TooLong(f"A description may have {characters:,} characters at most.")
    if not text.isascii():
        raise BadRequest("This is no session description of a browser.")
    rows = text.split("\n")
    if rows.pop():
        raise BadRequest("The last line of this description has no end.")
    rows = [row.removesuffix("\r") for row in rows]
    if rows[:1] != ["v=0"] or not all(_LINE.fullmatch(row) for row in rows):
        raise BadRequest("This is no session description.")
    whole = _Section("session")
    sections: list[_Section] = []
    candidates = 0
    for row in rows:
        if row.startswith("m="):
            sections.append(_section(row))
        elif row.startswith("a="):
            candidates += row.startswith("a=candidate:")
            _attribute(sections[-1] if sections else whole, row[2:])
    if len(sections) > lines or candidates > CANDIDATES_AT_MOST:
        raise TooLong("This description has more lines than a call needs.")
    found = tuple(_media_line(section, whole) for section in sections)
    if len({line.mid for line in found}) != len(found):
        raise BadRequest("Two lines of this description have one name.")
    return Session(found, candidates)


def check(session: Session, participant: Participant, tracks: tuple[Track, ...] | None) -> None:
    """See that somebody sends no more than they may.

    Raises:
        Forbidden: they do.
        BadRequest: what is said of the tracks does not fit the description.
    """
    if not participant.may_publish and any(line.sends for line in session.lines):
        raise Forbidden("You can watch and listen in this call, and not be seen or heard.")
    most = 2 if participant.may_share_screen else 1
    if session.sending("audio") > most or session.sending("video") > most:
        raise Forbidden("That is more than one person sends.")
    if tracks is None:
        return
    kinds = {line.mid: line.kind for line in session.lines}
    if len({track.mid for track in tracks}) != len(tracks) or len({track.source for track in tracks}) != len(tracks):
        raise BadRequest("A line, and a source, is named once.")
    for track in tracks:
        if kinds.get(track.mid) != _KIND[track.source]:
            raise BadRequest("There is no such line in this description.")
        if track.source in _OF_SCREEN and not participant.may_share_screen:
            raise Forbidden("You cannot share a screen in this call.")


def silent(text: str) -> set[str]:
    """The lines of one of Janus' descriptions, by their mids, that are off."""
    off = [part for part in _BEFORE_MEDIA.split(text) if "\na=inactive\r\n" in part]
    return {found[1] for part in off if (found := _MID_OF_LINE.search(part))}


def with_origin(text: str, session: int, version: int) -> str:
    """The same description, as this version of this session.

    A changed offer of one session keeps the session's id and counts its version (RFC 3264, 8). Janus draws another id
    for each offer, so that nobody could tell a change of a connection from another connection.
    """
    return _ORIGIN.sub(rf"\g<1>{session} {version}\g<2>", text, count=1)


def with_limits(text: str, *, audio: int | None, video: int | None = None) -> str:
    """The same description, to somebody who may send no more than that in answer to it; in bits per second.

    Browsers obey what a description says: of sound as a parameter of Opus (RFC 7587, 6.1), and of pictures as the
    bandwidth of a line (RFC 8866, 5.8; RFC 3890). Where it asks for less already, that holds.
    """
    parts = _BEFORE_MEDIA.split(text)
    for at, part in enumerate(parts):
        if audio is not None and part.startswith("m=audio "):
            parts[at] = _opus_within(part, audio)
        if video is not None and part.startswith("m=video "):
            parts[at] = _within(part, video + _BESIDES_PICTURES)
    return "".join(parts)


def _opus_within(part: str, most: int) -> str:
    rows = part.splitlines(keepends=True)
    wishes: dict[str, list[str]] = {found[1]: [] for found in map(_OPUS.match, rows) if found}
    others: list[str] = []
    for row in rows:
        found = _FORM.match(row)
        if found is None or found[1] not in wishes:
            others.append(row)
            continue
        for wish in filter(None, map(str.strip, found[2].split(";"))):
            average = _AVERAGE.fullmatch(wish)
            most = most if average is None else min(most, int(average[1]))
            if not wish.lower().startswith(_MAX_AVERAGE):
                wishes[found[1]].append(wish)
    bounded: list[str] = []
    for row in others:
        bounded.append(row)
        found = _OPUS.match(row)
        if found and found[1] in wishes:
            bounded.append(f"a=fmtp:{found[1]} {';'.join([*wishes.pop(found[1]), f'{_MAX_AVERAGE}={most}'])}\r\n")
    return "".join(bounded)


def _within(part: str, most: int) -> str:
    head = _HEAD_OF_MEDIA.match(part)
    end = 0 if head is None else head.end()
    theirs = [int(number) * (1000 if unit == "AS" else 1) for unit, number in _BANDWIDTH.findall(part)]
    return f"{part[:end]}b=TIAS:{min([most, *theirs])}\r\n{_BANDWIDTH.sub('', part[end:])}"


def _section(line: str) -> _Section:
    head = _MEDIA.fullmatch(line[2:])
    if head is None or head[1] not in ("audio", "video"):
        raise BadRequest("A call carries audio and video, and nothing else.")
    return _Section(head[1])


def _attribute(section: _Section, attribute: str) -> None:
    name, _, value = attribute.partition(":")
    if name.strip().lower() in DIRECTIONS:
        if attribute not in DIRECTIONS or section.direction is not None:
            raise BadRequest("A line of this description has more than one direction.")
        section.direction = DIRECTIONS[attribute]
    elif name == "mid":
        if section.mid is not None or not _MID.fullmatch(value):
            raise BadRequest("A line of this description has no proper name.")
        section.mid = value


def _media_line(section: _Section, whole: _Section) -> MediaLine:
    if section.mid is None:
        raise BadRequest("A line of this description has no name.")
    direction = section.direction if section.direction is not None else whole.direction
    sends = direction is not False  # who says nothing sends and receives (RFC 8866, 6.7)
    return MediaLine(section.kind, section.mid, sends)

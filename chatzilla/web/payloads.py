"""What a hook takes: text, JSON, what Slack takes, and a form, which `curl -d` says everything is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final
from urllib.parse import parse_qs

import msgspec
from msgspec import Meta

from chatzilla.core.messages import parse_content
from chatzilla.errors import BadRequest, WrongType
from chatzilla.web.contract import parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TEXT: Final = "text/plain"
JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
UNSAID: Final = "application/octet-stream"
"""What aiohttp calls a body of which nothing is said."""

FIELDS_AT_MOST: Final = 100


class TextObject(msgspec.Struct, kw_only=True):
    text: str | None = None


class Block(msgspec.Struct, kw_only=True):
    """A block of Slack's, as far as it is text."""

    text: TextObject | None = None
    fields: list[TextObject] = []


class Attachment(msgspec.Struct, kw_only=True):
    """An attachment of Slack's, as far as it is text."""

    pretext: str | None = None
    title: str | None = None
    text: str | None = None
    fallback: Annotated[str, Meta(description="Instead of the others, where there are none.")] | None = None


class HookPayload(msgspec.Struct, kw_only=True):
    """What is to be said: `text` or `content`, or what Slack would show."""

    text: str | None = None
    content: str | None = None
    blocks: Annotated[list[Block], Meta(description="Instead of `text`, where there is none.")] = []
    attachments: list[Attachment] = []

    def said(self) -> str:
        """All of it, in lines."""
        return "\n".join(line for line in self._lines() if line and line.strip())

    def _lines(self) -> Iterator[str | None]:
        said = self.text or self.content
        if said:
            yield said
        else:
            for block in self.blocks:
                for each in (block.text, *block.fields):
                    yield None if each is None else each.text
        for attachment in self.attachments:
            lines = attachment.pretext, attachment.title, attachment.text
            yield from lines if any(lines) else (attachment.fallback,)


class HookForm(msgspec.Struct, kw_only=True):
    """A form with one of these fields; without them, the body is said as it stands."""

    payload: Annotated[str, Meta(description="JSON, as Slack takes it.")] | None = None
    text: str | None = None
    content: str | None = None


@dataclass(frozen=True, slots=True)
class HookBody:
    """What was sent to a hook."""

    media: ClassVar[Mapping[str, Any]] = {TEXT: str, JSON: HookPayload, FORM: HookForm}
    content: str

    @classmethod
    def read(cls, media_type: str, raw: bytes) -> HookBody:
        """Find what is to be said.

        Raises:
            BadRequest, TooLong, WrongType: there is nothing, or it cannot be understood.
        """
        if media_type == JSON:
            said = parse_json(raw, HookPayload).said()
        elif media_type == FORM:
            said = _form(_text(raw))
        elif media_type.startswith("text/") or media_type == UNSAID:
            said = _text(raw)
        else:
            raise WrongType(f"A hook takes {TEXT}, {JSON} or {FORM}.")
        return cls(parse_content(said.rstrip()))


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeError as error:
        raise BadRequest("The text has to be UTF-8.") from error


def _form(body: str) -> str:
    """The field of a form that says something, or else the body as it stands, which is what `curl -d hello` sends."""
    name = body.partition("=")[0]
    if "=" not in body or name not in HookForm.__struct_fields__:
        return body
    try:
        value = parse_qs(body, keep_blank_values=True, max_num_fields=FIELDS_AT_MOST)[name][0]
    except ValueError as error:
        raise BadRequest("This form cannot be understood.") from error
    return parse_json(value.encode(errors="replace"), HookPayload).said() if name == "payload" else value

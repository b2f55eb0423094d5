"""Everything that can be refused, as one tree, each leaf with the stable code that clients see.

    ChatError
    ├── BadRequest     bad-request     the call makes no sense as it stands
    │   ├── TooLong    too-long        a name or text over its limit
    │   └── UnknownValue  bad-request  one of a few words was asked for, such as a role, and this is another one
    ├── UnknownEvent   unknown-event
    ├── SignInNeeded   sign-in         a token that is missing, forged or over
    ├── NotJoined      not-joined      join first, then speak
    ├── Forbidden      forbidden
    ├── NotFound       not-found
    ├── Conflict       conflict        the same client_id with another room or text; a deleted message edited
    ├── TooFast        too-fast        over a rate; later it will pass
    ├── Full           full            a bound is reached
    └── Unavailable    unavailable     the store cannot write now; a retry is harmless

    StartError                         the server cannot start; one line for the operator

A message is a sentence for a person. What nobody foresaw is `internal`: it is logged with a reference, and
the door answers with that reference alone.
"""

from __future__ import annotations

from typing import ClassVar


class ChatError(Exception):
    """A refusal: nothing was stored, the connection stays."""

    code: ClassVar[str] = "internal"

    @property
    def sentence(self) -> str:
        """What a person is told."""
        return str(self)


class BadRequest(ChatError):
    code = "bad-request"


class TooLong(BadRequest):
    code = "too-long"


class UnknownValue(BadRequest):
    pass


class UnknownEvent(ChatError):
    code = "unknown-event"


class SignInNeeded(ChatError):
    code = "sign-in"


class NotJoined(ChatError):
    code = "not-joined"


class Forbidden(ChatError):
    code = "forbidden"


class NotFound(ChatError):
    code = "not-found"


class Conflict(ChatError):
    code = "conflict"


class TooFast(ChatError):
    code = "too-fast"


class Full(ChatError):
    code = "full"


class Unavailable(ChatError):
    code = "unavailable"


class StartError(Exception):
    """The server refuses to start; the text is one clear line for the operator."""

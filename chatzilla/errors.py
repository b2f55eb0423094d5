"""Everything that can be refused, as one tree, each leaf with the stable code that clients see.

    ChatError
    ├── BadRequest     bad-request     the call makes no sense as it stands
    │   ├── TooLong    too-long        a name or text over its limit
    │   ├── UnknownValue  bad-request  one of a few words was asked for, such as a role, and this is another one
    │   └── WrongType  bad-request     a body that says it is something else than what is taken
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

A message is a sentence for a person. A refusal that may be none later says after how many seconds to try again. What
nobody foresaw is `internal`: it is logged with a reference, and the door answers with that reference alone.
"""

from __future__ import annotations

import math
from typing import ClassVar


class ChatError(Exception):
    """A refusal: nothing was stored, the connection stays."""

    code: ClassVar[str] = "internal"
    passes: ClassVar[float | None] = None
    """After how many seconds trying again makes sense, where nothing more is known; None where it makes none."""

    def __init__(self, sentence: str = "", *, after: float | None = None) -> None:
        """Refuse with a sentence; `after` is in how many seconds it may be otherwise, where that is known."""
        super().__init__(sentence)
        self._after = after

    @property
    def sentence(self) -> str:
        """What a person is told."""
        return str(self)

    @property
    def retry_after(self) -> int | None:
        """After how many seconds trying again makes sense (RFC 9110, 10.2.3): whole ones, and never at once."""
        after = self.passes if self._after is None else self._after
        return None if after is None else max(1, math.ceil(after))


class BadRequest(ChatError):
    code = "bad-request"


class TooLong(BadRequest):
    code = "too-long"


class UnknownValue(BadRequest):
    pass


class WrongType(BadRequest):
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
    passes = 1.0


class Full(ChatError):
    code = "full"
    passes = 60.0


class Unavailable(ChatError):
    code = "unavailable"
    passes = 5.0


class StartError(Exception):
    """The server refuses to start; the text is one clear line for the operator."""

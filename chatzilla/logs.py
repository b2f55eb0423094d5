"""What one peer can write into the log: a bounded number of lines, whatever it does.

A line about a peer carries its address as `extra={PEER: address}`. Beyond the rate such lines are left out; the log
says so once, and how many they were with the next line about the same peer.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from chatzilla.core.limits import KEYS_AT_MOST, Shared

if TYPE_CHECKING:
    import logging

    from chatzilla.core.limits import Rate
    from chatzilla.ports import Clock

PEER: Final = "peer"
"""The attribute of a line's record that holds the address which it is about."""


class PerPeer:
    """A filter of `logging`, for a handler."""

    def __init__(self, rate: Rate, clock: Clock) -> None:
        self._paces = Shared(rate, clock)
        self._left_out: OrderedDict[str, int] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is written; it may get a remark about those that are not."""
        peer: str | None = getattr(record, PEER, None)
        if peer is None:
            return True
        before = self._left_out.get(peer, 0)
        if not self._paces.of(peer).take():
            self._left_out[peer] = before + 1
            if len(self._left_out) > KEYS_AT_MOST:
                self._left_out.popitem(last=False)
            if before:
                return False
            _remark(record, "more lines about %s are left out for now", peer)
        elif before:
            del self._left_out[peer]
            _remark(record, "%d lines about %s were left out", before - 1, peer)
        return True


def _remark(record: logging.LogRecord, remark: str, *values: object) -> None:
    """Add something to what a line says."""
    words = record.getMessage()
    record.msg, record.args = f"%s ({remark})", (words, *values)

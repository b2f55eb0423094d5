"""What of calls outlives the process: implements `ports.CallBook` over one database.

A call changes when somebody comes or goes, which is seldom and small beside the log. One thread writes the newest state
of each call that changed since it last looked; what could not be written is tried again with the next change. Nobody
waits for it, and no call depends on it.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from chatzilla.core.call import CallId, CallRecord, ParticipantId, PersonRecord, Ticket
from chatzilla.core.people import Account, AccountId
from chatzilla.core.policy import Role
from chatzilla.core.rights import CallRole
from chatzilla.core.rooms import RoomId
from chatzilla.core.tokens import SignInId
from chatzilla.store.condition import is_failing
from chatzilla.store.deeds import note
from chatzilla.store.tables import calls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from chatzilla.core.audit import Deed
    from chatzilla.store.database import Database

logger = logging.getLogger(__name__)

DEEDS_WAITING_AT_MOST: Final = 1_000
"""Entries for the audit list that wait for a database that cannot be written; of more, the oldest are lost."""


class StoredCallBook:
    """Calls in the database."""

    def __init__(self, database: Database) -> None:
        self._engine = database.writing
        self._condition = database.condition
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-calls")
        self._lock = threading.Lock()
        self._waiting: dict[CallId, CallRecord | None] = {}
        """The newest state of each call that is not written yet; None for one that is to be forgotten."""
        self._deeds: deque[Deed] = deque(maxlen=DEEDS_WAITING_AT_MOST)
        """Entries for the audit list that are not written yet, the oldest first."""
        self._due = False
        """Whether the thread is about to look."""
        self._healthy = True

    def recall(self) -> Sequence[CallRecord]:
        found = []
        with self._engine.begin() as connection:
            for row in connection.execute(sa.select(calls).order_by(calls.c.since, calls.c.id)).all():
                try:
                    found.append(_decode(row.id, row.since, json.loads(row.record)))
                except (ValueError, KeyError, TypeError) as error:
                    logger.warning("call %s cannot be recalled: %r", row.id, error)
                    connection.execute(sa.delete(calls).where(calls.c.id == row.id))
        return found

    def keep(self, record: CallRecord) -> None:
        self._put(record.id, record)

    def forget(self, call: CallId) -> None:
        self._put(call, None)

    def note(self, deed: Deed) -> None:
        with self._lock:
            self._deeds.append(deed)
        self._begin()

    def close(self) -> None:
        """Write what waits, and end the thread."""
        self._thread.shutdown(wait=True)

    def _put(self, call: CallId, record: CallRecord | None) -> None:
        with self._lock:
            self._waiting[call] = record
        self._begin()

    def _begin(self) -> None:
        with self._lock:
            begins, self._due = not self._due, True
        if begins:
            self._thread.submit(self._write)

    def _write(self) -> None:
        with self._lock:
            self._due = False
            batch, self._waiting = self._waiting, {}
            deeds, self._deeds = self._deeds, deque(maxlen=DEEDS_WAITING_AT_MOST)
        try:
            with self._engine.begin() as connection:
                for call, record in batch.items():
                    _write_one(connection, call, record)
                if deeds:
                    note(connection, deeds)
        except sa.exc.SQLAlchemyError as error:
            if is_failing(error):
                self._condition.refused(error)
            elif self._healthy:
                logger.error("what calls there are cannot be stored: %s", error)  # noqa: TRY400  # it is no surprise
            self._healthy = False
            with self._lock:
                self._waiting = batch | self._waiting
                self._deeds = deque((*deeds, *self._deeds), DEEDS_WAITING_AT_MOST)
        else:
            self._healthy = True


def _write_one(connection: Connection, call: CallId, record: CallRecord | None) -> None:
    if record is None:
        connection.execute(sa.delete(calls).where(calls.c.id == call))
        return
    values = {"id": record.id, "since": record.since, "record": json.dumps(_encode(record))}
    statement = sqlite.insert(calls).values(values)
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"record": values["record"]}))


def _encode(record: CallRecord) -> dict[str, Any]:
    return {
        "room": record.room,
        "engine": record.engine,
        "began_by": _encode_account(record.began_by),
        "heard_of": record.heard_of,
        "locked": record.locked,
        "barred": list(record.barred),
        "names": [list(each) for each in record.names],
        "others": record.others,
        "people": [
            {
                "id": each.id,
                "account": _encode_account(each.account),
                "role": each.role.value,
                "ticket": each.ticket,
                "joined_at": each.joined_at,
                "sign_in": each.sign_in,
                "publishes": each.publishes,
            }
            for each in record.people
        ],
    }


def _decode(ident: str, since: int, fields: dict[str, Any]) -> CallRecord:
    return CallRecord(
        CallId(ident),
        RoomId(fields["room"]),
        fields["engine"],
        _decode_account(fields["began_by"]),
        since,
        fields["heard_of"],
        fields["locked"],
        tuple(fields["barred"]),
        tuple((AccountId(account), name) for account, name in fields["names"]),
        fields["others"],
        tuple(
            PersonRecord(
                ParticipantId(each["id"]),
                _decode_account(each["account"]),
                CallRole(each["role"]),
                Ticket(each["ticket"]),
                each["joined_at"],
                None if each["sign_in"] is None else SignInId(each["sign_in"]),
                each["publishes"],
            )
            for each in fields["people"]
        ),
    )


def _encode_account(account: Account) -> list[Any]:
    return [account.id, account.kind, account.key, account.name, account.role.value, account.room, account.ends_at]


def _decode_account(values: list[Any]) -> Account:
    ident, kind, key, name, role, room, ends_at = values
    return Account(AccountId(ident), kind, key, name, Role(role), None if room is None else RoomId(room), ends_at)

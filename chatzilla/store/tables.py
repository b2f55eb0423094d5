"""The tables. An edit or a deletion changes the row that it is about: see `changed`.

An account's id is derived from its key, a room's id is its lower-case name in the address, a message is named by
its place. Inside, accounts and rooms have numbers, and messages lie in the order of their arrival: a commit writes
every page that it touched, so a batch is as cheap as its rows lie close together.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_Number: Final = BigInteger().with_variant(Integer(), "sqlite")
"""A key of ours, which nobody else sees: small numbers fill few pages."""

facts: Final = Table(
    "facts",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", Text, nullable=False),
    comment="What the database knows of itself: epoch, starts, starts_before, open.",
)

accounts: Final = Table(
    "accounts",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("id", String(20), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("key", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("role", String(16), nullable=False, server_default="visitor"),
    Column("room", String(64), comment="The one room that a guest was let into."),
    Column("ends_at", BigInteger, comment="When a guest's time is over."),
    UniqueConstraint("kind", "key"),
    comment="People who have written something.",
)

rooms: Final = Table(
    "rooms",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("head", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False, server_default="public"),
    Column("topic", Text, nullable=False, server_default=""),
    Column("creator", String(20), comment="An account's id; nothing where the room began with a message."),
    Column("archived_at", BigInteger, comment="Since when nothing is said there any more."),
    Column("locked_at", BigInteger, comment="Since when nobody but its moderators speaks there."),
    Column("client_id", String(64), comment="By which whoever made it asked for it, and may ask again."),
    comment="head: the number of the room's newest change; handed out under this row's lock.",
)

members: Final = Table(
    "members",
    metadata,
    Column("account", ForeignKey("accounts.no"), nullable=False),
    Column("room", ForeignKey("rooms.no"), nullable=False, index=True),
    Column("read", BigInteger, nullable=False, comment="The place up to which this person has read."),
    Column("grade", String(16), comment="What this person was given there; without it nobody is in a private room."),
    Column("graded_at", BigInteger, comment="Since when."),
    Column("muted", Boolean, nullable=False, server_default=false(), comment="Whether this person does not listen."),
    PrimaryKeyConstraint("account", "room"),
    sqlite_with_rowid=False,
)

sign_ins: Final = Table(
    "sign_ins",
    metadata,
    Column("id", String(20), primary_key=True),
    Column("account", ForeignKey("accounts.no"), nullable=False, index=True),
    Column("made_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("agent", Text, nullable=False),
    Column("ended_at", BigInteger),
    Column(
        "until", BigInteger, comment="When the token of a program is over; nothing for what lasts while it is used."
    ),
    Column("made_in", String(20), comment="The sign-in in which the token of a program was made."),
    comment="Browsers and programs that are signed in, and that were until lately.",
)

links: Final = Table(
    "links",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True, comment="SHA-256 of the secret, which is told once."),
    Column("maker", String(20), comment="An account's id; nothing where the operator made it."),
    Column("made_in", String(20), comment="The sign-in in which it was made."),
    Column("account", String(20), comment="The account that it signs in; nothing where it invites."),
    Column("role", String(16), nullable=False),
    Column("room", String(64)),
    Column("made_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, nullable=False, index=True),
    Column("uses", Integer, nullable=False),
    Column("used", Integer, nullable=False),
    Column("revoked_at", BigInteger),
    Column("email", Text, comment="Whom it invites to come in by mail; its secret is nobody's then."),
)

hooks: Final = Table(
    "hooks",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True, comment="SHA-256 of the secret, which is told once."),
    Column("name", Text, nullable=False, comment="Under which it speaks."),
    Column("room", String(64), nullable=False, index=True),
    Column("maker", String(20), comment="An account's id; nothing where the operator made it."),
    Column("made_in", String(20), comment="The sign-in in which it was made."),
    Column("made_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    comment="Addresses by which programs say something in one room.",
)

calls: Final = Table(
    "calls",
    metadata,
    Column("id", String(20), primary_key=True),
    Column("since", BigInteger, nullable=False),
    Column("record", Text, nullable=False, comment="JSON: who is in it, and what else a restart must not lose."),
    comment="Calls that go on, and those whose notice is still to be written.",
)

bans: Final = Table(
    "bans",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("account", String(20), comment="Who is kept out; nothing where an address is."),
    Column("network", String(64), comment="An address of IPv4, or a network of IPv6."),
    Column("room", String(64), comment="Nothing: everywhere."),
    Column("name", Text, nullable=False),
    Column("maker", String(20), comment="An account's id; nothing where the operator made it."),
    Column("maker_name", Text),
    Column("made_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, comment="Nothing: for good."),
    comment="Whom nobody wants here.",
)

audit: Final = Table(
    "audit",
    metadata,
    Column("no", _Number, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", String(20), comment="An account's id; nothing where the operator did it."),
    Column("actor_name", Text),
    Column("act", String(24), nullable=False),
    Column("person", String(20), comment="The account that it was done to."),
    Column("person_name", Text),
    Column("room", String(64)),
    Column("details", Text, nullable=False, comment="JSON; never what somebody wrote."),
    comment="What was done with power over others; the newest entries only.",
)

ended_rights: Final = Table(
    "ended_rights",
    metadata,
    Column("what", String(80), primary_key=True, comment="A right's id; or `room`, a space and a room's id."),
    Column("at", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False, comment="When it would have been over by itself."),
    comment="Rights to rooms that were ended before their time.",
)

messages: Final = Table(
    "messages",
    metadata,
    Column("no", _Number, primary_key=True, comment="The order of arrival."),
    Column("room", ForeignKey("rooms.no"), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("author", ForeignKey("accounts.no"), nullable=False),
    Column("client_id", String(64), nullable=False),
    Column("name", Text, nullable=False, comment="The author's name as it stood when this was said."),
    Column("content", Text, nullable=False),
    Column("sent_at", BigInteger, nullable=False),
    Column("edited_at", BigInteger, comment="When the text was last replaced."),
    Column("deleted_at", BigInteger, comment="When the author took it back; there is no text any more."),
    Column("removed", Boolean, comment="Whether it was a moderator who deleted it."),
    UniqueConstraint("room", "seq"),
    UniqueConstraint("client_id", "author"),
)

Index(
    "ix_rooms_wished",
    rooms.c.creator,
    rooms.c.client_id,
    unique=True,
    sqlite_where=rooms.c.client_id.is_not(None),
    postgresql_where=rooms.c.client_id.is_not(None),
)

Index(
    "ix_messages_changed",
    messages.c.room,
    messages.c.changed,
    unique=True,
    sqlite_where=messages.c.changed > messages.c.seq,
    postgresql_where=messages.c.changed > messages.c.seq,
)

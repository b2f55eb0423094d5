"""The data folder and the database in it: opened by one server at a time, migrated, and named.

`epoch` names the numbering of all rooms. A new one is drawn when the numbers could have gone back without a
client being able to see it: see `_settle_epoch` and `docs/protocol.md` 1.4.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from chatzilla.errors import StartError
from chatzilla.store.condition import Condition, is_damaged
from chatzilla.store.tables import facts

if TYPE_CHECKING:
    from typing import Self, TextIO

    from sqlalchemy import Connection, Engine

FULL: Final = "full"
"""Every commit is synced to disk before it is acknowledged."""

NORMAL: Final = "normal"
"""A power cut may take the newest commits; a crash of the process may not."""

BUSY_TIMEOUT_MS: Final = 2_000
"""How long the database may be locked by a stranger before a sender is told."""

LAST_TIMEOUT_MS: Final = 250
"""The same when the server stops, and nobody is left to be told: it has to end in time."""

SHORTEST_KEY: Final = 32
"""Characters of a signing key."""

KEYS_BEFORE: Final = 5
"""Former signing keys that are kept."""

LARGEST_STEP: Final = 10**9
"""By how much the count of starts and stops is raised at most."""

PUT_BACK: Final = 'Put back a copy: docs/operating.md, "Restore", says how.'
"""What is to be done about a damaged database."""

CHECKPOINT_PAGES: Final = 4_000
"""Pages of 4 KB in the write-ahead log before they move to the database, which takes syncs of its own."""

OLDEST_SQLITE: Final = (3, 35, 0)
"""The first SQLite with RETURNING."""


def look_at(path: Path) -> str:
    """What is in the way of a database, in words; nothing where there is none. It is only read, and may be in use.

    Returns:
        A sentence, or nothing where all is well, or where there is no database yet.
    """
    if not path.exists() or not path.stat().st_size:
        return ""
    try:
        how = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"  # else it would make files
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                return f"{path} is damaged ({found}). {PUT_BACK}"
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            if "alembic_version" not in tables:
                return f"{path} is no database of Chatzilla. Name another one." if tables else ""
            versions = [version for (version,) in connection.execute("SELECT version_num FROM alembic_version")]
    except sqlite3.DatabaseError as error:
        return (
            f"{path} cannot be read: {error}. {PUT_BACK}" if is_damaged(error) else f"{path} cannot be read: {error}."
        )
    known = {each.revision for each in ScriptDirectory.from_config(_alembic()).walk_revisions()}
    newer = [version for version in versions if version not in known]
    return f"{path} was written by a newer Chatzilla than this one. Upgrade, or restore a backup." if newer else ""


def copy(source: Path, target: Path) -> None:
    """Copy a database into a new file, its owner's alone: all of one moment, also while it is written to.

    Raises:
        StartError: there is something already, or it cannot be copied.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        if target.exists():
            raise StartError(f"{target} is there already. Name a new file.")
        part.unlink(missing_ok=True)
        _private(part)
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as reading,
            closing(sqlite3.connect(part)) as writing,
        ):
            reading.backup(writing)
            writing.execute("PRAGMA journal_mode = DELETE")  # one file, and nothing beside it
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.rename(target)
        _sync_folder(target.parent)
    except (OSError, sqlite3.DatabaseError) as error:
        part.unlink(missing_ok=True)
        raise StartError(f"{source} cannot be copied to {target}: {error}.") from error


class Restored(NamedTuple):
    """What a restore has come to."""

    epoch: str
    before: Path | None
    """Where the database is that was there before, if there was one."""


class Database:
    """An opened data folder: one engine that writes, one that reads, and the epoch."""

    def __init__(self, folder: Path, path: Path | None = None, *, synchronous: str = FULL) -> None:
        """Name the data folder, and the database file where it is kept elsewhere."""
        self.folder = folder
        self.path = Path(os.path.realpath(path or folder / "chatzilla.db"))
        """The file itself, where a link leads to it: what SQLite keeps beside it is there, and so is its lock."""
        self.synchronous = synchronous
        self.condition = Condition()
        """Whether it does what it is asked to; whoever asks it says so there."""
        self.epoch = ""
        self.key = ""
        """The signing key of this installation, made at the first start and readable by its owner alone."""
        self.keys_before: tuple[str, ...] = ()
        """The keys before it, for as long as their tokens last."""
        self._locks: list[TextIO] = []
        url = sa.URL.create("sqlite", database=str(self.path))
        self.writing = _engine(url, synchronous, "BEGIN IMMEDIATE")
        self.reading = _engine(url, synchronous, "BEGIN", "PRAGMA query_only = ON")

    def open(self) -> Self:
        """Lock the folder, bring the schema up to date, settle the epoch.

        Raises:
            StartError: the folder cannot be used, another server has it, or its database is newer than we are.
        """
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise StartError(f"This Python brings SQLite {sqlite3.sqlite_version}; Chatzilla needs 3.35 or newer.")
        try:
            self._lock_all()
            self._read_keys()
            _private(self.path)
            _migrate(self.writing)
            with self.writing.begin() as connection:
                epoch, count = self._settle_epoch(connection)
            _write_through(self._counter, count)
            _clear_log(self.writing)
            self.epoch = epoch
        except (OSError, ValueError, sa.exc.DatabaseError) as error:
            cause = getattr(error, "orig", None) or error
            if is_damaged(error):
                raise StartError(f"The database {self.path} is damaged ({cause}). {PUT_BACK}") from error
            raise StartError(f"The data folder {self.folder} cannot be used: {cause}") from error
        finally:
            if not self.epoch:
                self.close()
        return self

    def close(self, *, cleanly: bool = False) -> None:
        """Give the folder back. `cleanly` says that everything acknowledged has reached the database."""
        if cleanly:
            last = _engine(self.writing.url, self.synchronous, "BEGIN IMMEDIATE", patience_ms=LAST_TIMEOUT_MS)
            with suppress(OSError, sa.exc.DatabaseError):
                with last.begin() as connection:
                    count = self._count(connection)
                    _state(connection, "open", "")
                _write_through(self._counter, count)
            last.dispose()
        self.reading.dispose()
        self.writing.dispose()
        self._unlock()

    @property
    def mark(self) -> str:
        """What tells this database from every other one, a copy of it included, where servers share something.

        It stays as long as the epoch and the place do.
        """
        return hashlib.sha256(self.epoch.encode() + b" " + os.fsencode(self.path)).hexdigest()[:16]

    def _lock_all(self) -> None:
        """Take the folder, and the database wherever it is, unless they are ours.

        Another folder's server may have been given the database as well.
        """
        if self._locks:
            return
        _make_folder(self.folder)
        instead = "give this one a folder of its own with --data"
        self._locks.append(_lock(self.folder / "lock", f"The data folder {self.folder}", instead))
        beside = self.path.with_name(f"{self.path.name}.lock")
        self._locks.append(_lock(beside, f"The database {self.path}", "name another one in DATABASE_URL"))

    def _unlock(self) -> None:
        for lock in self._locks:
            lock.close()
        self._locks.clear()

    def restore(self, copy_of_it: Path) -> Restored:
        """Put a copy in the place of the database, under a new epoch: every client starts over.

        What is replaced is kept beside it, one of them. The folder is ours until all of it is done.

        Raises:
            StartError: a server runs on the folder, or the copy is none; nothing is changed then.
        """
        wrong = look_at(copy_of_it) if copy_of_it.is_file() else f"There is no file {copy_of_it}."
        if wrong or not copy_of_it.stat().st_size:
            raise StartError(wrong or f"{copy_of_it} is empty.")
        fresh = self.path.with_name(f"{self.path.name}.restored")
        try:
            self._lock_all()
            fresh.unlink(missing_ok=True)
            copy(copy_of_it, fresh)
            before = self._set_aside()
            fresh.replace(self.path)
            _sync_folder(self.path.parent)
            self.open()
            return Restored(self.renew_epoch(), before)
        except OSError as error:
            raise StartError(f"{self.path} cannot be put back: {error}.") from error
        finally:
            self.close(cleanly=bool(self.epoch))

    def _set_aside(self) -> Path | None:
        """Keep the database under another name, too; returns which, or None where there is no database.

        Its write-ahead log gets another name as well before SQLite looks at it: of a damaged one it leaves nothing.
        """
        if not self.path.exists():
            return None
        before = self.path.with_name(f"{self.path.name}.before")
        log, log_before = (path.with_name(f"{path.name}-wal") for path in (self.path, before))
        for file in (before, log_before, before.with_name(f"{before.name}-shm")):
            file.unlink(missing_ok=True)
        for file, name in ((self.path, before), (log, log_before)):
            if file.exists():
                _name_again(file, name)
        with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(self.path)) as there:
            there.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # whole by itself, whatever happens from here on
        for file in (log, self.path.with_name(f"{self.path.name}-shm")):  # they belong to nothing any more
            file.unlink(missing_ok=True)
        if log_before.exists() and not log_before.stat().st_size:
            log_before.unlink()
        return before

    def renew_epoch(self) -> str:
        """Draw a new epoch: every client starts over from the newest page."""
        with self.writing.begin() as connection:
            self.epoch = _draw_epoch(connection)
        return self.epoch

    def rotate_key(self, *, until: int) -> None:
        """Draw a new signing key; the ones before it verify until a moment, in seconds since 1970, or not at all.

        Raises:
            StartError: the folder cannot be written.
        """
        path = self.folder / "secret"
        try:
            lines = [f"{self.key} {until}", *path.read_text().splitlines()[1:]] if until else []
            _write_through(path, "\n".join([secrets.token_urlsafe(48), *lines[:KEYS_BEFORE]]) + "\n")
            self._read_keys()
        except (OSError, ValueError) as error:
            raise StartError(f"The key in {path} cannot be changed: {error}") from error

    def _read_keys(self) -> None:
        path = self.folder / "secret"
        self.key = _read_key(path)
        former = [line.split() for line in path.read_text().splitlines()[1:]]
        self.keys_before = tuple(
            words[0] for words in former if len(words) == 2 and words[1].isdigit() and int(words[1]) > time.time()
        )

    @property
    def _counter(self) -> Path:
        """The file that holds the count of starts and stops beside the database."""
        return self.folder / "starts"

    def _settle_epoch(self, connection: Connection) -> tuple[str, str]:
        """Keep the epoch, or draw a new one where the numbering may have gone back; and raise the count.

        That is so when this database is not the one that was here at the last start or stop (the count of those in
        it and the one in the file beside it differ), and when the last run ended uncleanly while commits were not
        synced.

        Returns:
            The epoch, and the count for the file.
        """
        known = dict(connection.execute(sa.select(facts.c.name, facts.c.value)).all())
        beside = _read_counter(self._counter)
        replaced = beside != known.get("starts", "") and (not beside or beside != known.get("starts_before"))
        unsynced = known.get("open", "") not in ("", FULL)
        keep = "epoch" in known and not replaced and not unsynced
        epoch = known["epoch"] if keep else _draw_epoch(connection)
        count = self._count(connection)
        _state(connection, "open", self.synchronous)
        return epoch, count

    def _count(self, connection: Connection) -> str:
        """Raise the count of starts and stops; returns what the file is to hold once this is committed.

        In between the database is one step ahead, and knows what stands in the file: whatever ends this half-way, the
        next start goes on. A step is a large one, by chance, so that a copy which went its own way is not taken for
        this database one step ahead.
        """
        starts = connection.execute(sa.select(facts.c.value).where(facts.c.name == "starts")).scalar_one_or_none()
        beside = _read_counter(self._counter)
        count = str(max(int(starts or 0), int(beside or 0)) + 1 + secrets.randbelow(LARGEST_STEP))
        _state(connection, "starts", count)
        _state(connection, "starts_before", beside)
        return count


def _engine(url: sa.URL, synchronous: str, begin: str, *pragmas: str, patience_ms: int = 0) -> Engine:
    """An engine whose transactions begin as we say; sqlite3 of the standard library would begin them late."""
    patience = (patience_ms or BUSY_TIMEOUT_MS) / 1000
    engine = sa.create_engine(url, connect_args={"timeout": patience, "check_same_thread": False})

    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        for pragma in (
            "PRAGMA journal_mode = WAL",
            f"PRAGMA synchronous = {synchronous}",
            "PRAGMA foreign_keys = ON",
            "PRAGMA temp_store = MEMORY",  # no file is made and removed for a batch
            "PRAGMA secure_delete = ON",  # a text that was deleted or replaced is overwritten
            f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}",
            *pragmas,
        ):
            connection.execute(pragma)

    sa.event.listen(engine, "connect", prepare)
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _clear_log(engine: Engine) -> None:
    """Empty the write-ahead log: a run that was killed may have left texts in it that were deleted or replaced."""
    raw = engine.raw_connection()
    try:
        raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        raw.close()


def _lock(path: Path, what: str, instead: str) -> TextIO:
    """Take something for this process, until it ends or closes the file.

    Raises:
        StartError: another process has it; the text says which, and what to do `instead`.
    """
    _private(path)
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise StartError(
            f"{what} is in use by another Chatzilla (process {owner}). Stop that one, or {instead}."
        ) from error
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def _read_key(path: Path) -> str:
    """The signing key; one is made where there is none.

    Raises:
        StartError: there is one that somebody could guess.
    """
    _private(path)
    key = next(iter(path.read_text().split("\n", 1)), "").strip()
    if not key:
        key = secrets.token_urlsafe(48)
        _write_through(path, key)
    if len(key) < SHORTEST_KEY:
        raise StartError(
            f"The key in {path} is shorter than {SHORTEST_KEY} characters. Remove it, or write a better one."
        )
    return key


def _read_counter(path: Path) -> str:
    """The count in the file beside the database; nothing where there is none, or where it is no number."""
    text = path.read_bytes().strip() if path.exists() else b""
    return text.decode() if text.isdigit() else ""


def _private(path: Path) -> None:
    """See that a file exists and is its owner's alone, also where it was put there as a copy that others may read."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.fstat(file).st_mode & 0o077:
            os.fchmod(file, 0o600)
    finally:
        os.close(file)


def _write_through(path: Path, text: str) -> None:
    """Replace a small file so that it holds the old text or the new one, whatever happens."""
    fresh = path.with_name(path.name + ".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    _sync_folder(path.parent)


def _name_again(file: Path, name: Path) -> None:
    """Give a file a second name, which costs nothing; where the file system has no such thing, copy it."""
    try:
        os.link(file, name)
    except OSError:
        _private(name)
        shutil.copyfile(file, name)
        with name.open("rb") as copied:
            os.fsync(copied.fileno())


def _make_folder(path: Path) -> None:
    """See that a folder exists, and that its name lasts: it does once the folder that names it is synced."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    for folder in missing:
        with suppress(PermissionError):  # one may be made in a folder that cannot be listed
            _sync_folder(folder.parent)


def _sync_folder(path: Path) -> None:
    """Make the names in a folder last."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _alembic() -> AlembicConfig:
    alembic = AlembicConfig()
    alembic.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return alembic


def _migrate(engine: Engine) -> None:
    alembic = _alembic()
    with engine.begin() as connection:
        alembic.attributes["connection"] = connection
        try:
            command.upgrade(alembic, "head")
        except CommandError as error:
            raise StartError(
                f"The database was written by a newer Chatzilla than this one ({error}). Upgrade, or restore a backup."
            ) from error


def _draw_epoch(connection: Connection) -> str:
    epoch = secrets.token_urlsafe(9)
    _state(connection, "epoch", epoch)
    return epoch


def _state(connection: Connection, name: str, value: str) -> None:
    if not connection.execute(sa.update(facts).where(facts.c.name == name).values(value=value)).rowcount:
        connection.execute(sa.insert(facts).values(name=name, value=value))

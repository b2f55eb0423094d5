"""The data folder: one server's alone, private, migrated, and honest about its numbering."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from chatzilla import cli
from chatzilla.errors import StartError
from chatzilla.store.database import BUSY_TIMEOUT_MS, FULL, NORMAL, Database, _state, copy
from tests.helpers.servers import ROOT


def started(folder: Path, *, synchronous: str = FULL) -> str:
    """One clean run of a server; returns its epoch."""
    database = Database(folder, synchronous=synchronous).open()
    epoch = database.epoch
    database.close(cleanly=True)
    return epoch


def crashed(folder: Path, *, synchronous: str = FULL) -> str:
    """One run that ended without a word, as by kill -9; returns its epoch."""
    database = Database(folder, synchronous=synchronous).open()
    epoch = database.epoch
    database.close(cleanly=False)
    return epoch


def killed(folder: Path, *, largest_file: int | None = None) -> str:
    """The same in a process of its own, so that its write-ahead log stays; returns its epoch, or why it was refused.

    Args:
        folder: its data.
        largest_file: bytes beyond which no file can be written, as if the disk were full.
    """
    limit = "" if largest_file is None else f"resource.setrlimit(resource.RLIMIT_FSIZE, ({largest_file}, -1))"
    script = f"""
import os, resource, sys
from pathlib import Path
from chatzilla.errors import StartError
from chatzilla.store.database import Database
{limit}
try:
    print(Database(Path(sys.argv[1])).open().epoch, flush=True)
except StartError as error:
    print(error, flush=True)
os._exit(0)
"""
    run = subprocess.run([sys.executable, "-c", script, folder], cwd=ROOT, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_a_restore_that_fails_half_way_loses_nothing_of_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, backup, killed_one = tmp_path / "data", tmp_path / "copy.db", tmp_path / "killed"
    database = Database(folder).open()
    copy(database.path, backup)
    with database.writing.begin() as connection:
        _state(connection, "said", "after the copy")
    shutil.copytree(folder, killed_one)  # as after kill -9: what was said is in the write-ahead log alone
    database.close()
    path = killed_one / database.path.name
    assert b"after the copy" not in path.read_bytes()

    def fails(*_: object) -> None:
        raise OSError("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", fails)
        with pytest.raises(StartError, match="the disk is gone"):
            Database(killed_one).restore(backup)
    with closing(sqlite3.connect(path)) as there:
        assert there.execute("SELECT value FROM facts WHERE name = 'said'").fetchall() == [("after the copy",)]


def says(folder: Path, *words: str) -> None:
    """One run in which the database learns something."""
    database = Database(folder).open()
    for each in words:
        with database.writing.begin() as connection:
            _state(connection, "said", each)
    database.close(cleanly=True)


def said(path: Path) -> str:
    with closing(sqlite3.connect(path)) as there:
        (found,) = there.execute("SELECT value FROM facts WHERE name = 'said'").fetchone()
    return str(found)


def test_what_a_restore_replaces_is_kept_beside_it_and_can_be_put_back(folder: Path, tmp_path: Path) -> None:
    """One of them: a second restore keeps what it replaces itself."""
    backup, path, before = tmp_path / "copy.db", folder / "chatzilla.db", folder / "chatzilla.db.before"
    says(folder, "first")
    copy(path, backup)
    says(folder, "second")
    assert Database(folder).restore(backup).before == before
    assert (said(path), said(before), mode(before)) == ("first", "second", 0o600)
    says(folder, "third")
    Database(folder).restore(before)
    assert (said(path), said(before)) == ("second", "third")
    assert sorted(folder.glob("*.before*")) == [before]


def test_a_restore_where_there_is_nothing_keeps_nothing(folder: Path, tmp_path: Path) -> None:
    says(tmp_path / "elsewhere", "first")
    restored = Database(folder).restore(tmp_path / "elsewhere/chatzilla.db")
    assert (said(folder / "chatzilla.db"), restored.before) == ("first", None)
    assert not list(folder.glob("*.before*"))


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_a_damaged_database_is_kept_as_it_is(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """With what could not be brought in from its write-ahead log; also where no file may have a second name."""
    says(folder, "first")
    path, before = folder / "chatzilla.db", folder / "chatzilla.db.before"
    copy(path, tmp_path / "copy.db")
    damaged, log = b"no database any more" * 1000, b"nor a log" * 1000
    path.write_bytes(damaged)
    path.with_name("chatzilla.db-wal").write_bytes(log)

    def refuses(*_: object) -> None:
        raise PermissionError(errno.EPERM, "not on this file system")

    if not links:
        monkeypatch.setattr(os, "link", refuses)
    Database(folder).restore(tmp_path / "copy.db")
    assert said(path) == "first"
    assert (before.read_bytes(), before.with_name("chatzilla.db.before-wal").read_bytes()) == (damaged, log)
    assert mode(before) == 0o600


def test_a_restore_holds_the_folder_from_its_first_step_to_its_last(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is started in the middle of one is refused, and finds everything done after it."""
    says(folder, "first")
    copy(folder / "chatzilla.db", tmp_path / "copy.db")
    opens, tried = Database.open, []

    def watched(self: Database) -> Database:
        with pytest.raises(StartError, match="in use by another"):
            opens(Database(folder))
        tried.append(True)
        return opens(self)

    with monkeypatch.context() as patched:
        patched.setattr(Database, "open", watched)
        epoch = Database(folder).restore(tmp_path / "copy.db").epoch
    assert tried
    assert started(folder) == epoch


def test_a_text_that_a_killed_run_replaced_is_in_no_file_after_the_next_start(tmp_path: Path) -> None:
    secret, left = b"the-password-is-swordfish", tmp_path / "left"
    database = Database(tmp_path / "data").open()
    with database.writing.begin() as connection:
        _state(connection, "said", secret.decode())
    with database.writing.begin() as connection:
        _state(connection, "said", "nothing to see")
    shutil.copytree(tmp_path / "data", left)
    database.close()

    def held() -> list[str]:
        return [path.name for path in left.iterdir() if secret in path.read_bytes()]

    assert held() == ["chatzilla.db-wal"]
    again = Database(left).open()
    assert held() == []
    again.close()


class TestTheEpoch:
    """It stays while the numbering goes on, and changes when the numbering may have gone back."""

    def test_two_installations_have_different_ones(self, tmp_path: Path) -> None:
        assert started(tmp_path / "one") != started(tmp_path / "two")

    @pytest.mark.parametrize("synchronous", [FULL, NORMAL])
    def test_a_clean_restart_keeps_it(self, folder: Path, synchronous: str) -> None:
        assert len({started(folder, synchronous=synchronous) for _ in range(3)}) == 1

    def test_a_crash_keeps_it_where_commits_are_synced(self, folder: Path) -> None:
        assert crashed(folder) == crashed(folder) == started(folder)

    def test_a_crash_draws_a_new_one_where_commits_may_be_lost(self, folder: Path) -> None:
        first = crashed(folder, synchronous=NORMAL)
        second = crashed(folder, synchronous=NORMAL)
        assert second != first
        assert started(folder, synchronous=FULL) not in (first, second)

    def test_a_start_whose_commit_fails_keeps_it(self, folder: Path) -> None:
        """As on a disk that is full: the database stays as it was, and so does what stands beside it."""
        epochs = set()
        for _ in range(2):
            epochs.add(killed(folder))
            assert "cannot be used" in killed(folder, largest_file=(folder / "chatzilla.db-wal").stat().st_size)
        assert epochs == {started(folder)}

    def test_a_start_that_ends_before_the_count_is_beside_it_keeps_it(self, folder: Path) -> None:
        first = started(folder)
        (folder / "starts.new").mkdir()  # so that the file cannot be written
        for _ in range(2):
            with pytest.raises(StartError, match="cannot be used"):
                Database(folder).open()
        (folder / "starts.new").rmdir()
        assert started(folder) == first

    def test_a_stop_that_ends_before_the_count_is_beside_it_keeps_it(self, folder: Path) -> None:
        database = Database(folder).open()
        (folder / "starts.new").mkdir()
        database.close(cleanly=True)
        (folder / "starts.new").rmdir()
        assert started(folder) == database.epoch

    def test_a_copy_that_went_its_own_way_draws_a_new_one(self, folder: Path, tmp_path: Path) -> None:
        """Counted in ones, it would look like this database, one step ahead."""
        database = Database(folder).open()
        shutil.copytree(folder, tmp_path / "copy")
        assert started(tmp_path / "copy") == database.epoch
        database.close(cleanly=True)
        shutil.copy(tmp_path / "copy" / "chatzilla.db", folder / "chatzilla.db")
        assert started(folder) != database.epoch

    def test_a_change_of_the_setting_alone_keeps_it(self, folder: Path) -> None:
        assert started(folder, synchronous=NORMAL) == started(folder) == started(folder, synchronous=NORMAL)

    def test_an_older_copy_of_the_database_draws_a_new_one(self, folder: Path, tmp_path: Path) -> None:
        first = started(folder)
        shutil.copy(folder / "chatzilla.db", tmp_path / "backup.db")
        assert started(folder) == first
        shutil.copy(tmp_path / "backup.db", folder / "chatzilla.db")
        second = started(folder)
        assert second != first
        assert started(folder) == second

    def test_restoring_the_same_copy_twice_draws_two(self, folder: Path, tmp_path: Path) -> None:
        epochs = [started(folder)]
        shutil.copy(folder / "chatzilla.db", tmp_path / "backup.db")
        started(folder)
        for _ in range(2):
            shutil.copy(tmp_path / "backup.db", folder / "chatzilla.db")
            epochs.append(started(folder))
        assert len(set(epochs)) == 3

    @pytest.mark.parametrize("beside", [None, "", "nonsense", "0", "999"])
    def test_a_counter_that_does_not_fit_draws_a_new_one(self, folder: Path, beside: str | None) -> None:
        first = started(folder)
        counter = folder / "starts"
        if beside is None:
            counter.unlink()
        else:
            counter.write_text(beside)
        second = started(folder)
        assert second != first
        assert started(folder) == second

    def test_a_database_that_vanished_draws_a_new_one(self, folder: Path) -> None:
        first = started(folder)
        (folder / "chatzilla.db").unlink()
        assert started(folder) != first

    def test_the_operator_can_draw_a_new_one(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        first = started(folder)
        assert cli.main(["new-epoch", "--data", str(folder)]) == 0
        second = started(folder)
        assert second != first
        assert second in capsys.readouterr().out
        assert started(folder) == second


class TestTheFolder:
    """One server at a time, and nobody else's business."""

    def test_a_second_server_is_refused_in_words(self, folder: Path) -> None:
        first = Database(folder).open()
        with pytest.raises(StartError, match=f"in use by another Chatzilla .*{os.getpid()}.*--data"):
            Database(folder).open()
        first.close(cleanly=True)
        started(folder)

    def test_a_refused_second_server_disturbs_nothing(self, folder: Path) -> None:
        first = Database(folder).open()
        with pytest.raises(StartError):
            Database(folder).open()
        with pytest.raises(StartError, match=str(os.getpid())):
            Database(folder).open()
        first.close(cleanly=True)
        assert started(folder) == first.epoch

    def test_the_operator_cannot_draw_a_new_epoch_under_a_running_server(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        running = Database(folder).open()
        assert cli.main(["new-epoch", "--data", str(folder)]) == 2
        assert "in use" in capsys.readouterr().err
        running.close(cleanly=True)

    def test_a_second_process_is_refused_with_status_2(self, folder: Path) -> None:
        running = Database(folder).open()
        done = subprocess.run(
            [sys.executable, str(ROOT / "run_server.py"), "--data", str(folder), "--port", "0"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            cwd=folder.parent,
            env={name: value for name, value in os.environ.items() if not name.startswith("CHATZILLA_")},
        )
        running.close(cleanly=True)
        assert done.returncode == 2
        assert "in use by another Chatzilla" in done.stderr
        assert "Traceback" not in done.stderr

    def test_what_is_private_is_readable_by_its_owner_alone(self, folder: Path) -> None:
        before = os.umask(0)
        try:
            database = Database(folder).open()
            modes = {path.name: oct(mode(path)) for path in folder.iterdir() if path.name != "lock"}
            database.close(cleanly=True)
        finally:
            os.umask(before)
        assert mode(folder) == 0o700
        assert set(modes) >= {"chatzilla.db", "secret", "starts"}
        assert set(modes.values()) == {"0o600"}, modes

    def test_the_secret_is_made_once_and_long(self, folder: Path, tmp_path: Path) -> None:
        database = Database(folder).open()
        secret = database.key
        assert len(secret) >= 32
        database.close(cleanly=True)
        again = Database(folder).open()
        assert again.key == secret
        again.close(cleanly=True)
        other = Database(tmp_path / "other").open()
        assert other.key != secret
        other.close(cleanly=True)

    @pytest.mark.parametrize("key", [b"x", b"\xff" * 40])
    def test_a_key_that_somebody_could_guess_or_nobody_can_read_is_refused(self, folder: Path, key: bytes) -> None:
        folder.mkdir()
        (folder / "secret").write_bytes(key)
        with pytest.raises(StartError):
            Database(folder).open()

    @pytest.mark.parametrize("count", ["²".encode(), b"\xff", b"many", b""])
    def test_a_counter_that_is_none_is_another_database(self, folder: Path, count: bytes) -> None:
        before = Database(folder).open()
        before.close(cleanly=True)
        (folder / "starts").write_bytes(count)
        after = Database(folder).open()
        assert after.epoch != before.epoch
        after.close(cleanly=True)

    def test_a_copy_made_while_it_ran_is_another_database_after_a_clean_stop(self, folder: Path) -> None:
        """What is restored lacks what was said after it was copied, so clients have to start over."""
        running = Database(folder).open()
        with closing(sqlite3.connect(folder / "chatzilla.db")) as source, closing(sqlite3.connect(":memory:")) as copy:
            source.backup(copy)
            running.close(cleanly=True)
            for file in folder.glob("chatzilla.db*"):
                file.unlink()
            with closing(sqlite3.connect(folder / "chatzilla.db")) as restored:
                copy.backup(restored)
        again = Database(folder).open()
        assert again.epoch != running.epoch
        again.close(cleanly=True)

    def test_two_servers_cannot_have_one_database_in_two_folders(self, folder: Path, tmp_path: Path) -> None:
        elsewhere = tmp_path / "elsewhere.db"
        first = Database(folder, elsewhere).open()
        with pytest.raises(StartError, match="in use by another Chatzilla"):
            Database(tmp_path / "second", elsewhere).open()
        first.close(cleanly=True)
        Database(tmp_path / "second", elsewhere).open().close(cleanly=True)

    @pytest.mark.parametrize("by", ["name", "symlink"])
    def test_nobody_else_is_given_the_database_in_a_servers_own_folder(
        self, folder: Path, tmp_path: Path, by: str
    ) -> None:
        """Two would tell nobody what the other one stores, and the second would draw a new epoch under the first."""
        first = Database(folder).open()
        database = folder / "chatzilla.db"
        if by == "symlink":
            (tmp_path / "link.db").symlink_to(database)
            database = tmp_path / "link.db"
        with pytest.raises(StartError, match=f"in use by another Chatzilla .*{os.getpid()}.*DATABASE_URL"):
            Database(tmp_path / "second", database).open()
        first.close(cleanly=True)
        assert started(folder) == first.epoch

    def test_the_database_may_be_kept_elsewhere(self, folder: Path, tmp_path: Path) -> None:
        elsewhere = tmp_path / "elsewhere.db"
        database = Database(folder, elsewhere).open()
        database.close(cleanly=True)
        assert mode(elsewhere) == 0o600
        assert not (folder / "chatzilla.db").exists()


NEWEST = max(path.name[:4] for path in (ROOT / "chatzilla/store/migrations/versions").glob("0*.py"))
"""The revision that a database is brought to."""


class TestTheSchema:
    """Brought up to date at each start; one from the future is left alone."""

    def test_a_newer_one_is_refused_in_words(self, folder: Path) -> None:
        epoch = started(folder)
        with sqlite3.connect(folder / "chatzilla.db") as connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.close()
        with pytest.raises(StartError, match="written by a newer Chatzilla"):
            Database(folder).open()
        with sqlite3.connect(folder / "chatzilla.db") as connection:
            assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]
            assert connection.execute("SELECT value FROM facts WHERE name = 'epoch'").fetchall() == [(epoch,)]
            connection.execute("UPDATE alembic_version SET version_num = ?", [NEWEST])
        connection.close()
        assert started(folder) == epoch

    def test_what_is_no_database_is_refused_in_words_and_left_as_it_is(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "chatzilla.db").write_bytes(b"this is a letter, not a database" * 100)
        with pytest.raises(StartError, match="is damaged"):
            Database(folder).open()
        assert (folder / "chatzilla.db").read_bytes().startswith(b"this is a letter")

    def test_a_folder_that_is_a_file_is_refused_in_words(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        for folder in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(StartError, match="cannot be used"):
                Database(folder).open()

    def test_after_a_refusal_the_folder_is_free_again(self, folder: Path) -> None:
        started(folder)
        good = (folder / "chatzilla.db").read_bytes()
        (folder / "chatzilla.db").write_bytes(b"x" * 4096)
        for _ in range(2):
            with pytest.raises(StartError, match="is damaged"):
                Database(folder).open()
        (folder / "chatzilla.db").write_bytes(good)
        started(folder)

    def test_commits_are_synced_unless_the_operator_says_otherwise(self, folder: Path) -> None:
        for synchronous, number in ((FULL, 2), (NORMAL, 1)):
            database = Database(folder, synchronous=synchronous).open()
            with database.writing.connect() as connection:
                assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == number
                assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
            database.close(cleanly=True)


def test_a_stranger_who_locks_it_does_not_keep_a_server_from_stopping(tmp_path: Path) -> None:
    """Everybody has gone by then, and a platform that waits in vain kills what it has told to stop."""
    database = Database(tmp_path).open()
    with closing(sqlite3.connect(database.path, isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        database.close(cleanly=True)
        assert time.monotonic() - began < BUSY_TIMEOUT_MS / 1000
    assert started(tmp_path) == database.epoch

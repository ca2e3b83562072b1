"""The file: opened safely, shared with other processes, and never trusted once it is damaged.

Everything here blocks, and runs on the journal's worker thread. This module imports sqlite3: import it lazily.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from sora_mcp.journal import damage
from sora_mcp.journal.refusals import code_of, is_busy, is_damage, unavailable
from sora_mcp.journal.schema import VERSION, migrate, refuse_newer, version_of
from sora_mcp.journal.transactions import writing

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

T = TypeVar("T")

_FAILURES = (sqlite3.Error, OSError, UnicodeError)

_WAL_RETRY_SECONDS = 0.01

# After these the open file is as good as before, and on a full disk it might not be opened again.
_HARMLESS = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CONSTRAINT})


class Store:
    """One connection, opened on first use, and opened again when the file was replaced."""

    def __init__(self, path: Path, busy_timeout: float) -> None:
        self._path = path
        self._busy_timeout = busy_timeout
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` in a transaction and commit it to the disk.

        Raises:
            JournalUnavailable: Nothing of it was written.
        """
        try:
            with self._failures():
                connection = self._current()
                with writing(connection):
                    refuse_newer(connection)  # a newer process may have come since it was opened
                    return work(connection)
        except _FAILURES as error:
            raise unavailable(error, self._path.name) from _without_path(error)

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work``, which only reads; a file that cannot be written is read all the same.

        Raises:
            JournalUnavailable: The file cannot be read either.
        """
        try:
            with self._failures():
                connection = self._current()
                refuse_newer(connection)
                return work(connection)
        except _FAILURES as error:
            if not is_busy(error):
                # The last way does not see what still stands in the write-ahead log, so it really is the last.
                for how in ("mode=ro", "mode=ro&immutable=1"):
                    with suppress(*_FAILURES), closing(self._connect(how)) as connection:
                        if version_of(connection) == VERSION:
                            return work(connection)
            raise unavailable(error, self._path.name) from _without_path(error)

    def close(self) -> None:
        """Close the file. The next use opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    @contextmanager
    def _failures(self) -> Generator[None]:
        """Put a damaged file aside; let go of a file that may be another one, or writable, the next time."""
        try:
            yield
        except sqlite3.Error as error:
            if is_damage(error):
                damage.set_aside(self._path, self._identity, self.close)
                raise damage.stopped(self._path) from error
            if code_of(error) not in _HARMLESS:
                self.close()
            raise

    def _current(self) -> sqlite3.Connection:
        if damage.is_stopped(self._path):
            self.close()
            raise damage.stopped(self._path)
        if self._connection is None or self._identity != damage.identity(self._path):
            self.close()
            return self._open()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        _make_private(self._path)
        self._identity = damage.identity(self._path)
        connection = self._connection = self._connect("mode=rw")
        try:
            refuse_newer(connection)
            self._enter_wal_mode(connection)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA temp_store = MEMORY")  # a full disk must still be able to sort
            connection.execute("PRAGMA cache_size = -16384")  # KiB; holds all that a search reads
            migrate(connection)
            damage.check(connection)
        except BaseException as error:
            if not is_damage(error):  # else it is closed once the file has been put aside
                self.close()
            raise
        return connection

    def _connect(self, how: str) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self._path.as_uri()}?{how}",
            uri=True,
            timeout=self._busy_timeout,
            isolation_level=None,
            check_same_thread=False,
        )

    def _enter_wal_mode(self, connection: sqlite3.Connection) -> None:
        """Switch a new file to write-ahead logging. Where a disk has no WAL, SQLite stays with its safe default."""
        deadline = time.monotonic() + self._busy_timeout
        while True:
            try:
                if connection.execute("PRAGMA journal_mode").fetchall() != [("wal",)]:
                    connection.execute("PRAGMA journal_mode = WAL").fetchall()
            except sqlite3.OperationalError as error:
                # When several processes switch at once, SQLite refuses without waiting.
                if not is_busy(error) or time.monotonic() > deadline:
                    raise
                time.sleep(_WAL_RETRY_SECONDS)
            else:
                return


def _make_private(path: Path) -> None:
    """Make the folder 0700 and the file 0600. SQLite gives its two side files the mode of the file."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        # Only when there is none: closing a second descriptor of an open database would drop its locks.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        with suppress(OSError):  # not ours to change, or on a read-only disk
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)


def _without_path(error: BaseException) -> BaseException | None:
    """The cause to show in a traceback: SQLite's errors, which hold no data; not an OSError, which holds the path."""
    return error if isinstance(error, sqlite3.Error) else None

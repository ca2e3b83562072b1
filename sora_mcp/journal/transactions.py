"""A write: all of it or nothing."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator


@contextmanager
def writing(connection: sqlite3.Connection) -> Generator[None]:
    """Hold the write lock from the first statement on, commit at the end, roll back on any exception.

    A plain BEGIN takes the lock at its first write, and then fails at once, without waiting, if another process
    has written since its first read.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # a full disk may have rolled back already; the first error is the one to tell
            connection.execute("ROLLBACK")
        raise

"""A damaged order book: found, put aside whole, and not replaced before a person has looked.

An empty order book would let an order that was already paid for be placed again. So a damaged file is renamed to
``NAME.corrupt-1`` (its ``-wal`` and ``-shm`` with it) and a note, ``NAME.stopped``, is put in its place. While the
note is there nothing is ordered and nothing is read. The person compares the service's console with what they
expect, then deletes the note; the next call starts a new order book. Nothing is ever deleted by the program.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING

from sora_mcp.errors import JournalUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# The file itself comes last: a crash in between leaves it where it will be found damaged, and put aside, again.
_SUFFIXES = ("-wal", "-shm", "")


class DamagedError(sqlite3.DatabaseError):
    """The check found pages that do not fit together."""


def check(connection: sqlite3.Connection) -> None:
    """Look at every page of the file once.

    Raises:
        DamagedError: They do not fit together.
    """
    if connection.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
        raise DamagedError


def identity(path: Path) -> tuple[int, int] | None:
    """Which file stands under the path now."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def is_stopped(path: Path) -> bool:
    """Whether the note that only a person may delete is there."""
    return _note(path).exists()


def stopped(path: Path) -> JournalUnavailable:
    """What to say as long as it is, or as long as a damaged file cannot be put aside."""
    if not is_stopped(path):
        return JournalUnavailable(
            f"The order book {path.name} is damaged, and cannot be put aside.",
            "Make its folder writable for this user.",
        )
    return JournalUnavailable(
        f"The order book {path.name} was damaged and put aside as {path.name}.corrupt-1 (or a higher number).",
        f"Look in the service's console for videos of the last 24 hours; then delete the file {_note(path).name}, "
        "which is in the same folder, to start a new order book.",
    )


def set_aside(path: Path, damaged: tuple[int, int] | None, close: Callable[[], None]) -> None:
    """Leave the note, then rename the damaged file and its side files. One process does it, the others find it done.

    Args:
        path: The order book.
        damaged: The identity of the file that was found damaged; a file that has replaced it since is left alone.
        close: Closes the connection to it.
    """
    if identity(path) == damaged and _leave_note(path):
        number = next(n for n in count(1) if not any(_aside(path, suffix, n).exists() for suffix in _SUFFIXES))
        # Before closing, because closing folds the log into the file; and after, because Windows renames no open file.
        _rename(path, number)
        close()
        _rename(path, number)
    close()


def _leave_note(path: Path) -> bool:
    try:
        with os.fdopen(os.open(_note(path), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as note:
            note.write(f"{stopped(path)}\n")
    except OSError:
        # Another process is at it; or nothing can be written here, and then every opening finds the damage anew.
        return False
    return True


def _rename(path: Path, number: int) -> None:
    for suffix in _SUFFIXES:
        source = path.with_name(path.name + suffix)
        with suppress(OSError):
            if source.exists():
                source.rename(_aside(path, suffix, number))


def _aside(path: Path, suffix: str, number: int) -> Path:
    return path.with_name(f"{path.name}.corrupt-{number}{suffix}")


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.stopped")

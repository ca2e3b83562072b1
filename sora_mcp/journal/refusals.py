"""What SQLite and the system say when they fail, in plain words."""

from __future__ import annotations

import errno
import sqlite3

from sora_mcp.errors import JournalUnavailable
from sora_mcp.journal.damage import DamagedError
from sora_mcp.journal.schema import NewerSchemaError

_LOCKED = ("is locked by another program", "Close the program that holds it.")
_READ_ONLY = ("cannot be written", "Make the file and its folder writable for this user.")
_FULL = ("cannot be written because the disk is full", "Free some space on that disk.")
_NOT_OPENED = ("cannot be opened", "Check that its folder exists and belongs to this user.")
_DISK = ("cannot be written or read: the disk reports an error", "Check the disk and the space left on it.")
_NEWER = ("was made by a newer version of sora-mcp", "Update this one; the file was left as it is.")
_UNKNOWN = ("cannot be used", "Check the file and its folder.")

_BY_CODE = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_CANTOPEN: _NOT_OPENED,
    sqlite3.SQLITE_IOERR: _DISK,
}
_BY_ERRNO = {
    errno.EACCES: _READ_ONLY,
    errno.EPERM: _READ_ONLY,
    errno.EROFS: _READ_ONLY,
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EIO: _DISK,
}


def code_of(error: BaseException) -> int:
    """SQLite's primary result code, ``SQLITE_ERROR`` where there is none."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def is_busy(error: BaseException) -> bool:
    """Whether another process holds the file."""
    return code_of(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def is_damage(error: BaseException) -> bool:
    """Whether the file's content is broken, as against its surroundings."""
    return isinstance(error, DamagedError) or code_of(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def unavailable(error: BaseException, name: str) -> JournalUnavailable:
    """Our error for theirs. The text holds the file's name, and neither its folder nor anything stored in it."""
    if isinstance(error, NewerSchemaError):
        what, remedy = _NEWER
    elif isinstance(error, OSError):
        what, remedy = _BY_ERRNO.get(error.errno or 0, _NOT_OPENED)
    else:
        what, remedy = _BY_CODE.get(code_of(error), _UNKNOWN)
    return JournalUnavailable(f"The order book {name} {what}.", remedy)

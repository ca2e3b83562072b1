"""The user's folder: made, swept, synced, and what its failures are called. Blocking."""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar, TypeVarTuple, Unpack

from anyio import to_thread

from sora_mcp.errors import DiskFull, OutputDirUnavailable

STALE_SECONDS = 48 * 3600
"""Age at which hidden files that nobody went on with are removed: links die after 24 hours (api.md, section 4)."""

# EFBIG: the file system, or a limit of the process, takes no file of this size.
_NO_SPACE = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})


_Arguments = TypeVarTuple("_Arguments")
_Result = TypeVar("_Result")


async def on_disk(folder: Path, work: Callable[[Unpack[_Arguments]], _Result], *arguments: *_Arguments) -> _Result:
    """Do blocking work in a thread, and say what its ``OSError`` means for the user.

    Cancelled, it waits for the work to end: half a write is no state to leave a file in.

    Raises:
        DiskFull: No space, or no quota, left.
        OutputDirUnavailable: Anything else that a folder can refuse.
    """
    try:
        return await to_thread.run_sync(work, *arguments)
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise disk_full(folder) from error
        raise OutputDirUnavailable(
            f"The output folder {folder} cannot be used ({error.strerror or type(error).__name__}).",
            "Make it writable or set SORA_MCP_OUTPUT_DIR to another folder, then call download_video again. "
            "The video itself is safe at the service until its link expires.",
        ) from error


def disk_full(folder: Path) -> DiskFull:
    """The error for a video that does not fit; nothing of it is left behind."""
    return DiskFull(
        f"There is not enough free space in {folder}; nothing was left there.",
        "Free some space or set SORA_MCP_OUTPUT_DIR to a folder on another disk, then call download_video again "
        "before the link expires.",
    )


def prepare(folder: Path, now: float) -> None:
    """Make the folder, and take away what was given up on its way.

    Raises:
        OSError: It cannot be made, or is no folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob(f".sora-{'[0-9a-f]' * 32}.*"):
        with suppress(OSError):
            if stale.lstat().st_mtime < now - STALE_SECONDS:
                stale.unlink()


def sync(folder: Path) -> None:
    """Make the folder's own changes last through a power cut, where the system can."""
    # Windows opens no folders, and some file systems cannot sync one; the file's bytes are synced all the same.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

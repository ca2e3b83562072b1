"""One at a time for one video, in this process and all others. The lock is the open file's: it dies with its owner."""

import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio

from sora_mcp.downloads.folders import on_disk

RETRY_SECONDS = 0.2
"""Between two tries: waiting inside the system's own call could not be cancelled."""


@asynccontextmanager
async def held(path: Path, sleep: Callable[[float], Awaitable[None]]) -> AsyncGenerator[None]:
    """Hold the lock file; wait for another process to let go of it.

    Raises:
        OutputDirUnavailable: The file cannot be made, or the file system has no locks.
    """
    while (descriptor := await on_disk(path.parent, _take, path)) is None:
        await sleep(RETRY_SECONDS)
    try:
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await on_disk(path.parent, _release, path, descriptor)


def _take(path: Path) -> int | None:
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags, 0o600)
    try:
        # Whoever held it before us may have removed it in letting go: then this file is nobody's lock any more.
        if _lock(descriptor) and _is_still(path, descriptor):
            return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


if sys.platform == "win32":  # pragma: no cover - each system has its own

    def _lock(descriptor: int) -> bool:
        import msvcrt  # noqa: PLC0415 - Windows only

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

    def _release(path: Path, descriptor: int) -> None:
        # An open file cannot be removed here, which also keeps us from removing one that another has opened.
        os.close(descriptor)
        with suppress(OSError):
            path.unlink()

else:

    def _lock(descriptor: int) -> bool:
        import fcntl  # noqa: PLC0415 - not on Windows

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _release(path: Path, descriptor: int) -> None:
        # Removed while it is still locked: those who wait for it see that it is gone and make a new one.
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)

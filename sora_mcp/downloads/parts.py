"""The hidden file that a video grows in, and the note beside it that lets another process go on. Blocking.

The note says to which version of the remote file the bytes belong, and how many of them are certain to be on the
disk; after a crash the rest is fetched again. Nothing here is ever truncated or overwritten in place once it has a
second name: a part that was linked to its final name *is* the user's video.
"""

import io
import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

from sora_mcp.downloads.mp4 import HEAD_BYTES, Ending, ending, starts_as_mp4

CHECKPOINT_BYTES = 4 << 20
CHECKPOINT_SECONDS = 2.0
"""How much, in bytes or in time, a power cut or a killed process can cost."""

_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Version:
    """Which remote file it is: its ``ETag``, ``Last-Modified`` and length in bytes, as far as they were told."""

    etag: str | None = None
    modified: str | None = None
    total: int | None = None

    @property
    def validator(self) -> str | None:
        """What ``If-Range`` takes: a strong ETag, else the date (RFC 9110, section 13.1.5)."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified

    def is_same_file(self, other: "Version") -> bool:
        """Whether nothing that both tell is different, and they tell something in common."""
        pairs = [(mine, its) for mine, its in zip(astuple(self), astuple(other), strict=True) if mine and its]
        return bool(pairs) and all(mine == its for mine, its in pairs)


class Part:
    """The part file of one task, opened by :meth:`open`. Its owner holds the task's lock.

    Every method may raise ``OSError``.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        from hashlib import sha256  # noqa: PLC0415 - not needed at start-up

        self.folder = folder
        self.path = folder / f"{stem}.part"
        self._note = folder / f"{stem}.json"
        self.version = Version()
        self.received = 0
        self._new_digest = sha256
        self._digest = sha256()
        self._file: io.FileIO | None = None
        self._synced = 0
        self._synced_at = time.monotonic()

    @property
    def is_complete(self) -> bool:
        """Whether all bytes that the service announced are here."""
        return self.version.total is not None and self.received == self.version.total

    @property
    def sha256(self) -> str:
        """Of the bytes received so far, in hexadecimal."""
        return self._digest.hexdigest()

    def open(self) -> None:
        """Go on with what another process left, as far as it is certain; else begin."""
        synced, version = self._read_note()
        if synced >= HEAD_BYTES and self._take_over(synced):
            self.version = version
        else:
            self.restart(Version())

    def restart(self, version: Version) -> None:
        """Begin with an empty file for this version."""
        self.discard()
        self._file = _open(self.path, "x+b")
        self.version = version
        self._synced_at = time.monotonic()

    def write(self, data: bytes) -> None:
        """Append; every few megabytes or seconds, make it last."""
        view = memoryview(data)
        while view:
            count = self._opened.write(view)
            self._digest.update(view[:count])
            self.received += count
            view = view[count:]
        if self.received - self._synced >= CHECKPOINT_BYTES or time.monotonic() - self._synced_at >= CHECKPOINT_SECONDS:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Make what was received last through a power cut, and let another process go on from here."""
        os.fsync(self._opened.fileno())
        self._synced_at = time.monotonic()
        if self.received == self._synced:
            return
        self._synced = self.received
        draft = self._note.with_suffix(".tmp")
        draft.unlink(missing_ok=True)
        with _open(draft, "x+b") as file:
            file.write(json.dumps({"synced": self._synced, **asdict(self.version)}).encode())
            os.fsync(file.fileno())
        draft.replace(self._note)

    def ending(self) -> Ending:
        """Whether the boxes of the MP4 add up to what was received."""
        with self.path.open("rb") as file:
            return ending(file, self.received)

    def close(self) -> None:
        """Let go of the file. An empty one, or one that nobody could go on with, is removed."""
        if self._file is not None:
            self._file.close()
            self._file = None
            if not self._synced:
                self.discard()

    def discard(self) -> None:
        """Remove the file and its note."""
        if self._file is not None:
            self._file.close()
            self._file = None
        # The part first: bytes without a note are never used, a note without bytes neither.
        for path in (self.path, self._note, self._note.with_suffix(".tmp")):
            path.unlink(missing_ok=True)
        self.version, self.received, self._synced = Version(), 0, 0
        self._digest = self._new_digest()

    @property
    def _opened(self) -> io.FileIO:
        if self._file is None:
            raise ValueError("the part is not open")
        return self._file

    def _take_over(self, synced: int) -> bool:
        try:
            self._file = _open(self.path, "r+b")
        except OSError:
            return False
        found = os.fstat(self._file.fileno())
        if found.st_nlink != 1 or found.st_size < synced:
            return False
        self._file.truncate(synced)
        while block := self._file.read(_READ_BYTES):
            if not self.received and not starts_as_mp4(block[:HEAD_BYTES]):
                return False
            self._digest.update(block)
            self.received += len(block)
        self._synced = self.received
        return True

    def _read_note(self) -> tuple[int, Version]:
        with suppress(OSError, ValueError, KeyError, TypeError):
            note = json.loads(self._note.read_bytes())
            etag, modified, total, synced = note["etag"], note["modified"], note["total"], note["synced"]
            if (
                isinstance(synced, int)
                and isinstance(etag, str | None)
                and isinstance(modified, str | None)
                and isinstance(total, int | None)
            ):
                return synced, Version(etag, modified, total)
        return 0, Version()


def _open(path: Path, mode: str) -> io.FileIO:
    # Never through a symbolic link, and without waiting at a pipe that somebody put there.
    extra = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    return io.FileIO(path, mode.replace("b", ""), opener=lambda name, flags: os.open(name, flags | extra, 0o600))

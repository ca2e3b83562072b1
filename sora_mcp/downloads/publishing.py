"""Giving a whole file its name without ever taking the name from another. Blocking."""

import os
import re
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from sora_mcp.downloads.folders import sync
from sora_mcp.downloads.mp4 import HEAD_BYTES, ending, starts_as_mp4

_MOST_COPIES = 999
_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class SavedVideo:
    """A whole video on this machine: where, its size in bytes, its SHA-256 in hexadecimal."""

    path: Path
    size: int
    sha256: str


def is_still_there(video: SavedVideo) -> bool:
    """Whether the file is where it was saved, with the size it had."""
    try:
        found = video.path.stat()
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == video.size


def find_published(folder: Path, pattern: re.Pattern[str], known: SavedVideo | None) -> SavedVideo | None:
    """The task's video, if it already has its name: after a crash, only the folder knows.

    A file with the task's id in its name was published by us, and only whole files are. It is taken as it is
    unless we know better: with ``known`` it must be the same bytes. The caller holds the task's lock.

    Raises:
        OSError: The folder cannot be read.
    """
    matches = [(int(found[1] or 1), path) for path in folder.iterdir() if (found := pattern.fullmatch(path.name))]
    for _, path in sorted(matches):
        size = _size_of_video(path)
        if size is None or (known is not None and size != known.size):
            continue
        video = SavedVideo(path, size, sha256_of(path))
        if known is None or video.sha256 == known.sha256:
            return video
    return None


def publish(part: Path, folder: Path, stem: str) -> Path:
    """Move the part to ``stem.mp4``, or to the first of ``stem (2).mp4`` … that is free.

    Raises:
        OSError: The folder refuses, or has a thousand files of that name.
    """
    for number in range(1, _MOST_COPIES + 1):
        target = folder / (f"{stem} ({number}).mp4" if number > 1 else f"{stem}.mp4")
        try:
            _move_to_a_free_name(part, target)
        except FileExistsError:
            continue
        return target
    raise FileExistsError(f"every name from {stem}.mp4 on is taken")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: It cannot be read.
    """
    from hashlib import sha256  # noqa: PLC0415 - not needed at start-up

    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _size_of_video(path: Path) -> int | None:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        return None
    if found.st_size == 0:
        # A name that was claimed by a process that died before it could move the video there, see below.
        path.unlink()
        return None
    with path.open("rb") as file:
        if not starts_as_mp4(file.read(HEAD_BYTES)) or ending(file, found.st_size) == "cut":
            return None
    return found.st_size


def _move_to_a_free_name(part: Path, target: Path) -> None:
    try:
        os.link(part, target)
    except FileExistsError:
        raise
    except OSError:
        # No hard links here (FAT, exFAT, some network and phone storage), and each system says so differently.
        _move_without_links(part, target)
        sync(target.parent)
    else:
        sync(target.parent)
        part.unlink()


def _move_without_links(part: Path, target: Path) -> None:
    if sys.platform == "win32":  # pragma: no cover - each system has its own
        part.rename(target)  # never overwrites there
        return
    # Elsewhere a rename overwrites, so the name is claimed first: what goes is our own empty file. Copying would
    # show half a video to anyone who looks, and leave it there if the process died.
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        part.replace(target)
    except OSError:
        target.unlink()
        raise

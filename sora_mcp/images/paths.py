"""Local files: which paths may be read, judged by the opened file and not by its name."""

import errno
import os
import stat
import sys
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import IO

from sora_mcp.errors import NotARegularFile, PathNotAllowed

MAX_PATH_CHARACTERS = 4096

_CHAT_UPLOADS = ("/mnt/user-data", "/mnt/data")
_DEVICES = ("COM", "LPT")
_RESERVED_NAMES = frozenset(
    {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"}
    | {f"{device}{number}" for device in _DEVICES for number in "0123456789¹²³"}
)
_NOT_IN_WINDOWS_NAMES = frozenset('<>:"|?*')

# Neither follow a link that was put there meanwhile, nor wait for a pipe's other end. Windows has none of the three.
_FLAG_NAMES = ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY", "O_NOINHERIT")
_OPEN_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in _FLAG_NAMES)


def open_local(file: str, roots: Iterable[Path]) -> IO[bytes]:
    """Open a regular file under one of the roots, unbuffered, at its start.

    Outside the roots, a missing file, a forbidden one and one that is there get the same words.

    Raises:
        PathNotAllowed: There is nothing to be read there, or it is not under a root, or it is a hard link.
        NotARegularFile: Under a root, but a folder, a pipe, a socket or a device.
    """
    if not is_plain_path(file, type(Path())):
        raise _refusal(file)
    try:
        # Links are followed first: a root may be one, and so may the system's own folders above it.
        path = os.path.realpath(Path(file).expanduser())
        allowed = [_real_folder(root) for root in roots]
    except (OSError, ValueError, RuntimeError):
        raise _refusal(file) from None
    if not any(is_under(path, root, fold=sys.platform != "linux") for root in allowed):
        raise _refusal(file)
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except OSError as error:
        # A socket cannot be opened at all, nor, on Windows, a folder.
        if error.errno in {errno.ENXIO, errno.EOPNOTSUPP} or (sys.platform == "win32" and Path(path).is_dir()):
            raise _not_regular() from None
        raise _refusal(file) from None
    try:
        _check_opened(descriptor, allowed, file)
        return os.fdopen(descriptor, "rb", buffering=0)
    except BaseException:
        os.close(descriptor)
        raise


def is_plain_path(file: str, flavour: type[PurePath]) -> bool:
    r"""Whether a text is an ordinary path of a system (``PurePosixPath`` or ``PureWindowsPath``), before it is touched.

    Another user's home, links (``file://``), network paths (``\\host\share``) and Windows drives elsewhere are not;
    on Windows neither are device names, ``\\?\`` forms, drive-relative paths, alternate streams (``x.png:stream``)
    nor names that the system silently changes (trailing dots and spaces).
    """
    if not file or len(file) > MAX_PATH_CHARACTERS:
        return False
    # Not `isprintable`: macOS puts a narrow no-break space into the name of every screenshot.
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in file):
        return False
    if file.startswith("~") and file[1:2] not in {"", "/", "\\"}:
        return False
    if file.startswith(("\\", "//")) or file.lower().startswith(("file:", "sandbox:")):
        return False
    if issubclass(flavour, PurePosixPath):
        return not PureWindowsPath(file).drive
    return _is_plain_windows_path(PureWindowsPath(file))


def _is_plain_windows_path(path: PureWindowsPath) -> bool:
    if bool(path.drive) != bool(path.root):
        return False
    names = path.parts[1:] if path.drive else path.parts
    return all(name == ".." or _is_plain_windows_name(name) for name in names)


def _is_plain_windows_name(name: str) -> bool:
    stem = name.partition(".")[0].rstrip().upper()
    return stem not in _RESERVED_NAMES and not name.endswith((".", " ")) and _NOT_IN_WINDOWS_NAMES.isdisjoint(name)


def is_under(path: str, root: str, *, fold: bool, flavour: type[PurePath] = PurePath) -> bool:
    """Whether a path is a folder or lies below it; ``fold`` for systems that take upper and lower case as one."""
    if fold:
        path, root = path.casefold(), root.casefold()
    return flavour(path).is_relative_to(flavour(root))


def _check_opened(descriptor: int, allowed: Iterable[str], file: str) -> None:
    try:
        path = _path_of(descriptor)
    except OSError:
        raise _refusal(file) from None
    # What the system itself says of an open file is in its true case; Windows cannot hold two that differ only there.
    if not any(is_under(path, root, fold=sys.platform == "win32") for root in allowed):
        raise _refusal(file)
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        raise _not_regular()
    if facts.st_nlink > 1:
        # A second name may be anywhere, and the descriptor cannot tell which one was meant to be shared.
        raise _refusal(file)


if sys.platform == "win32":  # pragma: no cover - Windows

    def _path_of(descriptor: int) -> str:
        r"""Ask the system for the path of an open file, without the ``\\?\`` that it puts in front."""
        import ctypes  # noqa: PLC0415 - only needed on this system
        import msvcrt  # noqa: PLC0415
        from ctypes import wintypes  # noqa: PLC0415

        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        ask = kernel.GetFinalPathNameByHandleW
        ask.argtypes = (wintypes.HANDLE, wintypes.LPWSTR, wintypes.DWORD, wintypes.DWORD)
        ask.restype = wintypes.DWORD
        room = 32_768
        buffer = ctypes.create_unicode_buffer(room)
        if not 0 < ask(msvcrt.get_osfhandle(descriptor), buffer, room, 0) < room:
            raise ctypes.WinError(ctypes.get_last_error())
        return without_verbatim_prefix(buffer.value)

elif sys.platform == "darwin":  # pragma: no cover - macOS

    def _path_of(descriptor: int) -> str:
        """Ask the system for the path of an open file, in the case it has on disk."""
        import fcntl  # noqa: PLC0415 - not there on Windows

        return os.fsdecode(fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0"))

else:

    def _path_of(descriptor: int) -> str:
        """Ask the system for the path of an open file; without ``/proc`` there is no answer, and no file."""
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def without_verbatim_prefix(path: str) -> str:
    r"""Write a Windows path as ``realpath`` does, without ``\\?\``; ``\\?\UNC\host\share`` is ``\\host\share``."""
    if path.startswith("\\\\?\\UNC\\"):
        return "\\" + path[7:]
    return path.removeprefix("\\\\?\\")


def _real_folder(root: Path) -> str:
    """Follow a root's links. macOS is asked by descriptor, so that its case is the one that an open file reports."""
    path = os.path.realpath(root)
    if sys.platform == "darwin":  # pragma: no cover - macOS
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return path
        try:
            return _path_of(descriptor)
        finally:
            os.close(descriptor)
    return path


def _refusal(file: str) -> PathNotAllowed:
    plain = file.replace("\\", "/").removeprefix("sandbox:").removeprefix("file://")
    if any(PurePosixPath(plain).is_relative_to(folder) for folder in _CHAT_UPLOADS):
        return PathNotAllowed(
            "That is a file uploaded to the chat, which this server cannot see: it runs on the user's computer.",
            "Ask the user to save the image on this computer and for its full path there, or give a public https link.",
        )
    return PathNotAllowed(
        "The path was refused: nothing there can be read, or it is outside the folders that images may come from, "
        "or it is a link out of them.",
        "Give the full path of an image in the pictures, downloads or desktop folder, "
        "or add its folder to SORA_MCP_IMAGE_ROOTS and start the server again.",
    )


def _not_regular() -> NotARegularFile:
    return NotARegularFile(
        "The path is not a file: it is a folder, a pipe, a socket or a device.", "Give the full path of an image file."
    )

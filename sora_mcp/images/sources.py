"""What the caller named, a path, a link or a ``data:`` URI, as an open file of bounded size."""

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Literal

from sora_mcp.errors import CorruptImage, DiskFull, ImageTooLarge, InvalidArgument, PathNotAllowed, UnsupportedImage
from sora_mcp.images.paths import open_local

MAX_BYTES = 25_000_000
"""The largest source that is read, in bytes."""

_MAX_HEADER_CHARACTERS = 256
_ROOM_FOR_LINE_BREAKS = 1.03  # some encoders break lines at 64 or 76 characters
_BASE64_SPACE = str.maketrans("", "", "\r\n\t ")


def kind_of(file: str) -> Literal["path", "link", "data"]:
    """Tell the three ways to name an image apart, by their first letters alone."""
    start = file[:16].lower()
    if start.startswith("data:"):
        return "data"
    scheme, separator, _ = start.partition("://")
    if separator and scheme not in {"file", "sandbox"}:
        return "link"
    return "path"


def open_path(file: str, roots: Callable[[], Iterable[Path]], *, allow_local_paths: bool) -> IO[bytes]:
    """Open a local image.

    Raises:
        PathNotAllowed: Not under a root, not there, or local paths are of no use to this caller.
        NotARegularFile: A folder, a pipe, a socket or a device.
        ImageTooLarge: More than ``MAX_BYTES``.
        CorruptImage: Empty.
    """
    if not allow_local_paths:
        raise PathNotAllowed(
            "This server is reached over HTTP and cannot see files on the caller's computer.",
            "Give the image as a public https link or as a data: URI.",
        )
    opened = open_local(file, roots())
    try:
        check_size(os.fstat(opened.fileno()).st_size)
    except BaseException:
        opened.close()
        raise
    return opened


def open_data(uri: str) -> IO[bytes]:
    """Decode a ``data:image/...;base64,...`` URI.

    Raises:
        UnsupportedImage: Its type is not an image's.
        InvalidArgument: It is not base64.
        ImageTooLarge: More than ``MAX_BYTES``, told before anything is decoded.
        CorruptImage: Empty.
    """
    header, comma, payload = uri[: _MAX_HEADER_CHARACTERS + 1].partition(",")
    mime_type, *parameters = header[len("data:") :].split(";")
    if not mime_type.strip().lower().startswith("image/"):
        raise UnsupportedImage("The data: URI does not hold an image.", "Give data:image/jpeg;base64,... or similar.")
    if not comma or not parameters or parameters[-1].strip().lower() != "base64":
        raise _not_base64()
    if (len(uri) - len(header) - 1) // 4 * 3 > MAX_BYTES * _ROOM_FOR_LINE_BREAKS:
        raise _too_large()
    import base64  # noqa: PLC0415 - not needed to start
    import binascii  # noqa: PLC0415

    payload = uri[len(header) + 1 :].translate(_BASE64_SPACE)
    try:
        data = base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        raise _not_base64() from None
    check_size(len(data))
    opened = temporary_file()
    try:
        write(opened, data)
        opened.seek(0)
    except BaseException:
        opened.close()
        raise
    return opened


def temporary_file() -> IO[bytes]:
    """Make a nameless private file, so that a child can be handed a descriptor whatever the source was.

    Raises:
        DiskFull: The system's temporary folder takes no file.
    """
    try:
        return tempfile.TemporaryFile(buffering=0)
    except OSError:
        raise _no_room() from None


def write(opened: IO[bytes], data: bytes) -> None:
    """Write all of it.

    Raises:
        DiskFull: The system's temporary folder is full.
    """
    view = memoryview(data)
    try:
        while view:
            view = view[opened.write(view) :]
    except OSError:
        raise _no_room() from None


def check_size(size: int) -> None:
    """Refuse nothing at all, and too much.

    Raises:
        CorruptImage: No bytes.
        ImageTooLarge: More than ``MAX_BYTES``.
    """
    if size > MAX_BYTES:
        raise _too_large()
    if size == 0:
        raise CorruptImage("The image is empty: it has no bytes.", "Give another image.")


def _too_large() -> ImageTooLarge:
    return ImageTooLarge(
        f"The image has more than {MAX_BYTES // 1_000_000} MB.", "Save it smaller, for example as a JPEG, and retry."
    )


def _not_base64() -> InvalidArgument:
    return InvalidArgument(
        "The data: URI is not valid base64.", "Give data:image/jpeg;base64,... with complete standard base64."
    )


def _no_room() -> DiskFull:
    return DiskFull("The system's temporary folder takes no more files.", "Free some space and retry.")

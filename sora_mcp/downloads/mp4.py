"""Where an MP4 file ends, by its own account (ISO/IEC 14496-12: a file is a row of boxes that tell their size)."""

from typing import BinaryIO, Literal

HEAD_BYTES = 8
"""Bytes from the start that tell whether a file is an MP4."""

Ending = Literal["whole", "cut", "unclear"]

_TOP_LEVEL = frozenset(
    b"ftyp styp moov moof mdat mfra free skip wide uuid meta meco udta pdin sidx ssix prft emsg pnot jumb".split()
)
_HEADER, _LARGE_HEADER = 8, 16
_TO_THE_END, _LARGE = 0, 1


def starts_as_mp4(head: bytes | bytearray) -> bool:
    """Whether the first bytes are those of an MP4: a length, then ``ftyp``."""
    return head[4:HEAD_BYTES] == b"ftyp"


def ending(file: BinaryIO, size: int) -> Ending:
    """Whether the boxes add up to the file's size. Reads a few bytes of each box, however large the file.

    Returns:
        ``cut`` when a box of a known kind runs past the end; ``whole`` when the boxes end where the file does and
        both the index (``moov``) and the pictures (``mdat``) are among them; ``unclear`` for the rest: bytes that
        are no box, a box that only says "to the end", a row that stops early.
    """
    position, seen = 0, set[bytes]()
    while position < size:
        file.seek(position)
        header = file.read(_LARGE_HEADER)
        kind, length = header[4:_HEADER], int.from_bytes(header[:4], "big")
        if kind not in _TOP_LEVEL or length == _TO_THE_END:
            return "unclear"
        if length == _LARGE:
            if len(header) < _LARGE_HEADER:
                return "cut"
            length = int.from_bytes(header[_HEADER:], "big")
        if length < _HEADER:
            return "unclear"
        position += length
        seen.add(kind)
    if position > size:
        return "cut"
    return "whole" if {b"moov", b"mdat"} <= seen else "unclear"

import io
import struct

import pytest

from sora_mcp.downloads.mp4 import ending, starts_as_mp4


def box(kind, content=b"", size=None):
    return struct.pack(">I4s", len(content) + 8 if size is None else size, kind) + content


FTYP, MOOV, MDAT = box(b"ftyp", b"isom\0\0\0\0"), box(b"moov", bytes(50)), box(b"mdat", bytes(300))
LARGE = struct.pack(">I4sQ", 1, b"mdat", 316) + bytes(300)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (FTYP + MOOV + MDAT, "whole"),
        (FTYP + MDAT + box(b"free") + MOOV, "whole"),
        (FTYP + MOOV + LARGE, "whole"),
        (FTYP + MOOV + MDAT[:-1], "cut"),
        (FTYP + MOOV + MDAT[:8], "cut"),
        (FTYP + MOOV + LARGE[:-1], "cut"),
        (FTYP + MOOV + LARGE[:12], "cut"),
        (FTYP + MOOV, "unclear"),
        (FTYP + MOOV + MDAT[:5], "unclear"),
        (FTYP + MOOV + MDAT + bytes(64), "unclear"),
        (FTYP + MOOV + MDAT + b"odd bytes behind it", "unclear"),
        (FTYP + MOOV + box(b"mdat", bytes(9), size=0), "unclear"),
        (FTYP + box(b"moov", bytes(9), size=5), "unclear"),
        (b"", "unclear"),
    ],
)
def test_boxes_tell_whether_the_file_is_whole(data, expected):
    assert ending(io.BytesIO(data), len(data)) == expected


def test_only_ftyp_starts_an_mp4():
    assert starts_as_mp4(FTYP)
    assert not starts_as_mp4(FTYP[:7])
    assert not starts_as_mp4(b"<html><body>")

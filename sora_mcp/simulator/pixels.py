"""The type and pixel size of an image, read from its first bytes: JPEG, PNG, WebP and GIF."""

MIME_TYPES = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp", "gif": "image/gif"}

_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0-SOF15 without DHT, JPG and DAC
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})  # TEM, RSTn and SOI carry no length


def image_type(data: bytes) -> str | None:
    """``jpeg``, ``png``, ``webp`` or ``gif`` by the magic bytes, else ``None``."""
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return "gif" if data[:6] in {b"GIF87a", b"GIF89a"} else None


def image_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels, or ``None`` when the header does not tell."""
    readers = {"jpeg": _jpeg, "png": _png, "webp": _webp, "gif": _gif}
    kind = image_type(data)
    try:
        return readers[kind](data) if kind else None
    except IndexError:
        return None


def _number(data: bytes, at: int, length: int, *, big: bool = False) -> int:
    if at + length > len(data):
        raise IndexError(at)
    return int.from_bytes(data[at : at + length], "big" if big else "little")


def _png(data: bytes) -> tuple[int, int]:
    return _number(data, 16, 4, big=True), _number(data, 20, 4, big=True)


def _gif(data: bytes) -> tuple[int, int]:
    return _number(data, 6, 2), _number(data, 8, 2)


def _jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2
    while data[at] == 0xFF:  # noqa: PLR2004 - every marker starts with it
        marker = data[at + 1]
        if marker in _FRAME_MARKERS:
            return _number(data, at + 7, 2, big=True), _number(data, at + 5, 2, big=True)
        at += 1 if marker == 0xFF else 2  # noqa: PLR2004 - 0xFF is a fill byte
        if marker != 0xFF and marker not in _BARE_MARKERS:  # noqa: PLR2004
            at += max(_number(data, at, 2, big=True), 2)
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    chunk = data[12:16]
    if chunk == b"VP8X":
        return _number(data, 24, 3) + 1, _number(data, 27, 3) + 1
    if chunk == b"VP8L":
        bits = _number(data, 21, 4)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 ":
        return _number(data, 26, 2) & 0x3FFF, _number(data, 28, 2) & 0x3FFF
    return None

"""What an image is and whether it may be decoded, from its first bytes.

Runs in the child; its names and limits are known to both sides.
"""

from importlib import import_module
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

MAX_PIXELS = 40_000_000
MAX_SIDE = 16_384
MIN_SIDE = 64
"""Pixels. Less than this, enlarged to a video's frame, shows nothing."""

# Each is opened by its own class: Pillow's `open` would first import all common formats, which costs 10 ms.
_CLASSES = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "WebP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "HEIC": ("pillow_heif.as_plugin", "HeifImageFile"),
}
FORMATS = tuple(_CLASSES)

_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_MAX_BRANDS_BYTES = 256
_THREADS = 2
_GIF_TRAILER, _GIF_IMAGE, _GIF_EXTENSION = 0x3B, 0x2C, 0x21


class Refused(Exception):
    """An image that is not taken: the reason by its short name, and its size in pixels where it is known."""

    def __init__(self, reason: str, width: int = 0, height: int = 0) -> None:
        """Keep the three; the words are found on the other side of the pipe."""
        super().__init__(reason)
        self.reason, self.width, self.height = reason, width, height


def sniff(data: bytes) -> str:
    """Tell the format from the content, whatever the file is called.

    Raises:
        Refused: ``format``: none that is taken.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] == b"ftyp":
        end = min(int.from_bytes(data[:4], "big"), _MAX_BRANDS_BYTES)
        brands = {data[8:12], *(data[start : start + 4] for start in range(16, end, 4))}
        if brands & _AVIF_BRANDS:
            return "AVIF"
        if brands & _HEIC_BRANDS:
            return "HEIC"
    raise Refused("format")


def open_image(data: bytes, image_format: str) -> "ImageFile":
    """Read the header, and no more, with the one decoder that the content asks for.

    Raises:
        Refused: ``decoder`` (HEIC without its library), ``pixels``, ``small``.
        Exception: Whatever the decoder makes of a broken file.
    """
    if image_format == "WebP":
        # Its decoder claims the whole canvas before it says how large it is.
        check_size(*_webp_canvas(data))
    module, name = _CLASSES[image_format]
    try:
        plugin = cast("Any", import_module(module))
    except ImportError:
        raise Refused("decoder") from None
    opener = getattr(plugin, name)
    # A thread for every core would reserve more address space than the child has.
    if image_format == "AVIF":
        plugin.DEFAULT_MAX_THREADS = _THREADS
    elif image_format == "HEIC":
        plugin.options.DECODE_THREADS = _THREADS
        plugin.options.THUMBNAILS = plugin.options.DEPTH_IMAGES = plugin.options.AUX_IMAGES = False
    image = cast("ImageFile", opener(BytesIO(data)))
    check_size(*image.size)
    if min(image.size) < MIN_SIDE:
        raise Refused("small", *image.size)
    return image


def check_size(width: int, height: int) -> None:
    """Refuse more than 40 megapixels or a side over 16,384 pixels.

    Raises:
        Refused: ``pixels``.
    """
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise Refused("pixels", width, height)


def frames_of(image: "ImageFile", data: bytes) -> int:
    """How many frames an animation has; 1 for a still picture, and for what merely has several pictures inside."""
    if image.format == "GIF":
        return _gif_frames(data)
    return int(getattr(image, "n_frames", 1)) if image.format in {"PNG", "WEBP", "AVIF"} else 1


def _webp_canvas(data: bytes) -> tuple[int, int]:
    if data[12:16] == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF


def _gif_frames(data: bytes) -> int:
    """Walk the blocks: Pillow's count decodes its way through every frame, seconds for a long animation."""
    frames, at = 0, 13 + _gif_palette(data, 10)
    while at < len(data):
        block = data[at]
        if block == _GIF_IMAGE:
            frames += 1
            at += 11 + _gif_palette(data, at + 9)
        elif block == _GIF_EXTENSION:
            at += 2
        else:
            break
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    return max(frames, 1)


def _gif_palette(data: bytes, at: int) -> int:
    """The bytes of the colour table that the flags at a place announce."""
    flags = data[at] if at < len(data) else 0
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0

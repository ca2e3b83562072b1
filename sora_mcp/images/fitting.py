"""From a decoded image of any size and kind to the exact frame. Runs in the child only."""

# Pillow's own types are partly unknown to a strict checker.
# pyright: reportUnknownMemberType=false

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

from PIL import Image

from sora_mcp.images.checks import Refused, check_size
from sora_mcp.images.colours import WHITE, flattened, on_the_safe_side, to_srgb

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

Number = TypeVar("Number", int, float)

_BLACK = (0, 0, 0)
_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = frozenset({5, 6, 7, 8})

# A JPEG is decoded at a half, a quarter or an eighth when that leaves this many times the pixels to resample from.
_DRAFT_MARGIN = 1.5
_REDUCING_GAP = 3.0


class Plan(NamedTuple):
    """How an upright picture becomes a frame: what is kept of it, and how large that gets. All in pixels."""

    aspect_ratio: str
    frame: tuple[int, int]
    kept: tuple[float, float]
    shown: tuple[int, int]


class Fitted(NamedTuple):
    """The frame, in sRGB and free of everything but pixels, and what was done for it."""

    frame: Image.Image
    plan: Plan
    upright: tuple[int, int]
    turned: bool
    recoloured: bool
    transparent: bool


def plan(width: int, height: int, *, sizes: Mapping[str, tuple[int, int]], aspect_ratio: str | None, fit: str) -> Plan:
    """Choose the frame and lay the picture into its middle.

    Raises:
        Refused: ``size``: ``fit`` is ``none`` and the picture has none of the sizes that are asked for.
    """
    wanted = {aspect_ratio: sizes[aspect_ratio]} if aspect_ratio else dict(sizes)
    if fit == "none":
        for name, frame in wanted.items():
            if (width, height) == frame:
                return Plan(name, frame, (width, height), frame)
        raise Refused("size", width, height)

    def distance(name: str) -> float:
        return abs(math.log(width / height) - math.log(wanted[name][0] / wanted[name][1]))

    name = min(wanted, key=distance)
    frame = wanted[name]
    if fit == "crop":
        scale = max(frame[0] / width, frame[1] / height)
        return Plan(name, frame, (min(frame[0] / scale, width), min(frame[1] / scale, height)), frame)
    scale = min(frame[0] / width, frame[1] / height)
    shown = (min(max(round(width * scale), 1), frame[0]), min(max(round(height * scale), 1), frame[1]))
    return Plan(name, frame, (width, height), shown)


def fit_image(
    image: "ImageFile", *, sizes: Mapping[str, tuple[int, int]], aspect_ratio: str | None, fit: str
) -> Fitted:
    """Decode an opened image and make it fit.

    The costly steps are done while the picture is small: it is resampled as it lies in the file, then turned, then
    recoloured.

    Raises:
        Refused: ``size``, or ``pixels`` when a frame turns out larger than the header said.
        Exception: Whatever the decoder makes of a broken file.
    """
    is_jpeg = image.format == "JPEG"
    if not is_jpeg:
        image.load()  # some kinds say only behind the pixels how they are to be turned
        check_size(*image.size)
    orientation = _orientation(image)
    sideways = orientation in _ON_ITS_SIDE
    upright = _swapped(image.size, swap=sideways)
    chosen = plan(*upright, sizes=sizes, aspect_ratio=aspect_ratio, fit=fit)
    kept, shown = _swapped(chosen.kept, swap=sideways), _swapped(chosen.shown, swap=sideways)
    width, height = image.size
    if is_jpeg:
        _draft(image, (width * shown[0] / kept[0], height * shown[1] / kept[1]))
        image.load()
    shrunk = (image.width / width, image.height / height)
    profile = cast("bytes | None", image.info.get("icc_profile"))
    small = _resampled(on_the_safe_side(image), (kept[0] * shrunk[0], kept[1] * shrunk[1]), shown)
    if orientation in _TURNS:
        small = small.transpose(_TURNS[orientation])
    small, transparent = flattened(small)
    small, recoloured = to_srgb(small, profile)
    frame = Image.new("RGB", chosen.frame, WHITE if transparent else _BLACK)
    frame.paste(small, ((chosen.frame[0] - small.width) // 2, (chosen.frame[1] - small.height) // 2))
    return Fitted(frame, chosen, upright, orientation in _TURNS, recoloured, transparent)


def _orientation(image: "ImageFile") -> int:
    if image.format == "HEIF":
        return 1  # its own rotation is a part of decoding; the tag beside it must not turn it a second time
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 - metadata may be broken in any way, and the picture still be good
        return 1


def _swapped(pair: "tuple[Number, Number]", *, swap: bool) -> "tuple[Number, Number]":
    return (pair[1], pair[0]) if swap else pair


def _draft(image: "ImageFile", size: tuple[float, float]) -> None:
    image.draft(None, (math.ceil(size[0] * _DRAFT_MARGIN), math.ceil(size[1] * _DRAFT_MARGIN)))


def _resampled(image: Image.Image, kept: tuple[float, float], shown: tuple[int, int]) -> Image.Image:
    if image.size == kept == shown:
        return image
    left, top = max((image.width - kept[0]) / 2, 0), max((image.height - kept[1]) / 2, 0)
    box = (left, top, min(left + kept[0], image.width), min(top + kept[1], image.height))
    return image.resize(shown, Image.Resampling.LANCZOS, box=box, reducing_gap=_REDUCING_GAP)

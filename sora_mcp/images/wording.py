"""What the child reports, numbers and short names, in plain words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sora_mcp.errors import CorruptImage, ImageError, ImageTooLarge, ImageTooSmall, InvalidArgument, UnsupportedImage
from sora_mcp.images.checks import FORMATS, MAX_PIXELS, MAX_SIDE, MIN_SIDE

_SOFT = 2.0
_NOTICEABLE = 0.02
_MIME_TYPES = {"image/jpeg": "JPEG", "image/png": "PNG"}
_HEX_DIGITS = 64

_SAVE_ANEW = "Save it anew, as a JPEG, and retry."
_BROKEN = (CorruptImage, "The image is broken or cut off: it cannot be decoded.", _SAVE_ANEW)
_TOO_MUCH = (ImageTooLarge, "The image takes too much memory to decode.", "Save it smaller, as a JPEG, and retry.")
_REFUSALS: dict[str, tuple[type[ImageError], str, str]] = {
    "format": (
        UnsupportedImage,
        "The content is not an image of a kind that is taken.",
        f"Give a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image; the name of the file does not matter.",
    ),
    "decoder": (
        UnsupportedImage,
        "HEIC images cannot be read on this computer: the pillow-heif library is not installed.",
        "Install pillow-heif beside the server, or give the photo as a JPEG.",
    ),
    "bytes": _TOO_MUCH,
    "memory": _TOO_MUCH,
    "time": (CorruptImage, "The image took too long to decode.", _SAVE_ANEW),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What became of an image, checked. Sizes are (width, height) of the upright picture, in pixels.

    ``size`` is what came, ``kept`` the part of it that is shown, ``shown`` how large that is in the frame.
    """

    image_format: str
    frames: int
    metadata: bool
    aspect_ratio: str
    size: tuple[float, float]
    kept: tuple[float, float]
    shown: tuple[float, float]
    turned: bool
    recoloured: bool
    transparent: bool
    mime_type: str
    sha256: str

    @classmethod
    def read(cls, raw: dict[str, Any]) -> "Facts":
        """Take a report only if it is what an honest child writes.

        Raises:
            KeyError, TypeError, ValueError: It is not.
        """
        facts = cls(
            image_format=str(raw["format"]),
            frames=int(raw["frames"]),
            metadata=bool(raw["metadata"]),
            aspect_ratio=str(raw["aspect_ratio"]),
            size=_pair(raw["size"]),
            kept=_pair(raw["kept"]),
            shown=_pair(raw["shown"]),
            turned=bool(raw["turned"]),
            recoloured=bool(raw["recoloured"]),
            transparent=bool(raw["transparent"]),
            mime_type=str(raw["mime_type"]),
            sha256=bytes.fromhex(raw["sha256"]).hex(),
        )
        if facts.image_format not in FORMATS or facts.mime_type not in _MIME_TYPES or len(facts.sha256) != _HEX_DIGITS:
            raise ValueError("not a report of ours")
        return facts


def changes(facts: Facts, frame: tuple[int, int]) -> tuple[str, ...]:
    """Say what was done to an image, most striking first; nothing when nothing was."""
    said: list[str] = []
    if facts.frames > 1:
        said.append(f"first frame of {facts.frames}")
    if facts.turned:
        said.append("turned upright")
    said += _cropped(facts)
    scale = facts.shown[0] / facts.kept[0]
    if scale > _SOFT:
        said.append(f"enlarged {scale:.1f}x: it will look soft")
    elif scale > 1 + _NOTICEABLE:
        said.append(f"enlarged {scale:.1f}x")
    elif scale < 1 - _NOTICEABLE:
        said.append(f"reduced {1 / scale:.1f}x")
    if facts.transparent:
        said.append("transparent parts made white")
    said += _barred(facts, frame)
    if facts.recoloured:
        said.append("colours converted to sRGB")
    if facts.image_format != _MIME_TYPES[facts.mime_type]:
        said.append(f"converted from {facts.image_format} to {_MIME_TYPES[facts.mime_type]}")
    if facts.metadata:
        said.append("metadata removed")
    return tuple(said)


def refusal(reason: str, size: tuple[int, int], sizes: Mapping[str, tuple[int, int]]) -> ImageError | InvalidArgument:
    """Make the error for a reason that the child gave, or for a child that gave none."""
    shape = f"{size[0]}x{size[1]}"
    if reason == "pixels":
        measured = f" ({shape} pixels)" if all(size) else ""
        return ImageTooLarge(
            f"The image{measured} has over {MAX_PIXELS // 1_000_000} megapixels or a side over {MAX_SIDE} pixels.",
            "Save it smaller and retry; 1280x720 is all that is needed.",
        )
    if reason == "small":
        return ImageTooSmall(
            f"The image is {shape} pixels; a side under {MIN_SIDE} pixels is too small for a video.",
            "Give a larger image, at best one of at least 1280x720.",
        )
    if reason == "size":
        fitting = " or ".join(f"{width}x{height} ({name})" for name, (width, height) in sizes.items())
        return InvalidArgument(
            f"The image is {shape} pixels and fit is none, which takes only {fitting}.",
            "Use fit crop or pad, or give an image of that size.",
        )
    error, happened, next_step = _REFUSALS.get(reason, _BROKEN)
    return error(happened, next_step)


def _pair(raw: Any) -> tuple[float, float]:
    width, height = (float(side) for side in raw)
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise ValueError("not a size")
    return width, height


def _cropped(facts: Facts) -> list[str]:
    said: list[str] = []
    for side, edges in enumerate(("left and right", "top and bottom")):
        percent = (1 - facts.kept[side] / facts.size[side]) * 50
        if percent > 0:
            said.append(f"cropped {max(round(percent), 1)} % {edges}" if percent >= 1 else f"cropped under 1 % {edges}")
    return said


def _barred(facts: Facts, frame: tuple[int, int]) -> list[str]:
    colour = "white" if facts.transparent else "black"
    edges = ("left and right", "top and bottom")
    return [f"{colour} bars {edges[side]}" for side in (0, 1) if facts.shown[side] < frame[side]]

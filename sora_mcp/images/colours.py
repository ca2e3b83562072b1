"""Any mode and any profile to plain sRGB. Runs in the child only."""

# Pillow's own types are partly unknown to a strict checker.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false

from io import BytesIO
from typing import Any, cast

from PIL import Image, ImageChops

WHITE = (255, 255, 255)

_SIXTEEN_BITS = frozenset({"I", "I;16", "I;16L", "I;16B", "I;16N"})
_KEPT = frozenset({"L", "LA", "RGB", "RGBA", "CMYK"})
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_NO_CHANGE = 3
"""Levels of 255 that a conversion between two descriptions of the same colours may differ by."""


def on_the_safe_side(image: Image.Image) -> Image.Image:
    """Bring a mode into one that can be resampled: 8 bits, no palette, transparency as a channel of its own."""
    if image.mode in _SIXTEEN_BITS:
        # Pillow's own conversion cuts off all above 255.
        return image.point(lambda level: level * (255 / 65535) + 0.5).convert("L")
    if "transparency" in image.info:
        return image.convert("RGBA")
    if image.mode in _KEPT:
        return image
    if image.mode == "1":
        return image.convert("L")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def flattened(image: Image.Image) -> tuple[Image.Image, bool]:
    """Lay a picture on white; say whether any of it was transparent."""
    if image.mode not in {"LA", "RGBA"}:
        return image, False
    alpha, opaque = image.getchannel("A"), image.convert(image.mode[:-1])
    if alpha.getextrema() == (255, 255):
        return opaque, False
    ground = Image.new(opaque.mode, image.size, "white")
    ground.paste(opaque, mask=alpha)
    return ground, True


def to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, bool]:
    """Convert by the picture's own colour profile; say whether that changed any colour.

    A profile that is broken, or made for another kind of picture, is left out: the picture is still good.
    """
    plain = image.convert("RGB")
    if not profile:
        return plain, False
    from PIL import ImageCms  # noqa: PLC0415 - 10 ms that most pictures do not need

    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        mode = _SPACES.get(cast("Any", source.profile).xcolor_space.strip(), "")
        if mode == "RGB" and image.mode == "L":
            image = plain  # a grey picture may well describe its greys with three primaries
        if mode != image.mode:
            return plain, False
        converted = cast(
            "Image.Image",
            ImageCms.profileToProfile(
                image,
                source,
                ImageCms.createProfile("sRGB"),
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                outputMode="RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            ),
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return plain, False
    extrema = cast("tuple[tuple[int, int], ...]", ImageChops.difference(converted, plain).getextrema())
    return converted, any(most > _NO_CHANGE for _, most in extrema)

"""Every kind of picture arrives upright, in its colours, at the exact size."""

import base64
import hashlib
import io
import math
import struct

import pillow_heif
import pytest
from PIL import Image, ImageOps

pytestmark = pytest.mark.anyio

RATIOS = ("16:9", "9:16")
CLOSE = 3.0
"""Mean error in levels of 255 that a lossy format may add to a smooth picture."""


async def arrives(prepare, pictures, data, upright, *, close=CLOSE, ratios=RATIOS):
    for ratio in ratios:
        prepared = await prepare(data, aspect_ratio=ratio)
        assert (prepared.width, prepared.height) == pictures.sizes[ratio] == pictures.open(prepared).size
        assert prepared.aspect_ratio == ratio
        assert prepared.mime_type == f"image/{Image.open(io.BytesIO(prepared.data)).format.lower()}"
        assert len(prepared.data) < 10_000_000
        assert prepared.source_sha256 == hashlib.sha256(data).hexdigest()
        error = pictures.error(pictures.open(prepared), pictures.expected(upright, ratio))
        assert error < close, (ratio, error)
    return prepared


def with_orientation(scene, orientation):
    """The bytes of a picture that lies as the tag says, so that turning it gives the scene."""
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    return (scene.transpose(back[orientation]) if orientation in back else scene), exif


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_exif_orientation_is_turned_upright(prepare, pictures, orientation):
    scene = pictures.scene()
    lying, exif = with_orientation(scene, orientation)
    prepared = await arrives(prepare, pictures, pictures.encode(lying, "JPEG", quality=95, exif=exif), scene)
    assert ("turned upright" in prepared.changes) == (orientation != 1)


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", [5, 6])
async def test_orientation_holds_in_other_formats(prepare, pictures, image_format, orientation):
    scene = pictures.scene()
    lying, exif = with_orientation(scene, orientation)
    await arrives(prepare, pictures, pictures.encode(lying, image_format, exif=exif), scene, ratios=["9:16"])


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
async def test_heic_is_turned_once_by_its_own_rotation(prepare, pictures, orientation):
    scene = pictures.scene()
    lying, exif = with_orientation(scene, orientation)
    buffer = io.BytesIO()
    pillow_heif.from_pillow(lying).save(buffer, quality=90, exif=exif.tobytes())
    prepared = await arrives(prepare, pictures, buffer.getvalue(), scene, ratios=["16:9"])
    assert "converted from HEIC to JPEG" in prepared.changes


async def test_plain_formats_keep_their_colours(prepare, pictures):
    scene = pictures.scene()
    for image_format, options in {
        "JPEG": {"quality": 90, "progressive": True},
        "PNG": {},
        "WEBP": {"quality": 90},
        "AVIF": {"quality": 90},
    }.items():
        await arrives(prepare, pictures, pictures.encode(scene, image_format, **options), scene)


async def test_large_photo_that_is_decoded_smaller_stays_sharp_and_centred(prepare, pictures):
    scene = pictures.scene(3001, 4003)
    await arrives(prepare, pictures, pictures.encode(scene, "JPEG", quality=90), scene, close=1.5)


async def test_cmyk_jpeg_keeps_its_colours(prepare, pictures):
    scene = pictures.scene()
    await arrives(prepare, pictures, pictures.encode(scene.convert("CMYK"), "JPEG", quality=95), scene)


def deep(scene, bands):
    """Two bytes for each level, row by row, with the filter byte that PNG puts before a row."""
    pixels = scene.tobytes()
    width = scene.width * bands
    rows = (pixels[start : start + width] for start in range(0, len(pixels), width))
    return b"".join(b"\0" + b"".join(bytes((level, level)) for level in row) for row in rows)


@pytest.mark.parametrize(("mode", "colour_type"), [("L", 0), ("RGB", 2), ("LA", 4), ("RGBA", 6)])
async def test_16_bit_png_keeps_its_levels(prepare, pictures, mode, colour_type):
    scene = pictures.scene(480, 320)
    deep_scene = scene.convert("L").convert(mode) if mode.startswith("L") else scene.convert(mode)
    data = pictures.png(480, 320, 16, colour_type, deep(deep_scene, len(mode)))
    await arrives(prepare, pictures, data, deep_scene)


async def test_palette_png_with_transparency_lies_on_white(prepare, pictures):
    scene = pictures.scene().quantize(64)
    clear = 7
    upright = scene.convert("RGB")
    where = Image.frombytes("L", scene.size, scene.tobytes()).point(lambda index: 255 if index == clear else 0)
    upright.paste("white", mask=where)
    data = pictures.encode(scene, "PNG", transparency=clear)
    prepared = await arrives(prepare, pictures, data, upright, close=4)
    assert "transparent parts made white" in prepared.changes


async def test_alpha_is_blended_onto_white(prepare, pictures):
    scene = pictures.scene()
    for opaque, image_format in ((scene, "PNG"), (scene.convert("L"), "PNG"), (scene, "WEBP")):
        clear = opaque.copy()
        clear.putalpha(Image.linear_gradient("L").resize(scene.size))
        ground = Image.new("RGB", scene.size, "white")
        ground.paste(opaque.convert("RGB"), mask=clear.getchannel("A"))
        await arrives(prepare, pictures, pictures.encode(clear, image_format), ground, close=4)


async def test_opaque_alpha_channel_is_not_called_transparent(prepare, pictures):
    scene = pictures.scene()
    prepared = await arrives(prepare, pictures, pictures.encode(scene.convert("RGBA"), "PNG"), scene)
    assert "transparent parts made white" not in prepared.changes


@pytest.mark.parametrize("mode", ["L", "1"])
async def test_grey_and_bilevel_stay_grey(prepare, pictures, mode):
    scene = pictures.scene().convert("L").point(lambda level: 255 if level > 128 else 0)
    await arrives(prepare, pictures, pictures.encode(scene.convert(mode), "PNG"), scene.convert(mode).convert("L"))


async def test_keyed_transparency_lies_on_white(prepare, pictures):
    for mode, key in (("L", 0), ("RGB", (0, 0, 0))):
        picture = Image.new(mode, (320, 240), key)
        picture.paste("white", (0, 0, 160, 240))
        data = pictures.encode(picture, "PNG", transparency=key)
        await arrives(prepare, pictures, data, Image.new("RGB", (320, 240), "white"))


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG", "AVIF"])
async def test_first_frame_of_an_animation_is_taken_and_said(prepare, pictures, image_format):
    scene = pictures.scene(480, 320)
    others = [Image.new("RGB", scene.size, (shade, 0, 255)) for shade in range(0, 230, 10)]
    data = pictures.encode(scene, image_format, save_all=True, append_images=others)
    prepared = await arrives(prepare, pictures, data, scene, close=6)
    assert "first frame of 24" in prepared.changes


async def test_jpeg_with_a_second_picture_inside_is_a_photo_not_an_animation(prepare, pictures):
    scene = pictures.scene()
    data = pictures.encode(scene, "MPO", save_all=True, append_images=[scene.rotate(180)])
    prepared = await arrives(prepare, pictures, data, scene)
    assert not any("frame" in change for change in prepared.changes)


SRGB = ((0.43607, 0.38515, 0.14307), (0.22249, 0.71687, 0.06061), (0.01392, 0.09708, 0.71410))
DISPLAY_P3 = ((0.51512, 0.29198, 0.15710), (0.24120, 0.69225, 0.06657), (-0.00105, 0.04189, 0.78407))
PATCHES = ((200, 90, 60), (60, 160, 90), (70, 90, 190), (128, 128, 128), (230, 210, 180))


def matrix_profile(columns):
    """A colour profile of three primaries and the sRGB curve, by hand."""

    def number(value):
        return struct.pack(">i", round(value * 65536))

    def xyz(values):
        return b"XYZ \0\0\0\0" + b"".join(map(number, values))

    curve = b"para\0\0\0\0\0\3\0\0" + b"".join(map(number, (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)))
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"Test\0" + bytes(78)
    tags = {b"desc": text, b"wtpt": xyz((0.9642, 1.0, 0.8249)), b"cprt": b"text\0\0\0\0none\0"}
    for index, name in enumerate((b"r", b"g", b"b")):
        tags[name + b"XYZ"] = xyz([row[index] for row in columns])
        tags[name + b"TRC"] = curve
    table, body, at = b"", b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += name + struct.pack(">II", at + len(body), len(content))
        body += padded
    header = struct.pack(">I4sI4s4s4s", 0, b"\0" * 4, 0x02400000, b"mntr", b"RGB ", b"XYZ ") + bytes(12) + b"acsp"
    header = header.ljust(68, b"\0") + b"".join(map(number, (0.9642, 1.0, 0.8249)))
    profile = header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", len(profile)) + profile[4:]


def solve(matrix, vector):
    """Cramer's rule, for three."""

    def determinant(m):
        return (
            m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1])
            - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
        )

    def replaced(column):
        return [[vector[r] if c == column else matrix[r][c] for c in range(3)] for r in range(3)]

    return [determinant(replaced(column)) / determinant(matrix) for column in range(3)]


def p3_to_srgb(colour):
    linear = [((c / 255 + 0.055) / 1.055) ** 2.4 if c > 10.31 else c / 255 / 12.92 for c in colour]
    xyz = [math.fsum(weight * level for weight, level in zip(row, linear, strict=True)) for row in DISPLAY_P3]
    levels = (min(max(level, 0), 1) for level in solve(SRGB, xyz))
    return tuple(
        round(255 * (1.055 * level ** (1 / 2.4) - 0.055 if level > 0.0031308 else 12.92 * level)) for level in levels
    )


def patches(colours):
    picture = Image.new("RGB", (1280, 720))
    for index, colour in enumerate(colours):
        picture.paste(colour, (index * 256, 0, index * 256 + 256, 720))
    return picture


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "AVIF"])
async def test_display_p3_is_converted_to_srgb(prepare, pictures, image_format):
    options = {"JPEG": {"quality": 98}, "WEBP": {"lossless": True}, "AVIF": {"quality": 98}}.get(image_format, {})
    profile = matrix_profile(DISPLAY_P3)
    data = pictures.encode(patches(PATCHES), image_format, icc_profile=profile, **options)
    prepared = await prepare(data)
    assert pictures.error(pictures.open(prepared), patches(map(p3_to_srgb, PATCHES))) < 2
    assert pictures.error(pictures.open(prepared), patches(PATCHES)) > 3
    assert "colours converted to sRGB" in prepared.changes


async def test_srgb_profile_changes_nothing_and_is_not_mentioned(prepare, pictures):
    data = pictures.encode(patches(PATCHES), "PNG", icc_profile=matrix_profile(SRGB))
    prepared = await prepare(data)
    assert pictures.error(pictures.open(prepared), patches(PATCHES)) < 1
    assert "colours converted to sRGB" not in prepared.changes


@pytest.mark.parametrize("profile", [b"no profile at all", matrix_profile(SRGB)[:150], b"\0" * 200])
async def test_broken_profile_does_not_spoil_the_picture(prepare, pictures, profile):
    data = pictures.encode(patches(PATCHES), "JPEG", quality=98, icc_profile=profile)
    assert pictures.error(pictures.open(await prepare(data)), patches(PATCHES)) < 2


async def test_profile_of_another_kind_of_picture_is_left_out(prepare, pictures):
    cmyk = patches(PATCHES).convert("CMYK")
    data = pictures.encode(cmyk, "JPEG", quality=98, icc_profile=matrix_profile(DISPLAY_P3))
    assert pictures.error(pictures.open(await prepare(data)), patches(PATCHES)) < 2


async def test_grey_picture_takes_a_colour_profile(prepare, pictures):
    grey = patches([(level,) * 3 for level in (0, 60, 120, 180, 255)])
    data = pictures.encode(grey.convert("L"), "PNG", icc_profile=matrix_profile(DISPLAY_P3))
    assert pictures.error(pictures.open(await prepare(data)), grey) < 1


async def test_drawing_stays_exact_as_png_and_photo_becomes_jpeg(prepare, pictures):
    drawing = patches(PATCHES)
    prepared = await prepare(pictures.encode(drawing, "PNG"))
    assert prepared.mime_type == "image/png"
    assert pictures.open(prepared).tobytes() == drawing.tobytes()
    assert prepared.changes == ()
    assert (await prepare(pictures.encode(pictures.scene(), "PNG"))).mime_type == "image/jpeg"


async def test_noise_stays_under_the_services_limit(prepare, pictures):
    noise = Image.merge("RGB", [Image.effect_noise((1280, 720), 120) for _ in range(3)])
    prepared = await prepare(pictures.encode(noise, "PNG"))
    assert len(prepared.data) < 10_000_000


async def test_format_is_told_by_content_and_not_by_name(prepare, pictures):
    scene = pictures.scene()
    for name in ("photo.gif", "photo.txt", "photo", "photo.png.exe"):
        data = pictures.encode(scene, "JPEG", quality=90)
        prepared = await prepare(data, name)
        assert pictures.error(pictures.open(prepared), pictures.expected(scene, "16:9")) < CLOSE


async def test_data_uri_gives_the_same_picture_as_the_file(preparer, prepare, pictures):
    data = pictures.encode(pictures.scene(), "JPEG")
    uri = f"DATA:image/jpeg;charset=utf-8;base64,{base64.encodebytes(data).decode()}"
    assert await preparer.prepare(uri) == await prepare(data)


async def test_home_relative_path_is_found(new_preparer, root, pictures, monkeypatch):
    monkeypatch.setenv("HOME", str(root.parent))
    (root / "a.png").write_bytes(pictures.encode(pictures.scene(), "PNG"))
    assert (await new_preparer().prepare("~/pictures/a.png")).width == 1280


async def test_nearer_ratio_is_chosen_for_a_turned_photo(prepare, pictures):
    lying, exif = with_orientation(pictures.scene(600, 900), 6)
    prepared = await prepare(pictures.encode(lying, "JPEG", exif=exif))
    assert prepared.aspect_ratio == "9:16"
    assert pictures.error(pictures.open(prepared), pictures.expected(pictures.scene(600, 900), "9:16")) < CLOSE


async def test_pad_shows_all_between_black_bars(prepare, pictures):
    scene = pictures.scene(500, 500)
    prepared = await prepare(pictures.encode(scene, "JPEG", quality=95), aspect_ratio="16:9", fit="pad")
    frame = pictures.open(prepared)
    assert pictures.error(frame.crop((280, 0, 1000, 720)), scene.resize((720, 720), Image.Resampling.LANCZOS)) < CLOSE
    assert frame.crop((0, 0, 270, 720)).getextrema() == ((0, 0),) * 3
    assert frame.crop((1010, 0, 1280, 720)).getextrema() == ((0, 0),) * 3
    assert prepared.changes == ("enlarged 1.4x", "black bars left and right")


async def test_pad_of_a_transparent_picture_is_white_all_over(prepare, pictures):
    logo = Image.new("RGBA", (200, 400), (0, 0, 0, 0))
    logo.paste("red", (50, 150, 150, 250))
    prepared = await prepare(pictures.encode(logo, "PNG"), aspect_ratio="16:9", fit="pad")
    assert pictures.open(prepared).getpixel((5, 5)) == (255, 255, 255)
    assert "white bars left and right" in prepared.changes


async def test_none_takes_the_exact_size_even_when_it_lies_on_its_side(prepare, pictures):
    lying, exif = with_orientation(pictures.scene(1280, 720), 8)
    prepared = await prepare(pictures.encode(lying, "JPEG", quality=95, exif=exif), fit="none")
    assert pictures.error(pictures.open(prepared), pictures.scene(1280, 720)) < CLOSE
    assert prepared.changes == ("turned upright", "metadata removed")


async def test_heic_of_an_iphone_keeps_its_colours(prepare, pictures):
    buffer = io.BytesIO()
    pillow_heif.from_pillow(patches(PATCHES)).save(
        buffer, quality=98, chroma=444, icc_profile=matrix_profile(DISPLAY_P3)
    )
    prepared = await prepare(buffer.getvalue(), "IMG_0001.HEIC")
    assert pictures.error(pictures.open(prepared), patches(map(p3_to_srgb, PATCHES))) < 2


def test_reference_turns_are_what_pillow_calls_upright(pictures):
    scene = pictures.scene(60, 40)
    for orientation in range(1, 9):
        lying, exif = with_orientation(scene, orientation)
        turned = ImageOps.exif_transpose(Image.open(io.BytesIO(pictures.encode(lying, "PNG", exif=exif))))
        assert turned.tobytes() == scene.tobytes()

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sora_mcp.images import checks, colours, fitting
from sora_mcp.images.checks import Refused, open_image, sniff

SIZES = {"16:9": (1280, 720), "9:16": (720, 1280)}
sides = st.integers(64, 16_384)


@given(sides, sides, st.sampled_from([None, "16:9", "9:16"]), st.sampled_from(["crop", "pad"]))
def test_plan_fills_the_frame_without_distorting(width, height, aspect_ratio, fit):
    plan = fitting.plan(width, height, sizes=SIZES, aspect_ratio=aspect_ratio, fit=fit)
    frame = SIZES[plan.aspect_ratio]
    assert plan.frame == frame
    assert aspect_ratio in {None, plan.aspect_ratio}
    assert 0 < plan.kept[0] <= width
    assert 0 < plan.kept[1] <= height
    assert all(1 <= shown <= side for shown, side in zip(plan.shown, frame, strict=True))
    if fit == "crop":
        assert plan.shown == frame
        assert plan.kept[0] == pytest.approx(width) or plan.kept[1] == pytest.approx(height)
        assert plan.kept[0] / plan.kept[1] == pytest.approx(frame[0] / frame[1])
    else:
        assert plan.kept == (width, height)
        assert plan.shown[0] == frame[0] or plan.shown[1] == frame[1]
        across, down = plan.shown[0] / width, plan.shown[1] / height
        assert abs(across - down) * max(width, height) < max(width, height) / min(width, height) + 1


@given(sides, sides)
def test_nearer_ratio_is_chosen(width, height):
    plan = fitting.plan(width, height, sizes=SIZES, aspect_ratio=None, fit="crop")
    assert plan.aspect_ratio == ("16:9" if width >= height else "9:16")


def test_none_takes_only_the_exact_size():
    assert fitting.plan(720, 1280, sizes=SIZES, aspect_ratio=None, fit="none").aspect_ratio == "9:16"
    for width, height, ratio in ((720, 1280, "16:9"), (1280, 721, None), (1281, 720, None), (2560, 1440, None)):
        with pytest.raises(Refused, match="size") as refusal:
            fitting.plan(width, height, sizes=SIZES, aspect_ratio=ratio, fit="none")
        assert (refusal.value.width, refusal.value.height) == (width, height)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "AVIF"])
def test_opening_decodes_nothing(pictures, image_format):
    data = pictures.encode(pictures.scene(), image_format)
    image = open_image(data, sniff(data))
    assert image.size == (960, 640)
    assert image._im is None or image_format == "GIF"


def test_heic_brands_are_told_from_avif():
    def box(major, *others):
        return (16 + 4 * len(others)).to_bytes(4, "big") + b"ftyp" + major + bytes(4) + b"".join(others)

    assert sniff(box(b"heic", b"mif1")) == "HEIC"
    assert sniff(box(b"mif1", b"heic")) == "HEIC"
    assert sniff(box(b"mif1", b"avif")) == "AVIF"
    assert sniff(box(b"avis")) == "AVIF"
    for other in (box(b"mp42", b"isom"), b"\xff\xff\xff\xffftypqt  ", b"\0\0\0\0ftyp"):
        with pytest.raises(Refused, match="format"):
            sniff(other)


def test_heic_without_its_library_is_refused_by_name(monkeypatch):
    monkeypatch.setitem(checks._CLASSES, "HEIC", ("no_such_library", "HeifImageFile"))
    with pytest.raises(Refused, match="decoder"):
        open_image(b"", "HEIC")


def test_too_small_a_picture_is_refused_with_its_size(pictures):
    with pytest.raises(Refused, match="small") as refusal:
        open_image(pictures.encode(Image.new("RGB", (63, 900)), "PNG"), "PNG")
    assert (refusal.value.width, refusal.value.height) == (63, 900)


def test_gif_frames_are_counted_with_palettes_and_comments(pictures):
    shades = [Image.new("P", (90, 90), index) for index in range(5)]
    for shade in shades:
        shade.putpalette([shade.getpixel((0, 0)) * 40] * 768)
    data = pictures.encode(shades[0], "GIF", save_all=True, append_images=shades[1:], comment=b"," * 600, duration=9)
    image = open_image(data, "GIF")
    assert checks.frames_of(image, data) == image.n_frames == 5
    assert checks.frames_of(image, data[:20]) == 1
    assert checks.frames_of(image, data[:-1] + b"\0\0") == 5
    assert checks.frames_of(image, data + b"\x2c" * 50) == 5


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "I", "I;16"]
)
def test_every_mode_comes_out_as_plain_rgb(mode):
    grey = Image.new("L", (8, 8), 128)
    image = Image.new(mode, (8, 8), 128 * 257) if mode in {"I", "I;16"} else None
    image = image or (grey.convert("RGB").convert("P").convert("PA") if mode == "PA" else None)
    image = image or (Image.new("LAB", (8, 8), (128, 128, 128)) if mode == "LAB" else grey.convert("RGB").convert(mode))
    safe = colours.on_the_safe_side(image)
    assert safe.mode in {"L", "LA", "RGB", "RGBA", "CMYK"}
    small = safe.resize((4, 4), Image.Resampling.LANCZOS)
    flat, _ = colours.flattened(small)
    plain, changed = colours.to_srgb(flat, None)
    assert plain.mode == "RGB"
    assert not changed
    expected = 255 if mode == "1" else 128
    assert mode in {"1", "LAB"} or all(abs(level - expected) < 4 for level in plain.getpixel((1, 1)))


def test_frame_carries_no_information_of_the_source(pictures):
    data = pictures.encode(Image.new("RGB", (1280, 720), "red"), "JPEG", comment=b"secret")
    image = open_image(data, "JPEG")
    fitted = fitting.fit_image(image, sizes=SIZES, aspect_ratio=None, fit="none")
    assert image.info["comment"] == b"secret"
    assert fitted.frame.info == {}


def test_jpeg_is_decoded_small_only_when_enough_is_left(pictures):
    for size, decoded in (((4032, 3024), (2016, 1512)), ((3700, 2775), (3700, 2775)), ((16000, 9000), (4000, 2250))):
        data = pictures.encode(Image.new("L", size), "JPEG") if size[0] < 5000 else None
        data = data or pictures.encode(Image.new("L", (8000, 4500)), "JPEG")
        image = open_image(data, "JPEG")
        fitting.fit_image(image, sizes=SIZES, aspect_ratio="16:9", fit="crop")
        assert image.size == (decoded if size[0] < 5000 else (2000, 1125))


def test_truncated_jpeg_raises_and_is_not_half_shown(pictures):
    data = pictures.encode(pictures.scene(3000, 2000), "JPEG")
    image = open_image(data[: len(data) // 2], "JPEG")
    with pytest.raises(OSError, match="truncated"):
        fitting.fit_image(image, sizes=SIZES, aspect_ratio=None, fit="crop")


def test_gif_frame_outside_its_canvas_is_checked_again(pictures, monkeypatch):
    data = pictures.encode(Image.new("P", (640, 360)), "GIF")
    image = open_image(data, "GIF")
    monkeypatch.setattr(checks, "MAX_PIXELS", 1000)
    with pytest.raises(Refused, match="pixels"):
        fitting.fit_image(image, sizes=SIZES, aspect_ratio=None, fit="crop")


def test_bytes_are_only_looked_at_once(pictures):
    data = pictures.encode(pictures.scene(), "PNG")
    assert sniff(io.BytesIO(data).read()) == "PNG"

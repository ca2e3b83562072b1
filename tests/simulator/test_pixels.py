import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora_mcp.simulator.pixels import image_size, image_type
from tests.simulator.conftest import picture

KINDS = {
    "jpeg": ("JPEG", {}),
    "progressive jpeg": ("JPEG", {"progressive": True, "exif": b"Exif\0\0" + b"x" * 500}),
    "png": ("PNG", {}),
    "gif": ("GIF", {}),
    "webp": ("WEBP", {}),
    "lossless webp": ("WEBP", {"lossless": True}),
    "webp with metadata": ("WEBP", {"exif": b"Exif\0\0" + b"x" * 50}),
}


@pytest.mark.parametrize("size", [(1280, 720), (720, 1280), (1, 3)])
@pytest.mark.parametrize("name", KINDS)
def test_type_and_size_are_read_from_real_images(name, size):
    kind, options = KINDS[name]
    data = picture(kind, size, **options)
    assert image_type(data) == kind.lower()
    assert image_size(data) == size


@pytest.mark.parametrize("name", KINDS)
def test_a_header_that_ends_early_has_no_size(name):
    kind, options = KINDS[name]
    data = picture(kind, (64, 48), **options)
    assert image_size(data[:12]) in {None, (64, 48)}  # a GIF has told it by then
    assert image_size(data[:9]) is None


def test_jpeg_fill_and_bare_markers_are_passed_over():
    data = picture("JPEG", (640, 480))
    assert image_size(data[:2] + b"\xff\xff\xff\x01" + data[2:]) == (640, 480)


def test_jpeg_without_a_frame_has_no_size():
    assert image_size(b"\xff\xd8\xff\xe0\x00\x04ab\x00\x00") is None


def test_webp_of_an_unknown_kind_has_no_size():
    assert image_size(b"RIFF\0\0\0\0WEBPXXXX" + b"\0" * 30) is None


@given(st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFFxxxxWEBPVP8 ", b""]), st.binary())
def test_garbage_never_breaks_the_reader(magic, rest):
    size = image_size(magic + rest)
    assert size is None or min(size) >= 0


@pytest.mark.parametrize("data", [b"", b"<svg/>", b"%PDF-1.7", b"II*\0", b"RIFF0000WAVE"])
def test_other_files_are_no_image(data):
    assert image_type(data) is None
    assert image_size(data) is None

"""Nothing of a source but its pixels is ever in what leaves the machine."""

import io
import struct
import zipfile
import zlib

import pillow_heif
import pytest
from PIL import Image, PngImagePlugin

pytestmark = pytest.mark.anyio

CANARY = b"CANARY-7f3a91"
TEXT = CANARY.decode()


def metadata():
    exif = Image.Exif()
    exif[0x010E] = f"description {TEXT}"
    exif[0x013B] = f"artist {TEXT}"
    exif.get_ifd(0x8825)[29] = f"gps {TEXT}"
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0" + CANARY
    return exif


def profile():
    return b"\0" * 128 + CANARY


def xmp():
    return f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{TEXT}</x:xmpmeta>".encode()


def zip_file():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(TEXT, CANARY)
    return buffer.getvalue()


def segment(marker, body):
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def jpeg(pictures):
    data = pictures.encode(
        pictures.scene(), "JPEG", exif=metadata(), icc_profile=profile(), xmp=xmp(), comment=b"comment " + CANARY
    )
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", 5 + len(CANARY)) + b"\x1c\x02\x78\0\x0d" + CANARY
    extra = segment(0xED, iptc + b"\0") + segment(0xEB, b"JP" + CANARY) + segment(0xE2, b"MPF\0" + CANARY)
    return data[:2] + extra + data[2:] + zip_file()


def png(pictures):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("plain", TEXT)
    texts.add_text("packed", TEXT, zip=True)
    texts.add_itxt("international", TEXT)
    texts.add_itxt("XML:com.adobe.xmp", xmp().decode())
    data = pictures.encode(pictures.scene(), "PNG", pnginfo=texts, exif=metadata(), icc_profile=profile())
    late = pictures.chunk(b"tEXt", b"late\0" + CANARY) + pictures.chunk(b"zTXt", b"late\0\0" + zlib.compress(CANARY))
    private = pictures.chunk(b"caNb", CANARY)
    head, end = data[:33], data[-12:]
    return head + private + data[33:-12] + late + end + zip_file()


def drawing(pictures):
    """A PNG that stays one: what is copied along would show in other chunks."""
    texts = PngImagePlugin.PngInfo()
    texts.add_text("plain", TEXT)
    return pictures.encode(
        Image.new("RGB", (1280, 720), "red"), "PNG", pnginfo=texts, icc_profile=profile(), dpi=(9, 9)
    )


def webp(pictures):
    data = pictures.encode(pictures.scene(), "WEBP", exif=metadata(), icc_profile=profile(), xmp=xmp())
    data += b"CANB" + struct.pack("<I", len(CANARY)) + CANARY + b"\0" * (len(CANARY) % 2)
    return b"RIFF" + struct.pack("<I", len(data) - 8) + data[8:] + zip_file()


def gif(pictures):
    data = pictures.encode(pictures.scene(), "GIF", comment=CANARY)
    extension = b"\x21\xff\x0bCANARYAPP01" + bytes((len(CANARY),)) + CANARY + b"\0"
    return data[:-1] + extension + b"\x3b" + zip_file()


def avif(pictures):
    return pictures.encode(pictures.scene(), "AVIF", exif=metadata(), xmp=xmp()) + zip_file()


def heic(pictures):
    buffer = io.BytesIO()
    pillow_heif.from_pillow(pictures.scene()).save(buffer, exif=metadata().tobytes(), xmp=xmp(), icc_profile=profile())
    return buffer.getvalue() + zip_file()


def jpeg_segments(data):
    """The markers of a JPEG up to its first scan."""
    at, markers = 2, []
    while data[at + 1] != 0xDA:
        markers.append(data[at + 1])
        at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return markers


def png_chunks(data):
    at, kinds = 8, []
    while at < len(data):
        kinds.append(data[at + 4 : at + 8])
        at += 12 + struct.unpack(">I", data[at : at + 4])[0]
    return kinds


@pytest.mark.parametrize("make", [jpeg, png, drawing, webp, gif, avif, heic])
@pytest.mark.parametrize("fit", ["crop", "pad"])
async def test_planted_bytes_do_not_leave(prepare, pictures, make, fit):
    data = make(pictures)
    assert CANARY in data
    prepared = await prepare(data, fit=fit)
    assert CANARY not in prepared.data
    assert b"PK\x03\x04" not in prepared.data
    assert not any(TEXT in change for change in prepared.changes)
    assert "metadata removed" in prepared.changes
    if prepared.mime_type == "image/jpeg":
        # JFIF, tables, frame, nothing that carries text; and nothing behind the end.
        assert set(jpeg_segments(prepared.data)) <= {0xE0, 0xDB, 0xC0, 0xC4}
        assert prepared.data.endswith(b"\xff\xd9")
    else:
        assert set(png_chunks(prepared.data)) == {b"IHDR", b"IDAT", b"IEND"}


async def test_gps_and_orientation_arrive_upright_and_without_a_place(prepare, pictures):
    exif = metadata()
    exif[0x0112] = 6
    scene = pictures.scene()
    lying = scene.transpose(Image.Transpose.ROTATE_90)
    prepared = await prepare(pictures.encode(lying, "JPEG", quality=95, exif=exif) + zip_file())
    assert pictures.error(pictures.open(prepared), pictures.expected(scene, "16:9")) < 3
    assert CANARY not in prepared.data
    assert prepared.changes == ("turned upright", "cropped 8 % top and bottom", "enlarged 1.3x", "metadata removed")

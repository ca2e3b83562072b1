"""Hostile content: the right code in time, a bounded parent, and an event loop that does not notice."""

import contextlib
import io
import os
import struct
import time
import zlib

import anyio
import psutil
import pytest
from PIL import Image

from sora_mcp.errors import CorruptImage, ImageTooLarge, ImageTooSmall, UnsupportedImage

pytestmark = pytest.mark.anyio

MEGABYTE = 1_000_000


def empty_rows(row_bytes, rows):
    """Compressed zeros, made without holding them."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(row_bytes)) for _ in range(rows))
    return packed + packer.flush()


def bomb_9000(pictures):
    data = pictures.png(9000, 9000, 1, 0, empty_rows(1 + 1125, 9000), level=None)
    assert len(data) < 12_000
    return data


def bomb_14000(pictures):
    return pictures.png(14000, 14000, 1, 0, empty_rows(1 + 1750, 14000), level=None)


def ztxt_bomb(pictures):
    text = pictures.chunk(b"zTXt", b"bomb\0\0" + empty_rows(MEGABYTE, 200))
    return pictures.png(128, 128, 8, 0, bytes(129 * 128), before=text * 20)


def itxt_bomb(pictures):
    text = pictures.chunk(b"iTXt", b"bomb\0\1\0\0\0" + empty_rows(MEGABYTE, 200))
    return pictures.png(128, 128, 8, 0, bytes(129 * 128), before=text)


def profile_bomb(pictures):
    profile = pictures.chunk(b"iCCP", b"bomb\0\0" + empty_rows(MEGABYTE, 200))
    return pictures.png(128, 128, 8, 0, bytes(129 * 128), before=profile)


def data_bomb(pictures):
    """A small header over endless pixels."""
    return pictures.png(128, 128, 8, 0, empty_rows(MEGABYTE, 300), level=None)


def permitted_40_megapixels(pictures):
    return pictures.png(8000, 5000, 8, 6, empty_rows(1 + 32000, 5000), level=None)


def gif_of_100_000_frames(pictures):
    still = pictures.encode(Image.new("P", (640, 360)), "GIF")
    frame = b"\x2c" + bytes(4) + b"\1\0\1\0\0" + b"\2\2\x44\1\0"
    return still[:-1] + frame * 100_000 + b"\x3b"


def gif_with_a_vast_canvas(pictures):
    data = pictures.encode(Image.new("P", (64, 64)), "GIF")
    return data[:6] + struct.pack("<HH", 65535, 65535) + data[10:]


def gif_with_a_frame_beyond_its_canvas(pictures):
    data = pictures.encode(Image.new("P", (640, 360)), "GIF")
    at = data.index(b"\x2c" + struct.pack("<HHHH", 0, 0, 640, 360))
    return data[: at + 5] + struct.pack("<HH", 65535, 65535) + data[at + 9 :]


def webp_with_a_vast_canvas(_):
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (16382).to_bytes(3, "little") * 2
    return b"RIFF" + struct.pack("<I", 4 + len(canvas)) + b"WEBP" + canvas


def webp_lossless_with_a_vast_frame(_):
    frame = b"\x2f" + (16383 | 16383 << 14).to_bytes(4, "little") + bytes(100)
    return b"RIFF" + struct.pack("<I", 112 + len(frame)) + b"WEBPVP8L" + struct.pack("<I", len(frame)) + frame


def webp_lossy_with_a_vast_frame(_):
    frame = b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 16383, 16383) + bytes(100)
    return b"RIFF" + struct.pack("<I", 12 + len(frame)) + b"WEBPVP8 " + struct.pack("<I", len(frame)) + frame


def jpeg_with_a_vast_frame(pictures):
    data = bytearray(pictures.encode(Image.new("RGB", (640, 360)), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 65000, 65000)
    return bytes(data)


def long_and_thin(pictures):
    return pictures.encode(Image.new("1", (16_385, 64)), "PNG")


def avif_with_a_vast_frame(pictures):
    data = pictures.encode(Image.new("RGB", (640, 360)), "AVIF")
    return data.replace(struct.pack(">II", 640, 360), struct.pack(">II", 14000, 14000))


TOO_LARGE = [
    bomb_9000,
    bomb_14000,
    gif_with_a_vast_canvas,
    webp_with_a_vast_canvas,
    webp_lossless_with_a_vast_frame,
    webp_lossy_with_a_vast_frame,
    jpeg_with_a_vast_frame,
    long_and_thin,
]
EITHER = [ztxt_bomb, itxt_bomb, profile_bomb, gif_with_a_frame_beyond_its_canvas, avif_with_a_vast_frame]
ACCEPTED = [gif_of_100_000_frames, permitted_40_megapixels]


class Beside:
    """What the rest of the process feels meanwhile: its memory, and how late a timer of 5 ms comes."""

    def __init__(self):
        self.process, self.delays = psutil.Process(), []
        self.before = self.most = self.process.memory_info().rss

    async def watch(self):
        while True:
            started = time.perf_counter()
            await anyio.sleep(0.005)
            self.delays.append(time.perf_counter() - started - 0.005)
            self.most = max(self.most, self.process.memory_info().rss)

    @property
    def p95(self):
        return sorted(self.delays)[int(len(self.delays) * 0.95)]

    @property
    def grown(self):
        return self.most - self.before


async def outcome(prepare, data):
    beside = Beside()
    started = time.monotonic()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(beside.watch)
        try:
            result = await prepare(data)
        except (CorruptImage, ImageTooLarge, ImageTooSmall, UnsupportedImage) as error:
            result = error
        tasks.cancel_scope.cancel()
    assert time.monotonic() - started < 10
    assert beside.grown < 50 * MEGABYTE
    return result


@pytest.mark.parametrize("make", TOO_LARGE)
async def test_bomb_is_too_large(prepare, pictures, make):
    assert isinstance(await outcome(prepare, make(pictures)), ImageTooLarge)


@pytest.mark.parametrize("make", EITHER)
async def test_bomb_is_refused(prepare, pictures, make):
    assert isinstance(await outcome(prepare, make(pictures)), ImageTooLarge | CorruptImage)


@pytest.mark.parametrize("make", ACCEPTED)
async def test_heavy_but_honest_picture_is_taken(prepare, pictures, make):
    prepared = await outcome(prepare, make(pictures))
    assert prepared.width == 1280


async def test_pixels_beyond_the_declared_ones_are_not_unpacked(prepare, pictures):
    assert (await outcome(prepare, data_bomb(pictures))).width in {720, 1280}


async def test_many_frames_are_counted_without_decoding_them(prepare, pictures):
    prepared = await prepare(gif_of_100_000_frames(pictures))
    assert "first frame of 100001" in prepared.changes


async def test_event_loop_keeps_its_pace_beside_bombs(prepare, pictures):
    """Four at once, two of them decoding: timers come about as punctually as on an idle loop."""
    idle, busy = Beside(), Beside()
    with anyio.move_on_after(0.5):
        await idle.watch()
    bombs = [make(pictures) for make in (bomb_9000, permitted_40_megapixels, permitted_40_megapixels, bomb_14000)]

    async def send(number, data):
        with contextlib.suppress(ImageTooLarge):
            await prepare(data, f"{number}.png")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(busy.watch)
        async with anyio.create_task_group() as senders:
            for number, data in enumerate(bombs):
                senders.start_soon(send, number, data)
        tasks.cancel_scope.cancel()
    assert busy.p95 < max(3 * idle.p95, 0.02), (idle.p95, busy.p95)


async def test_picture_that_takes_for_ever_is_stopped(new_preparer, root, pictures):
    """A progressive JPEG may go over its pixels as often as it likes; this one does so thousands of times."""
    data = pictures.encode(Image.new("L", (6000, 6000)), "JPEG", progressive=True)
    scan = data.rindex(b"\xff\xda")
    (root / "scans.jpg").write_bytes(data[:scan] + data[scan:-2] * 4000 + data[-2:])
    preparer = new_preparer(decode_seconds=1)
    started = time.monotonic()
    with pytest.raises(CorruptImage, match="too long"):
        await preparer.prepare(str(root / "scans.jpg"))
    assert time.monotonic() - started < 4


def cut(data, part=0.6):
    return data[: int(len(data) * part)]


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "AVIF"])
async def test_truncated_picture_is_corrupt(prepare, pictures, image_format):
    data = pictures.encode(pictures.scene(), image_format)
    for part in (0.02, 0.3, 0.6, 0.95):
        assert isinstance(await outcome(prepare, cut(data, part)), CorruptImage), part


async def test_noise_behind_a_good_header_is_corrupt(prepare, pictures):
    for image_format in ("PNG", "WEBP", "AVIF"):
        data = pictures.encode(pictures.scene(), image_format)
        spoilt = data[:60] + os.urandom(len(data) - 60)
        assert isinstance(await outcome(prepare, spoilt), CorruptImage), image_format


@pytest.mark.parametrize(
    "data",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<?xml version='1.0'?><svg/>",
        b"%PDF-1.7\n",
        b"just words",
        b"II*\0" + bytes(100),
        b"MM\0*" + bytes(100),
        b"BM" + bytes(100),
        b"\0\0\1\0" + bytes(100),
        b"\xff\x0a" + bytes(100),
        b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(100),
        b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(100),
        b"RIFF\0\0\0\0WAVE" + bytes(100),
        b"P6 64 64 255\n" + bytes(100),
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"\x89PNG",
        b"\xff\xd8",
        b"PK\3\4" + bytes(100),
        bytes(1000),
    ],
)
async def test_other_content_is_unsupported_whatever_its_name(prepare, data):
    assert isinstance(await outcome(lambda data: prepare(data, "picture.png"), data), UnsupportedImage)


async def test_tiff_is_unsupported_though_pillow_could_read_it(prepare, pictures):
    assert isinstance(await outcome(prepare, pictures.encode(pictures.scene(), "TIFF")), UnsupportedImage)


@pytest.mark.parametrize("data", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\0\0\0WEBP"])
async def test_signature_without_a_picture_is_corrupt(prepare, data):
    assert isinstance(await outcome(prepare, data), CorruptImage | ImageTooLarge)


async def test_empty_file_is_corrupt(prepare):
    assert isinstance(await outcome(prepare, b""), CorruptImage)


@pytest.mark.parametrize("size", [(1, 1), (63, 2000), (2000, 63)])
async def test_tiny_picture_is_too_small(prepare, pictures, size):
    error = await outcome(prepare, pictures.encode(Image.new("RGB", size), "PNG"))
    assert isinstance(error, ImageTooSmall)
    assert f"{size[0]}x{size[1]}" in str(error)


async def test_smallest_picture_is_enlarged(prepare, pictures):
    prepared = await prepare(pictures.encode(Image.new("RGB", (64, 64), "red"), "PNG"))
    assert "enlarged 20.0x: it will look soft" in prepared.changes


async def test_file_over_25_megabytes_is_too_large_without_a_child(prepare, monkeypatch):
    monkeypatch.setattr(anyio, "open_process", None)
    assert isinstance(await outcome(prepare, bytes(25 * MEGABYTE + 1)), ImageTooLarge)


async def test_broken_orientation_is_left_out(prepare, pictures):
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\xff\xff\xff\xff\xff\xff" * 3
    data = pictures.encode(pictures.scene(), "JPEG", exif=exif)
    assert (await prepare(data)).width == 1280


async def test_random_spoilt_bytes_never_escape_the_codes(prepare, pictures):
    """A few hundred flipped bytes at fixed places: a picture or a code, never anything else."""
    for image_format in ("JPEG", "PNG", "GIF", "WEBP", "AVIF"):
        data = bytearray(pictures.encode(pictures.scene(300, 200), image_format))
        for at in range(13, min(len(data), 400), 97):
            data[at] ^= 0x5A
            result = await outcome(prepare, bytes(data))
            assert isinstance(result, Exception) or result.width in {720, 1280}


async def test_reading_stops_at_the_pictures_end(prepare, pictures):
    buffer = io.BytesIO(pictures.encode(pictures.scene(), "JPEG"))
    buffer.seek(0, io.SEEK_END)
    buffer.write(bytes(20 * MEGABYTE))
    assert (await outcome(prepare, buffer.getvalue())).width == 1280

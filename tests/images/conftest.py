import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageOps, ImageStat

from sora_mcp.images import ImagePreparer

SIZES = {"16:9": (1280, 720), "9:16": (720, 1280)}


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


class Pictures:
    """Makes the images that the tests send, and measures those that come back."""

    sizes = SIZES

    @staticmethod
    def scene(width=960, height=640):
        """Smooth, in full colour, and different in every corner, so that a wrong turn or a wrong colour shows."""
        across = Image.linear_gradient("L").rotate(90).resize((width, height))
        down = Image.linear_gradient("L").resize((width, height))
        disc = Image.radial_gradient("L").resize((width // 2, height // 2))
        blue = Image.new("L", (width, height), 40)
        blue.paste(disc, (0, 0))
        return Image.merge("RGB", (across, down, blue))

    @staticmethod
    def encode(image, image_format, **options):
        buffer = io.BytesIO()
        image.save(buffer, image_format, **options)
        return buffer.getvalue()

    @staticmethod
    def png(width, height, depth, colour_type, rows, *, before=b"", after=b"", level=9):
        """A PNG by hand: what Pillow cannot write. ``rows`` is the raw data, filter bytes included."""
        header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
        body = chunk(b"IDAT", rows if level is None else zlib.compress(rows, level))
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + body + after + chunk(b"IEND", b"")

    chunk = staticmethod(chunk)

    @classmethod
    def expected(cls, upright, aspect_ratio):
        return ImageOps.fit(upright.convert("RGB"), SIZES[aspect_ratio], Image.Resampling.LANCZOS)

    @staticmethod
    def open(prepared):
        return Image.open(io.BytesIO(prepared.data)).convert("RGB")

    @staticmethod
    def error(image, reference):
        """Mean difference over all pixels and channels, in levels of 255."""
        mean = ImageStat.Stat(ImageChops.difference(image, reference)).mean
        return sum(mean) / len(mean)


@pytest.fixture(scope="session")
def pictures():
    return Pictures


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder


@pytest.fixture
def new_preparer(root):
    def make(**options):
        settings = {
            "roots": lambda: (Path(root),),
            "trusted_origin": lambda: "",
            "sizes": SIZES,
            "user_agent": "sora-mcp-tests/1",
        }
        return ImagePreparer(**(settings | options))

    return make


@pytest.fixture
def preparer(new_preparer):
    return new_preparer()


@pytest.fixture
def prepare(preparer, root):
    """Prepare bytes that lie in a file under the root."""

    async def prepare_bytes(data, name="picture.bin", **options):
        path = root / name
        path.write_bytes(data)
        return await preparer.prepare(str(path), **options)

    return prepare_bytes

import base64
import io
import tempfile

import pytest

from sora_mcp.errors import CorruptImage, DiskFull, ImageTooLarge, InvalidArgument, UnsupportedImage
from sora_mcp.images import sources
from sora_mcp.images.sources import kind_of, open_data

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n...").decode()


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("/home/a/x.png", "path"),
        ("x.png", "path"),
        ("~/x.png", "path"),
        ("C:\\x.png", "path"),
        ("", "path"),
        ("file:///x.png", "path"),
        ("sandbox:/mnt/data/x.png", "path"),
        ("https://example.com/x.png", "link"),
        ("HTTP://example.com/x.png", "link"),
        ("ftp://example.com/x.png", "link"),
        ("data:image/png;base64,AAAA", "data"),
        ("DATA:image/png;base64,AAAA", "data"),
        ("database.png", "path"),
    ],
)
def test_kind_is_told_by_the_first_letters(file, kind):
    assert kind_of(file) == kind


def test_data_is_decoded_line_breaks_and_parameters_or_not():
    for uri in (
        f"data:image/png;base64,{PIXEL}",
        f"data:IMAGE/PNG;BASE64,{PIXEL}",
        f"data:image/png;name=x;base64,{PIXEL[:8]}\r\n {PIXEL[8:]}",
    ):
        with open_data(uri) as opened:
            assert opened.read() == b"\x89PNG\r\n\x1a\n..."


@pytest.mark.parametrize(
    "uri",
    [
        "data:text/html;base64,AAAA",
        "data:text/html,<script>alert(1)</script>",
        "data:application/pdf;base64,AAAA",
        "data:;base64,AAAA",
        "data:,AAAA",
        "data:",
        "data:imagepng;base64,AAAA",
        "data:xximage/png;base64,AAAA",
    ],
)
def test_data_of_another_type_is_unsupported(uri):
    with pytest.raises(UnsupportedImage):
        open_data(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "data:image/png;base64",
        "data:image/png,AAAA",
        "data:image/png;base64;x=1,AAAA",
        "data:image/png;base64,!!!!",
        "data:image/png;base64,AAA",
        "data:image/png;base64,AA=A",
        "data:image/png;base64,_-_-",
        "data:image/png;base64,%41%41",
        "data:image/png;base64,ÄÄÄÄ",
        "data:image/png;" + "x" * 300 + ";base64,AAAA",
    ],
)
def test_data_that_is_not_base64_is_an_invalid_argument(uri):
    with pytest.raises(InvalidArgument):
        open_data(uri)


def test_empty_data_is_corrupt():
    with pytest.raises(CorruptImage):
        open_data("data:image/png;base64,")


def test_40_megabytes_of_base64_are_refused_before_decoding(monkeypatch):
    monkeypatch.setattr(base64, "b64decode", None)
    with pytest.raises(ImageTooLarge):
        open_data("data:image/png;base64," + "A" * 40_000_000)


def test_cap_is_exact():
    at_most = "data:image/png;base64," + base64.b64encode(bytes(sources.MAX_BYTES)).decode()
    with open_data(at_most) as opened:
        assert len(opened.read()) == 25_000_000
    with pytest.raises(ImageTooLarge):
        open_data("data:image/png;base64," + base64.b64encode(bytes(sources.MAX_BYTES + 1)).decode())


def test_full_disk_is_said(monkeypatch):
    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(DiskFull):
        open_data(f"data:image/png;base64,{PIXEL}")


def test_disk_that_fills_up_is_said_and_the_file_closed(monkeypatch):
    class Filling(io.BytesIO):
        def write(self, data):
            if self.tell():
                raise OSError(28, "No space left on device")
            return super().write(bytes(data)[:4])

    filling = Filling()
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: filling)
    with pytest.raises(DiskFull):
        open_data(f"data:image/png;base64,{PIXEL}")
    assert filling.closed

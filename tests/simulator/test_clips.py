"""The test cards are real MP4 files; read here by their boxes (ISO/IEC 14496-12)."""

import shutil
import subprocess
from pathlib import Path

import pytest

import sora_mcp.simulator

FOLDER = Path(sora_mcp.simulator.__file__).with_name("clips")
CARDS = [(width, height, seconds) for width, height in ((1280, 720), (720, 1280)) for seconds in (4, 8, 12)]


def boxes(data: bytes) -> dict[str, bytes]:
    """The boxes of one level, by type, in file order; of equal ones the first."""
    found, at = {}, 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        assert size >= 8
        assert at + size <= len(data)
        found.setdefault(data[at + 4 : at + 8].decode("ascii"), data[at + 8 : at + size])
        at += size
    return found


def inside(data: bytes, *path: str) -> bytes:
    for name in path:
        data = boxes(data)[name]
    return data


@pytest.mark.parametrize(("width", "height", "seconds"), CARDS)
def test_card_is_an_h264_mp4_of_its_size_and_length(width, height, seconds):
    data = (FOLDER / f"{width}x{height}-{seconds}.mp4").read_bytes()
    order = list(boxes(data))
    assert order[0] == "ftyp"
    assert order.index("moov") < order.index("mdat")
    header = inside(data, "moov", "mvhd")
    assert header[0] == 0
    timescale, duration = int.from_bytes(header[12:16], "big"), int.from_bytes(header[16:20], "big")
    assert duration / timescale == pytest.approx(seconds, abs=0.1)
    sample = boxes(inside(data, "moov", "trak", "mdia", "minf", "stbl", "stsd")[8:])
    assert list(sample) == ["avc1"]
    assert int.from_bytes(sample["avc1"][24:26], "big") == width
    assert int.from_bytes(sample["avc1"][26:28], "big") == height


def test_cards_are_all_there_and_small():
    files = sorted(path.name for path in FOLDER.iterdir())
    assert files == sorted(f"{width}x{height}-{seconds}.mp4" for width, height, seconds in CARDS)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 400_000


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")
@pytest.mark.parametrize(("width", "height", "seconds"), CARDS)
def test_ffprobe_agrees(width, height, seconds):
    fields = "stream=codec_name,width,height,pix_fmt,duration"
    command = ["ffprobe", "-v", "error", "-show_entries", fields, "-of", "csv=p=0"]
    told = subprocess.run(
        [*command, str(FOLDER / f"{width}x{height}-{seconds}.mp4")], check=True, capture_output=True, text=True
    ).stdout.strip()
    codec, *numbers, pixels, duration = told.split(",")
    assert (codec, numbers, pixels) == ("h264", [str(width), str(height)], "yuv420p")
    assert float(duration) == pytest.approx(seconds, abs=0.1)

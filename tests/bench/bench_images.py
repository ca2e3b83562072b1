"""How long a 12-megapixel photo takes to prepare, against Pillow alone in the same run.

Run as ``python tests/bench/bench_images.py``; exits with 1 when the ratio is over 1.5.
"""

import io
import statistics
import sys
import tempfile
import time
from pathlib import Path

import anyio
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sora_mcp.images import ImagePreparer

SIZES = {"16:9": (1280, 720), "9:16": (720, 1280)}
RUNS = 15
LIMIT = 1.5


def photo():
    """4032x3024 pixels with detail and grain, some 3 MB as a JPEG: what a phone takes."""
    size = (4032, 3024)
    rough = Image.effect_noise((504, 378), 60).resize(size, Image.Resampling.BICUBIC)
    levels = (rough, Image.linear_gradient("L").resize(size), Image.radial_gradient("L").resize(size))
    grain = Image.merge("RGB", [Image.effect_noise(size, 12)] * 3)
    return Image.blend(Image.merge("RGB", levels), grain, 0.2)


def pillow_alone(path):
    """Decode, resize, save: nothing else."""
    with Image.open(path) as image:
        middle = (0, 378, 4032, 2646)
        buffer = io.BytesIO()
        image.resize((1280, 720), Image.Resampling.LANCZOS, box=middle).save(buffer, "JPEG", quality=92)


async def measure(path):
    """Median seconds of ours and of Pillow alone, taken in turns."""
    preparer = ImagePreparer(
        roots=lambda: (path.parent,), trusted_origin=str, sizes=SIZES, user_agent="sora-mcp-bench/1"
    )
    ours, alone = [], []
    for _ in range(RUNS):
        started = time.perf_counter()
        pillow_alone(path)
        alone.append(time.perf_counter() - started)
        started = time.perf_counter()
        await preparer.prepare(str(path))
        ours.append(time.perf_counter() - started)
    return statistics.median(ours), statistics.median(alone)


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder).resolve() / "photo.jpg"
        photo().save(path, quality=92)
        ours, alone = anyio.run(measure, path)
    print(f"12-megapixel photo: prepared in {ours * 1000:.0f} ms, Pillow alone {alone * 1000:.0f} ms")
    print(f"ratio {ours / alone:.2f} (at most {LIMIT})")
    return ours / alone > LIMIT


if __name__ == "__main__":
    sys.exit(main())

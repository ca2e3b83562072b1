"""The child: what it is given, what it may use, and what becomes of the parent when it fails."""

import contextlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import anyio
import pillow_heif
import psutil
import pytest
from PIL import Image, ImageCms

from sora_mcp.errors import CorruptImage, ImageError, ImageTooLarge, InvalidArgument, UnsupportedImage
from sora_mcp.images import guard as guard_module
from sora_mcp.images import limits, worker
from sora_mcp.images.guard import Guard
from sora_mcp.images.wording import Facts, changes, refusal

pytestmark = pytest.mark.anyio

SIZES = {"16:9": (1280, 720), "9:16": (720, 1280)}
REPOSITORY = str(Path(guard_module.__file__).parents[2])
REQUEST = {
    "sizes": SIZES,
    "aspect_ratio": None,
    "fit": "crop",
    "max_bytes": 25_000_000,
    "memory_bytes": guard_module.MEMORY_BYTES,
    "processor_seconds": 10,
}


def file_with(data):
    opened = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - the caller closes it
    opened.write(data)
    opened.seek(0)
    return opened


def running(script, **options):
    """A guard whose child is another program."""
    guard = Guard(SIZES, **options)
    guard._command = [sys.executable, "-I", "-S", "-c", script]
    return guard


def report(**changed):
    facts = {
        "format": "JPEG",
        "frames": 1,
        "metadata": False,
        "aspect_ratio": "16:9",
        "size": [1280, 720],
        "kept": [1280, 720],
        "shown": [1280, 720],
        "turned": False,
        "recoloured": False,
        "transparent": False,
        "mime_type": "image/jpeg",
        "sha256": "0" * 64,
    }
    return facts | changed


def writing(raw, frame=b"\xff\xd8\xff"):
    line = json.dumps(raw).encode() if isinstance(raw, dict) else raw
    return f"import sys; sys.stdout.buffer.write({line + bytes([10]) + frame!r})"


async def decode(guard, data=b"x", **options):
    with file_with(data) as source:
        return await guard.decode(source, aspect_ratio=options.get("aspect_ratio"), fit=options.get("fit", "crop"))


async def test_child_gets_no_environment_and_no_descriptor_but_the_three(monkeypatch):
    monkeypatch.setenv("TOAPIS_API_KEY", "sk-canary")
    leak = os.open("/etc/hostname", os.O_RDONLY)
    script = (
        "import os, sys, json;"
        "found = [dict(os.environ), sorted(map(int, os.listdir('/proc/self/fd')))[:-1], sys.path, os.getcwd()];"
        "sys.stdout.buffer.write(json.dumps(found).encode())"
    )
    guard = running(script)
    try:
        with file_with(b"x") as source:
            output, code = await guard._run(guard._command, source)
    finally:
        os.close(leak)
    environment, descriptors, path, _ = json.loads(output)
    assert code == 0
    assert "sk-canary" not in str(environment)
    assert set(environment) <= {"LC_CTYPE"}
    assert descriptors == [0, 1, 2]
    assert not any("site-packages" in folder for folder in path)


async def test_command_line_holds_nothing_of_the_user(root, pictures, new_preparer):
    seen = []

    async def look():
        while True:
            for child in psutil.Process().children():
                with contextlib.suppress(psutil.Error):
                    seen.append((child.cmdline(), child.nice()))
            await anyio.sleep(0.005)

    secret = root / "my-secret-name.jpg"
    secret.write_bytes(pictures.encode(pictures.scene(3000, 2000), "JPEG"))
    preparer = new_preparer()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)
        await preparer.prepare(str(secret))
        tasks.cancel_scope.cancel()
    started = [(line, nice) for line, nice in seen if "-S" in line]
    assert started
    assert not any("my-secret-name" in " ".join(line) for line, _ in started)
    assert any(nice > psutil.Process().nice() for _, nice in started)


@pytest.mark.parametrize("signal", ["SIGSEGV", "SIGKILL", "SIGABRT", "SIGXCPU"])
async def test_child_that_dies_is_a_corrupt_image(signal):
    script = f"import os, signal; os.kill(os.getpid(), signal.{signal})"
    with pytest.raises(CorruptImage):
        await decode(running(script))


async def test_child_that_its_watchdog_ended_is_too_large_an_image():
    with pytest.raises(ImageTooLarge, match="memory"):
        await decode(running(f"import os; os._exit({limits.OUT_OF_MEMORY})"))


async def test_child_that_hangs_is_stopped_and_reaped():
    started = time.monotonic()
    with pytest.raises(CorruptImage, match="too long"):
        await decode(running("import time; time.sleep(60)", seconds=0.3))
    assert time.monotonic() - started < 2
    assert not psutil.Process().children()


async def test_child_that_closes_its_mouth_and_stays_is_stopped():
    with pytest.raises(CorruptImage, match="too long"):
        await decode(running("import os, time; os.close(1); time.sleep(60)", seconds=0.5))
    assert not psutil.Process().children()


async def test_child_that_writes_without_end_is_stopped():
    before = psutil.Process().memory_info().rss
    with pytest.raises(CorruptImage):
        await decode(running("import os\nwhile True: os.write(1, bytes(1 << 20))"))
    assert psutil.Process().memory_info().rss - before < 50_000_000
    assert not psutil.Process().children()


async def test_cancelled_call_leaves_no_child():
    with anyio.move_on_after(0.3) as scope:
        await decode(running("import time; time.sleep(60)"))
    assert scope.cancelled_caught
    assert not psutil.Process().children()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no json",
        b"[]",
        b"null",
        b"7",
        b"\xff\xfe",
        b"[" * 100_000,
        {},
        {"refused": "pixels"},
        {"refused": "pixels", "width": "ten", "height": 1},
        report(format="<script>"),
        report(mime_type="text/html"),
        report(aspect_ratio="1:1"),
        report(sha256="zz"),
        report(sha256="00"),
        report(size=[0, 10]),
        report(kept=[1, 2, 3]),
        report(shown=[1e9, 1]),
        report(size=[float("nan"), 1]),
        report(frames="many"),
        report(frames=None),
        {key: value for key, value in report().items() if key != "turned"},
    ],
)
async def test_report_that_no_honest_child_writes_is_a_corrupt_image(raw):
    with pytest.raises(CorruptImage):
        await decode(running(writing(raw)))


async def test_honest_report_passes():
    facts, frame = await decode(running(writing(report())))
    assert frame == b"\xff\xd8\xff"
    assert facts.mime_type == "image/jpeg"


async def test_frame_of_another_kind_or_size_is_a_corrupt_image():
    for frame in (b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"<html>"):
        with pytest.raises(CorruptImage):
            await decode(running(writing(report(), frame)))
    script = writing(report()).removesuffix(")") + " + bytes(9_999_997))"
    with pytest.raises(CorruptImage):
        await decode(running(script))


async def test_frame_of_a_ratio_that_was_not_asked_for_is_a_corrupt_image():
    with pytest.raises(CorruptImage):
        await decode(running(writing(report(aspect_ratio="9:16"))), aspect_ratio="16:9")


async def test_two_at_a_time():
    at_once = []
    guard = running("import time; time.sleep(0.15)")

    async def watch():
        while True:
            at_once.append(len(psutil.Process().children()))
            await anyio.sleep(0.01)

    async def one():
        with pytest.raises(CorruptImage):
            await decode(guard)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        async with anyio.create_task_group() as calls:
            for _ in range(6):
                calls.start_soon(one)
        tasks.cancel_scope.cancel()
    assert max(at_once) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps this limit")
async def test_memory_limit_is_the_systems_own(pictures):
    data = pictures.encode(pictures.scene(5000, 5000), "PNG", compress_level=1)
    with pytest.raises(ImageTooLarge, match="memory"):
        await decode(Guard(SIZES, memory_bytes=100_000_000), data)
    assert (await decode(Guard(SIZES), data))[0].size == (5000, 5000)


async def test_refusals_reach_the_caller_in_words(pictures):
    data = pictures.encode(pictures.scene(900, 600), "JPEG")
    with pytest.raises(InvalidArgument, match=r"900x600 .* 1280x720 \(16:9\) or 720x1280 \(9:16\)"):
        await decode(Guard(SIZES), data, fit="none")
    with pytest.raises(InvalidArgument, match=r"only 720x1280 \(9:16\)\."):
        await decode(Guard(SIZES), data, fit="none", aspect_ratio="9:16")


async def test_unknown_ratio_and_fit_are_refused_before_anything_is_opened(preparer):
    with pytest.raises(InvalidArgument, match="16:9, 9:16"):
        await preparer.prepare("/etc/passwd", aspect_ratio="4:3")
    with pytest.raises(InvalidArgument, match="crop, pad, none"):
        await preparer.prepare("/etc/passwd", fit="stretch")


def test_every_reason_has_words():
    kinds = {
        "format": UnsupportedImage,
        "decoder": UnsupportedImage,
        "pixels": ImageTooLarge,
        "bytes": ImageTooLarge,
        "memory": ImageTooLarge,
        "time": CorruptImage,
        "broken": CorruptImage,
        "<b>made up</b>": CorruptImage,
    }
    for reason, kind in kinds.items():
        error = refusal(reason, (0, 0), SIZES)
        assert type(error) is kind
        assert isinstance(error, ImageError)
        assert "0x0" not in str(error)
        assert "made up" not in str(error)
    assert "9000x9000" in str(refusal("pixels", (9000, 9000), SIZES))


def facts(**changed):
    return Facts.read(report(**changed))


def test_changes_are_said_in_plain_words():
    said = changes(
        facts(
            format="GIF",
            frames=24,
            turned=True,
            size=[1000, 400],
            kept=[711.1, 400],
            metadata=True,
            recoloured=True,
            transparent=True,
        ),
        (1280, 720),
    )
    assert said == (
        "first frame of 24",
        "turned upright",
        "cropped 14 % left and right",
        "enlarged 1.8x",
        "transparent parts made white",
        "colours converted to sRGB",
        "converted from GIF to JPEG",
        "metadata removed",
    )
    assert changes(facts(), (1280, 720)) == ()
    assert changes(facts(size=[400, 225], kept=[400, 225]), (1280, 720)) == ("enlarged 3.2x: it will look soft",)
    assert changes(facts(size=[1284, 720], kept=[1280, 720]), (1280, 720)) == ("cropped under 1 % left and right",)
    assert changes(facts(size=[1280, 1440], kept=[1280, 1440], shown=[640, 720]), (1280, 720)) == (
        "reduced 2.0x",
        "black bars left and right",
    )
    assert changes(facts(shown=[1280, 700]), (1280, 720)) == ("black bars top and bottom",)


def photographed(pictures, image_format, *, orientation=1, mode="RGB", **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    scene = pictures.scene(700, 300).convert(mode)
    if mode.endswith("A"):
        scene.putalpha(200)
    return pictures.encode(scene, image_format, exif=exif.tobytes(), **options)


def profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def heic(pictures):
    buffer = io.BytesIO()
    pillow_heif.from_pillow(pictures.scene()).save(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("image_format", "make"),
    [
        ("PNG", lambda pictures: pictures.encode(pictures.scene(), "PNG")),
        ("JPEG", lambda pictures: photographed(pictures, "JPEG", orientation=6)),
        ("JPEG", lambda pictures: photographed(pictures, "JPEG", mode="CMYK", icc_profile=profile())),
        ("JPEG", lambda pictures: photographed(pictures, "JPEG", icc_profile=profile(), quality=80)),
        ("JPEG", lambda pictures: photographed(pictures, "JPEG", mode="L", icc_profile=profile())),
        ("JPEG", lambda pictures: photographed(pictures, "JPEG", icc_profile=b"broken")),
        ("PNG", lambda pictures: photographed(pictures, "PNG", orientation=3, mode="LA")),
        ("PNG", lambda pictures: pictures.encode(pictures.scene().quantize(9), "PNG", transparency=0)),
        ("WebP", lambda pictures: photographed(pictures, "WEBP", mode="RGBA")),
        ("WebP", lambda pictures: pictures.encode(pictures.scene(), "WEBP")),
        ("WebP", lambda pictures: pictures.encode(pictures.scene(), "WEBP", lossless=True)),
        ("GIF", lambda pictures: pictures.encode(Image.new("RGB", (640, 360), "blue"), "GIF")),
        ("AVIF", lambda pictures: photographed(pictures, "AVIF", orientation=8)),
        ("HEIC", heic),
    ],
)
async def test_worker_answers_in_this_process_as_in_its_own(pictures, image_format, make):
    data = make(pictures)
    found, frame = worker.answer(io.BytesIO(data), REQUEST)
    assert found["format"] == image_format
    facts, frame_of_child = await decode(Guard(SIZES), data)
    assert facts == Facts.read(found)
    assert frame == frame_of_child


async def test_without_the_heic_library_other_pictures_are_still_taken(pictures, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pillow_heif" else real(name))
    jpeg = pictures.encode(pictures.scene(), "JPEG")
    assert (await decode(Guard(SIZES), jpeg))[0].image_format == "JPEG"


def test_broken_tags_do_not_spoil_the_picture(pictures, monkeypatch):
    def broken(_):
        raise SyntaxError("not a TIFF file")

    monkeypatch.setattr(Image.Image, "getexif", broken)
    found, _ = worker.answer(io.BytesIO(pictures.encode(pictures.scene(), "JPEG")), REQUEST)
    assert not found["turned"]


def test_main_reads_its_argument_and_ends_the_process(pictures, monkeypatch):
    class Ended(Exception):
        pass

    def end(code):
        raise Ended(code)

    applied, out = [], io.TextIOWrapper(io.BytesIO())
    data = pictures.encode(pictures.scene(), "JPEG")
    monkeypatch.setattr(limits, "apply", lambda *given: applied.append(given))
    monkeypatch.setattr(sys, "argv", ["-c", "folder", json.dumps(REQUEST)])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(os, "_exit", end)
    with pytest.raises(Ended, match="0"):
        worker.main()
    assert applied == [(guard_module.MEMORY_BYTES, 10)]
    line, _, frame = out.buffer.getvalue().partition(b"\n")
    facts, expected = worker.answer(io.BytesIO(data), REQUEST)
    assert Facts.read(json.loads(line)) == Facts.read(facts)
    assert frame == expected


@pytest.mark.skipif(sys.platform != "linux", reason="the other systems bind memory in another way")
def test_limits_are_lowered_and_never_raised(monkeypatch):
    resource = importlib.import_module("resource")
    asked, nice = {}, []
    hard = {resource.RLIMIT_CPU: 5, resource.RLIMIT_AS: resource.RLIM_INFINITY}
    monkeypatch.setattr(resource, "getrlimit", lambda limit: (0, hard.get(limit, 10)))
    monkeypatch.setattr(resource, "setrlimit", asked.__setitem__)
    monkeypatch.setattr(os, "nice", nice.append)
    limits.apply(1000, 30)
    assert asked == {
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_FSIZE: (0, 0),
        resource.RLIMIT_AS: (1000, 1000),
    }
    assert nice == [10]


def test_memory_in_use_is_counted_in_bytes():
    assert 10_000_000 < limits.most_used() < 10_000_000_000


def test_watchdog_looks_again_until_it_is_too_much(monkeypatch):
    ended = threading.Event()
    uses = iter([1, 5, 10, 11, 12])
    monkeypatch.setattr(os, "_exit", lambda code: ended.set() if code == limits.OUT_OF_MEMORY else None)
    limits.watch(10, lambda: next(uses))
    assert ended.wait(5)
    assert next(uses) == 12


def test_worker_names_the_reason_of_each_failure(pictures, monkeypatch):
    def reason(data, **changed):
        found, frame = worker.answer(io.BytesIO(data), REQUEST | changed)
        assert frame == b""
        return found["refused"]

    good = pictures.encode(pictures.scene(), "JPEG")
    assert reason(b"words") == "format"
    assert reason(good, max_bytes=100) == "bytes"
    assert reason(good[:-500]) == "broken"
    assert reason(good, fit="none") == "size"
    for error, name in (
        (MemoryError(), "memory"),
        (worker.Image.DecompressionBombError(), "pixels"),
        (worker.Image.DecompressionBombWarning(), "pixels"),
        (RecursionError(), "broken"),
    ):

        def fail(*_, error=error, **__):
            raise error

        monkeypatch.setattr(worker, "fit_image", fail)
        assert reason(good) == name


@pytest.fixture
def as_a_program():
    """Run code in a process of its own that finds this package."""

    def run(code, *arguments, **options):
        command = [sys.executable, "-c", code, *arguments]
        # Measuring coverage loads much, and writes files.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
        environment["PYTHONPATH"] = REPOSITORY
        return subprocess.run(command, capture_output=True, check=False, env=environment, timeout=60, **options)

    return run


def test_worker_reads_stdin_and_writes_stdout(pictures, as_a_program):
    with file_with(pictures.encode(pictures.scene(), "JPEG")) as source:
        code = "from sora_mcp.images.worker import main; main()"
        run = as_a_program(code, json.dumps(REQUEST), stdin=source)
    line, _, frame = run.stdout.partition(b"\n")
    assert run.returncode == 0, run.stderr
    assert json.loads(line)["aspect_ratio"] == "16:9"
    assert frame.startswith(b"\xff\xd8\xff")


def test_limits_bind_and_only_ever_tighten(as_a_program, tmp_path):
    code = """
import resource
from sora_mcp.images import limits
resource.setrlimit(resource.RLIMIT_CPU, (5, 5))
limits.apply(2_000_000_000, 30)
print(*resource.getrlimit(resource.RLIMIT_CPU), *resource.getrlimit(resource.RLIMIT_CORE), flush=True)
print(*resource.getrlimit(resource.RLIMIT_FSIZE), flush=True)
import os, sys
try:
    open(sys.argv[1], 'wb', buffering=0).write(b'x')
except OSError as error:
    print(error.strerror, flush=True)
os._exit(0)  # nothing may be written at the end either
"""
    run = as_a_program(code, str(tmp_path / "written"))
    assert run.stdout.split(b"\n")[:3] == [b"5 5 0 0", b"0 0", b"File too large"], run.stderr


def test_watchdog_ends_a_process_that_uses_too_much(as_a_program):
    code = """
import time
from sora_mcp.images import limits
limits.watch(limits.most_used() + 50_000_000, limits.most_used)
time.sleep(0.1)
print('alive', flush=True)
# The count starts at what the parent had when it forked.
hoard = b'x' * (limits.most_used() + 100_000_000)
time.sleep(10)
"""
    run = as_a_program(code)
    assert run.stdout == b"alive\n"
    assert run.returncode == limits.OUT_OF_MEMORY


def test_neither_import_nor_use_loads_pillow_or_httpx_here(as_a_program, root, pictures):
    (root / "x.png").write_bytes(pictures.encode(pictures.scene(), "PNG"))
    code = f"""
import sys
import sora_mcp.images
heavy = {{'PIL', 'httpx', 'ssl', 'hashlib', 'asyncio', 'anyio'}} & set(sys.modules)
from sora_mcp.images import ImagePreparer
import anyio
from pathlib import Path
heavy |= {{'PIL', 'httpx', 'ssl'}} & set(sys.modules)
preparer = ImagePreparer(roots=lambda: (Path({str(root)!r}),), trusted_origin=str, sizes={SIZES!r}, user_agent='x')
print(anyio.run(preparer.prepare, {str(root / "x.png")!r}).width)
print(sorted(heavy | {{'PIL', 'httpx'}} & set(sys.modules)))
"""
    run = as_a_program(code)
    assert run.stdout.split() == [b"1280", b"[]"], run.stderr


def test_package_offers_its_two_names_and_no_others():
    import sora_mcp.images  # noqa: PLC0415

    assert sora_mcp.images.PreparedImage.__name__ == "PreparedImage"
    with pytest.raises(AttributeError, match="nothing"):
        _ = sora_mcp.images.nothing

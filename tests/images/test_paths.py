"""Hostile paths get one answer, at once; a race leaks nothing."""

import os
import socket
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

from sora_mcp.errors import NotARegularFile, PathNotAllowed
from sora_mcp.images.paths import is_plain_path, is_under, open_local, without_verbatim_prefix

pytestmark = pytest.mark.anyio

RACE_SECONDS = float(os.environ.get("SORA_MCP_TEST_RACE_SECONDS", "2"))

NOWHERE = [
    "/etc/passwd",
    "/etc/shadow",
    "/etc/hostname",
    "/etc/ssl/private",
    "/root/.ssh/id_rsa",
    "/no/such/file.png",
    "/",
    "//",
    "//etc/passwd",
    "///etc/passwd",
    "/./etc/passwd",
    "/etc/../etc/passwd",
    "../../../../../../../../etc/passwd",
    "..",
    ".",
    "./../x.png",
    "....//....//etc/passwd",
    "..\\..\\..\\etc\\passwd",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%2f..%2fetc%2fpasswd",
    "%2fetc%2fpasswd",
    "..%c0%af..%c0%afetc/passwd",
    "~root",
    "~root/.bashrc",
    "~nobody/x.png",
    "~+/x.png",
    "~\\x.png",
    "~",
    "~/",
    "~/../../etc/passwd",
    "$HOME/x.png",
    "${HOME}/x.png",
    "/proc/self/environ",
    "/proc/self/cmdline",
    "/proc/self/mem",
    "/proc/self/fd/0",
    "/proc/self/root/etc/passwd",
    "/proc/1/environ",
    "/dev/zero",
    "/dev/null",
    "/dev/random",
    "/dev/stdin",
    "/dev/fd/0",
    "/dev/tty",
    "/sys/kernel/notes",
    "/var/run/docker.sock",
    "C:\\Windows\\win.ini",
    "C:/Windows/win.ini",
    "C:Windows\\win.ini",
    "c:x.png",
    "\\Windows\\win.ini",
    "\\\\host\\share\\x.png",
    "//host/share/x.png",
    "\\\\?\\C:\\Windows\\win.ini",
    "\\\\.\\PhysicalDrive0",
    "\\\\?\\UNC\\host\\share\\x.png",
    "\\\\localhost\\c$\\x.png",
    "\\??\\C:\\x.png",
    "file:///etc/passwd",
    "file://localhost/etc/passwd",
    "FILE:/etc/passwd",
    "file:x.png",
    "sandbox:/mnt/data/x.png",
    "/etc/passwd\0.png",
    "x.png\0",
    "\0",
    "",
    " ",
    "x\n.png",
    "\ud800.png",
    "a" * 5000,
    "/" + "a/" * 3000,
    "a" * 300 + ".png",
    "javascript:alert(1)",
]


@pytest.fixture
def home(root, monkeypatch):
    monkeypatch.setenv("HOME", str(root.parent))
    monkeypatch.chdir(root.parent)


@pytest.mark.parametrize("file", NOWHERE)
@pytest.mark.usefixtures("home")
async def test_path_outside_is_refused_at_once(preparer, file):
    started = time.monotonic()
    with pytest.raises(PathNotAllowed) as refusal:
        await preparer.prepare(file)
    assert time.monotonic() - started < 1
    assert "SORA_MCP_IMAGE_ROOTS" in str(refusal.value) or "/mnt/data" in file
    assert "passwd" not in str(refusal.value)


def test_there_are_at_least_sixty_hostile_paths():
    assert len(set(NOWHERE)) >= 60


async def test_answer_is_the_same_whether_the_file_exists_or_not(preparer, root):
    outside = root.parent / "secret.png"
    sibling = root.parent / "pictures-private"
    sibling.mkdir()
    link, dangling = root / "link.png", root / "dangling.png"
    link.symlink_to(outside)
    dangling.symlink_to(root.parent / "nothing.png")
    files = [outside, sibling, sibling / "x.png", root.parent / "nothing.png", link, dangling, root / "nothing.png"]

    async def words():
        said = set()
        for file in files:
            with pytest.raises(PathNotAllowed) as refusal:
                await preparer.prepare(str(file))
            said.add((refusal.value.code, str(refusal.value)))
        return said

    before = await words()
    outside.write_bytes(b"x")
    (sibling / "x.png").write_bytes(b"x")
    assert before == await words()
    assert len(before) == 1
    assert str(root.parent) not in str(before)


async def test_links_out_of_a_root_are_refused(preparer, root, pictures):
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "x.png").write_bytes(pictures.encode(pictures.scene(), "PNG"))
    (root / "file.png").symlink_to(outside / "x.png")
    (root / "folder").symlink_to(outside)
    (root / "chain.png").symlink_to(root / "file.png")
    (root / "relative.png").symlink_to("../outside/x.png")
    (root / "loop.png").symlink_to(root / "loop.png")
    (root / "a").symlink_to(root / "b")
    (root / "b").symlink_to(root / "a")
    (root / "hard.png").hardlink_to(outside / "x.png")
    (root / "device.png").symlink_to("/dev/zero")
    names = ["file.png", "folder/x.png", "chain.png", "relative.png", "loop.png", "a", "b/x.png", "hard.png"]
    names += ["device.png", "../outside/x.png", "folder/../../outside/x.png", "file.png/", "./folder/./x.png"]
    for name in names:
        with pytest.raises(PathNotAllowed):
            await preparer.prepare(f"{root}/{name}")


async def test_link_that_stays_inside_is_followed(preparer, root, pictures):
    (root / "x.png").write_bytes(pictures.encode(pictures.scene(), "PNG"))
    (root / "inside.png").symlink_to(root / "x.png")
    assert (await preparer.prepare(str(root / "inside.png"))).width == 1280


async def test_root_that_is_itself_a_link_works(new_preparer, root, pictures):
    (root / "x.png").write_bytes(pictures.encode(pictures.scene(), "PNG"))
    alias = root.parent / "alias"
    alias.symlink_to(root)
    preparer = new_preparer(roots=lambda: (alias, root.parent / "missing"))
    assert (await preparer.prepare(str(alias / "x.png"))).width == 1280
    assert (await preparer.prepare(str(root / "x.png"))).width == 1280


@pytest.mark.parametrize(
    "name", ["Screenshot 2026-11-01 at 9.41.00\u202fAM.png", "a\u0308 e\u0301.png", "\U0001f468\u200d\U0001f469.png"]
)
async def test_names_that_systems_and_people_give_are_found(preparer, root, pictures, name):
    (root / name).write_bytes(pictures.encode(pictures.scene(), "PNG"))
    assert (await preparer.prepare(str(root / name))).width == 1280
    assert is_plain_path(f"C:\\Users\\a\\{name}", PureWindowsPath)


async def test_relative_path_counts_from_the_working_folder(preparer, root, pictures, monkeypatch):
    (root / "x.png").write_bytes(pictures.encode(pictures.scene(), "PNG"))
    monkeypatch.chdir(root)
    assert (await preparer.prepare("x.png")).width == 1280


async def test_what_is_no_regular_file_is_refused_at_once(preparer, root):
    (root / "folder.png").mkdir()
    os.mkfifo(root / "pipe.png")
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(root / "socket.png"))
        for name in ("folder.png", "pipe.png", "socket.png", ""):
            started = time.monotonic()
            with pytest.raises(NotARegularFile):
                await preparer.prepare(f"{root}/{name}")
            assert time.monotonic() - started < 1


async def test_endless_pipe_is_not_read(preparer, root):
    pipe = root / "endless.jpg"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        os.write(writer, b"\xff\xd8\xff" * 1000)
        with pytest.raises(NotARegularFile):
            await preparer.prepare(str(pipe))
    finally:
        os.close(writer)


async def test_chat_upload_is_explained(preparer):
    for file in ("/mnt/user-data/uploads/cat.png", "/mnt/data/cat.png", "sandbox:/mnt/data/cat.png"):
        with pytest.raises(PathNotAllowed, match="uploaded to the chat"):
            await preparer.prepare(file)
    with pytest.raises(PathNotAllowed, match="SORA_MCP_IMAGE_ROOTS"):
        await preparer.prepare("/mnt/database/cat.png")


async def test_remote_caller_is_told_that_paths_are_of_no_use(new_preparer, root, pictures):
    (root / "x.png").write_bytes(pictures.encode(pictures.scene(), "PNG"))
    for file in (str(root / "x.png"), "/etc/passwd", "x.png"):
        with pytest.raises(PathNotAllowed, match="reached over HTTP"):
            await new_preparer(allow_local_paths=False).prepare(file)


async def test_no_roots_allow_nothing(new_preparer, root, pictures):
    (root / "x.png").write_bytes(pictures.encode(pictures.scene(), "PNG"))
    with pytest.raises(PathNotAllowed):
        await new_preparer(roots=tuple).prepare(str(root / "x.png"))


def test_unreadable_file_gets_the_same_words(root, monkeypatch):
    (root / "x.png").write_bytes(b"x")

    def forbidden(*_):
        raise PermissionError(13, "no")

    monkeypatch.setattr(os, "open", forbidden)
    with pytest.raises(PathNotAllowed, match="nothing there can be read"):
        open_local(str(root / "x.png"), [root])


@pytest.mark.skipif(sys.platform != "linux", reason="the other systems ask in another way")
def test_without_a_path_from_the_system_nothing_is_read(root, monkeypatch):
    (root / "x.png").write_bytes(b"x")
    before = len(list(Path("/proc/self/fd").iterdir()))

    def unknown(_):
        raise OSError(2, "no /proc")

    monkeypatch.setattr("sora_mcp.images.paths._path_of", unknown)
    with pytest.raises(PathNotAllowed):
        open_local(str(root / "x.png"), [root])
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("race", ["file", "folder"])
def test_symlink_race_leaks_nothing(root, race):
    """Swap a good file for a link to a secret, as fast as possible, while it is opened again and again."""
    secret = root.parent / "secret"
    secret.mkdir()
    (secret / "x.png").write_bytes(b"secret")
    good = root / "good"
    good.mkdir()
    (good / "x.png").write_bytes(b"allowed")
    target = root / "target"
    source, poison = (good, secret) if race == "folder" else (good / "x.png", secret / "x.png")
    file = str(target / "x.png") if race == "folder" else str(target)
    stop = threading.Event()

    def swap():
        spare = root / "spare"
        while not stop.is_set():
            for place in (source, poison):
                spare.symlink_to(place)
                spare.replace(target)

    target.symlink_to(source)
    swapper = threading.Thread(target=swap)
    swapper.start()
    allowed = refused = 0
    try:
        end = time.monotonic() + RACE_SECONDS / 2
        while time.monotonic() < end:
            try:
                with open_local(file, [root]) as opened:
                    assert opened.read() == b"allowed"
                allowed += 1
            except PathNotAllowed:
                refused += 1
    finally:
        stop.set()
        swapper.join()
    assert allowed > 5
    assert refused > 5


def test_file_swapped_between_resolving_and_opening_is_refused(root, monkeypatch):
    """The race, at its worst moment, every time."""
    secret = root.parent / "secret"
    secret.mkdir()
    (secret / "x.png").write_bytes(b"secret")
    real_open = os.open

    for swapped in ("folder", "file"):
        folder = root / swapped
        folder.mkdir()
        (folder / "x.png").write_bytes(b"allowed")

        def swap_then_open(path, flags, folder=folder, swapped=swapped, **rest):
            if str(path) == str(folder / "x.png"):
                if swapped == "folder":
                    folder.rename(root / "away")
                    folder.symlink_to(secret)
                else:
                    (folder / "x.png").unlink()
                    (folder / "x.png").symlink_to(secret / "x.png")
            return real_open(path, flags, **rest)

        monkeypatch.setattr(os, "open", swap_then_open)
        with pytest.raises(PathNotAllowed):
            open_local(str(folder / "x.png"), [root])
        monkeypatch.setattr(os, "open", real_open)


WINDOWS_HOSTILE = [
    "\\\\host\\share\\x.png",
    "//host/share/x.png",
    "\\\\?\\C:\\Users\\a\\x.png",
    "\\\\.\\COM1",
    "\\\\.\\pipe\\x",
    "\\??\\C:\\x.png",
    "\\x.png",
    "/x.png",
    "C:x.png",
    "C:..\\x.png",
    "c:",
    "C:\\Users\\a\\x.png:stream",
    "C:\\Users\\a\\x.png::$DATA",
    "C:\\Users\\a:b\\x.png",
    "C:\\CON",
    "C:\\nul.png",
    "C:\\Users\\AUX\\x.png",
    "C:\\Users\\com1.tar.gz",
    "C:\\Users\\LPT9",
    "C:\\Users\\COM².png",
    "C:\\Users\\conin$",
    "C:\\Users\\prn .png",
    "NUL",
    "pictures\\nul",
    "C:\\Users\\a\\x.png.",
    "C:\\Users\\a\\x.png ",
    "C:\\Users\\a.\\x.png",
    "C:\\Users\\a \\x.png",
    "C:\\Users\\a\\x?.png",
    "C:\\Users\\a\\*.png",
    'C:\\Users\\a\\"x.png',
    "C:\\Users\\<a>\\x.png",
    "C:\\Users\\a|b.png",
    "C:\\Users\\a\0.png",
    "~root\\x.png",
    "~Administrator/x.png",
    "file:///C:/Windows/win.ini",
    "file:C:\\x.png",
    "x.png:stream",
]


@pytest.mark.parametrize("file", WINDOWS_HOSTILE)
def test_hostile_windows_path_is_not_plain(file):
    assert not is_plain_path(file, PureWindowsPath)


@pytest.mark.parametrize(
    "file",
    [
        "C:\\Users\\Ana María\\Pictures\\x.png",
        "c:/Users/a/x.png",
        "C:\\Users\\a\\..\\a\\x.png",
        "C:\\",
        "Pictures\\x.png",
        "..\\x.png",
        "~\\Pictures\\x.png",
        "~/Pictures/x.png",
        "C:\\Users\\console\\null.png",
        "C:\\Users\\a\\.hidden",
    ],
)
def test_ordinary_windows_path_is_plain(file):
    assert is_plain_path(file, PureWindowsPath)


def test_posix_path_may_have_what_windows_forbids():
    for file in ("/home/a/what? 10:30.png", "/home/a/con", "/home/a/x.", "~/x.png", "x.png", "/home/ä/日本.png"):
        assert is_plain_path(file, PurePosixPath)
    for file in ("C:\\x.png", "c:x", "\\\\host\\x", "//host/x", "~root/x", "file:/x", "a\0b", "a\x1bb", ""):
        assert not is_plain_path(file, PurePosixPath)


def test_being_under_a_folder_is_not_sharing_a_prefix():
    posix, windows = PurePosixPath, PureWindowsPath
    assert is_under("/a/pics/x.png", "/a/pics", fold=False, flavour=posix)
    assert is_under("/a/pics", "/a/pics", fold=False, flavour=posix)
    assert is_under("/x.png", "/", fold=False, flavour=posix)
    assert not is_under("/a/pics-private/x.png", "/a/pics", fold=False, flavour=posix)
    assert not is_under("/a/PICS/x.png", "/a/pics", fold=False, flavour=posix)
    assert is_under("/a/PICS/x.png", "/a/pics", fold=True, flavour=posix)
    assert is_under("C:\\Users\\A\\Pics\\x.png", "c:\\users\\a\\pics", fold=True, flavour=windows)
    assert not is_under("D:\\Users\\a\\x.png", "C:\\Users\\a", fold=True, flavour=windows)
    assert not is_under("C:\\Users\\ab\\x.png", "C:\\Users\\a", fold=True, flavour=windows)


def test_verbatim_prefix_is_taken_off():
    assert without_verbatim_prefix("\\\\?\\C:\\Users\\a\\x.png") == "C:\\Users\\a\\x.png"
    assert without_verbatim_prefix("\\\\?\\UNC\\host\\share\\x.png") == "\\\\host\\share\\x.png"
    assert without_verbatim_prefix("C:\\x.png") == "C:\\x.png"


def test_opened_file_is_at_its_start_and_is_not_inherited(root):
    (root / "x.png").write_bytes(b"bytes")
    with open_local(str(root / "x.png"), [Path(root)]) as opened:
        assert opened.read() == b"bytes"
        assert not os.get_inheritable(opened.fileno())

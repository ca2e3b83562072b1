"""Folders that cannot be used, and disks that are full."""

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sora_mcp.downloads import locks
from sora_mcp.downloads.locks import held
from sora_mcp.errors import DiskFull, OutputDirUnavailable, SavingError

pytestmark = pytest.mark.anyio


@pytest.fixture
def tiny_disk(folder):
    folder.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if not made or made.returncode:
        pytest.skip("mounting a file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("length", ["true", "none", "chunked"])
async def test_full_disk_is_said_and_leaves_nothing(length, tiny_disk, save, server, entries):
    server.usual.length = length
    with pytest.raises(DiskFull, match="nothing was left there") as caught:
        await save()
    assert entries() == []
    assert str(tiny_disk) in str(caught.value)
    assert "order" not in str(caught.value)


@pytest.mark.usefixtures("tiny_disk")
async def test_known_lack_of_space_is_noticed_before_a_byte_is_written(save):
    written = []

    async def on_progress(received, _total):
        written.append(received)

    with pytest.raises(DiskFull):
        await save(on_progress=on_progress)
    assert written == []


async def test_a_failing_write_on_the_way_leaves_nothing(save, server, entries, monkeypatch, answer):
    def refuse(_descriptor):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    server.answers = [answer(cut_after=100_000)]
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(DiskFull):
        await save()
    assert entries() == []


@pytest.mark.parametrize("place", ["a file", "below a file", "/proc", "/dev/null"])
async def test_output_folder_that_cannot_be_made_is_named(place, folder, save, server, monkeypatch, downloader):
    target = {"a file": folder, "below a file": folder / "x", "/proc": Path("/proc/Sora")}.get(place, Path(place))
    if "file" in place:
        folder.write_bytes(b"")
    monkeypatch.setattr(downloader, "_output_dir", lambda: target)
    with pytest.raises(OutputDirUnavailable, match="SORA_MCP_OUTPUT_DIR") as caught:
        await save()
    assert str(target) in str(caught.value)
    assert server.seen == []


@pytest.fixture
def read_only_folder(folder):
    folder.mkdir()
    folder.chmod(0o500)
    is_root = os.access(folder, os.W_OK)
    if is_root:
        # Root writes where it likes, save into what is immutable.
        tool = shutil.which("chattr")
        if not tool or subprocess.run([tool, "+i", str(folder)], capture_output=True, check=False).returncode:
            pytest.skip("no folder here is read-only for root")
    yield folder
    if is_root:
        subprocess.run(["chattr", "-i", str(folder)], check=True)
    folder.chmod(0o700)


@pytest.mark.usefixtures("read_only_folder")
async def test_read_only_folder_is_said_before_anything_is_asked(save, server):
    with pytest.raises(OutputDirUnavailable) as caught:
        await save()
    assert server.seen == []
    assert "order" not in str(caught.value)


async def test_a_disk_without_locks_is_said(save, monkeypatch, server):
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OutputDirUnavailable, match="No locks available"):
        await save()
    assert server.seen == []


async def test_a_folder_that_refuses_the_final_name_keeps_the_part(save, server, monkeypatch, entries, video):
    def refuse(*_arguments, **_more):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "link", refuse)
        broken.setattr(Path, "replace", refuse_replace(Path.replace))
        with pytest.raises(SavingError):
            await save()
    assert not [name for name in entries() if name.endswith(".mp4")]
    saved, _ = await save()
    assert saved.path.read_bytes() == video
    assert len(server.seen) == 1


def refuse_replace(replace):
    def chosen(path, target):
        if str(target).endswith(".mp4"):
            raise OSError(errno.EIO, "Input/output error")
        return replace(path, target)

    return chosen


async def test_thousands_of_the_same_name_are_said_not_searched_for_ever(save, monkeypatch):
    def taken(*_arguments, **_more):
        raise FileExistsError(errno.EEXIST, "File exists")

    monkeypatch.setattr(os, "link", taken)
    with pytest.raises(OutputDirUnavailable):
        await save()


async def test_the_one_who_waits_takes_a_new_lock_when_the_old_one_is_removed(tmp_path):
    lock = tmp_path / "lock"
    waited = []

    async def sleep(seconds):
        waited.append(seconds)
        await first.__aexit__(None, None, None)

    first = held(lock, sleep)
    await first.__aenter__()
    async with held(lock, sleep):
        assert lock.exists()
    assert not lock.exists()
    assert waited == [0.2]


@pytest.mark.parametrize("successor", [False, True])
async def test_a_lock_on_a_file_that_was_removed_meanwhile_is_no_lock(successor, tmp_path, monkeypatch, slept):
    path, lock = tmp_path / "lock", locks._lock
    locked = []

    def removed_while_locking(descriptor):
        if not locked:
            path.unlink()
            if successor:
                path.touch()
        locked.append(os.fstat(descriptor).st_ino)
        return lock(descriptor)

    monkeypatch.setattr(locks, "_lock", removed_while_locking)
    async with held(path, slept):
        assert path.stat().st_ino == locked[-1]
    assert len(locked) == 2
    assert not path.exists()

"""A file that is locked, read-only, on a full disk or in the wrong place: no order, and reading as far as possible."""

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from sora_mcp.errors import JournalUnavailable
from sora_mcp.journal import Journal, Reserved
from sora_mcp.models import TaskReport

pytestmark = pytest.mark.anyio


@pytest.fixture
def other(path):
    """Another program with the same file."""
    path.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
async def test_folder_and_files_belong_to_the_user_alone(journal, path, new_order):
    before = os.umask(0)
    try:
        await journal.begin(new_order(), daily_seconds=0)
    finally:
        os.umask(before)
    assert mode(path.parent) == 0o700
    assert {file.name: mode(file) for file in path.parent.iterdir()} == dict.fromkeys(
        ("orders.db", "orders.db-wal", "orders.db-shm"), 0o600
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
async def test_a_file_that_others_may_read_is_closed_to_them(journal, path, new_order):
    await journal.begin(new_order(), daily_seconds=0)
    await journal.aclose()
    path.chmod(0o644)
    await journal.list()
    assert mode(path) == 0o600


@pytest.mark.parametrize("name", ["100% #1?.db", "журнал.db"])
async def test_any_file_name_will_do(tmp_path, new_order, name):
    journal = Journal(tmp_path / name)
    await journal.begin(new_order(), daily_seconds=0)
    await journal.aclose()
    assert [file.name for file in tmp_path.iterdir()] == [name]


async def test_a_locked_book_places_no_order_and_is_still_read(path, other, accepted, new_order, clock):
    order = await accepted("a river")
    patient = Journal(path, clock=clock, busy_timeout=0.05)
    for prepared in (False, True):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalUnavailable) as refusal:
            await patient.begin(new_order(), daily_seconds=0)
        assert str(refusal.value) == (
            "No video was ordered. The order book orders.db is locked by another program."
            " Close the program that holds it."
        ), prepared
        assert await patient.find(order.id) == order
        assert (await patient.list(query="river")).orders[-1] == order
        other.execute("ROLLBACK")
        assert isinstance(await patient.begin(new_order(), daily_seconds=0), Reserved)
    await patient.aclose()


async def test_a_book_that_another_program_keeps_to_itself_is_not_read_past_the_lock(path, other, new_order):
    patient = Journal(path, busy_timeout=0.05)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("CREATE TABLE theirs (a)")
    with pytest.raises(JournalUnavailable, match="locked by another program"):
        await patient.begin(new_order(), daily_seconds=0)
    with pytest.raises(JournalUnavailable, match="locked by another program"):
        await patient.list()
    await patient.aclose()


async def test_a_new_book_waits_for_its_turn_to_be_made(path, other):
    # As when several processes switch a new file to write-ahead logging at once.
    patient = Journal(path, busy_timeout=0.05)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalUnavailable, match="locked"):
        await patient.list()
    other.execute("ROLLBACK")
    assert (await patient.list()).orders == ()
    await patient.aclose()


async def test_a_book_at_its_largest_size_places_no_order_and_is_still_read(journal, accepted, new_order):
    order = await accepted("a river")
    connection = journal._store._connection
    [(pages,)] = connection.execute("PRAGMA page_count").fetchall()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(JournalUnavailable, match="cannot be written because the disk is full"):
        await journal.begin(new_order("x" * 30_000), daily_seconds=0)
    assert (await journal.list()).orders == (order,)
    connection.execute(f"PRAGMA max_page_count = {pages * 10}")
    assert isinstance(await journal.begin(new_order("x" * 30_000), daily_seconds=0), Reserved)


@pytest.fixture
def full_disk():
    """A tiny disk of its own, and a way to fill it up."""
    folder = Path(tempfile.mkdtemp())
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        folder.rmdir()
        pytest.skip("no disk may be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)
    folder.rmdir()


@pytest.mark.skipif(sys.platform != "linux", reason="the disk is a tmpfs")
@pytest.mark.parametrize("opened", [True, False])
async def test_a_full_disk_places_no_order_and_is_still_read(full_disk, new_order, opened):
    journal = Journal(full_disk / "orders.db")
    order = new_order("a river")
    await journal.begin(order, daily_seconds=0)
    if not opened:
        await journal.aclose()
    filler = full_disk / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(bytes(10**6))
    with pytest.raises(JournalUnavailable, match=r"the disk is full|the disk reports an error"):
        await journal.begin(new_order("x" * 30_000), daily_seconds=0)
    assert [kept.order_id for kept in (await journal.list(query="RIVER")).orders] == [order.order_id]
    filler.unlink()
    assert isinstance(await journal.begin(new_order("x" * 30_000), daily_seconds=0), Reserved)
    assert len((await journal.list()).orders) == 2
    await journal.aclose()


AS_NOBODY = """
import os, sys, anyio, anyio._backends._asyncio, sqlite3
from pathlib import Path
from sora_mcp.errors import JournalUnavailable
from sora_mcp.journal import Journal, NewOrder, store
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
async def main():
    journal = Journal(Path(sys.argv[1]))
    for _ in range(2):
        try:
            await journal.begin(NewOrder("smcp-1", "generate", "f", "m", "p", 4, None, None, {}, None), daily_seconds=0)
        except JournalUnavailable as error:
            print(error)
        try:
            print([order.prompt for order in (await journal.list(query="RIVER")).orders])
        except JournalUnavailable as error:
            print(error)
    await journal.aclose()
anyio.run(main)
"""


@pytest.fixture
def as_nobody(new_order):
    """Use a book with one order, or with other content, under these modes; return what was said."""

    async def place(path):
        journal = Journal(path)
        order = new_order("a river")
        await journal.begin(order, daily_seconds=0)
        await journal.accept(order.order_id, TaskReport("video_x", "queued"))
        await journal.aclose()

    def use(folder_mode, file_mode, content=None):
        with tempfile.TemporaryDirectory() as top:
            Path(top).chmod(0o755)
            path = Path(top, "account", "orders.db")
            anyio.run(place, path)
            if content is not None:
                path.write_bytes(content)
            path.chmod(file_mode)
            path.parent.chmod(folder_mode)
            done = subprocess.run(
                [sys.executable, "-c", AS_NOBODY, path],
                env={"PYTHONPATH": os.pathsep.join(sys.path)},
                capture_output=True,
                text=True,
                check=False,
            )
            path.parent.chmod(0o700)
        assert done.stderr == ""
        assert top not in done.stdout
        return done.stdout.splitlines()

    return use


NOT_WRITTEN = (
    "No video was ordered. The order book orders.db cannot be written."
    " Make the file and its folder writable for this user."
)
CLOSED = "The order book orders.db cannot be"


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="another user is needed, whom the modes bind")
@pytest.mark.parametrize(
    ("folder_mode", "file_mode", "refusal", "reading"),
    [
        (0o777, 0o444, NOT_WRITTEN, "['a river']"),
        (0o555, 0o444, NOT_WRITTEN, "['a river']"),
        (0o555, 0o666, NOT_WRITTEN, "['a river']"),
        (0o000, 0o666, f"No video was ordered. {CLOSED}", CLOSED),
    ],
    ids=["file", "folder and file", "folder", "closed folder"],
)
def test_a_read_only_book_places_no_order_and_is_still_read(as_nobody, folder_mode, file_mode, refusal, reading):
    lines = as_nobody(folder_mode, file_mode)
    assert len(lines) == 4
    for line, expected in zip(lines, [refusal, reading] * 2, strict=True):
        assert line.startswith(expected)


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="another user is needed, whom the modes bind")
def test_a_damaged_book_that_cannot_be_put_aside_is_told_as_such(as_nobody):
    told = "The order book orders.db is damaged, and cannot be put aside. Make its folder writable for this user."
    assert as_nobody(0o555, 0o444, b"damaged") == [f"No video was ordered. {told}", told] * 2


async def test_a_folder_in_place_of_the_file_is_told(journal, path, new_order):
    path.mkdir(parents=True)
    with pytest.raises(JournalUnavailable, match=r"^No video was ordered\. The order book orders\.db cannot be opened"):
        await journal.begin(new_order(), daily_seconds=0)
    with pytest.raises(JournalUnavailable, match="cannot be opened"):
        await journal.list()
    path.rmdir()
    assert isinstance(await journal.begin(new_order(), daily_seconds=0), Reserved)


async def test_a_file_in_place_of_the_folder_is_told_without_its_path(journal, path, new_order):
    path.parent.write_text("in the way")
    with pytest.raises(JournalUnavailable, match="cannot be opened") as refusal:
        await journal.begin(new_order(), daily_seconds=0)
    error = refusal.value
    while error:
        assert str(path.parent) not in str(error)
        error = error.__cause__


async def test_a_text_that_no_file_can_hold_places_no_order(journal, new_order):
    with pytest.raises(JournalUnavailable, match="No video was ordered"):
        await journal.begin(new_order("\ud800"), daily_seconds=0)
    with pytest.raises(JournalUnavailable, match="cannot be used"):
        await journal.find("\ud800")
    assert (await journal.list()).orders == ()


async def test_the_same_order_id_is_never_written_twice(journal, new_order):
    order = new_order()
    await journal.begin(order, daily_seconds=0)
    await journal.reject(order.order_id, "code", "words")
    with pytest.raises(JournalUnavailable, match="No video was ordered"):
        await journal.begin(order, daily_seconds=0)


async def test_a_closed_journal_opens_again_when_it_is_needed(journal, accepted):
    order = await accepted()
    await journal.aclose()
    await journal.aclose()
    assert await journal.find(order.id) == order

"""A damaged file is put aside whole, and orders stop until a person has looked."""

import sqlite3
from contextlib import closing

import pytest

from sora_mcp.errors import JournalUnavailable
from sora_mcp.journal import Joined, Journal, Reserved, damage

pytestmark = pytest.mark.anyio

STOPPED = r"order book orders\.db was damaged and put aside as orders\.db\.corrupt-1"


def names(path):
    return sorted(file.name for file in path.parent.iterdir())


async def refused(journal, new_order):
    with pytest.raises(JournalUnavailable, match=STOPPED) as refusal:
        await journal.begin(new_order(), daily_seconds=0)
    assert str(refusal.value).startswith("No video was ordered.")
    assert "service's console" in str(refusal.value)
    assert "delete the file orders.db.stopped" in str(refusal.value)
    assert str(journal.path.parent) not in str(refusal.value)
    for reading in (journal.list(), journal.find("video_x"), journal.ordered_seconds()):
        with pytest.raises(JournalUnavailable, match=STOPPED):
            await reading


@pytest.mark.parametrize("content", [b"not a database", b"\xff" * 8_192, b"SQLite format 3\0" + b"\x07" * 5_000])
async def test_a_broken_header_stops_orders(journal, path, new_order, content):
    path.parent.mkdir()
    path.write_bytes(content)
    await refused(journal, new_order)
    assert names(path) == ["orders.db.corrupt-1", "orders.db.stopped"]
    assert (path.parent / "orders.db.corrupt-1").read_bytes() == content
    assert "delete the file orders.db.stopped" in (path.parent / "orders.db.stopped").read_text()


@pytest.mark.parametrize("kind", ["garbage", "zeros"])
async def test_a_broken_page_in_the_middle_stops_orders(journal, accepted, path, new_order, kind):
    for number in range(60):
        await accepted(f"clip {number} " * 40)
    await journal.aclose()
    middle = path.stat().st_size // 4_096 // 2 * 4_096
    with path.open("r+b") as file:
        file.seek(middle)
        file.write(b"\xa5" * 4_096 if kind == "garbage" else bytes(4_096))
    before = path.read_bytes()
    await refused(journal, new_order)
    assert (path.parent / "orders.db.corrupt-1").read_bytes() == before


async def test_orders_go_on_in_a_new_book_once_the_note_is_deleted(journal, path, new_order):
    path.parent.mkdir()
    path.write_bytes(b"x" * 4_096)
    await refused(journal, new_order)
    (path.parent / "orders.db.stopped").unlink()
    assert isinstance(await journal.begin(new_order(), daily_seconds=0), Reserved)
    assert (path.parent / "orders.db.corrupt-1").read_bytes() == b"x" * 4_096


async def test_each_damaged_file_has_a_name_of_its_own(journal, path, new_order):
    path.parent.mkdir()
    for number in (1, 2, 3):
        path.write_bytes(b"%d" % number * 4_096)
        await refused(journal, new_order)
        (path.parent / "orders.db.stopped").unlink()
    kept = [(path.parent / f"orders.db.corrupt-{number}").read_bytes()[:1] for number in (1, 2, 3)]
    assert kept == [b"1", b"2", b"3"]


async def test_damage_found_in_use_takes_the_log_along(journal, accepted, path, new_order):
    for number in range(60):
        await accepted(f"clip {number} " * 40)
    connection = journal._store._connection
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    await accepted("kept in the log")
    connection.execute("PRAGMA cache_size = 0")
    with path.open("r+b") as file:
        file.seek(4_096)
        file.write(b"\xa5" * (path.stat().st_size - 4_096))
    log = path.with_name("orders.db-wal").read_bytes()
    with pytest.raises(JournalUnavailable, match=STOPPED):
        await journal.list(limit=100)
    assert names(path)[:3] == ["orders.db.corrupt-1", "orders.db.corrupt-1-shm", "orders.db.corrupt-1-wal"]
    assert path.with_name("orders.db.corrupt-1-wal").read_bytes() == log
    await refused(journal, new_order)


async def test_another_process_with_the_file_open_stops_and_then_goes_on_in_the_new_book(
    journal, path, new_order, clock
):
    other = Journal(path, clock=clock)
    await journal.begin(new_order(fingerprint="same"), daily_seconds=0)
    await other.list()
    damage.set_aside(path, damage.identity(path), lambda: None)  # as a third process would
    await refused(other, new_order)
    path.with_name("orders.db.stopped").unlink()
    assert isinstance(await other.begin(new_order(fingerprint="same"), daily_seconds=0), Reserved)
    assert isinstance(await journal.begin(new_order(fingerprint="same"), daily_seconds=0), Joined)
    await other.aclose()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchall() == [(1,)]


async def test_a_file_that_has_been_replaced_since_is_not_put_aside(journal, path, new_order):
    await journal.begin(new_order(), daily_seconds=0)
    closed = []
    damage.set_aside(path, (0, 0), lambda: closed.append(True))
    assert closed
    assert isinstance(await journal.begin(new_order(), daily_seconds=0), Reserved)
    assert not path.with_name("orders.db.stopped").exists()


async def test_one_process_puts_the_file_aside_and_the_others_find_it_done(path):
    path.parent.mkdir()
    path.write_bytes(b"damaged")
    path.with_name("orders.db.stopped").touch()  # the first one has just begun
    damage.set_aside(path, damage.identity(path), lambda: None)
    assert names(path) == ["orders.db", "orders.db.stopped"]


async def test_a_file_left_in_place_by_a_crash_is_put_aside_after_the_note_is_deleted(journal, path, new_order):
    path.parent.mkdir()
    path.write_bytes(b"damaged")
    path.with_name("orders.db.stopped").touch()
    await refused(journal, new_order)
    path.with_name("orders.db.stopped").unlink()
    await refused(journal, new_order)
    assert names(path) == ["orders.db.corrupt-1", "orders.db.stopped"]


async def test_a_deleted_book_is_begun_anew_while_it_is_open(journal, path, new_order):
    await journal.begin(new_order(fingerprint="same"), daily_seconds=0)
    path.unlink()
    assert isinstance(await journal.begin(new_order(fingerprint="same"), daily_seconds=0), Reserved)
    await journal.aclose()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchall() == [(1,)]

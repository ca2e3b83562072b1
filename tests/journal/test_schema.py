import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from sora_mcp.errors import JournalUnavailable
from sora_mcp.journal.schema import MIGRATIONS, VERSION, migrate, version_of

pytestmark = pytest.mark.anyio


def tables(connection):
    return set(connection.execute("SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'").fetchall())


@pytest.fixture
def file(path):
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


@pytest.mark.parametrize("version", range(VERSION + 1))
async def test_every_earlier_version_becomes_the_newest(journal, file, version):
    for step in MIGRATIONS[:version]:
        for statement in step:
            file.execute(statement)
    file.execute(f"PRAGMA user_version = {version}")
    assert await journal.find("video_x") is None
    assert version_of(file) == VERSION
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        migrate(fresh)
        assert tables(file) == tables(fresh)


async def test_orders_of_the_first_version_are_kept(journal, file):
    for statement in MIGRATIONS[0]:
        file.execute(statement)
    file.execute("PRAGMA user_version = 1")
    file.execute(
        "INSERT INTO orders (order_id, kind, fingerprint, model, prompt, seconds, request, state, status, task_id,"
        " created_at, sent_at, updated_at) VALUES ('smcp-1', 'generate', 'f', 'm', 'old', 4, '{}', 'accepted',"
        " 'queued', 'video_x', 1, 1, 1)"
    )
    assert (await journal.find("video_x")).prompt == "old"


def test_a_step_that_fails_leaves_the_version_as_it_was(monkeypatch):
    monkeypatch.setattr("sora_mcp.journal.schema.MIGRATIONS", (MIGRATIONS[0], ("CREATE TABLE one (a)", "NONSENSE")))
    monkeypatch.setattr("sora_mcp.journal.schema.VERSION", 2)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        with pytest.raises(sqlite3.OperationalError, match="syntax error"):
            migrate(connection)
        assert version_of(connection) == 1
        assert "one" not in {name for name, _ in tables(connection)}


async def test_a_newer_book_is_refused_and_left_as_it_is(journal, file, path, new_order):
    file.execute(f"PRAGMA user_version = {VERSION + 1}")
    file.execute("CREATE TABLE from_the_future (a)")
    before = path.read_bytes()
    with pytest.raises(JournalUnavailable, match=r"No video was ordered. .*newer version of sora-mcp"):
        await journal.begin(new_order(), daily_seconds=0)
    with pytest.raises(JournalUnavailable, match=r"^The order book orders\.db was made by a newer version"):
        await journal.list()
    assert version_of(file) == VERSION + 1
    assert tables(file) == {("from_the_future", "CREATE TABLE from_the_future (a)")}
    assert path.read_bytes() == before


async def test_a_book_that_becomes_newer_while_it_is_open_is_refused(journal, file, new_order):
    await journal.begin(new_order(), daily_seconds=0)
    file.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(JournalUnavailable, match="newer version"):
        await journal.begin(new_order(), daily_seconds=0)
    with pytest.raises(JournalUnavailable, match="newer version"):
        await journal.list()
    assert file.execute("SELECT count(*) FROM orders").fetchall() == [(1,)]


async def test_columns_hold_only_their_own_type(journal, file, new_order):
    await journal.begin(new_order(), daily_seconds=0)
    for change in ("seconds = 'four'", "state = 'lost'", "status = 'done'", "task_id = 'video_x'", "progress = 101"):
        with pytest.raises(sqlite3.IntegrityError):
            file.execute(f"UPDATE orders SET {change}")  # noqa: S608 - from the line above


async def test_every_commit_reaches_the_disk_before_it_is_told(journal):
    await journal.list()
    connection = journal._store._connection
    assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
    assert connection.execute("PRAGMA synchronous").fetchall() == [(2,)]
    assert connection.execute("PRAGMA busy_timeout").fetchall() == [(10_000,)]


def test_importing_the_journal_and_making_one_is_cheap(tmp_path):
    script = (
        "import sys, anyio, sora_mcp.models, sora_mcp.errors\n"
        "sys.modules.pop('hashlib', None)\n"
        "import sora_mcp.journal\n"
        "sora_mcp.journal.Journal(sys.argv[1] + '/orders.db')\n"
        "print({'sqlite3', 'hashlib'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("set()\n", "")
    assert list(tmp_path.iterdir()) == []

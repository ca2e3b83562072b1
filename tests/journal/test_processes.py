"""Several real processes on one file."""

import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the children are forked")

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(path):
    def run(*arguments):
        done = subprocess.run(
            [sys.executable, Path(__file__).with_name("children.py"), path, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        return [tuple(line) for line in json.loads(done.stdout)]

    return run


def rows(path, query):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def test_16_processes_with_the_same_call_place_one_order_in_a_new_book(run, path):
    said = run("same", 16)
    assert Counter(what for what, _ in said) == {"Reserved": 1, "Joined": 15}
    assert len({order_id for _, order_id in said}) == 1
    assert rows(path, "SELECT count(*) FROM orders") == [(1,)]


def test_16_processes_at_a_limit_of_12_seconds_place_three_orders_of_4(run, path):
    said = run("limit", 16, 12)
    assert Counter(what for what, _ in said) == {"Reserved": 3, "OverLimit": 13}
    assert rows(path, "SELECT sum(seconds) FROM orders") == [(12,)]


def test_8_processes_with_200_writes_each_never_fail(run, path):
    assert run("write", 8, 200) == [("wrote", 200)] * 8
    assert rows(path, "SELECT count(*), count(DISTINCT task_id) FROM orders") == [(800, 800)]


def test_100_killed_writers_lose_no_committed_row(run, path):
    said = run("killed", 100)
    assert not [line for line in said if line[0] == "error"]
    assert len(said) >= 100
    kept = dict(rows(path, "SELECT order_id, state FROM orders"))
    assert {order_id for _, order_id in said} <= kept.keys()
    assert all(kept[order_id] == "accepted" for what, order_id in said if what == "accepted")
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]

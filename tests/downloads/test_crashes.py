"""Real processes: killed at any moment, and two at once."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import sora_mcp

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and kill -9")


class Children:
    def __init__(self, outcome):
        self.outcome = outcome
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("child.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(sora_mcp.__file__).parents[1])},
        )

    def run(self, server, folder, task_id="video_killed", **how):
        job = {"origin": server.origin, "link": server.link, "folder": str(folder), "task_id": task_id, **how}
        self.outcome.unlink(missing_ok=True)
        self.process.stdin.write(json.dumps({**job, "outcome": str(self.outcome)}) + "\n")
        self.process.stdin.flush()
        status = int(self.process.stdout.readline())
        return status, json.loads(self.outcome.read_text()) if self.outcome.exists() else None

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture
def start_children(tmp_path):
    started = []

    def start():
        started.append(Children(tmp_path / f"outcome-{len(started)}.json"))
        return started[-1]

    yield start
    for children in started:
        children.close()


def digests(folder):
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.mp4")]


def parts_of(folder):
    return list(folder.glob(".sora-*.part"))


def test_killed_at_fifty_random_moments_leaves_a_whole_file_or_none(server, folder, video, start_children):
    children, moments = start_children(), random.Random(20_261_123)  # noqa: S311 - only has to be repeatable
    expected = hashlib.sha256(video).hexdigest()
    server.usual.pause = 0.002
    kills, task, parts = 0, 0, 0
    while kills < 50:
        task += 1
        task_id, mine = f"video_killed_{task}", folder / str(task)
        while kills < 50:
            before = set(mine.glob("*.mp4"))
            status, outcome = children.run(server, mine, task_id, kill_after=moments.uniform(0.0, 0.2))
            kills += status == -signal.SIGKILL
            parts += bool(parts_of(mine))
            assert digests(mine) in ([], [expected])
            assert before <= set(mine.glob("*.mp4"))
            if outcome:
                break
        status, outcome = children.run(server, mine, task_id)
        assert status == 0
        assert outcome["sha256"] == expected
        assert digests(mine) == [expected]
        assert [path.name for path in mine.iterdir()] == [Path(outcome["path"]).name]
    assert parts >= 10, "many were killed on the way"


def test_killed_before_each_thing_it_does_in_the_folder_it_ends_with_one_whole_copy(
    server, folder, video, start_children
):
    children = start_children()
    expected = hashlib.sha256(video).hexdigest()
    transfers = []
    for count in range(1, 200):
        mine = folder / str(count)
        mine.mkdir(parents=True)
        decoy = mine / "2026-11-24 slow and steady.mp4"
        decoy.write_bytes(b"the user's own")
        status, outcome = children.run(server, mine, kill_at=count)
        decoy_free = [path for path in mine.glob("*.mp4") if path != decoy]
        assert [path.read_bytes() for path in decoy_free] in ([], [video])
        server.seen.clear()
        last, done = children.run(server, mine)
        transfers.append(len(server.seen))
        assert last == 0
        assert done["sha256"] == expected
        assert sorted(mine.iterdir()) == sorted([decoy, Path(done["path"])])
        assert Path(done["path"]).read_bytes() == video
        assert decoy.read_bytes() == b"the user's own"
        if outcome:
            assert status == 0
            break
        assert status == -signal.SIGKILL
    assert count > 15, "the hook sees what is done"
    # Once all bytes are on the disk, a later process needs no second transfer, named or not.
    assert transfers[0] == 1
    assert transfers[-8:] == [0] * 8


def test_a_killed_transfer_goes_on_where_the_disk_is_certain(server, folder, make_mp4, start_children):
    server.body = make_mp4(6 << 20)
    # All but the last block at once, then a long silence.
    server.answers = [type(server.usual)(block=5 << 20, pause=5)]
    children = start_children()
    status, _ = children.run(server, folder, kill_after=2)
    assert status == -signal.SIGKILL
    (part,) = parts_of(folder)
    assert part.stat().st_mode & 0o777 == 0o600
    status, outcome = children.run(server, folder)
    assert outcome["sha256"] == hashlib.sha256(server.body).hexdigest()
    assert int(server.ranges[-1].removeprefix("bytes=").removesuffix("-")) >= 4 << 20


def test_two_processes_at_once_make_one_transfer(server, folder, video, start_children):
    server.usual.pause = 0.02
    both = start_children(), start_children()
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda children: children.run(server, folder), both))
    assert [status for status, _ in results] == [0, 0]
    assert sorted(outcome["already"] for _, outcome in results) == [False, True]
    assert results[0][1]["path"] == results[1][1]["path"]
    assert len(server.seen) == 1
    assert digests(folder) == [hashlib.sha256(video).hexdigest()]
    assert len(list(folder.iterdir())) == 1


def test_a_file_size_limit_of_the_process_is_a_full_disk(server, folder, start_children):
    server.usual.length = "none"
    status, outcome = start_children().run(server, folder, file_size_limit=50_000)
    assert status == 0
    assert outcome["code"] == "disk_full"
    assert list(folder.iterdir()) == []

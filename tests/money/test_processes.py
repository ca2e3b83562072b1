"""Money across processes: killed ones, many at once, and a journal that cannot be written."""

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import anyio
import pytest
from money.conftest import nothing_is_lost, orders_in
from processes import environment, running

from sora_mcp.journal import Journal
from sora_mcp.service import journal_path
from sora_mcp.simulator import Fault, serve

pytestmark = pytest.mark.anyio


def order(server, number=2, prompt="a dog", **more):
    server.call(number, "generate_video", prompt=prompt, **more)


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def posts(sim):
    return [request for request in sim.requests if request.method == "POST"]


async def killed(settings, url, condition):
    """Order in a process, and kill it once the condition holds."""

    def order_and_kill():
        with running(environment(settings, url)) as server:
            server.initialize()
            order(server)
            wait_until(condition)
            server.popen.kill()
            server.popen.wait()

    await anyio.to_thread.run_sync(order_and_kill)


async def restarted(settings, url, task_id):
    """Start anew and ask until the order is no longer unconfirmed."""

    def start_and_ask():
        with running(environment(settings, url)) as server:
            server.initialize()
            for number in range(2, 40):
                server.call(number, "get_video_status", task_id=task_id, wait_seconds=2)
                answer = server.answer(number)["structuredContent"]
                if answer.get("status") not in {"unconfirmed", None}:
                    return answer
            return answer

    return await anyio.to_thread.run_sync(start_and_ask)


def book(settings, url):
    return Journal(journal_path(settings.model_copy(update={"base_url": url})))


async def test_killed_before_the_order_is_written_down_nothing_happened(settings, sim):
    sim.faults.add(Fault("models", "hang", times=None))
    async with serve(sim) as url:
        await killed(settings, url, lambda: sim.requests)
        assert not await orders_in(book(settings, url))
    assert not sim.charges
    assert not posts(sim)


async def test_killed_while_sending_before_the_work_nothing_is_charged_and_nothing_forgotten(settings, sim):
    sim.faults.add(Fault("generate", "hang"))
    async with serve(sim) as url:
        await killed(settings, url, lambda: posts(sim))
        [left] = await orders_in(book(settings, url))
        assert left.state == "sending"
        answer = await restarted_once(settings, url, left.order_id)
        assert answer["status"] == "unconfirmed"
    assert not sim.charges
    assert len(posts(sim)) == 1


async def restarted_once(settings, url, task_id):
    def start_and_ask():
        with running(environment(settings, url)) as server:
            server.initialize()
            server.call(2, "get_video_status", task_id=task_id, wait_seconds=8)
            return server.answer(2)["structuredContent"]

    return await anyio.to_thread.run_sync(start_and_ask)


async def test_killed_after_the_work_the_task_is_found_at_the_next_start(settings, sim):
    sim.faults.add(Fault("generate", "hang", after_work=True))
    async with serve(sim) as url:
        await killed(settings, url, lambda: sim.charges)
        answer = await restarted(settings, url, sim.charges[0].client_business_id)
        assert answer["id"] == sim.charges[0].task_id
        assert answer["status"] == "completed"
        assert await nothing_is_lost(book(settings, url), sim)
    assert len(posts(sim)) == 1


async def test_killed_after_the_work_the_task_is_found_without_being_asked_for(settings, sim):
    """A new process for the same account takes the order up by itself."""
    sim.faults.add(Fault("generate", "hang", after_work=True))
    async with serve(sim) as url:
        await killed(settings, url, lambda: sim.charges)

        def start_and_wait():
            with running(environment(settings, url)) as server:
                server.initialize()
                path = book(settings, url).path
                with closing(sqlite3.connect(path)) as connection:
                    found = "SELECT count(*) FROM orders WHERE state = 'accepted'"
                    wait_until(lambda: connection.execute(found).fetchone()[0], 20)

        await anyio.to_thread.run_sync(start_and_wait)
        assert await nothing_is_lost(book(settings, url), sim)


async def test_killed_after_the_answer_the_task_is_there(settings, sim):
    async with serve(sim) as url:

        def order_answer_kill():
            with running(environment(settings, url)) as server:
                server.initialize()
                order(server)
                server.answer(2)
                server.popen.kill()

        await anyio.to_thread.run_sync(order_answer_kill)
        assert (await restarted(settings, url, sim.charges[0].task_id))["status"] == "completed"
        assert await nothing_is_lost(book(settings, url), sim)


async def test_the_same_call_from_16_processes_is_one_post_and_sixteen_equal_answers(settings, sim):
    sim.faults.add(Fault("generate", "slow", seconds=0.5, after_work=True))
    async with serve(sim) as url:
        ready = threading.Barrier(16, timeout=120)

        def caller(_):
            with running(environment(settings, url)) as server:
                server.initialize()
                ready.wait()
                order(server)
                return server.answer(2)["structuredContent"]["id"]

        def all_callers():
            with ThreadPoolExecutor(16) as pool:
                return list(pool.map(caller, range(16)))

        ids = await anyio.to_thread.run_sync(all_callers)
    assert ids == [sim.charges[0].task_id] * 16
    assert len(posts(sim)) == 1


async def test_processes_cannot_race_past_the_daily_limit(settings, sim):
    async with serve(sim) as url:
        ready = threading.Barrier(6, timeout=60)

        def caller(number):
            with running(environment(settings, url, SORA_MCP_DAILY_SECONDS="12")) as server:
                server.initialize()
                ready.wait()
                order(server, prompt=f"dog number {number}")
                return server.answer(2)["structuredContent"]

        def all_callers():
            with ThreadPoolExecutor(6) as pool:
                return list(pool.map(caller, range(6)))

        answers = await anyio.to_thread.run_sync(all_callers)
    assert len(sim.charges) == 3
    refused = [answer["error"]["code"] for answer in answers if "error" in answer]
    assert refused == ["budget_exceeded"] * 3


@contextmanager
def locked(path):
    """Another program holds the write lock."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


async def test_a_locked_journal_stops_orders_and_not_questions(settings, sim):
    async with serve(sim) as url:

        def order_under_lock():
            with running(environment(settings, url)) as server:
                server.initialize()
                order(server)
                task_id = server.answer(2)["structuredContent"]["id"]
                with locked(book(settings, url).path):
                    started = time.monotonic()
                    server.call(3, "get_video_status", task_id=task_id, wait_seconds=5)
                    assert server.answer(3)["structuredContent"]["status"] == "completed"
                    assert time.monotonic() - started < 5
                    order(server, 4, "a cat")
                    refused = server.answer(4)
                    assert refused["structuredContent"]["error"]["code"] == "journal_unavailable"
                    assert time.monotonic() - started < 45
                order(server, 5, "a cat")
                assert "error" not in server.answer(5)["structuredContent"]

        await anyio.to_thread.run_sync(order_under_lock)
    assert len(posts(sim)) == 2


def damage(path):
    path.write_bytes(b"this is no database" * 100)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def from_the_future(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 999")


@pytest.mark.parametrize("spoil", [damage, from_the_future])
async def test_a_journal_that_cannot_be_used_stops_orders_and_not_questions(settings, sim, spoil):
    async with serve(sim) as url:
        path = book(settings, url).path

        def order_then_spoil():
            with running(environment(settings, url)) as server:
                server.initialize()
                order(server)
                task_id = server.answer(2)["structuredContent"]["id"]
            spoil(path)
            with running(environment(settings, url)) as server:
                server.initialize()
                order(server, 2, "a cat")
                refused = server.answer(2)["structuredContent"]
                assert refused["error"]["code"] == "journal_unavailable"
                server.call(3, "get_video_status", task_id=task_id, wait_seconds=5)
                assert server.answer(3)["structuredContent"]["status"] == "completed"

        await anyio.to_thread.run_sync(order_then_spoil)
    assert len(posts(sim)) == 1


def test_no_order_is_written_where_the_folder_is_a_file(settings):
    settings.data_dir.write_text("in the way")
    with running(environment(settings, "http://127.0.0.1:9")) as server:
        server.initialize()
        order(server)
        assert server.answer(2)["structuredContent"]["error"]["code"] == "journal_unavailable"


async def test_a_video_that_completed_before_a_kill_is_saved_by_the_next_start(settings, sim):
    async with serve(sim) as url:

        def order_and_kill():
            with running(environment(settings, url, SORA_MCP_AUTO_SAVE="1", SORA_MCP_POLL_SECONDS="60")) as server:
                server.initialize()
                order(server)
                task_id = server.answer(2)["structuredContent"]["id"]
                wait_until(lambda: sim.find(task_id).status(sim.clock()) == "completed")
                server.popen.kill()

        def start_and_wait():
            with running(environment(settings, url, SORA_MCP_AUTO_SAVE="1")) as server:
                server.initialize()
                wait_until(lambda: list(settings.output_dir.glob("*.mp4")), 20)

        await anyio.to_thread.run_sync(order_and_kill)
        assert not list(settings.output_dir.glob("*.mp4"))
        await anyio.to_thread.run_sync(start_and_wait)

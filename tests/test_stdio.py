"""The server as a host runs it: a process, its stdin and stdout, and real signals."""

import json
import signal
import subprocess
import sys
import time

import anyio
import pytest
from conftest import KEY
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from processes import environment, running

from sora_mcp.journal import Journal
from sora_mcp.service import journal_path
from sora_mcp.simulator import Fault, serve

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, "end of stdin"])
@pytest.mark.parametrize("busy", [False, True])
async def test_the_server_ends_cleanly_within_two_seconds(settings, sim, how, busy):
    sim.job_seconds = 60
    async with serve(sim) as url:

        def live_and_end():
            with running(environment(settings, url)) as server:
                server.initialize()
                if busy:
                    server.call(2, "generate_video", prompt="a dog")
                    task_id = server.answer(2)["structuredContent"]["id"]
                    server.call(3, "get_video_status", task_id=task_id, wait_seconds=50)
                    time.sleep(0.3)
                started = time.monotonic()
                if how == "end of stdin":
                    server.popen.stdin.close()
                else:
                    server.popen.send_signal(how)
                assert server.popen.wait(5) == 0
                assert time.monotonic() - started < 2
                assert server.popen.stderr.read() == b""

        await anyio.to_thread.run_sync(live_and_end)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, "end of stdin"])
async def test_an_order_in_flight_at_the_end_is_in_the_journal_with_its_task_id(settings, sim, how):
    sim.faults.add(Fault("generate", "slow", seconds=0.7, after_work=True))
    async with serve(sim) as url:

        def order_and_end():
            with running(environment(settings, url)) as server:
                server.initialize()
                server.call(2, "generate_video", prompt="a dog")
                while not sim.charges:
                    time.sleep(0.02)
                if how == "end of stdin":
                    server.popen.stdin.close()
                else:
                    server.popen.send_signal(how)
                assert server.popen.wait(5) == 0

        await anyio.to_thread.run_sync(order_and_end)
    at = settings.model_copy(update={"base_url": url})
    journal = Journal(journal_path(at))
    order = await journal.find(sim.charges[0].task_id)
    await journal.aclose()
    assert order is not None
    assert order.state == "accepted"
    assert len(sim.charges) == 1


async def test_a_cancelled_order_is_in_the_journal_with_its_task_id(settings, sim):
    sim.faults.add(Fault("generate", "slow", seconds=0.5, after_work=True))
    async with serve(sim) as url:

        def order_and_cancel():
            with running(environment(settings, url)) as server:
                server.initialize()
                server.call(2, "generate_video", prompt="a dog")
                while not sim.charges:
                    time.sleep(0.02)
                server.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}})
                time.sleep(0.8)
                server.call(3, "get_video_status", task_id=sim.charges[0].task_id, wait_seconds=20)
                assert server.answer(3)["structuredContent"]["status"] == "completed"

        await anyio.to_thread.run_sync(order_and_cancel)
    journal = Journal(journal_path(settings.model_copy(update={"base_url": url})))
    order = await journal.find(sim.charges[0].task_id)
    await journal.aclose()
    assert order is not None
    assert order.state == "accepted"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_whole_job_over_stdio(settings, sim, mode):
    async with serve(sim) as url:
        server = StdioServerParameters(command=sys.executable, args=["-m", "sora_mcp"], env=environment(settings, url))
        async with Client(server, mode=mode) as client:
            ordered = await client.call_tool("generate_video", {"prompt": "a dog"})
            task_id = ordered.structured_content["id"]
            done = await client.call_tool("get_video_status", {"task_id": task_id, "wait_seconds": 20})
            assert done.structured_content["status"] == "completed"
            saved = await client.call_tool("download_video", {"task_id": task_id})
            assert not saved.is_error
    [video] = settings.output_dir.glob("*.mp4")
    assert str(video) == saved.structured_content["path"]
    assert b"ftyp" in video.read_bytes()[:12]


async def test_nothing_but_protocol_is_on_stdout_and_no_secret_on_stderr(settings, sim):
    sim.job_seconds = 0.1
    async with serve(sim) as url:

        def talk():
            with running(environment(settings, url, SORA_MCP_LOG_LEVEL="DEBUG")) as server:
                server.initialize()
                server.call(2, "generate_video", prompt="canary-prompt-91c4")
                task_id = server.answer(2)["structuredContent"]["id"]
                server.call(3, "get_video_status", task_id=task_id, wait_seconds=20)
                link = server.answer(3)["structuredContent"]["result"]["data"][0]["url"]
                server.call(4, "get_video_status", task_id="video_unknown")
                server.answer(4)
                server.popen.send_signal(signal.SIGTERM)
                rest, logged = server.popen.communicate(timeout=5)
                for line in rest.splitlines():
                    json.loads(line)
                assert all(message["jsonrpc"] == "2.0" for message in server.lines)
                for secret in (KEY, "canary-prompt-91c4", link):
                    assert secret.encode() not in logged

        await anyio.to_thread.run_sync(talk)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TOAPIS_API_KEY", "your-key"),
        ("TOAPIS_BASE_URL", "http://example.com"),
        ("SORA_MCP_POLL_SECONDS", "soon"),
        ("SORA_MCP_MODEL", "sora-9"),
    ],
)
def test_a_setting_that_cannot_be_used_stops_the_server_with_one_line(settings, variable, value):
    done = subprocess.run(
        [sys.executable, "-m", "sora_mcp"],
        env=environment(settings) | {variable: value},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 2
    assert done.stdout == b""
    [line] = done.stderr.decode().splitlines()
    assert variable in line
    assert KEY not in line


def test_without_a_key_the_server_lists_its_tools(settings):
    env = environment(settings)
    del env["TOAPIS_API_KEY"]
    with running(env) as server:
        server.initialize()
        server.send({"jsonrpc": "2.0", "id": 2, "method": "tools/list"})
        assert server.answer(2)["tools"]
        server.call(3, "get_video_status", task_id="video_1234")
        assert server.answer(3)["structuredContent"]["error"]["code"] == "missing_api_key"

"""The simulator on a real port: what only a socket can show."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time

import anyio
import httpx
import pytest

from sora_mcp.simulator import Fault, Simulator, serve
from tests.simulator.conftest import GENERATIONS, Caller

pytestmark = pytest.mark.anyio
ORDER = {"model": "sora-2-official", "prompt": "a red kite", "client_business_id": "smcp-1"}


@contextlib.asynccontextmanager
async def running(sim, **options):
    headers = {"Authorization": "Bearer sk-test"}
    async with serve(sim, **options) as url, Caller(base_url=url, headers=headers, trust_env=False) as client:
        yield client


async def test_order_to_film_over_a_real_port(sim, capfd):
    async with running(sim) as client:
        task = await client.order()
        sim.finish(task["id"])
        link = (await client.ask(task["id"]))["result"]["data"][0]["url"]
        assert link.startswith(str(client.base_url))
        film = await client.get(link)
        assert film.content[4:8] == b"ftyp"
        assert film.headers["x-simulated"] == "true"
        assert (await client.get(link, headers={"Range": "bytes=0-9"})).content == film.content[:10]
        assert (await client.head(link)).headers["content-length"] == str(len(film.content))
        assert (await client.get("/__sim/charges")).json()[0]["task_id"] == task["id"]
    assert capfd.readouterr() == ("", "")


DROPPED = [
    (Fault("generate", "refuse"), (httpx.ReadError, httpx.WriteError), 0),
    (Fault("generate", "reset"), (httpx.ReadError, httpx.WriteError), 0),
    (Fault("generate", "reset", after_work=True), httpx.ReadError, 1),
    (Fault("generate", "hang"), httpx.ReadTimeout, 0),
    (Fault("generate", "hang", after_work=True), httpx.ReadTimeout, 1),
    (Fault("generate", "cut", at=20), httpx.RemoteProtocolError, 1),
    (Fault("generate", "wrong_length"), httpx.RemoteProtocolError, 1),
]


@pytest.mark.parametrize(("fault", "error", "charges"), DROPPED)
async def test_connection_really_breaks_and_nothing_is_printed(sim, capfd, fault, error, charges):
    async with running(sim) as client:
        sim.faults.add(fault)
        with pytest.raises(error):
            await client.post(GENERATIONS, json=ORDER, timeout=0.2)
        assert len(sim.charges) == charges
        assert (await client.post(GENERATIONS, json=ORDER)).status_code == 200
    assert capfd.readouterr() == ("", "")


async def test_reset_is_a_real_one_before_the_body_was_sent(sim):
    async with serve(sim) as url:
        sim.faults.add(Fault("generate", "reset"))
        host, port = url.removeprefix("http://").split(":")
        head = f"POST {GENERATIONS} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n\r\n".encode()
        stream = await anyio.connect_tcp(host, int(port))
        await stream.send(head)
        with pytest.raises(anyio.BrokenResourceError) as raised, anyio.fail_after(5):
            await stream.receive()
        assert isinstance(raised.value.__cause__, ConnectionResetError)
        await stream.aclose()
    assert sim.requests[0].json is None


async def test_cut_file_arrives_up_to_the_cut(sim):
    async with running(sim) as client:
        task = await client.order()
        sim.finish(task["id"])
        link = (await client.ask(task["id"]))["result"]["data"][0]["url"]
        sim.faults.add(Fault("file", "cut", at=9_000))
        got = b""
        async with client.stream("GET", link) as answer:
            with contextlib.suppress(httpx.RemoteProtocolError):
                async for chunk in answer.aiter_raw():
                    got += chunk
        assert int(answer.headers["content-length"]) > 9_000
        assert len(got) == 9_000


async def test_huge_body_ends_when_the_client_leaves(sim):
    async with running(sim) as client:
        sim.faults.add(Fault("balance", "huge"))
        async with client.stream("GET", "/v1/balance") as answer:
            async for chunk in answer.aiter_raw():
                assert chunk
                break
        assert (await client.get("/v1/balance")).status_code == 200


async def test_client_that_leaves_early_is_forgotten(sim, capfd):
    async with running(sim) as client:
        host, port = client.base_url.host, client.base_url.port
        half = f"POST {GENERATIONS} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{{".encode()
        async with await anyio.connect_tcp(host, port) as stream:
            await stream.send(half)
            await anyio.sleep(0.05)
        sim.faults.add(
            Fault("balance", "slow", seconds=60, after_work=True), Fault("balance", "reset", after_work=True)
        )
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/v1/balance", timeout=0.05)
        await client.order()
    assert [received.path for received in sim.requests] == ["/v1/balance", GENERATIONS]
    assert capfd.readouterr() == ("", "")


async def test_hung_requests_do_not_keep_it_from_closing(sim, capfd):
    async def hang(client):
        with contextlib.suppress(httpx.TransportError):
            await client.get("/v1/balance", timeout=30)

    async with anyio.create_task_group() as group:
        async with running(sim) as client:
            sim.faults.add(Fault("any", "hang", times=4), Fault("any", "slow", times=2, seconds=60))
            for _ in range(6):
                group.start_soon(hang, client)
            with anyio.fail_after(5):
                while len(sim.requests) < 6:  # noqa: ASYNC110 - the requests tell nobody that they came
                    await anyio.sleep(0.01)
            began = time.monotonic()
        assert time.monotonic() - began < 1
    assert capfd.readouterr() == ("", "")


async def test_cancelled_server_closes_its_port(sim):
    with anyio.move_on_after(0.1):
        async with serve(sim) as url:
            await anyio.sleep_forever()
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(url)


async def test_error_in_the_body_comes_out_as_it_is(sim):
    with pytest.raises(ZeroDivisionError):
        async with serve(sim):
            raise ZeroDivisionError


async def test_port_that_is_taken_is_an_os_error(sim):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        async with serve(sim, port=taken.getsockname()[1]):
            pass


async def test_admin_door_is_shut_to_a_rebound_name(sim):
    async with running(sim) as client:
        assert (await client.get("/__sim/charges", headers={"Host": "evil.example"})).status_code == 403
        assert (await client.get("/__sim/charges", headers={"Host": "localhost:1"})).status_code == 200


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
async def test_it_listens_on_ipv6_too(sim):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 loopback here")
    async with running(sim, host="::1") as client:
        assert str(client.base_url).startswith("http://[::1]:")
        await client.order()


async def test_answers_do_not_wait_for_nagle(sim):
    async with running(sim) as client:
        task = await client.order()
        began = time.perf_counter()
        for _ in range(20):
            await client.ask(task["id"])
        # Delayed acknowledgements make it 40 ms each, 0.8 s in all, however fast the machine is.
        assert time.perf_counter() - began < 0.6


PROGRAM = """
from sora_mcp.simulator import run
run(announce=lambda url: print(url, flush=True), job_seconds=0, speed=2)
"""
SILENT_PROGRAM = """
import signal, threading
from sora_mcp.simulator import run
threading.Timer(0.5, signal.raise_signal, [signal.SIGINT]).start()
run()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_program_announces_itself_and_ends_within_a_second_of_a_signal(number):
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            url = process.stdout.readline().decode().strip()
            with httpx.Client(base_url=url, headers={"Authorization": "Bearer any"}, trust_env=False) as client:
                task = client.post(GENERATIONS, json=ORDER).json()
                assert client.get(f"{GENERATIONS}/{task['id']}").json()["status"] == "completed"
                client.post("/__sim/faults", json={"what": "hang"})
                with pytest.raises(httpx.ReadTimeout):
                    client.get("/v1/balance", timeout=0.1)
            began = time.monotonic()
            process.send_signal(number)
            assert process.wait(5) == 0
            assert time.monotonic() - began < 1
            assert process.stdout.read() == b""
            assert process.stderr.read() == b""
        finally:
            process.kill()


def test_program_without_an_announcement_is_silent():
    done = subprocess.run([sys.executable, "-c", SILENT_PROGRAM], check=False, capture_output=True, timeout=10)
    assert (done.stdout, done.stderr, done.returncode) == (b"", b"", 0)


def test_import_loads_nothing_heavy():
    program = (
        "import sys, json; import sora_mcp.simulator; "
        "print(json.dumps(sorted({'starlette', 'uvicorn', 'httpx', 'asyncio', 'email', 'ssl'} & set(sys.modules)))); "
        "sora_mcp.simulator.Simulator().app; "
        "print(json.dumps(sorted(name for name in sys.modules if name.startswith('sora_mcp.'))))"
    )
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    heavy, ours = map(json.loads, told.splitlines())
    assert heavy == []
    assert all(name.startswith("sora_mcp.simulator") for name in ours)


async def test_two_simulators_run_side_by_side():
    first, second = Simulator(), Simulator()
    async with running(first) as one, running(second) as two:
        await one.order()
        await two.order()
        await two.order()
    assert (len(first.charges), len(second.charges)) == (1, 2)

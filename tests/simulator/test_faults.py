import json
from email.utils import parsedate_to_datetime

import httpx
import pytest

from sora_mcp.simulator import Fault
from tests.simulator.conftest import GENERATIONS, caller, picture

pytestmark = pytest.mark.anyio
ORDER = {"model": "sora-2-official", "prompt": "a red kite", "client_business_id": "smcp-1"}


async def post(client, **options):
    return await client.post(GENERATIONS, json=ORDER, **options)


async def read_until_it_breaks(client, link):
    got = b""
    async with client.stream("GET", link) as answer:
        try:
            async for chunk in answer.aiter_raw():
                got += chunk
        except httpx.RemoteProtocolError:
            return got, int(answer.headers["content-length"])
    pytest.fail("the answer was whole")


BROKEN = [
    (Fault("generate", "refuse"), httpx.ConnectError, 0, 0),
    (Fault("generate", "reset"), httpx.ReadError, 0, 1),
    (Fault("generate", "reset", after_work=True), httpx.ReadError, 1, 1),
    (Fault("generate", "hang"), httpx.ReadTimeout, 0, 1),
    (Fault("generate", "hang", after_work=True), httpx.ReadTimeout, 1, 1),
    (Fault("generate", "slow", seconds=60, after_work=True), httpx.ReadTimeout, 1, 1),
    (Fault("generate", "cut"), httpx.RemoteProtocolError, 1, 1),
    (Fault("generate", "wrong_length"), httpx.RemoteProtocolError, 1, 1),
    (Fault("generate", "cut", at=0), httpx.RemoteProtocolError, 1, 1),
]


@pytest.mark.parametrize(("fault", "error", "charges", "recorded"), BROKEN)
async def test_broken_connection_charges_only_when_the_work_was_done(client, sim, fault, error, charges, recorded):
    sim.faults.add(fault)
    with pytest.raises(error):
        await post(client, timeout=0.05)
    assert len(sim.charges) == charges
    assert len(sim.requests) == recorded
    assert (await post(client)).status_code == 200
    assert sim.faults.pending == []


async def test_bare_app_raises_connection_errors(sim):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=sim.app), base_url="http://x") as bare:
        for what, error in (("refuse", ConnectionRefusedError), ("reset", ConnectionResetError)):
            sim.faults.add(Fault("any", what))
            with pytest.raises(error):
                await bare.get("/v1/balance")


ANSWERED = [
    (Fault("generate", "rate_limited"), 429, "rate_limit_exceeded"),
    (Fault("generate", "error"), 500, "internal_error"),
    (Fault("generate", "error", status=502), 502, "<h1>502 Bad Gateway</h1>"),
    (Fault("generate", "error", status=503), 503, "rate_limit_unavailable"),
    (Fault("generate", "error", status=504), 504, "<h1>504 Gateway Time-out</h1>"),
    (Fault("generate", "error", status=402), 402, "user quota is not enough"),
    (Fault("generate", "error", status=418), 418, "Error 418"),
    (Fault("generate", "error", status=400, body={"message": "x"}), 400, '{"message":"x"}'),
    (Fault("generate", "html"), 200, "<!DOCTYPE html>"),
    (Fault("generate", "null"), 200, "null"),
    (Fault("generate", "list"), 200, "[]"),
    (Fault("generate", "number"), 200, "42"),
    (Fault("generate", "deep"), 200, "[" * 10_000),
    (Fault("generate", "bad_utf8"), 200, '{"id":"video_'),
    (Fault("generate", "empty", status=204), 204, ""),
    (Fault("generate", "redirect"), 307, ""),
    (Fault("generate", "not_found"), 404, "Task not found"),
    (Fault("generate", "task_not_exist"), 400, '{"message":"task_not_exist"}'),
    (Fault("generate", "answer", body="any text", headers={"x-odd": "1"}), 200, "any text"),
    (Fault("generate", "answer", body=b"\x00\xff"), 200, "\x00"),
    (Fault("generate", "answer", body=[1], status=201), 201, "[1]"),
    (Fault("generate", "answer"), 200, "null"),
]


@pytest.mark.parametrize("after_work", [False, True])
@pytest.mark.parametrize(("fault", "status", "words"), ANSWERED)
async def test_false_answer_leaves_the_work_undone_unless_it_comes_after(client, sim, fault, status, words, after_work):
    fault.times, fault.after_work = 1, after_work
    sim.faults.add(fault)
    answer = await post(client)
    assert answer.status_code == status
    assert words in answer.text
    assert answer.headers["x-simulated"] == "true"
    assert len(sim.charges) == int(after_work)
    assert len((await client.get("/__sim/requests")).json()) == 1


async def test_redirect_goes_to_the_same_path_with_a_mark(client, sim):
    sim.faults.add(Fault("generate", "redirect"))
    assert (await post(client)).headers["location"] == f"{GENERATIONS}?redirected=1"
    sim.faults.add(Fault("generate", "redirect", headers={"location": "http://elsewhere/"}, status=302))
    answer = await post(client)
    assert (answer.status_code, answer.headers["location"]) == (302, "http://elsewhere/")


async def test_retry_after_is_a_number_a_date_or_garbage(client, sim, clock):
    for value in (7, 1.5, "soon", -3):
        sim.faults.add(Fault("any", "rate_limited", retry_after=value))
        assert (await client.get("/v1/balance")).headers["retry-after"] == str(value)
    sim.faults.add(Fault("any", "rate_limited", retry_after="http-date", seconds=90))
    told = (await client.get("/v1/balance")).headers["retry-after"]
    assert parsedate_to_datetime(told).timestamp() == clock.now + 90


async def test_huge_body_is_a_hundred_megabytes(client, sim):
    sim.faults.add(Fault("generate", "huge"))
    async with client.stream("POST", GENERATIONS, json=ORDER) as answer:
        assert "content-length" not in answer.headers
        sizes = [len(chunk) async for chunk in answer.aiter_raw()]
    assert sum(sizes) > 100_000_000
    assert sim.charges == []


async def test_true_answer_may_lose_its_ids_or_its_end(client, sim):
    sim.faults.add(Fault("generate", "no_id"), Fault("generate", "truncated"), Fault("generate", "truncated", at=10))
    told = (await post(client)).json()
    assert "id" not in told
    assert told["status"] == "queued"
    for length in (None, 10):
        short = await post(client)
        assert int(short.headers["content-length"]) == len(short.content)
        assert length is None or len(short.content) == length
        with pytest.raises(json.JSONDecodeError):
            short.json()
    sim.faults.add(Fault("generate", "no_id"))
    sim.dialect = "list_envelope"
    assert "video_" not in (await post(client)).text
    assert len(sim.charges) == 4


async def test_faults_count_down_skip_and_stay(client, sim):
    sim.faults.add(Fault("balance", "error", times=2, skip=1), Fault("models", "error", times=None))
    assert [(await client.get("/v1/balance")).status_code for _ in range(5)] == [200, 500, 500, 200, 200]
    assert [(await client.get("/v1/models")).status_code for _ in range(3)] == [500, 500, 500]
    sim.faults.clear()
    assert (await client.get("/v1/models")).status_code == 200
    sim.faults.add(Fault("models", "error", times=0))
    assert (await client.get("/v1/models")).status_code == 200


async def test_faults_happen_in_the_order_they_were_added(client, sim):
    sim.faults.add(Fault("any", "error", status=502), Fault("balance", "error", status=504))
    assert [(await client.get("/v1/balance")).status_code for _ in range(3)] == [502, 504, 200]


async def test_fault_hits_only_its_own_place(client, sim):
    task = await client.order(client_business_id="smcp-1")
    sim.finish(task["id"])
    link = (await client.ask(task["id"]))["result"]["data"][0]["url"]
    remix = f"/v1/videos/{task['id']}/remix"
    calls = {
        "generate": lambda: post(client),
        "remix": lambda: client.post(remix, json={"model": "sora-2-official", "prompt": "x"}),
        "status": lambda: client.get(f"{GENERATIONS}/{task['id']}"),
        "lookup": lambda: client.get(f"{GENERATIONS}/smcp-1"),
        "upload": lambda: client.upload(picture("PNG", (8, 8))),
        "models": lambda: client.get("/v1/models"),
        "balance": lambda: client.get("/v1/user/balance"),
        "file": lambda: client.get(link),
    }
    for place in calls:
        sim.faults.add(Fault(place, "error", status=418))
        hit = [name for name, call in calls.items() if (await call()).status_code == 418]
        assert hit == [place]


async def test_late_task_appears_after_its_time_to_every_question(client, sim, clock):
    sim.faults.add(Fault("generate", "late", seconds=11), Fault("generate", "reset", after_work=True))
    with pytest.raises(httpx.ReadError):
        await post(client)
    task_id = sim.charges[0].task_id
    for reference in (task_id, "smcp-1"):
        assert (await client.get(f"{GENERATIONS}/{reference}")).status_code == 404
    clock.now += 11
    assert (await client.ask("smcp-1"))["id"] == (await client.ask(task_id))["id"]


async def test_look_up_lags_while_the_task_id_answers(client, sim, clock):
    sim.faults.add(Fault("lookup", "lag", seconds=3))
    task = (await post(client)).json()
    for _ in range(3):
        assert (await client.get(f"{GENERATIONS}/smcp-1")).status_code == 404
    assert (await client.ask(task["id"]))["status"] == "queued"
    clock.now += 3
    assert (await client.ask("smcp-1"))["id"] == task["id"]


@pytest.mark.parametrize("after_work", [False, True])
async def test_slow_answer_is_a_true_one(client, sim, after_work):
    sim.faults.add(Fault("generate", "slow", seconds=0.02, after_work=after_work))
    assert (await post(client)).json()["id"] == sim.charges[0].task_id


async def test_file_fails_in_every_way_and_the_link_still_works(client, sim):
    task = await client.order()
    sim.finish(task["id"])
    link = (await client.ask(task["id"]))["result"]["data"][0]["url"]
    film = (await client.get(link)).content
    sim.faults.add(
        Fault("file", "error", status=403),
        Fault("file", "html"),
        Fault("file", "truncated", at=1000),
        Fault("file", "drip", seconds=0.02),
    )
    assert (await client.get(link)).status_code == 403
    assert (await client.get(link)).text.startswith("<!DOCTYPE")
    assert (await client.get(link)).content == film[:1000]
    assert (await client.get(link)).content == film
    for what, at, length in (("cut", 5000, 5000), ("wrong_length", None, len(film))):
        sim.faults.add(Fault("file", what, at=at))
        got, promised = await read_until_it_breaks(client, link)
        assert got == film[:length]
        assert promised == len(film) + (100 if what == "wrong_length" else 0)
    assert (await client.get(link)).content == film


@pytest.mark.parametrize(
    "fields", [{"where": "x"}, {"what": "x"}, {"seconds": -1}, {"times": -1}, {"at": -1}, {"skip": -1}]
)
def test_fault_that_cannot_be_is_refused(fields):
    with pytest.raises(ValueError, match=r"unknown|0 or more"):
        Fault(**fields)


async def test_answer_that_is_no_json_has_no_ids_to_lose(client, sim):
    sim.faults.add(Fault("file", "no_id"))
    assert "404" in (await client.get("/__files/uploads/none")).text


async def test_drip_of_nothing_is_nothing(client, sim):
    sim.faults.add(Fault("generate", "drip"), Fault("file", "drip"))
    assert (await post(client)).json()["status"] == "queued"
    async with caller(sim) as other:
        assert (await other.get("/__files/uploads/none")).status_code == 404

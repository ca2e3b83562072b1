import math
import time

import anyio
import httpx
import pytest
from conftest import text_of

from sora_mcp.simulator import DIALECTS, Fault

pytestmark = pytest.mark.anyio


async def order(client, prompt="a dog", **arguments):
    return (await client.call_tool("generate_video", {"prompt": prompt, **arguments})).structured_content["id"]


async def ask(client, task_id, wait_seconds=0, **more):
    return await client.call_tool("get_video_status", {"task_id": task_id, "wait_seconds": wait_seconds}, **more)


def questions(sim, task_id):
    return [request for request in sim.requests if request.path.endswith(f"/generations/{task_id}")]


@pytest.mark.parametrize(
    "task_id", ["", "abc", "a/b/c/d", "../../etc", "%2e%2e%2fx", "x" * 129, "x" * 4096, "a b c d", "tâsk1", "task\n1"]
)
async def test_a_malformed_id_is_refused_before_anything_is_sent(client, sim, task_id):
    result = await ask(client, task_id)
    assert result.structured_content["error"]["code"] == "invalid_argument"
    assert not sim.requests


@pytest.mark.parametrize("wait_seconds", [-1, 51, "20", True, 1.5])
async def test_a_wait_out_of_range_is_refused(client, sim, wait_seconds):
    result = await ask(client, "video_1234", wait_seconds)
    assert result.structured_content["error"]["code"] == "invalid_argument"
    assert "0 to 50" in text_of(result)
    assert not sim.requests


async def test_a_pending_task_tells_what_is_next(client, sim):
    sim.job_seconds = 60
    task_id = await order(client)
    result = await ask(client, task_id)
    task = result.structured_content
    assert task["id"] == task_id
    assert task["status"] in {"queued", "in_progress"}
    assert task["retry_after_seconds"] >= 1
    assert task["metadata"] == {"size": "720x1280", "seconds": "4"}
    assert task["created_at"] == pytest.approx(time.time(), abs=5)
    assert "result" not in task
    assert task_id in text_of(result)
    assert "wait_seconds=50" in text_of(result)


async def test_a_completed_task_has_its_link_in_structure_and_text(client):
    task_id = await order(client)
    result = await ask(client, task_id, 20)
    task = result.structured_content
    assert task["status"] == "completed"
    assert task["progress"] == 100
    assert task["expires_at"] - task["completed_at"] == 86400
    [file] = task["result"]["data"]
    assert file["format"] == "mp4"
    assert file["url"] in text_of(result)
    assert "retry_after_seconds" not in task
    assert not result.is_error


async def test_a_failed_task_is_an_answer_and_no_error(client):
    task_id = await order(client, "a dog [moderation]")
    result = await ask(client, task_id, 20)
    assert not result.is_error
    task = result.structured_content
    assert task["status"] == "failed"
    assert task["error"]["code"] == "generation_failed"
    assert "moderation_blocked" in text_of(result)


@pytest.mark.parametrize("dialect", sorted(set(DIALECTS) - {"no_result"}))
async def test_every_dialect_of_the_service_ends_in_the_same_answer(connect, sim, dialect):
    sim.dialect = dialect
    async with connect() as client:
        ordered = await client.call_tool("generate_video", {"prompt": "a dog", "duration": 8, "aspect_ratio": "16:9"})
        assert not ordered.is_error, text_of(ordered)
        assert ordered.structured_content["id"] == sim.charges[0].task_id
        result = await ask(client, ordered.structured_content["id"], 20)
    task = result.structured_content
    assert task["status"] == "completed", text_of(result)
    assert task["id"] == sim.charges[0].task_id
    assert task["metadata"] == {"size": "1280x720", "seconds": "8"}
    assert task["result"]["data"][0]["url"].startswith("http")


async def test_waiting_answers_within_a_second_of_the_end_and_reports_each_change(connect, sim):
    sim.job_seconds = 3
    steps = []

    async def on_progress(progress, total, message):
        steps.append((progress, total, message))

    async with connect(poll_seconds=0.3) as client:
        started = time.monotonic()
        task_id = await order(client)
        result = await ask(client, task_id, 20, progress_callback=on_progress)
        took = time.monotonic() - started
    assert result.structured_content["status"] == "completed"
    assert 3 <= took < 4
    figures = [progress for progress, _, _ in steps]
    assert figures == sorted(set(figures))
    assert figures[-1] == 100
    assert len(figures) >= 4
    assert {message for _, _, message in steps} == {"queued", "in progress", "completed"}
    assert len(questions(sim, task_id)) <= math.ceil(took / 0.3) + 1


async def test_all_who_wait_share_one_poller(connect, sim):
    sim.job_seconds = 2
    async with connect(poll_seconds=0.5) as client:
        task_id = await order(client)
        results = []

        async def wait():
            results.append(await ask(client, task_id, 20))

        async with anyio.create_task_group() as callers:
            for _ in range(10):
                callers.start_soon(wait)
    assert [result.structured_content["status"] for result in results] == ["completed"] * 10
    assert len(questions(sim, task_id)) <= 6


async def test_a_final_answer_is_not_asked_for_again(client, sim):
    task_id = await order(client)
    await ask(client, task_id, 20)
    asked = len(questions(sim, task_id))
    for _ in range(5):
        assert (await ask(client, task_id, 50)).structured_content["status"] == "completed"
    assert len(questions(sim, task_id)) == asked


async def test_a_wait_that_runs_out_answers_with_the_state_so_far(connect, sim):
    sim.job_seconds = 60
    async with connect() as client:
        task_id = await order(client)
        started = time.monotonic()
        result = await ask(client, task_id, 1)
    assert 0.9 <= time.monotonic() - started < 1.5
    assert result.structured_content["status"] in {"queued", "in_progress"}


@pytest.mark.parametrize("wait_seconds", [1, 2])
async def test_a_hung_service_cannot_stretch_the_wait(connect, sim, wait_seconds):
    async with connect() as client:
        task_id = await order(client)
        sim.faults.add(Fault("status", "hang", times=None))
        started = time.monotonic()
        result = await ask(client, task_id, wait_seconds)
        took = time.monotonic() - started
        sim.faults.clear()
    assert took < wait_seconds + 0.5
    error = result.structured_content["error"]
    assert error["code"] == "upstream_unavailable"
    assert error["retryable"] is True
    assert task_id in error["message"]


async def test_a_killed_service_is_upstream_unavailable_and_fails_no_task(connect, sim):
    async with connect() as client:
        task_id = await order(client)
        sim.faults.add(Fault("any", "refuse", times=None))
        result = await ask(client, task_id, 2)
        assert result.structured_content["error"]["code"] == "upstream_unavailable"
        sim.faults.clear()
        result = await ask(client, task_id, 20)
    assert result.structured_content["status"] == "completed"


async def test_a_flood_of_429_is_rate_limited_within_the_time(connect, sim):
    async with connect() as client:
        task_id = await order(client)
        sim.faults.add(Fault("status", "rate_limited", times=None, retry_after=60))
        started = time.monotonic()
        result = await ask(client, task_id, 2)
        took = time.monotonic() - started
        assert took < 2.5
        error = result.structured_content["error"]
        assert error["code"] == "rate_limited"
        assert error["retry_after_seconds"] >= 55
        asked = len(questions(sim, task_id))
        again = await ask(client, task_id)
        assert again.structured_content["error"]["code"] == "rate_limited"
        assert len(questions(sim, task_id)) == asked, "Retry-After is obeyed across calls"


@pytest.mark.parametrize("what", ["html", "null", "list", "number", "deep", "bad_utf8", "empty", "huge", "truncated"])
async def test_nonsense_from_the_service_is_upstream_invalid_and_the_task_goes_on(connect, sim, what):
    async with connect() as client:
        task_id = await order(client)
        sim.faults.add(Fault("status", what, times=None))
        result = await ask(client, task_id, 2)
        assert result.structured_content["error"]["code"] in {"upstream_invalid", "upstream_unavailable"}
        sim.faults.clear()
        assert (await ask(client, task_id, 20)).structured_content["status"] == "completed"


async def test_an_unknown_task_is_missing_only_after_three_answers(client, sim):
    result = await ask(client, "video_nobody_knows_this")
    assert result.structured_content["error"]["code"] == "task_not_found"
    assert len(questions(sim, "video_nobody_knows_this")) == 3


async def test_a_fresh_order_that_the_service_does_not_show_yet_is_queued(connect, sim):
    async with connect() as client:
        task_id = await order(client)
        sim.faults.add(Fault("status", "not_found", times=None))
        result = await ask(client, task_id)
        assert result.structured_content["status"] == "queued"
        sim.faults.clear()
        assert (await ask(client, task_id, 20)).structured_content["status"] == "completed"


async def test_completed_without_a_link_is_result_missing_and_may_be_asked_again(connect, sim):
    async with connect() as client:
        task_id = await order(client)
        bare = {"id": task_id, "status": "completed", "progress": 100, "created_at": 1}
        sim.faults.add(Fault("status", "answer", body=bare))
        result = await ask(client, task_id)
        assert result.structured_content["error"]["code"] == "result_missing"
        assert (await ask(client, task_id, 20)).structured_content["status"] == "completed"


async def test_a_service_that_never_gives_a_link_is_told_at_once(connect, sim):
    sim.dialect = "no_result"
    async with connect() as client:
        task_id = await order(client)
        with anyio.fail_after(5):
            result = await ask(client, task_id, 50)
    assert result.structured_content["error"]["code"] == "result_missing"


async def test_the_order_id_is_as_good_as_the_task_id(client, sim):
    task_id = await order(client)
    order_id = sim.charges[0].client_business_id
    assert (await ask(client, order_id, 20)).structured_content["id"] == task_id


async def test_a_task_ordered_elsewhere_is_answered_too(client, sim):
    import httpx  # noqa: PLC0415

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=sim.app), base_url="https://toapis.com") as other:
        made = await other.post(
            "/v1/videos/generations",
            json={"model": "sora-2-official", "prompt": "elsewhere"},
            headers={"authorization": "Bearer sk-x"},
        )
    result = await ask(client, made.json()["id"], 20)
    assert result.structured_content["status"] == "completed"


async def test_a_cancelled_question_leaves_the_server_well(connect, sim):
    sim.job_seconds = 30
    async with connect() as client:
        task_id = await order(client)
        with anyio.move_on_after(0.5):
            await ask(client, task_id, 50)
        asked = len(questions(sim, task_id))
        await anyio.sleep(0.3)
        assert len(questions(sim, task_id)) <= asked + 1, "nobody waits, so nobody polls"
        assert (await ask(client, task_id)).structured_content["status"] in {"queued", "in_progress"}


async def test_the_key_goes_to_the_api_alone_and_the_agent_has_a_name(client, sim, settings):
    task_id = await order(client)
    await ask(client, task_id, 20)
    for request in sim.requests:
        assert request.headers["authorization"] == f"Bearer {settings.api_key.get_secret_value()}"
        assert request.headers["user-agent"].startswith("sora-mcp/")


async def test_a_ten_minute_outage_never_fails_a_task(settings, sim):
    """The studio by itself, with a clock that jumps: ten minutes pass between refused questions."""
    from sora_mcp.studio import Studio  # noqa: PLC0415

    now = [time.time()]
    sim.clock = lambda: now[0]
    async with anyio.create_task_group() as task_group:
        transport = httpx.ASGITransport(app=sim.app)
        studio = Studio(settings, task_group, transport=transport, clock=lambda: now[0], sleep=anyio.sleep)
        task = await studio.generate(
            prompt="a dog", duration=4, aspect_ratio="9:16", image_urls=None, model="sora-2-official", take=1
        )
        sim.faults.add(Fault("status", "error", status=502, times=None))
        for _ in range(5):
            now[0] += 120
            with pytest.raises(Exception, match=r"task|service"):
                await studio.status(task.id, 1)
        sim.faults.clear()
        assert (await studio.status(task.id, 10)).status == "completed"
        task_group.cancel_scope.cancel()

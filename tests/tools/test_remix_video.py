import pytest
from conftest import text_of

from sora_mcp.simulator import Fault

pytestmark = pytest.mark.anyio


async def made(client, prompt="a dog", **arguments):
    ordered = await client.call_tool("generate_video", {"prompt": prompt, **arguments})
    task_id = ordered.structured_content["id"]
    done = await client.call_tool("get_video_status", {"task_id": task_id, "wait_seconds": 20})
    assert done.structured_content["status"] == "completed"
    return task_id


async def remix(client, video_id, prompt="at dusk", **more):
    return await client.call_tool("remix_video", {"video_id": video_id, "prompt": prompt, **more})


async def test_a_remix_is_ordered_with_the_fields_of_the_api_and_remembers_its_source(client, sim):
    source = await made(client, duration=8, aspect_ratio="16:9")
    result = await remix(client, source)
    task = result.structured_content
    charge = sim.charges[-1]
    [post] = [request for request in sim.requests if request.path.endswith("/remix")]
    assert post.path == f"/v1/videos/{source}/remix"
    order_id = charge.client_business_id
    assert post.json == {"model": "sora-2-official", "prompt": "at dusk", "client_business_id": order_id}
    assert task["id"] == charge.task_id
    assert task["remixed_from_video_id"] == source
    assert task["metadata"] == {"size": "1280x720", "seconds": "8"}
    assert "get_video_status" in text_of(result)
    listed = (await client.call_tool("list_videos", {})).structured_content["videos"]
    assert [video["id"] for video in listed] == [charge.task_id, source]
    assert listed[0]["remixed_from_video_id"] == source


async def test_the_same_remix_is_joined_and_a_higher_take_is_another(client, sim):
    source = await made(client)
    first = await remix(client, source)
    again = await remix(client, source)
    assert again.structured_content["id"] == first.structured_content["id"]
    assert "take=2" in text_of(again)
    other = await remix(client, source, take=2)
    assert other.structured_content["id"] != first.structured_content["id"]
    assert len([charge for charge in sim.charges if charge.kind == "remix"]) == 2


async def test_a_source_that_is_not_completed_is_not_ready(client, sim):
    sim.job_seconds = 60
    ordered = await client.call_tool("generate_video", {"prompt": "a dog"})
    result = await remix(client, ordered.structured_content["id"])
    assert result.structured_content["error"]["code"] == "not_ready"
    assert len(sim.charges) == 1


async def test_a_failed_source_is_not_ready_and_not_worth_waiting_for(client, sim):
    ordered = await client.call_tool("generate_video", {"prompt": "a dog [fail]"})
    task_id = ordered.structured_content["id"]
    await client.call_tool("get_video_status", {"task_id": task_id, "wait_seconds": 20})
    result = await remix(client, task_id)
    assert result.structured_content["error"]["code"] == "not_ready"
    assert "wait_seconds" not in text_of(result)
    assert len(sim.charges) == 1


async def test_an_unknown_source_is_task_not_found(client, sim):
    result = await remix(client, "video_nobody_knows")
    assert result.structured_content["error"]["code"] == "task_not_found"
    assert not sim.charges


async def test_a_source_past_its_day_is_result_expired_and_nothing_is_ordered(connect, sim):
    sim.result_seconds = 1
    async with connect() as client:
        source = await made(client)
        await client.call_tool("get_video_status", {"task_id": source})
        import anyio  # noqa: PLC0415

        await anyio.sleep(1.5)
        result = await remix(client, source)
    assert result.structured_content["error"]["code"] == "result_expired"
    assert len(sim.charges) == 1


async def test_a_remix_of_a_video_made_elsewhere_asks_the_service_first(connect, sim, tmp_path):
    async with connect() as client:
        source = await made(client, duration=12)
    async with connect(data_dir_override=tmp_path / "another") as client:
        result = await remix(client, source)
        assert not result.is_error, text_of(result)
        assert result.structured_content["remixed_from_video_id"] == source
    assert len(sim.charges) == 2


async def test_a_lost_remix_is_found_by_its_order_id(connect, sim):
    async with connect() as client:
        source = await made(client)
        sim.faults.add(Fault("remix", "html", after_work=True))
        result = await remix(client, source)
    assert result.structured_content["id"] == sim.charges[-1].task_id
    assert len(sim.charges) == 2


@pytest.mark.parametrize(
    "arguments", [{"video_id": "a/b/c", "prompt": "x"}, {"video_id": "video_1", "prompt": " "}, {"video_id": "video_1"}]
)
async def test_bad_arguments_are_invalid_and_nothing_is_sent(client, sim, arguments):
    result = await client.call_tool("remix_video", arguments)
    assert result.structured_content["error"]["code"] == "invalid_argument"
    assert not sim.requests

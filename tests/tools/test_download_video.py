import hashlib
from pathlib import Path

import anyio
import pytest
from conftest import text_of

from sora_mcp.simulator import Fault

pytestmark = pytest.mark.anyio


async def made(client, prompt="A dog: runs? / fast"):
    ordered = await client.call_tool("generate_video", {"prompt": prompt})
    task_id = ordered.structured_content["id"]
    await client.call_tool("get_video_status", {"task_id": task_id, "wait_seconds": 20})
    return task_id


async def download(client, task_id, **more):
    return await client.call_tool("download_video", {"task_id": task_id}, **more)


async def test_a_completed_video_is_saved_whole_under_a_name_a_person_can_read(client, settings):
    task_id = await made(client)
    steps = []

    async def on_progress(progress, total, _message):
        steps.append((progress, total))

    result = await download(client, task_id, progress_callback=on_progress)
    saved = result.structured_content
    path = Path(saved["path"])
    assert path.parent == settings.output_dir
    assert "A dog runs fast" in path.name
    data = path.read_bytes()  # noqa: ASYNC240 - a test
    assert data[4:8] == b"ftyp"
    assert saved["size"] == len(data)
    assert saved["sha256"] == hashlib.sha256(data).hexdigest()
    assert saved["already_downloaded"] is False
    assert str(path) in text_of(result)
    [link] = [block for block in result.content if block.type == "resource_link"]
    assert str(link.uri) == f"sora://videos/{task_id}/file"
    assert link.mime_type == "video/mp4"
    assert steps[-1] == (len(data), len(data))
    assert [entry.name for entry in settings.output_dir.iterdir()] == [path.name]


async def test_a_second_call_says_so_and_transfers_nothing(client, sim):
    task_id = await made(client)
    first = await download(client, task_id)
    asked = len(sim.requests)
    second = await download(client, task_id)
    assert second.structured_content == first.structured_content | {"already_downloaded": True}
    assert len(sim.requests) == asked
    listed = (await client.call_tool("list_videos", {})).structured_content["videos"]
    assert listed[0]["saved_path"] == first.structured_content["path"]
    status = await client.call_tool("get_video_status", {"task_id": task_id})
    assert status.structured_content["saved_path"] == first.structured_content["path"]


async def test_two_at_once_are_one_transfer(connect, sim, settings):
    results = []
    async with connect() as client:
        task_id = await made(client)
        sim.faults.add(Fault("file", "slow", seconds=0.2))

        async def call():
            results.append(await download(client, task_id))

        async with anyio.create_task_group() as callers:
            callers.start_soon(call)
            callers.start_soon(call)
    assert len({result.structured_content["path"] for result in results}) == 1
    assert len([request for request in sim.requests if "/__files/" in request.path]) == 1
    assert len(list(settings.output_dir.iterdir())) == 1


async def test_a_video_that_is_not_done_is_not_ready(client, sim):
    sim.job_seconds = 60
    ordered = await client.call_tool("generate_video", {"prompt": "a dog"})
    result = await download(client, ordered.structured_content["id"])
    error = result.structured_content["error"]
    assert error["code"] == "not_ready"
    assert "get_video_status" in error["message"]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault("file", "html", times=None), "not_a_video"),
        (Fault("file", "error", status=403, times=None), "result_expired"),
        (Fault("file", "empty", times=None), "not_a_video"),
    ],
)
async def test_what_is_no_video_is_never_saved_and_the_task_stays_completed(client, sim, settings, fault, code):
    task_id = await made(client)
    sim.faults.add(fault)
    result = await download(client, task_id)
    assert result.structured_content["error"]["code"] == code
    assert not list(settings.output_dir.glob("*.mp4"))
    status = await client.call_tool("get_video_status", {"task_id": task_id})
    assert status.structured_content["status"] == "completed"


async def test_a_refused_link_is_replaced_by_a_fresh_one(client, sim):
    task_id = await made(client)
    sim.faults.add(Fault("file", "error", status=403))
    assert not (await download(client, task_id)).is_error


@pytest.mark.parametrize(
    "link", ["http://files.toapis.com/a.mp4", "https://evil.example/a.mp4", "https://127.0.0.1/a.mp4"]
)
async def test_a_link_elsewhere_is_unsafe_and_not_followed(client, sim, link):
    task_id = await made(client)
    body = {"id": task_id, "status": "completed", "result": {"type": "video", "data": [{"url": link}]}}
    sim.faults.add(Fault("status", "answer", body=body, times=None))
    result = await download(client, task_id)
    assert result.structured_content["error"]["code"] == "unsafe_result_url"


async def test_no_key_goes_to_a_file(client, sim):
    await download(client, await made(client))
    for request in sim.requests:
        if "/__files/" in request.path:
            assert "authorization" not in request.headers


async def test_an_output_folder_that_is_a_file_is_told(client, settings):
    task_id = await made(client)
    settings.output_dir.write_text("in the way")
    result = await download(client, task_id)
    assert result.structured_content["error"]["code"] == "output_dir_unavailable"


async def saved_files(settings, how_many):
    with anyio.fail_after(10):
        while len(list(settings.output_dir.glob("*.mp4"))) < how_many:  # noqa: ASYNC110 - the server's own doing
            await anyio.sleep(0.05)


async def test_auto_save_keeps_every_video_without_being_asked(connect, settings):
    async with connect(auto_save=True) as client:
        for prompt in ("a dog", "a cat"):
            await client.call_tool("generate_video", {"prompt": prompt})
        await saved_files(settings, 2)


async def test_auto_save_takes_up_what_an_earlier_process_left(connect, settings):
    async with connect() as client:
        await made(client)
    assert not settings.output_dir.exists()
    async with connect(auto_save=True):
        await saved_files(settings, 1)


async def test_nothing_is_saved_unasked_by_default(connect, settings):
    async with connect() as client:
        await made(client)
        await anyio.sleep(1.2)
    assert not settings.output_dir.exists()

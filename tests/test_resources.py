import base64
import json

import anyio
import pytest
from mcp.shared.exceptions import MCPError

from sora_mcp.resources import GUIDE

pytestmark = pytest.mark.anyio


async def made(client):
    ordered = await client.call_tool("generate_video", {"prompt": "a dog"})
    task_id = ordered.structured_content["id"]
    await client.call_tool("get_video_status", {"task_id": task_id, "wait_seconds": 20})
    return task_id


async def read(client, uri):
    [content] = (await client.read_resource(uri)).contents
    return content


async def test_resources_and_templates_are_listed(client):
    resources = (await client.list_resources()).resources
    assert {str(resource.uri) for resource in resources} == {"sora://videos", "sora://models", "sora://guide"}
    templates = (await client.list_resource_templates()).resource_templates
    uris = {template.uri_template for template in templates}
    assert uris == {"sora://videos/{task_id}", "sora://videos/{task_id}/file"}
    for listed in (*resources, *templates):
        assert listed.title
        assert listed.description
        assert listed.mime_type


async def test_the_catalogue_and_the_guide_are_there_without_a_key(connect):
    async with connect(api_key=None) as client:
        models = json.loads((await read(client, "sora://models")).text)
        guide = await read(client, "sora://guide")
    assert [model["id"] for model in models["models"]] == ["sora-2-official", "sora-2-vvip"]
    assert models["sizes"] == {"16:9": "1280x720", "9:16": "720x1280"}
    assert guide.text == GUIDE
    assert guide.mime_type == "text/markdown"
    assert len(GUIDE) <= 2_500


async def test_the_history_and_a_task_are_json(client):
    task_id = await made(client)
    videos = json.loads((await read(client, "sora://videos")).text)["videos"]
    assert [video["id"] for video in videos] == [task_id]
    task = json.loads((await read(client, f"sora://videos/{task_id}")).text)
    assert task["id"] == task_id
    assert task["status"] == "completed"


async def test_a_saved_file_is_its_bytes(client):
    task_id = await made(client)
    saved = (await client.call_tool("download_video", {"task_id": task_id})).structured_content
    file = await read(client, f"sora://videos/{task_id}/file")
    assert file.mime_type == "video/mp4"
    assert base64.b64decode(file.blob) == await anyio.Path(saved["path"]).read_bytes()


async def refused(client, uri):
    with pytest.raises(MCPError) as error:
        await client.read_resource(uri)
    return str(error.value)


async def test_a_file_that_is_not_saved_or_too_large_is_told(client, monkeypatch):
    task_id = await made(client)
    assert "not_ready" in await refused(client, f"sora://videos/{task_id}/file")
    assert "download_video" in await refused(client, f"sora://videos/{task_id}/file")
    saved = (await client.call_tool("download_video", {"task_id": task_id})).structured_content
    monkeypatch.setattr("sora_mcp.studio.FILE_BYTES", 100)
    assert saved["path"] in await refused(client, f"sora://videos/{task_id}/file")
    await anyio.Path(saved["path"]).unlink()
    assert "not_ready" in await refused(client, f"sora://videos/{task_id}/file")


async def test_an_unknown_or_malformed_id_is_told(client, sim):
    assert "task_not_found" in await refused(client, "sora://videos/video_nobody_knows")
    asked = len(sim.requests)
    for task_id in ("abc", "a%2e%2eb", "x" * 129, "..%2f..%2fetc%2fpasswd"):
        await refused(client, f"sora://videos/{task_id}")
        await refused(client, f"sora://videos/{task_id}/file")
    assert len(sim.requests) == asked


async def test_without_a_key_the_history_says_what_is_missing(connect):
    async with connect(api_key=None) as client:
        assert "missing_api_key" in await refused(client, "sora://videos")


async def test_subscribers_hear_of_each_change_of_a_task(connect, sim):
    sim.job_seconds = 1
    heard = []
    async with connect("auto") as client:
        task_id = (await client.call_tool("generate_video", {"prompt": "a dog"})).structured_content["id"]
        uri = f"sora://videos/{task_id}"
        async with client.listen(resource_subscriptions=[uri]) as changes:

            async def hear():
                async for change in changes:
                    heard.append(str(change.uri))  # noqa: PERF401 - never ends

            async with anyio.create_task_group() as listeners:
                listeners.start_soon(hear)
                await client.call_tool("get_video_status", {"task_id": task_id, "wait_seconds": 20})
                with anyio.fail_after(5):
                    while not heard:  # noqa: ASYNC110 - told by another task
                        await anyio.sleep(0.02)
                listeners.cancel_scope.cancel()
    assert set(heard) == {uri}

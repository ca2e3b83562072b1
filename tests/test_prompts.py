import pytest
from mcp.types import PromptReference, ResourceTemplateReference

from sora_mcp.prompts import STYLES

pytestmark = pytest.mark.anyio

ARGUMENTS = {
    "direct_a_video": {"idea": "a canary sings", "style": "claymation", "duration": "12"},
    "animate_an_image": {"file": "/home/me/canary.png", "motion": "it takes off"},
    "remix_a_video": {"video_id": "video_canary", "change": "the same at dusk"},
}


async def test_the_prompts_are_listed_with_what_they_need(client):
    prompts = {prompt.name: prompt for prompt in (await client.list_prompts()).prompts}
    assert set(prompts) == set(ARGUMENTS)
    for name, prompt in prompts.items():
        assert prompt.title
        assert prompt.description
        assert {argument.name for argument in prompt.arguments} == set(ARGUMENTS[name])
    required = {argument.name for argument in prompts["direct_a_video"].arguments if argument.required}
    assert required == {"idea"}


@pytest.mark.parametrize("name", ARGUMENTS)
async def test_every_argument_is_used_and_the_text_is_short(client, name):
    got = await client.get_prompt(name, ARGUMENTS[name])
    [message] = got.messages
    text = message.content.text
    assert len(text) <= 1_250
    for value in ARGUMENTS[name].values():
        assert value in text
    assert "get_video_status with\nwait_seconds=50" in text or "get_video_status with wait_seconds=50" in text
    assert "When I agree" in text, "nothing that costs money is ordered unasked"


async def test_optional_arguments_may_be_left_out(client):
    got = await client.get_prompt("direct_a_video", {"idea": "a canary sings"})
    text = got.messages[0].content.text
    assert "duration=4" in text
    assert "suits the idea" in text


async def completed(client, name, argument, value):
    result = await client.complete(PromptReference(type="ref/prompt", name=name), {"name": argument, "value": value})
    return result.completion.values


async def test_styles_and_durations_are_completed(client):
    assert await completed(client, "direct_a_video", "style", "") == list(STYLES)
    assert await completed(client, "direct_a_video", "style", "clay") == ["claymation"]
    assert await completed(client, "direct_a_video", "duration", "1") == ["12"]
    assert await completed(client, "direct_a_video", "idea", "a") == []


async def test_ids_of_completed_videos_are_completed(client):
    assert await completed(client, "remix_a_video", "video_id", "") == []
    ordered = await client.call_tool("generate_video", {"prompt": "a dog"})
    task_id = ordered.structured_content["id"]
    template = ResourceTemplateReference(type="ref/resource", uri="sora://videos/{task_id}")
    result = await client.complete(template, {"name": "task_id", "value": task_id[:8]})
    assert result.completion.values == [task_id]
    await client.call_tool("get_video_status", {"task_id": task_id, "wait_seconds": 20})
    await client.call_tool("list_videos", {})
    assert await completed(client, "remix_a_video", "video_id", "video_") == [task_id]


async def test_without_a_key_nothing_is_completed_and_nothing_breaks(connect):
    async with connect(api_key=None) as client:
        assert await completed(client, "remix_a_video", "video_id", "") == []

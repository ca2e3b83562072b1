import base64
import io

import pytest
from conftest import text_of
from PIL import Image

from sora_mcp.simulator import Fault, serve

pytestmark = pytest.mark.anyio


def picture(size=(1280, 720), kind="PNG", colour=(200, 30, 60)):
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, kind)
    return out.getvalue()


def data_uri(data, kind="png"):
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


async def upload(client, file, **arguments):
    return await client.call_tool("upload_reference_image", {"file": str(file), **arguments})


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(("size", "ratio"), [((1280, 720), "16:9"), ((720, 1280), "9:16")])
async def test_a_picture_of_the_right_size_is_uploaded(client, sim, settings, kind, size, ratio):
    path = settings.image_roots[0] / f"dog.{kind.lower()}"
    path.write_bytes(picture(size, kind))
    result = await upload(client, path)
    image = result.structured_content
    assert not result.is_error, text_of(result)
    assert (image["width"], image["height"], image["aspect_ratio"]) == (*size, ratio)
    assert image["mime_type"] in {"image/jpeg", "image/png"}
    assert image["url"] in text_of(result)
    assert f'aspect_ratio="{ratio}"' in text_of(result)
    [sent] = sim.uploads.values()
    assert Image.open(io.BytesIO(sent)).size == size
    assert image["size"] == len(sent)


@pytest.mark.parametrize("ratio", ["16:9", "9:16"])
async def test_an_upload_becomes_the_first_frame_of_a_video(client, sim, ratio):
    uploaded = await upload(client, data_uri(picture((1600, 1200))), aspect_ratio=ratio)
    image = uploaded.structured_content
    assert image["aspect_ratio"] == ratio
    assert image["changes"]
    ordered = await client.call_tool(
        "generate_video", {"prompt": "a dog", "image_urls": [image["url"]], "aspect_ratio": ratio}
    )
    task_id = ordered.structured_content["id"]
    done = await client.call_tool("get_video_status", {"task_id": task_id, "wait_seconds": 20})
    assert done.structured_content["status"] == "completed", text_of(done)
    assert sim.charges


async def test_an_upload_of_the_other_shape_is_refused_before_money_moves(client, sim):
    image = (await upload(client, data_uri(picture()))).structured_content
    result = await client.call_tool("generate_video", {"prompt": "a dog", "image_urls": [image["url"]]})
    error = result.structured_content["error"]
    assert error["code"] == "invalid_argument"
    assert 'aspect_ratio="16:9"' in error["message"]
    assert not sim.charges


async def test_the_same_picture_within_the_hour_is_uploaded_once(client, sim):
    first = await upload(client, data_uri(picture()))
    second = await upload(client, data_uri(picture()))
    assert second.structured_content == first.structured_content
    assert len(sim.uploads) == 1
    await upload(client, data_uri(picture()), aspect_ratio="9:16")
    assert len(sim.uploads) == 2, "another shape is another image"


async def test_a_picture_is_fetched_from_a_trusted_link(connect, sim):
    async with serve(sim) as url, connect(base_url=url) as client:
        first = await upload(client, data_uri(picture()))
        again = await upload(client, first.structured_content["url"], aspect_ratio="9:16", fit="pad")
        assert not again.is_error, text_of(again)
        assert again.structured_content["height"] == 1280


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("/etc/passwd", "path_not_allowed"),
        ("../../etc/passwd", "path_not_allowed"),
        ("https://127.0.0.1/a.png", "url_not_allowed"),
        ("http://example.com/a.png", "url_not_allowed"),
        ("data:text/html,hello", "unsupported_image"),
        ("data:image/png;base64,%%%", "invalid_argument"),
        ("", "path_not_allowed"),
        ("/mnt/user-data/uploads/x.png", "path_not_allowed"),
    ],
)
async def test_what_is_not_a_picture_to_send_is_refused_and_nothing_is_sent(client, sim, file, code):
    result = await upload(client, file)
    assert result.structured_content["error"]["code"] == code, text_of(result)
    assert not sim.requests


async def test_a_chat_upload_is_explained(client):
    result = await upload(client, "/mnt/user-data/uploads/x.png")
    assert "on this computer" in text_of(result)


@pytest.mark.parametrize(("file", "fit"), [(7, "crop"), (None, "crop"), ("x.png", "stretch")])
async def test_bad_arguments_are_invalid(client, sim, file, fit):
    result = await client.call_tool("upload_reference_image", {"file": file, "fit": fit})
    assert result.structured_content["error"]["code"] == "invalid_argument"
    assert not sim.requests


async def test_a_service_that_takes_no_image_is_upload_failed(client, sim):
    refusal = {"success": False, "message": "Unsupported image type."}
    sim.faults.add(Fault("upload", "answer", status=400, body=refusal, times=None))
    result = await upload(client, data_uri(picture()))
    error = result.structured_content["error"]
    assert error["code"] == "upload_failed"
    assert error["upstream_message"] == "Unsupported image type."

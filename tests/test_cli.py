"""The commands as a person types them."""

import os
import signal
import subprocess
import sys

import httpx
import pytest
from conftest import KEY
from processes import environment, running

from sora_mcp import __version__


def command(settings, *arguments, **more):
    env = environment(settings, SORA_MCP_SIMULATE_SPEED="200", **more)
    return subprocess.run(
        [sys.executable, "-m", "sora_mcp", *arguments], env=env, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_version_is_told(settings):
    assert command(settings, "--version").stdout == f"sora-mcp {__version__}\n"


def test_an_unknown_command_is_told_with_those_there_are(settings):
    done = command(settings, "dance")
    assert done.returncode == 2
    assert "simulator" in done.stderr


def test_the_demo_needs_no_key_and_ends_with_a_video_that_is_saved(settings):
    env = {name: value for name, value in os.environ.items() if name.startswith(("COVERAGE", "PATH"))}
    env |= {"HOME": str(settings.data_dir.parent), "SORA_MCP_OUTPUT_DIR": str(settings.output_dir)}
    env |= {"SORA_MCP_SIMULATE_SPEED": "100"}
    done = subprocess.run(
        [sys.executable, "-m", "sora_mcp", "demo", "a red kite over hills"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    [video] = settings.output_dir.glob("*.mp4")
    assert f"Saved: {video}" in done.stdout
    assert b"ftyp" in video.read_bytes()[:12]
    for words in ("no key, no cost", "> generate_video(prompt='a red kite over hills')", "100% completed", "Simulated"):
        assert words in done.stdout


def test_a_demo_that_fails_says_why_and_exits_1(settings):
    done = command(settings, "demo", "a dog [fail]")
    assert done.returncode == 1
    assert "video_generation_failed" in done.stdout


def test_a_live_demo_without_a_key_says_so(settings):
    done = command(settings, "demo", "--live", TOAPIS_API_KEY="")
    assert done.returncode == 1
    assert "missing_api_key" in done.stdout


def test_the_simulator_runs_alone_and_prints_its_address(settings):
    with subprocess.Popen(
        [sys.executable, "-m", "sora_mcp", "simulator", "--speed", "100"],
        env=environment(settings),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        url = process.stdout.readline().strip()
        listed = httpx.get(f"{url}/v1/models?type=video", headers={"authorization": "Bearer sk-any"}, trust_env=False)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    assert [model["id"] for model in listed.json()["data"]] == ["sora-2-official", "sora-2-vvip"]


def simulated(server):
    server.initialize()
    server.call(2, "generate_video", prompt="a dog")
    ordered = server.answer(2)
    server.call(3, "get_video_status", task_id=ordered["structuredContent"]["id"], wait_seconds=20)
    done = server.answer(3)
    return ordered, done


@pytest.mark.parametrize("how", ["argument", "setting"])
def test_a_simulated_server_marks_everything_as_simulated(settings, how):
    env = environment(settings, SORA_MCP_SIMULATE_SPEED="200", TOAPIS_API_KEY="")
    arguments = ["--simulate"] if how == "argument" else []
    if how == "setting":
        env["SORA_MCP_SIMULATE"] = "1"
    with running(env, *arguments) as server:
        ordered, done = simulated(server)
    for result in (ordered, done):
        assert "Simulated" in result["content"][0]["text"]
        assert any("Simulated" in note for note in result["structuredContent"]["notes"])
    assert done["structuredContent"]["status"] == "completed"


def test_simulated_orders_outlive_their_server_and_never_meet_real_ones(settings):
    env = environment(settings, SORA_MCP_SIMULATE_SPEED="200", SORA_MCP_SIMULATE="1")
    with running(env) as server:
        ordered, _ = simulated(server)
    task_id = ordered["structuredContent"]["id"]
    with running(env) as server:
        server.initialize()
        server.call(2, "list_videos")
        assert [video["id"] for video in server.answer(2)["structuredContent"]["videos"]] == [task_id]
        server.call(3, "download_video", task_id=task_id)
        assert not server.answer(3)["isError"]
    with running(environment(settings, "http://127.0.0.1:9")) as server:
        server.initialize()
        server.call(2, "list_videos")
        assert server.answer(2)["structuredContent"]["videos"] == []
    journals = sorted(path.name for path in settings.data_dir.glob("*.sqlite3"))
    assert len(journals) == 2
    assert KEY not in "".join(journals)

"""The main job, start to finish, as a client sees it: a child server over stdio, and what goes back and forth."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO

import anyio
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.types import CallToolResult, TextContent

from sora_mcp.settings import Settings

BAR_WIDTH = 30
WAIT_SECONDS = 50


def run_demo(prompt: str, settings: Settings, *, live: bool, out: TextIO) -> int:
    """Make one video through a server of our own and print the conversation; the exit code is 0 when it is saved."""
    return anyio.run(_converse, prompt, settings, live, out)


async def _converse(prompt: str, settings: Settings, live: bool, out: TextIO) -> int:  # noqa: FBT001 - anyio.run passes no keywords
    where = "the real service" if live else "the built-in simulator: no key, no cost"
    print(f"sora-mcp as a client sees it, against {where}.\n", file=out)
    talk = _Talk(out)
    # A demo ordered twice would be joined to the first one within 15 minutes: simulated, it gets a journal of its own.
    with TemporaryDirectory(prefix="sora-mcp-demo-") as data_dir:
        if not live:
            settings = settings.model_copy(update={"data_dir_override": Path(data_dir)})
        async with Client(_server(settings, live=live)) as client:
            saved = await _make_video(talk, client, prompt)
    if saved is None:
        return 1
    print(f"Saved: {saved['path']}", file=out)
    return 0


async def _make_video(talk: "_Talk", client: Client, prompt: str) -> dict[str, Any] | None:
    """Order, wait, save; ``None`` when one of them failed."""
    task = await talk.call(client, "generate_video", prompt=prompt)
    while task and task["status"] not in {"completed", "failed"}:
        task = await talk.call(client, "get_video_status", task_id=task["id"], wait_seconds=WAIT_SECONDS)
    if task is None or task["status"] == "failed":
        return None
    return await talk.call(client, "download_video", task_id=task["id"])


def _server(settings: Settings, *, live: bool) -> StdioServerParameters:
    """The child, with the settings of this process: loading them took the key out of the environment."""
    env = {
        "SORA_MCP_DATA_DIR": str(settings.data_dir),
        "SORA_MCP_OUTPUT_DIR": str(settings.output_dir),
        "SORA_MCP_SIMULATE_SPEED": str(settings.simulate_speed),
        "SORA_MCP_POLL_SECONDS": str(settings.poll_seconds if live else min(settings.poll_seconds, 1.0)),
        "SORA_MCP_DAILY_SECONDS": str(settings.daily_seconds if live else 0),
        "SORA_MCP_LOG_LEVEL": settings.log_level,
    }
    if live:
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        env |= {"TOAPIS_API_KEY": key, "TOAPIS_BASE_URL": settings.base_url, "SORA_MCP_MODEL": settings.default_model}
    arguments = ["-m", "sora_mcp"] if live else ["-m", "sora_mcp", "--simulate"]
    return StdioServerParameters(command=sys.executable, args=arguments, env=env, cwd=Path.cwd())


class _Talk:
    """Calls tools, and prints each call, its progress and its answer."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    async def call(self, client: Client, tool: str, **arguments: Any) -> dict[str, Any] | None:
        """The structured answer, or ``None`` when the call failed; either is printed as the model reads it."""
        words = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        print(f"> {tool}({words})", file=self._out, flush=True)
        result = await client.call_tool(tool, arguments, progress_callback=self._show_progress)
        if self._out.isatty():
            print("\r\033[K", end="", file=self._out)
        print(f"  {_text(result)}\n", file=self._out, flush=True)
        return None if result.is_error else result.structured_content

    async def _show_progress(self, progress: float, total: float | None, message: str | None) -> None:
        share = min(progress / (total or 100), 1.0)
        filled = round(BAR_WIDTH * share)
        bar = f"  [{'#' * filled}{'-' * (BAR_WIDTH - filled)}] {share:4.0%} {message or ''}"
        # A terminal gets one line that moves; a file or a pipe gets a line for each step.
        line = f"\r\033[K{bar}" if self._out.isatty() else f"{bar}\n"
        print(line, end="", file=self._out, flush=True)


def _text(result: CallToolResult) -> str:
    return " ".join(block.text for block in result.content if isinstance(block, TextContent))

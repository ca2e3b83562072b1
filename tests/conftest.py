from contextlib import asynccontextmanager

import httpx
import pytest
from mcp.client import Client
from pydantic import SecretStr

from sora_mcp.server import build_server
from sora_mcp.settings import Settings
from sora_mcp.simulator import Simulator

KEY = "sk-canary-3f9c2b7a"


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "pictures").mkdir()
    return Settings(
        api_key=SecretStr(KEY),
        data_dir_override=tmp_path / "data",
        output_dir_override=tmp_path / "videos",
        image_roots_override=(tmp_path / "pictures",),
        poll_seconds=0.05,
        daily_seconds=0,
    )


@pytest.fixture
def sim():
    """The service, in this process: a job takes 0.3 s."""
    return Simulator(job_seconds=0.3)


@pytest.fixture
def connect(settings, sim):
    """Open an MCP client on a server of its own, in memory; ``changes`` are settings."""

    @asynccontextmanager
    async def connected(mode="auto", **changes):
        # With an address of its own the simulator is on a port, else it is called in this process.
        transport = None if "base_url" in changes else httpx.ASGITransport(app=sim.app)
        server = build_server(settings.model_copy(update=changes), transport=transport)
        async with Client(server, mode=mode) as client:
            yield client

    return connected


@pytest.fixture(params=["auto", "legacy"])
async def client(request, connect):
    """A client of each protocol era."""
    async with connect(request.param) as connected:
        yield connected


def text_of(result):
    return " ".join(block.text for block in result.content if block.type == "text")

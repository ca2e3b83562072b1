import io
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from PIL import Image

from sora_mcp.simulator import Simulator
from tests.simulator.transport import SimulatorTransport

BASE = "http://simulator.local"
GENERATIONS = "/v1/videos/generations"


class Clock:
    """Time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1_768_380_224.0

    def __call__(self) -> float:
        return self.now


class Caller(httpx.AsyncClient):
    """A client with a few words for what most tests do."""

    async def order(self, prompt: str = "a red kite", **fields: Any) -> dict[str, Any]:
        answer = await self.post(GENERATIONS, json={"model": "sora-2-official", "prompt": prompt, **fields})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def ask(self, reference: str) -> dict[str, Any]:
        answer = await self.get(f"{GENERATIONS}/{reference}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def upload(self, data: bytes, name: str = "image.png") -> httpx.Response:
        return await self.post("/v1/uploads/images", files={"file": (name, data)}, data={"purpose": "generation"})


def caller(sim: Simulator, **options: Any) -> Caller:
    headers = {"Authorization": "Bearer sk-test"}
    return Caller(transport=SimulatorTransport(sim), base_url=BASE, headers=headers, **options)


def picture(kind: str, size: tuple[int, int], **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, "teal").save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sim(clock: Clock) -> Simulator:
    return Simulator(clock=clock, job_seconds=100)


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[Caller]:
    async with caller(sim) as opened:
        yield opened

import pytest

from sora_mcp.simulator import limits
from tests.simulator.conftest import GENERATIONS

pytestmark = pytest.mark.anyio


async def test_every_answer_tells_where_the_caller_stands(client, clock):
    first = await client.post(GENERATIONS, json={})
    second = await client.get("/v1/balance")
    assert first.headers["x-ratelimit-category"] == "submit"
    assert (first.headers["x-ratelimit-limit"], first.headers["x-ratelimit-remaining"]) == ("300", "299")
    assert second.headers["x-ratelimit-category"] == "query"
    assert (second.headers["x-ratelimit-limit"], second.headers["x-ratelimit-remaining"]) == ("3000", "2999")
    assert 0 < int(first.headers["x-ratelimit-reset"]) - clock.now <= 60


async def test_limits_are_not_enforced_unless_asked_for(client, sim):
    for _ in range(10):
        await client.order()
    sim.enforce_limits = True
    answer = await client.post(GENERATIONS, json={"model": "sora-2-official", "prompt": "x"})
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"
    assert len(sim.charges) == 10
    assert (await client.get("/v1/balance")).status_code == 200


def test_a_full_minute_waits_for_the_next():
    counted = limits.RateLimits()
    for second in range(60):
        for _ in range(5):
            assert counted.count("submit", 600.0 + second).retry_after == 0
    late = counted.count("submit", 659.5)
    assert late.retry_after == 1
    assert late.headers["X-RateLimit-Remaining"] == "0"
    assert counted.count("submit", 630.0).retry_after == 30
    assert counted.count("submit", 660.0).retry_after == 0

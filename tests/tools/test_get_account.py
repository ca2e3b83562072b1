import pytest
from conftest import text_of

from sora_mcp.simulator import Fault

pytestmark = pytest.mark.anyio


async def account(client):
    return await client.call_tool("get_account", {})


async def test_credits_models_and_the_limit_are_told(connect, sim):
    sim.balance_credits = 5000
    async with connect(daily_seconds=120) as client:
        await client.call_tool("generate_video", {"prompt": "a dog"})
        result = await account(client)
    told = result.structured_content
    assert told["credits_remaining"] == 5000 - sim.charges[0].credits
    assert told["credits_used"] == sim.charges[0].credits
    assert told["unlimited"] is False
    assert told["models"] == ["sora-2-official", "sora-2-vvip"]
    assert told["default_model"] == "sora-2-official"
    assert told["seconds_ordered_24h"] == 4
    assert told["daily_limit_seconds"] == 120
    assert "4,920" in text_of(result)
    assert "4 s of 120 s" in text_of(result)


async def test_the_smaller_of_key_and_account_counts(client, sim):
    sim.balance_credits, sim.key_credits = 5000, 300
    assert (await account(client)).structured_content["credits_remaining"] == 300


async def test_an_unlimited_account_says_so(client, sim):
    sim.balance_credits = None
    told = (await account(client)).structured_content
    assert told["unlimited"] is True
    assert "credits_remaining" not in told


async def test_an_unknown_balance_is_absent_and_never_zero(connect, sim):
    refusal = {"success": False, "message": "not available"}
    sim.faults.add(Fault("balance", "answer", body=refusal, times=None))
    async with connect() as client:
        result = await account(client)
    assert "credits_remaining" not in result.structured_content
    assert "did not say" in text_of(result)


async def test_a_refused_key_is_auth_failed(client, sim):
    sim.keys = ["sk-another"]
    assert (await account(client)).structured_content["error"]["code"] == "auth_failed"


async def test_it_takes_no_arguments(client, sim):
    result = await client.call_tool("get_account", {"verbose": True})
    assert result.structured_content["error"]["code"] == "invalid_argument"
    assert not sim.requests

"""Random schedules of faults, cancels, repeats and restarts: a prompt is charged at most once, and none is lost.

``make test`` runs the first 30, ``make soak`` the rest of the 1,000; the seed of a schedule is its number.
"""

import random
from contextlib import AsyncExitStack

import anyio
import pytest
from money.conftest import nothing_is_lost, orders_in
from money.test_matrix import tempts

from sora_mcp.simulator import Fault

pytestmark = pytest.mark.anyio

SCHEDULES = [pytest.param(seed, marks=[pytest.mark.soak] if seed >= 30 else []) for seed in range(1000)]

BEFORE = ["refuse", "reset", "html", "null", "empty", "redirect"]
AFTER = ["reset", "html", "null", "list", "bad_utf8", "empty", "no_id", "truncated", "cut", "wrong_length"]
STATUSES = [400, 402, 408, 409, 422, 500, 502, 503, 504]


def random_fault(dice):  # noqa: PLR0911 - a table
    """One thing that goes wrong with orders, look-ups or questions."""
    kind = dice.random()
    if kind < 0.2:
        return Fault("generate", dice.choice(BEFORE))
    if kind < 0.5:
        return Fault("generate", dice.choice(AFTER), after_work=True)
    if kind < 0.65:
        return Fault("generate", "error", status=dice.choice(STATUSES), after_work=False)
    if kind < 0.75:
        return Fault("generate", "error", status=dice.choice([500, 502, 504]), after_work=True)
    if kind < 0.82:
        return Fault("generate", "rate_limited", times=dice.randint(1, 4), retry_after=dice.choice([1, 5, 30, "soon"]))
    if kind < 0.88:
        return Fault("generate", "slow", seconds=dice.random() / 4, after_work=dice.random() < 0.5)
    if kind < 0.94:
        return Fault("lookup", dice.choice(["error", "task_not_exist", "not_found", "html"]), times=dice.randint(1, 4))
    return Fault("generate", "late", seconds=dice.choice([3, 11, 30]))


@pytest.mark.parametrize("seed", SCHEDULES)
async def test_a_random_schedule_charges_at_most_once_and_loses_nothing(shop, sim, seed):
    dice = random.Random(seed)  # noqa: S311 - a schedule that can be run again, no secret
    sim.keeps_ids = dice.random() < 0.8
    prompts = [f"dog {number}" for number in range(dice.randint(1, 3))]
    texts = []
    async with shop() as place, AsyncExitStack() as last:

        async def start():
            return await last.enter_async_context(place.client())

        clients = [await start() for _ in range(dice.randint(1, 2))]

        async def call(client, prompt, patience):
            with anyio.move_on_after(patience):
                result = await client.call_tool("generate_video", {"prompt": prompt})
                if not result.is_error:
                    texts.append(result.content[0].text)

        for _ in range(dice.randint(2, 5)):
            if dice.random() < 0.8:
                sim.faults.add(random_fault(dice))
            async with anyio.create_task_group() as callers:
                for _ in range(dice.randint(1, 3)):
                    patience = dice.choice([0.01, 0.05, 30, 30, 30])
                    callers.start_soon(call, dice.choice(clients), dice.choice(prompts), patience)
            if dice.random() < 0.3:
                await last.aclose()
                clients = [await start() for _ in clients]
        sim.faults.clear()
        await last.aclose()
        assert await nothing_is_lost(place.journal, sim)
        orders = await orders_in(place.journal)
    charged = [charge.prompt for charge in sim.charges]
    assert len(charged) == len(set(charged)), f"a prompt was charged twice: {charged}, {orders}"
    assert not any(tempts(text) for text in texts)

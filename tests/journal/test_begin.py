import re

import anyio
import pytest

from sora_mcp.journal import Joined, OverLimit, Reserved, fingerprint, new_order_id
from sora_mcp.models import Failure, TaskReport

pytestmark = pytest.mark.anyio

DAY = 86_400
FIELDS = ("generate_video", "account", "model", "prompt", {"duration": 4, "image_urls": None}, 1)


def test_order_ids_fit_the_services_rule_and_are_never_the_same():
    ids = {new_order_id() for _ in range(1_000)}
    assert len(ids) == 1_000
    assert all(re.fullmatch("smcp-[0-9a-f]{32}", order_id) for order_id in ids)


@pytest.mark.parametrize("place", range(6))
def test_every_part_of_the_call_changes_the_fingerprint(place):
    others = ("remix_video", "another", "another", "another", {"duration": 8, "image_urls": None}, 2)
    changed = [*FIELDS]
    changed[place] = others[place]
    assert fingerprint(*changed) != fingerprint(*FIELDS)


def test_fingerprint_is_the_same_for_the_same_call_however_it_is_written():
    assert fingerprint("t", "a", "m", "cafe\u0301", {"a": 1, "b": 2}, 1) == fingerprint(
        "t", "a", "m", "caf\u00e9", {"b": 2, "a": 1}, 1
    )


def test_fingerprint_stays_what_it_was_in_earlier_versions():
    # Changed canonical JSON would let a running older process order the same thing once more.
    assert fingerprint(*FIELDS) == "94d0fb0ab009be809be6972e1f417a08a757c374cbd0a64aa637ab48e14acc7f"


async def test_an_order_is_kept_whole(journal, new_order, clock):
    order = new_order("Ein Überfluß an 灯笼", kind="remix")
    begun = await journal.begin(order, daily_seconds=120)
    assert isinstance(begun, Reserved)
    kept = await journal.find(order.order_id)
    assert kept == begun.order
    assert [getattr(kept, name) for name in order.__dataclass_fields__] == [
        getattr(order, name) for name in order.__dataclass_fields__
    ]
    assert (kept.state, kept.status, kept.progress, kept.id) == ("sending", "unconfirmed", 0, order.order_id)
    assert (kept.created_at, kept.sent_at, kept.updated_at) == (int(clock.now), clock.now, clock.now)


async def test_a_prompt_is_not_in_an_orders_repr(journal, new_order):
    order = new_order("canary")
    begun = await journal.begin(order, daily_seconds=0)
    assert repr(order) == f"NewOrder('{order.order_id}')"
    assert repr(begun) == f"Reserved(order=Order('{order.order_id}'))"


async def test_the_same_call_joins_a_live_order(journal, new_order, clock):
    first = await journal.begin(new_order(fingerprint="same"), daily_seconds=120)
    clock.now += 899
    assert await journal.begin(new_order(fingerprint="same"), daily_seconds=120) == Joined(first.order)
    assert await journal.ordered_seconds() == (4, first.order.sent_at + DAY)


async def test_another_call_does_not_join(journal, new_order):
    await journal.begin(new_order(fingerprint="one"), daily_seconds=120)
    assert isinstance(await journal.begin(new_order(fingerprint="two"), daily_seconds=120), Reserved)


async def test_the_same_call_is_a_new_order_after_15_minutes(journal, new_order, clock):
    await journal.begin(new_order(fingerprint="same"), daily_seconds=120)
    clock.now += 900
    assert isinstance(await journal.begin(new_order(fingerprint="same"), daily_seconds=120), Reserved)


@pytest.mark.parametrize("state", ["sending", "unconfirmed", "accepted", "completed"])
async def test_a_live_order_is_joined_in_every_state(journal, new_order, clock, state):
    order = new_order(fingerprint="same")
    await journal.begin(order, daily_seconds=0)
    clock.now += 600  # the lease ran out long ago: it may have been charged all the same
    if state == "unconfirmed":
        await journal.mark_unconfirmed(order.order_id)
    elif state != "sending":
        await journal.accept(order.order_id, TaskReport("video_1", "queued" if state == "accepted" else "completed"))
    begun = await journal.begin(new_order(fingerprint="same"), daily_seconds=0)
    assert isinstance(begun, Joined)
    assert begun.order.order_id == order.order_id


@pytest.mark.parametrize("end", ["rejected", "absent", "failed"])
async def test_an_order_that_came_to_nothing_is_not_joined_and_gives_its_seconds_back(journal, new_order, end):
    order = new_order(fingerprint="same", seconds=12)
    await journal.begin(order, daily_seconds=12)
    if end == "rejected":
        await journal.reject(order.order_id, "content_rejected", "no")
    elif end == "absent":
        await journal.mark_unconfirmed(order.order_id)
        await journal.mark_absent(order.order_id)
    else:
        await journal.accept(order.order_id, TaskReport("video_1", "queued"))
        await journal.record(TaskReport("video_1", "failed", failure=Failure("generation_failed", "heavy load")))
    assert await journal.ordered_seconds() == (0, None)
    assert isinstance(await journal.begin(new_order(fingerprint="same", seconds=12), daily_seconds=12), Reserved)


async def test_the_daily_limit_holds_for_24_hours(journal, new_order, clock):
    start = clock.now
    for _ in range(3):
        assert isinstance(await journal.begin(new_order(), daily_seconds=12), Reserved)
        clock.now += 60
    assert await journal.begin(new_order(), daily_seconds=12) == OverLimit(12, start + DAY)
    assert await journal.begin(new_order(seconds=8), daily_seconds=12) == OverLimit(12, start + 60 + DAY)
    assert await journal.ordered_seconds() == (12, start + DAY)
    clock.now = start + DAY
    assert isinstance(await journal.begin(new_order(), daily_seconds=12), Reserved)
    assert isinstance(await journal.begin(new_order(), daily_seconds=12), OverLimit)


async def test_an_order_longer_than_the_limit_never_fits(journal, new_order):
    assert await journal.begin(new_order(seconds=12), daily_seconds=8) == OverLimit(0, None)
    assert (await journal.list()).orders == ()


async def test_zero_means_no_limit(journal, new_order):
    for _ in range(20):
        assert isinstance(await journal.begin(new_order(seconds=12), daily_seconds=0), Reserved)
    assert (await journal.ordered_seconds())[0] == 240


async def test_joining_costs_nothing_at_the_limit(journal, new_order):
    await journal.begin(new_order(fingerprint="same"), daily_seconds=4)
    assert isinstance(await journal.begin(new_order(fingerprint="same"), daily_seconds=4), Joined)


async def test_a_clock_set_back_neither_orders_twice_nor_lifts_the_limit(journal, new_order, clock):
    await journal.begin(new_order(fingerprint="same"), daily_seconds=8)
    clock.now -= 3 * DAY
    assert isinstance(await journal.begin(new_order(fingerprint="same"), daily_seconds=8), Joined)
    assert isinstance(await journal.begin(new_order(seconds=8), daily_seconds=8), OverLimit)
    assert await journal.ordered_seconds() == (4, clock.now + DAY)


async def test_a_clock_that_was_wrong_for_a_moment_changes_nothing(journal, new_order, clock):
    start = clock.now
    first = await journal.begin(new_order(fingerprint="same"), daily_seconds=12)
    clock.now = 5_000.0
    await journal.begin(new_order(), daily_seconds=12)
    clock.now = 4_000.0
    await journal.begin(new_order(), daily_seconds=12)
    clock.now = start + 899
    assert await journal.begin(new_order(fingerprint="same"), daily_seconds=12) == Joined(first.order)
    assert await journal.ordered_seconds() == (4, start + DAY)


async def test_a_clock_that_was_far_ahead_does_not_block_orders_for_ever(journal, new_order, clock):
    right = clock.now
    clock.now += 3_650 * DAY
    await journal.begin(new_order(fingerprint="same", seconds=12), daily_seconds=12)
    clock.now = right
    assert isinstance(await journal.begin(new_order(seconds=12), daily_seconds=12), OverLimit)
    assert await journal.ordered_seconds() == (12, right + DAY)
    clock.now += 899
    assert isinstance(await journal.begin(new_order(fingerprint="same"), daily_seconds=0), Joined)
    clock.now += 1
    assert isinstance(await journal.begin(new_order(fingerprint="same"), daily_seconds=0), Reserved)
    clock.now = right + DAY
    assert await journal.ordered_seconds() == (4, right + 900 + DAY)


async def test_a_cancelled_call_leaves_no_transaction_open_and_loses_no_commit(journal, new_order):
    order = new_order()
    reached = []

    async def begin():
        with anyio.CancelScope() as scope:
            reached.append(scope)
            await journal.begin(order, daily_seconds=0)

    real = journal._clock

    def clock():  # runs inside the transaction, in the worker's thread
        anyio.from_thread.run_sync(reached[0].cancel)
        return real()

    await journal.find("warm-up")
    journal._clock = clock
    await begin()
    journal._clock = real
    assert reached[0].cancel_called
    assert (await journal.find(order.order_id)).state == "sending"
    assert not journal._store._connection.in_transaction


async def test_a_call_cancelled_before_it_began_writes_nothing(journal, new_order):
    with anyio.CancelScope() as scope:
        scope.cancel()
        await journal.begin(new_order(), daily_seconds=0)
    assert (await journal.list()).orders == ()


async def test_calls_made_at_once_in_one_process_do_not_mix(journal, new_order):
    begun = []

    async def begin():
        begun.append(await journal.begin(new_order(fingerprint="same"), daily_seconds=0))

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(begin)
    assert sum(isinstance(one, Reserved) for one in begun) == 1
    assert len({one.order.order_id for one in begun}) == 1

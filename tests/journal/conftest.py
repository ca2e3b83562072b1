from itertools import count

import pytest

from sora_mcp.journal import Journal, NewOrder, new_order_id
from sora_mcp.models import TaskReport

DAY = 86_400


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self):
        self.now = 1_800_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "account" / "orders.db"


@pytest.fixture
async def journal(path, clock):
    journal = Journal(path, clock=clock, process_id="ours")
    yield journal
    await journal.aclose()


@pytest.fixture
def new_order():
    """Make orders, by default each with a fingerprint of its own."""

    def make(prompt="a quiet river at dawn", *, fingerprint=None, seconds=4, kind="generate"):
        order_id = new_order_id()
        return NewOrder(
            order_id=order_id,
            kind=kind,
            fingerprint=fingerprint or order_id,
            model="sora-2-official",
            prompt=prompt,
            seconds=seconds,
            aspect_ratio="16:9",
            size="1280x720",
            request={"take": 1, "image_urls": ["https://example.com/a.png"]},
            remixed_from_video_id="video_source" if kind == "remix" else None,
        )

    return make


@pytest.fixture
def accepted(journal, new_order):
    """Begin an order and have it accepted under a new task id."""
    numbers = count(1)

    async def make(*args, task_id=None, status="queued", **kwargs):
        order = new_order(*args, **kwargs)
        await journal.begin(order, daily_seconds=0)
        return await journal.accept(order.order_id, TaskReport(task_id or f"video_{next(numbers)}", status))

    return make

"""Fast time and a real port: what an order meets, with its pauses a hundred times shorter."""

import time
from contextlib import asynccontextmanager
from types import SimpleNamespace

import anyio
import pytest
from mcp.client import Client

from sora_mcp.journal import Journal
from sora_mcp.server import build_server
from sora_mcp.service import journal_path
from sora_mcp.simulator import serve


class FastTime:
    """A clock that runs ``speed`` times faster than real, and the sleep that fits it."""

    def __init__(self, speed=100.0):
        self.speed = speed
        self._real = time.monotonic()
        self._start = time.time()

    def clock(self):
        return self._start + (time.monotonic() - self._real) * self.speed

    async def sleep(self, seconds):
        await anyio.sleep(seconds / self.speed)

    def jump(self, seconds):
        """Let time pass that nobody needs to wait for."""
        self._start += seconds


@pytest.fixture
def fast():
    return FastTime()


@pytest.fixture
def shop(settings, sim, fast):
    """The simulator on a port, and servers in fast time before it; each has the same journal."""
    sim.clock = fast.clock

    @asynccontextmanager
    async def opened(*, transport=None, **changes):
        async with serve(sim) as url:
            there = settings.model_copy(update={"base_url": url, **changes})

            @asynccontextmanager
            async def client():
                server = build_server(there, transport=transport, clock=fast.clock, sleep=fast.sleep)
                async with Client(server) as connected:
                    yield connected

            yield SimpleNamespace(url=url, settings=there, client=client, journal=Journal(journal_path(there)))

    return opened


async def orders_in(journal):
    """Every row, rejected and absent ones too, oldest first."""

    def read():
        import sqlite3  # noqa: PLC0415
        from contextlib import closing  # noqa: PLC0415

        with closing(sqlite3.connect(journal.path)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'orders'").fetchall():
                return []  # killed before there was a table
            rows = connection.execute("SELECT order_id, state, task_id FROM orders ORDER BY seq").fetchall()
            return [SimpleNamespace(order_id=row[0], state=row[1], task_id=row[2]) for row in rows]

    return await anyio.to_thread.run_sync(read) if journal.path.exists() else []


async def nothing_is_lost(journal, sim):
    """Every charge is in the journal under its task id, or as an unconfirmed row with its handle."""
    orders = await orders_in(journal)
    known = {order.task_id for order in orders if order.state == "accepted"}
    handles = {order.order_id for order in orders if order.state in {"unconfirmed", "sending"}}
    return all(charge.task_id in known or charge.client_business_id in handles for charge in sim.charges)

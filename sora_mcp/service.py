"""The way to the service and to the order book that belongs to it, opened when it is first needed."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup
from pydantic import SecretStr

from sora_mcp.errors import MissingApiKey
from sora_mcp.journal import Journal
from sora_mcp.offer import Offer
from sora_mcp.ordering import Ordering
from sora_mcp.settings import Settings, is_loopback

if TYPE_CHECKING:
    import httpx

    from sora_mcp.api.client import ApiClient

StartSimulator = Callable[[TaskGroup], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Service:
    """An open way to one account. ``base_url`` is the API's origin, trusted wherever a link is judged."""

    api: "ApiClient"
    base_url: str
    account: str
    journal: Journal
    ordering: Ordering
    offer: Offer


def account_of(settings: Settings) -> str:
    """Whose orders these are: each key has a journal of its own, and the simulator another.

    A key at a stand-in on loopback is another account than the same key at the real service.

    Raises:
        MissingApiKey: There is no key, and the simulator is not asked for.
    """
    from hashlib import sha256  # noqa: PLC0415 - not needed at start
    from urllib.parse import urlsplit  # noqa: PLC0415

    if settings.simulate:
        return "simulator"
    if settings.api_key is None:
        raise MissingApiKey(
            "No API key is set, so nothing was sent.",
            "Make a key at https://toapis.com, put it into the variable TOAPIS_API_KEY of this server's "
            "configuration, and start the server again. To try without a key, run it with --simulate.",
        )
    place = "local" if is_loopback(urlsplit(settings.base_url).hostname or "") else "live"
    return f"key-{sha256(f'{place} {settings.api_key.get_secret_value()}'.encode()).hexdigest()[:16]}"


def journal_path(settings: Settings) -> Path:
    """The file of the account's order book.

    Raises:
        MissingApiKey: No account.
    """
    return settings.data_dir / f"{account_of(settings)}.sqlite3"


async def open_service(
    settings: Settings,
    task_group: TaskGroup,
    *,
    start_simulator: StartSimulator | None,
    transport: "httpx.AsyncBaseTransport | None",
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
) -> Service:
    """Open everything that an order needs, and take up what an earlier process left behind.

    Raises:
        MissingApiKey: There is no key, and the simulator is not asked for.
    """
    account = account_of(settings)
    base_url, key = settings.base_url, settings.api_key or SecretStr("")
    if settings.simulate and start_simulator:
        base_url, key = await start_simulator(task_group), SecretStr("sk-simulated")
    from sora_mcp.api.client import ApiClient  # noqa: PLC0415 - imports httpx, which start-up does without

    api = ApiClient(base_url=base_url, api_key=key, transport=transport, clock=clock, sleep=sleep)
    journal = Journal(journal_path(settings), clock=clock)
    ordering = Ordering(
        journal,
        lambda order_id: api.status(order_id, attempts=1),
        task_group,
        daily_seconds=settings.daily_seconds,
        clock=clock,
        sleep=sleep,
    )
    task_group.start_soon(ordering.resume)
    return Service(api, base_url, account, journal, ordering, Offer(api.video_models, clock=clock))

"""The server: joins the parts. No logic of its own."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup, TaskStatus
from mcp.server import MCPServer
from mcp.server.caching import CacheHint
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourceUpdated

from sora_mcp import __version__
from sora_mcp.prompts import make_prompts
from sora_mcp.resources import register_resources
from sora_mcp.service import StartSimulator
from sora_mcp.settings import Settings
from sora_mcp.studio import Studio
from sora_mcp.tools import make_tools

if TYPE_CHECKING:
    import httpx

GRACE_SECONDS = 1.5
"""How long orders in flight may go on once the server is told to end; the rest is found again at the next start."""

WARM_UP_SECONDS = 1.0

INSTRUCTIONS = (
    "Makes Sora 2 videos, which cost the user money. A video takes 1-5 minutes. In order: generate_video (answers at "
    "once with an id), get_video_status with wait_seconds=50 until it is completed, then give the user the link, which "
    "dies after 24 hours. For a first frame call upload_reference_image before. Never order again because an answer "
    "is late or lost: ask get_video_status."
)


def build_server(
    settings: Settings,
    *,
    transport: "httpx.AsyncBaseTransport | None" = None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
) -> MCPServer[Studio]:
    """Make the server for these settings.

    Args:
        settings: As loaded.
        transport: Replaces the network in tests.
        clock: Unix seconds.
        sleep: Waits for seconds: between questions, look-ups and tries.
    """
    bus = InMemorySubscriptionBus()
    running: list[Studio] = []

    async def tell_subscribers(task_id: str) -> None:
        await bus.publish(ResourceUpdated(uri=f"sora://videos/{task_id}"))

    @asynccontextmanager
    async def lifespan(_: MCPServer[Studio]) -> AsyncGenerator[Studio]:
        async with AsyncExitStack() as last, anyio.create_task_group() as task_group:
            studio = Studio(
                settings,
                task_group,
                on_task_changed=tell_subscribers,
                start_simulator=_start_simulator(settings),
                transport=transport,
                clock=clock,
                sleep=sleep,
            )
            last.push_async_callback(studio.aclose)
            running.append(studio)
            task_group.start_soon(_warm_up, studio)
            try:
                yield studio
            finally:
                running.remove(studio)
                with anyio.CancelScope(shield=True):
                    await studio.finish_orders(GRACE_SECONDS)
                task_group.cancel_scope.cancel()

    server = MCPServer(
        "sora-mcp",
        title="Sora videos",
        version=__version__,
        instructions=INSTRUCTIONS,
        tools=list(make_tools(settings)),
        lifespan=lifespan,
        log_level="WARNING",
        cache_hints={"tools/list": CacheHint(ttl_ms=3_600_000, scope="public")},
        subscriptions=bus,
    )
    register_resources(server, lambda: running[-1])
    for prompt in make_prompts():
        server.add_prompt(prompt)
    return server


async def _warm_up(studio: Studio) -> None:
    """After the client has been served: start-up is what hosts measure."""
    await anyio.sleep(WARM_UP_SECONDS)
    await studio.warm_up()


def _start_simulator(settings: Settings) -> StartSimulator:
    async def serve_until_cancelled(*, task_status: TaskStatus[str]) -> None:
        from sora_mcp.simulator import Simulator  # noqa: PLC0415 - only with --simulate
        from sora_mcp.simulator.serving import serve  # noqa: PLC0415

        async with serve(Simulator(speed=settings.simulate_speed)) as url:
            task_status.started(url)
            await anyio.sleep_forever()

    async def start(task_group: TaskGroup) -> str:
        return await task_group.start(serve_until_cancelled)

    return start

"""The simulator on a real port of this machine, in the running event loop or as a program of its own."""

import signal
import socket
import struct
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from sora_mcp.simulator.answers import HANG_UP
from sora_mcp.simulator.service import Simulator

if TYPE_CHECKING:
    import asyncio

    from sora_mcp.simulator.answers import Receive, Scope, Send

_LINGER_NOT = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
_CLOSING_SECONDS = 0.8


class _Connections:
    """The open connections by the client's address, so that the app can end its own."""

    def __init__(self) -> None:
        self.transports: dict[tuple[str, int], asyncio.Transport] = {}

    def hang_up(self, client: tuple[str, int], *, reset: bool) -> None:
        transport = self.transports.get(client)
        if transport and reset:
            # Closing a socket that must not linger sends RST, whatever was read or written before.
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            transport.abort()
        elif transport:
            transport.close()


@asynccontextmanager
async def serve(sim: Simulator, *, host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[str]:
    """Serve on a real port within the running asyncio loop, and yield the base URL, without a slash at its end.

    No signal handler is installed and nothing is printed. On leaving, open connections are ended at once, and what
    hangs with them: it takes well under a second.

    Raises:
        OSError: The port cannot be had.
    """
    import uvicorn  # noqa: PLC0415 - heavy, and only needed by a simulator with a port

    connections = _Connections()

    async def app(scope: "Scope", receive: "Receive", send: "Send") -> None:
        client = tuple(scope["client"])

        def hang_up(*, reset: bool) -> None:
            connections.hang_up(client, reset=reset)

        await sim.app({**scope, "extensions": {**scope.get("extensions", {}), HANG_UP: hang_up}}, receive, send)

    config = uvicorn.Config(
        app, http=_protocol(connections), ws="none", lifespan="off", log_config=None, proxy_headers=False,
        server_header=False, date_header=False, timeout_graceful_shutdown=1,
    )  # fmt: skip
    config.load()
    listener = _listener(host, port)
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    # Server.serve() would take over the signals and wake ten times a second: its two halves are all that is needed.
    await server.startup(sockets=[listener])
    try:
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{listener.getsockname()[1]}"
    finally:
        with anyio.move_on_after(_CLOSING_SECONDS, shield=True):
            for client in list(connections.transports):
                connections.hang_up(client, reset=True)
            await server.shutdown(sockets=[listener])


def run(
    *, host: str = "127.0.0.1", port: int = 0, announce: Callable[[str], None] | None = None, **settings: Any
) -> None:
    """Serve until SIGINT or SIGTERM, then end within a second. To be called in the main thread.

    Args:
        host: The address to listen on.
        port: The port, 0 for any that is free.
        announce: Called with the base URL once it is listening; nothing is printed here.
        settings: Passed on to :class:`Simulator`, for example ``speed=10``.

    Raises:
        OSError: The port cannot be had.
    """
    anyio.run(_run, Simulator(**settings), host, port, announce)


async def _run(sim: Simulator, host: str, port: int, announce: Callable[[str], None] | None) -> None:
    import asyncio  # noqa: PLC0415 - anyio's signal receiver does not work on Windows

    stop, loop = anyio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        if sys.platform == "win32":
            signal.signal(number, lambda _number, _frame: loop.call_soon_threadsafe(stop.set))
        else:
            loop.add_signal_handler(number, stop.set)
    async with serve(sim, host=host, port=port) as url:
        if announce:
            announce(url)
        await stop.wait()


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's delay off only for a socket that names TCP: without it every answer takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def _protocol(connections: _Connections) -> Any:
    from uvicorn.protocols.http.h11_impl import H11Protocol  # noqa: PLC0415 - loads uvicorn

    class Protocol(H11Protocol):
        """uvicorn's own, which also tells of its connection, and logs no requests."""

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.access_log = False
            connections.transports[tuple(transport.get_extra_info("peername")[:2])] = transport

        def connection_lost(self, exc: Exception | None) -> None:
            connections.transports.pop(tuple(self.transport.get_extra_info("peername")[:2]), None)
            super().connection_lost(exc)

    return Protocol

"""MCP over stdin and stdout, with an end that can be asked for.

The SDK reads stdin in a thread that nothing can interrupt: SIGINT would hang until the client closes stdin, SIGTERM
would kill without giving an order in flight its moment. So the server reads a socket that a daemon thread feeds from
the real stdin, and a signal ends that socket: to the server it looks like the end of stdin, which it ends well on.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from mcp.server import MCPServer

from sora_mcp.studio import Studio

LAST_MOMENT_SECONDS = 1.9
"""After this, a server that was told to end is ended, whatever still holds it: what it sent is in the journal."""

_CHUNK = 65_536


def serve_stdio(server: MCPServer[Studio]) -> None:
    """Serve until stdin ends, or SIGTERM or SIGINT comes."""
    if sys.platform != "win32":
        end = _stdin_with_an_end()

        def on_signal(_number: int, _frame: FrameType | None) -> None:
            end()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, on_signal)
    server.run("stdio")


def _stdin_with_an_end() -> Callable[[], None]:
    """Put a socket in the place of stdin and feed it; the function returned ends it."""
    real_stdin = os.dup(0)
    ours, the_servers = socket.socketpair()
    os.dup2(the_servers.fileno(), 0)
    the_servers.close()

    def end() -> None:
        last_moment = threading.Timer(LAST_MOMENT_SECONDS, os._exit, [0])
        last_moment.daemon = True
        last_moment.start()
        with suppress(OSError):
            ours.shutdown(socket.SHUT_WR)

    def feed() -> None:
        # A socket is shut down, not closed: no number is free for others while this thread may still write to it.
        with suppress(OSError):
            while chunk := os.read(real_stdin, _CHUNK):
                ours.sendall(chunk)
        end()

    threading.Thread(target=feed, name="stdin", daemon=True).start()
    return end

"""An httpx transport over a simulator without a socket, which fails as a real one would.

``httpx.ASGITransport`` lets the app's exceptions through, knows no timeouts and never shows half an answer. This one
raises ``httpx.ConnectError`` for a refused connection, ``httpx.ReadError`` for a reset one,
``httpx.RemoteProtocolError`` while reading an answer that was cut, and ``httpx.ReadTimeout`` after the read timeout.
"""

import math
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx

from sora_mcp.simulator import Simulator


class SimulatorTransport(httpx.AsyncBaseTransport):
    """Sends every request to one simulator, whatever its host."""

    def __init__(self, sim: Simulator) -> None:
        """Talk to this simulator."""
        self._sim = sim

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Let the simulator answer."""
        body, messages = await request.aread(), list[Any]()
        sent, forever = False, anyio.Event()

        async def receive() -> dict[str, Any]:
            nonlocal sent
            if sent:
                await forever.wait()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            messages.append(message)

        broken: Exception | None = None
        try:
            with anyio.fail_after(request.extensions.get("timeout", {}).get("read") or math.inf):
                await self._sim.app(_scope(request), receive, send)
        except TimeoutError:
            raise httpx.ReadTimeout("the simulator did not answer", request=request) from None
        except ConnectionRefusedError as error:
            raise httpx.ConnectError(str(error), request=request) from error
        except ConnectionResetError as error:
            if not messages:
                raise httpx.ReadError(str(error), request=request) from error
            broken = httpx.RemoteProtocolError("peer closed connection without sending complete message body")
        chunks = [message.get("body", b"") for message in messages[1:]]
        return httpx.Response(messages[0]["status"], headers=messages[0]["headers"], stream=_Stream(chunks, broken))


class _Stream(httpx.AsyncByteStream):
    def __init__(self, chunks: list[bytes], broken: Exception | None) -> None:
        self._chunks, self._broken = chunks, broken

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk
        if self._broken:
            raise self._broken


def _scope(request: httpx.Request) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": request.url.raw_path.split(b"?")[0],
        "query_string": request.url.query,
        "server": (request.url.host, request.url.port),
        "client": ("127.0.0.1", 123),
        "root_path": "",
    }

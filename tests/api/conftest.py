import contextlib
import json

import anyio
import anyio.abc
import anyio.streams.tls
import pytest
from pydantic import SecretStr

from sora_mcp.api.client import ApiClient

KEY = "sk-canary-0123456789"


class Pauses:
    """A clock that only the sleeps move, and a list of those sleeps."""

    def __init__(self):
        self.now = 1_768_380_224.0
        self.slept = []

    def clock(self):
        return self.now

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds
        await anyio.lowlevel.checkpoint()


@pytest.fixture
def pauses():
    return Pauses()


@pytest.fixture
def make_client(pauses):
    """A client whose pauses are not slept, and whose jitter is always at its greatest."""

    def make(transport=None, base_url="https://toapis.test", **more):
        more = {"clock": pauses.clock, "sleep": pauses.sleep, "random": lambda: 1.0, **more}
        return ApiClient(base_url=base_url, api_key=SecretStr(KEY), transport=transport, **more)

    return make


class Wire:
    """A TCP server on loopback that does what a script tells it to, connection by connection."""

    def __init__(self, script):
        self.script = script
        self.connections = 0
        self.requests = []
        self.open = 0

    async def handle(self, stream):
        self.connections += 1
        self.open += 1
        with contextlib.suppress(anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError):
            async with stream:
                await self.script(self, stream)
        self.open -= 1

    async def read_request(self, stream):
        """One whole request as bytes; raises EndOfStream when the client hangs up."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += await stream.receive()
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line), 0
        )
        while len(body) < length:
            body += await stream.receive()
        self.requests.append(head + b"\r\n\r\n" + body)
        return head, body

    async def emptied(self):
        """Return when every client has hung up."""
        with anyio.fail_after(5):
            while self.open:  # noqa: ASYNC110 - a count, not an event
                await anyio.sleep(0.01)

    @staticmethod
    def answer(payload, status="200 OK", headers=""):
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        return f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.fixture
async def serve():
    """Start a scripted server: ``url, wire = await serve(script)``."""
    async with contextlib.AsyncExitStack() as stack, anyio.create_task_group() as tasks:

        async def start(script, ssl_context=None):
            wire = Wire(script)
            listener = await stack.enter_async_context(
                await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
            )
            port = listener.extra_attributes[anyio.abc.SocketAttribute.local_port]()
            serving = (
                anyio.streams.tls.TLSListener(listener, ssl_context, standard_compatible=False)
                if ssl_context
                else listener
            )
            tasks.start_soon(serving.serve, wire.handle)
            scheme = "https" if ssl_context else "http"
            return f"{scheme}://127.0.0.1:{port}", wire

        yield start
        tasks.cancel_scope.cancel()

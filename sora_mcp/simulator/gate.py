"""Stands before the routes: writes down what arrives, marks what leaves, and makes faults happen.

How a dropped connection shows. On a real port (``serving.py``) the connection is really reset or closed. Without
one, as under ``httpx.ASGITransport``, the app raises ``ConnectionRefusedError`` for ``refuse`` and
``ConnectionResetError`` for everything else; a test's transport turns these into its client's own errors.
"""

import json
import math
from collections.abc import Sequence
from email.utils import formatdate
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import anyio

from sora_mcp.simulator.answers import HANG_UP, Answer, App, Message, Receive, Refusal, Scope, Send, start
from sora_mcp.simulator.faults import ALTERATIONS, COMPANIONS, Fault, without_ids
from sora_mcp.simulator.jobs import Job
from sora_mcp.simulator.service import Received

if TYPE_CHECKING:
    from sora_mcp.simulator.service import Simulator

ADMIN = "/__sim/"
_GENERATIONS = "/v1/videos/generations"
_LARGEST_BODY = 32_000_000
_HUGE_CHUNK, _HUGE_CHUNKS = b"a" * 100_000, 1_000
_DRIPS = 20


class Gate:
    """The outermost ASGI app of a simulator."""

    def __init__(self, sim: "Simulator", routes: App) -> None:
        """Stand before ``routes``."""
        self._sim, self._routes = sim, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or fail as asked."""
        if scope["type"] != "http":
            await self._routes(scope, receive, send)
            return
        path = scope["path"]
        send = _marked(send, self._sim.clock())
        faults = [] if path.startswith(ADMIN) else self._sim.faults.take(place_of(scope["method"], path))
        main = next((fault for fault in faults if fault.what not in COMPANIONS), None)
        if main and main.what == "refuse":
            await _drop(scope, receive, ConnectionRefusedError)
            return
        if main and main.what == "reset" and not main.after_work:
            self._record(scope, b"")
            await _drop(scope, receive, ConnectionResetError)
            return
        body = await _read(receive)
        if body is None:
            return
        if not path.startswith(ADMIN):
            self._record(scope, body)
        if len(body) > _LARGEST_BODY:
            await self._sim.speech.refuse(Refusal(413, "invalid_request", "Request body too large"), path)(
                scope, receive, send
            )
            return
        scope["simulator.late"] = sum(fault.seconds for fault in faults if fault.what == "late")
        scope["simulator.lag"] = max((fault.seconds for fault in faults if fault.what == "lag"), default=0.0)
        await self._answer(scope, receive, send, body, faults, main)

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, body: bytes, faults: Sequence[Fault], main: Fault | None
    ) -> None:
        slow = [fault for fault in faults if fault.what == "slow"]
        await _wait(receive, sum(fault.seconds for fault in slow if not fault.after_work))
        answer = Answer()
        if main is None or main.after_work or main.what in ALTERATIONS:
            answer = await _work(self._routes, scope, body)
        await _wait(receive, sum(fault.seconds for fault in slow if fault.after_work))
        if main is None:
            await answer(scope, receive, send)
        elif main.what == "hang":
            await _wait(receive, math.inf)
        elif main.what == "reset":
            await _drop(scope, receive, ConnectionResetError)
        elif main.what == "huge":
            await _flood(send)
        elif main.what in ALTERATIONS:
            await _alter(main, answer, scope, receive, send)
        else:
            now = self._sim.clock()
            await main.answer(self._sim.speech.refuse, scope["path"], now)(scope, receive, send)

    def _record(self, scope: Scope, body: bytes) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        content: Any = None
        if "json" in headers.get("content-type", ""):
            try:
                content = json.loads(body)
            except (ValueError, RecursionError):
                content = None
        query = scope["query_string"].decode("latin-1")
        self._sim.record(Received(scope["method"], scope["path"], headers, content, self._sim.clock(), query))


def place_of(method: str, path: str) -> str:
    """The ``where`` of a request; ``other`` for a route that no fault is aimed at by name."""
    if path == _GENERATIONS and method == "POST":
        return "generate"
    if path.startswith(f"{_GENERATIONS}/"):
        return "status" if Job.remembered(unquote(path.removeprefix(f"{_GENERATIONS}/"))) else "lookup"
    if path.startswith("/__files/"):
        return "file"
    if path.startswith("/v1/videos/") and path.endswith("/remix"):
        return "remix"
    return {
        "/v1/uploads/images": "upload",
        "/v1/balance": "balance",
        "/v1/user/balance": "balance",
        "/v1/models": "models",
    }.get(path, "other")


def _marked(send: Send, now: float) -> Send:
    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            date = formatdate(now, usegmt=True).encode()
            message["headers"] = [*message["headers"], (b"x-simulated", b"true"), (b"date", date)]
        await send(message)

    return marked


async def _read(receive: Receive) -> bytes | None:
    chunks, size, more = list[bytes](), 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk = message.get("body", b"")
        size += len(chunk)
        if size - len(chunk) <= _LARGEST_BODY:
            chunks.append(chunk)
        more = message.get("more_body", False)
    return b"".join(chunks)


async def _wait(receive: Receive, seconds: float) -> None:
    """Wait in real time, but no longer than the client does: a server that closes must not wait for this."""
    if seconds > 0:
        with anyio.move_on_after(seconds):
            await _gone(receive)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _drop(scope: Scope, receive: Receive, error: type[ConnectionError], *, reset: bool = True) -> None:
    hang_up = scope.get("extensions", {}).get(HANG_UP)
    if hang_up is None:
        raise error("the simulator ended the connection, as asked")
    hang_up(reset=reset)
    await _gone(receive)


async def _work(routes: App, scope: Scope, body: bytes) -> Answer:
    """Let the routes do it, and hold what they answer."""
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        messages.append(message)

    await routes(scope, receive, send)
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in messages[0]["headers"]}
    return Answer(messages[0]["status"], b"".join(message.get("body", b"") for message in messages[1:]), headers)


async def _alter(fault: Fault, answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
    whole = len(answer.body)
    middle = whole // 2 if fault.at is None else fault.at
    if fault.what == "no_id" and "json" not in answer.headers.get("content-type", ""):
        await answer(scope, receive, send)
    elif fault.what == "no_id":
        body = json.dumps(without_ids(json.loads(answer.body))).encode()
        await Answer(answer.status, body, answer.with_length(len(body)))(scope, receive, send)
    elif fault.what == "truncated":
        body = answer.body[:middle]
        await Answer(answer.status, body, answer.with_length(len(body)))(scope, receive, send)
    elif fault.what == "drip":
        await send(start(answer.status, answer.headers))
        size = max(1, -(-whole // _DRIPS))
        for at in range(0, whole, size):
            await send({"type": "http.response.body", "body": answer.body[at : at + size], "more_body": True})
            await _wait(receive, fault.seconds / _DRIPS)
        await send({"type": "http.response.body", "body": b""})
    else:
        cut = fault.what == "cut"
        await send(start(answer.status, answer.headers if cut else answer.with_length(whole + 100)))
        body = answer.body[:middle] if cut else answer.body
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await _drop(scope, receive, ConnectionResetError, reset=False)


async def _flood(send: Send) -> None:
    """100 MB of what begins as JSON, in pieces, with no length told."""
    await send(start(200, {"content-type": "application/json"}))
    await send({"type": "http.response.body", "body": b'{"id":"', "more_body": True})
    for _ in range(_HUGE_CHUNKS):
        await send({"type": "http.response.body", "body": _HUGE_CHUNK, "more_body": True})
    await send({"type": "http.response.body", "body": b'"}'})

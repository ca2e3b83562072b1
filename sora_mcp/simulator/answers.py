"""What is sent back: a whole answer that can still be altered, and the refusal that becomes one."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HANG_UP = "simulator.hang_up"
"""The ASGI extension by which a real port ends a connection: called with ``reset`` true or false."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, headers and a whole body. It is an ASGI app, so that a Starlette route may return it."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict[str, str])

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Send it, with its true length; the answer to HEAD has no body."""
        headers = self.headers if "content-length" in self.headers else self.with_length(len(self.body))
        await send(start(self.status, headers))
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else self.body})

    def with_length(self, length: int) -> dict[str, str]:
        """The headers with this ``Content-Length``."""
        return {**self.headers, "content-length": str(length)}


class Refusal(Exception):
    """A request that the service turns down; the dialect decides what that looks like."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        """Keep the HTTP status, the vendor's code for it, and the words."""
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers or {}


def start(status: int, headers: dict[str, str]) -> Message:
    """The ASGI message that opens an answer."""
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": raw}


def json_answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """An answer in JSON, UTF-8."""
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
    return Answer(status, body, {"content-type": "application/json; charset=utf-8", **(headers or {})})


def html_answer(title: str, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """A page as an edge server or a proxy makes it."""
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1><hr>edge</body></html>"
    return Answer(status, page.encode(), {"content-type": "text/html; charset=utf-8", **(headers or {})})

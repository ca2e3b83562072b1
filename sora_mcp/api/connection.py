"""Requests out, answers in: pool, key, timeouts, caps. Knows HTTP, and nothing of tasks or errors of the service.

Two clients: one keeps its connections for questions and uploads, the other opens a fresh one for every order, because
on a kept connection that the server has just dropped, a harmless reset looks like a lost order.
"""

import json
import socket
import ssl
import zlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from http.cookiejar import CookieJar
from typing import Any, cast

import anyio
import httpx
from pydantic import SecretStr

from sora_mcp.api.refusals import ASK_LATER
from sora_mcp.errors import AuthFailed, InvalidArgument
from sora_mcp.settings import is_loopback

MAX_BODY_BYTES = 1_000_000

MIN_KEY_CHARACTERS = 8

CONNECT_SECONDS = 8.0
POOL_SECONDS = 5.0

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: ``io`` for each read or write to move at all, ``overall`` for the whole request."""

    io: float
    overall: float


QUESTION = Patience(io=10.0, overall=12.0)
ORDER = Patience(io=30.0, overall=35.0)
UPLOAD = Patience(io=60.0, overall=90.0)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, headers, and what came of its body (cut at 1 MB, or where it broke off)."""

    status_code: int
    headers: httpx.Headers
    body: bytes


class NoReply(Exception):
    """No answer came. ``sent`` tells whether a byte of the request may have left this machine."""

    def __init__(self, happened: str, next_step: str, *, sent: bool) -> None:
        """Take two sentences in our own words: the foreign exception's may hold addresses."""
        super().__init__(happened)
        self.happened = happened
        self.next_step = next_step
        self.sent = sent


class _NoCookies(CookieJar):
    """Neither keeps nor sends cookies: the API has none, and the edge's must not tie requests together."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        pass


class Connection:
    """The way to the API's one origin. Nothing is opened before the first request."""

    def __init__(
        self, *, base_url: str, api_key: SecretStr, user_agent: str, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """Check what will go into every request; ``transport`` replaces the network in tests.

        Raises:
            InvalidArgument: The base address cannot be one.
            AuthFailed: The key has characters that no header can carry.
        """
        try:
            self._base = httpx.URL(base_url)
        except httpx.InvalidURL:
            raise InvalidArgument("The service's base address is not an address.", "Correct it.") from None
        self._base_url = base_url.rstrip("/")
        self._key = api_key
        self._user_agent = user_agent
        self._transport = transport
        self._tls: ssl.SSLContext | None = None
        self._kept: httpx.AsyncClient | None = None
        self._fresh: httpx.AsyncClient | None = None
        self._closed = False
        key = self._secret()
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise AuthFailed("The API key has characters that no key has.", "Set the real key, without spaces.")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._base.host!r})"

    async def aclose(self) -> None:
        """Close every connection; later requests are never sent."""
        self._closed = True
        for client in (self._kept, self._fresh):
            if client is not None:
                await client.aclose()

    async def get(self, path: str) -> Reply:
        """Ask a question over a kept connection, at most 12 s.

        Raises:
            NoReply: Whatever kept an answer from coming.
        """
        return await self._send("GET", path, QUESTION, fresh=False)

    async def upload(self, path: str, file: tuple[str, bytes, str], fields: dict[str, str]) -> Reply:
        """Send a file (name, bytes, media type) as multipart, at most 90 s.

        Raises:
            NoReply: Whatever kept an answer from coming.
        """
        return await self._send("POST", path, UPLOAD, fresh=False, files={"file": file}, data=fields)

    async def order(self, path: str, body: dict[str, Any]) -> Reply:
        """Send JSON once over a connection of its own, at most 35 s.

        Raises:
            NoReply: Whatever kept an answer from coming; ``sent`` is false only when no connection came about.
        """
        content = json.dumps(body, allow_nan=False).encode()
        headers = {"Content-Type": "application/json", "Connection": "close"}
        return await self._send("POST", path, ORDER, fresh=True, content=content, headers=headers)

    async def _send(
        self,
        method: str,
        path: str,
        patience: Patience,
        *,
        fresh: bool,
        headers: dict[str, str] | None = None,
        **content: Any,
    ) -> Reply:
        if self._closed:
            raise NoReply("The connection to the service is closed.", "Start the server once more.", sent=False)
        client = self._client(fresh=fresh)
        request = client.build_request(
            method,
            self._base_url + path,
            headers={"Authorization": f"Bearer {self._secret()}", **(headers or {})},
            timeout=httpx.Timeout(patience.io, connect=CONNECT_SECONDS, pool=POOL_SECONDS),
            **content,
        )
        received = bytearray()
        response: httpx.Response | None = None
        with anyio.move_on_after(patience.overall):
            try:
                response = await client.send(request, stream=True)
            except _NEVER_SENT as error:
                raise NoReply(*_why_not_connected(error), sent=False) from None
            except Exception as error:  # noqa: BLE001 - whatever else broke, the request may have left
                raise NoReply(*_why_lost(error), sent=True) from None
            await _receive(response, received)
        if response is None:
            raise NoReply(*_why_lost(None), sent=True)
        return Reply(response.status_code, response.headers, self._without_key(bytes(received)))

    def _secret(self) -> str:
        """The only place that unwraps the key."""
        return self._key.get_secret_value()

    def _without_key(self, body: bytes) -> bytes:
        """Take an echo of the key out: an answer may end up in a text. What is too short to be a key may be data."""
        key = self._secret().encode()
        return body.replace(key, b"[key]") if len(key) >= MIN_KEY_CHARACTERS else body

    def _client(self, *, fresh: bool) -> httpx.AsyncClient:
        client = self._fresh if fresh else self._kept
        if client is None:
            try:
                client = self._open(fresh=fresh)
            except (OSError, ValueError, ImportError, httpx.InvalidURL):
                # A certificate file that is not there, a proxy address that is none or of a kind not installed.
                raise NoReply(
                    "The proxy or the certificate file that the environment names cannot be used.",
                    "Check HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR.",
                    sent=False,
                ) from None
            if fresh:
                self._fresh = client
            else:
                self._kept = client
        return client

    def _open(self, *, fresh: bool) -> httpx.AsyncClient:
        is_https = self._base.scheme == "https"
        if self._tls is None:
            # Loading the trusted roots takes some 20 ms: once, and not at all for plain http.
            self._tls = httpx.create_ssl_context() if is_https else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return httpx.AsyncClient(
            verify=self._tls,
            transport=self._transport,
            # Company networks are only left through a proxy; http is loopback, where a proxy could not follow.
            trust_env=is_https and not is_loopback(self._base.host),
            headers={"User-Agent": self._user_agent, "Accept": "application/json", "Accept-Encoding": "identity"},
            cookies=_NoCookies(),
            follow_redirects=False,
            limits=httpx.Limits(
                max_connections=100 if fresh else 20,
                max_keepalive_connections=0 if fresh else 5,
                keepalive_expiry=30.0,
            ),
        )


async def _receive(response: httpx.Response, received: bytearray) -> None:
    """Read the body into ``received`` until it ends, breaks off or passes the cap.

    The raw stream is read and unpacked here: the library would inflate a small chunk to any size at once. A body that
    breaks off is kept as far as it came: the status says enough, or the JSON turns out to be whole.
    """
    encoding = response.headers.get("content-encoding", "").strip().lower()
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 32) if encoding in {"gzip", "x-gzip", "deflate"} else None
    stream = cast("AsyncGenerator[bytes, None]", aiter(cast("httpx.AsyncByteStream", response.stream)))
    taken = 0
    try:
        with suppress(Exception):
            async with aclosing(stream):
                async for chunk in stream:
                    taken += len(chunk)
                    room = MAX_BODY_BYTES + 1 - len(received)
                    received += inflater.decompress(chunk, room) if inflater else chunk[:room]
                    if max(taken, len(received)) > MAX_BODY_BYTES:
                        break
    finally:
        with suppress(Exception):
            await response.aclose()


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(10):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _why_not_connected(error: Exception) -> tuple[str, str]:
    causes = list(_causes(error))
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return (
            "No secure connection to the service could be made.",
            "Check the service's base address, this computer's clock, and SSL_CERT_FILE behind a company proxy.",
        )
    if isinstance(error, httpx.ProxyError):
        return "The proxy did not let the connection through.", "Check the proxy's address and login."
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "The service's name could not be resolved.", "Check the network, the base address and any proxy."
    return "The service could not be reached.", "Check the network and the service's base address."


def _why_lost(error: Exception | None) -> tuple[str, str]:
    if error is None or isinstance(error, httpx.TimeoutException):
        return "The service did not answer in time.", ASK_LATER
    return "The connection to the service broke before an answer came.", ASK_LATER

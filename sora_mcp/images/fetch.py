"""Images by link: public https only, at an address that was checked and is then the only one connected to.

Imports httpx: to be imported when the first link comes, on a worker thread.
"""

import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import IO, Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import anyio
import httpx
from anyio import to_thread

from sora_mcp.addresses import check_public_link, is_public_address, origin
from sora_mcp.errors import FetchFailed, UrlNotAllowed
from sora_mcp.images.sources import check_size, write

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""From a host name and a port to its addresses; raises ``OSError`` when there are none."""

FETCH_SECONDS = 20.0
MAX_REDIRECTS = 3

_OK = 200
_HTTPS_PORT = 443
_MAX_ADDRESSES = 3
_CONNECT_SECONDS = 5.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_URL_CHARACTERS = "/:?#[]@!$&'()*+,;=%-._~"


async def resolve(host: str, port: int) -> list[str]:
    """Ask the system for a host's addresses."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class Fetcher:
    """Fetches one link at a time on fresh connections: no proxy, no cookies, no credentials, nothing kept."""

    def __init__(
        self,
        *,
        trusted_origin: Callable[[], str],
        user_agent: str,
        resolver: Resolver = resolve,
        transport: httpx.AsyncBaseTransport | None = None,
        seconds: float = FETCH_SECONDS,
    ) -> None:
        """Take how to know the API's origin and how to find addresses; ``transport`` replaces the real network."""
        self._trusted_origin = trusted_origin
        self._user_agent = user_agent
        self._resolver = resolver
        self._transport = transport
        self._seconds = seconds

    async def fetch(self, url: str, into: IO[bytes]) -> None:
        """Write what a link leads to into an open file.

        Raises:
            UrlNotAllowed: It, or a redirect, does not lead to a public place. No connection was made there.
            FetchFailed: No answer in time, or one without a file.
            ImageTooLarge: More bytes than a source may have.
            CorruptImage: No bytes.
        """
        with anyio.move_on_after(self._seconds):
            for _ in range(MAX_REDIRECTS + 1):
                location = await self._follow(url, into)
                if location is None:
                    return
                url = urljoin(url, location)
            raise _failed(f"it redirects more than {MAX_REDIRECTS} times")
        raise _failed(f"it took longer than {self._seconds:.0f} seconds")

    async def aclose(self) -> None:
        """Close what is open."""
        if self._transport is not None:
            await self._transport.aclose()

    async def _follow(self, url: str, into: IO[bytes]) -> str | None:
        """Fetch one link; the place it redirects to, or ``None`` once the file is written."""
        last: httpx.TransportError | None = None
        for request in await self._requests(url):
            try:
                return await self._send(request, into)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                last = error  # nothing has been asked yet: the next address may answer
            except (httpx.TransportError, httpx.InvalidURL) as error:
                raise _failed("the connection broke") from error
        raise _failed("its server cannot be reached, or has no valid certificate") from last

    async def _requests(self, url: str) -> list[httpx.Request]:
        """Check a link and write the request for it: one for the API's own origin, else one for each address."""
        trusted = self._trusted_origin()
        check_public_link(url, trusted_origin=trusted, schemes=("https",))
        parts = urlsplit(url)
        scheme, host, port = origin(url)
        if trusted and (scheme, host, port) == origin(trusted):
            return [self._request(parts, scheme, host, port, host)]
        if port != _HTTPS_PORT:
            raise UrlNotAllowed("The link was refused: its port is not 443.", "Give an ordinary public https link.")
        try:
            addresses = list(dict.fromkeys(await self._resolver(host, port)))
        except (OSError, UnicodeError):
            addresses = []
        if not addresses:
            raise _failed("its host is not known")
        if not all(is_public_address(address) for address in addresses):
            raise UrlNotAllowed(
                "The link was refused: its host has an address that is not public.", "Give a public https link."
            )
        return [self._request(parts, scheme, address, port, host) for address in addresses[:_MAX_ADDRESSES]]

    def _request(self, parts: SplitResult, scheme: str, address: str, port: int, host: str) -> httpx.Request:
        path = quote(f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}", safe=_URL_CHARACTERS)
        target = f"[{address}]" if ":" in address else address
        # The connection goes to the address; the certificate, the Host header and SNI are the name's.
        extensions: dict[str, Any] = {"timeout": httpx.Timeout(self._seconds, connect=_CONNECT_SECONDS).as_dict()}
        if host != address:
            extensions["sni_hostname"] = host
        name = f"[{host}]" if ":" in host else host
        return httpx.Request(
            "GET",
            httpx.URL(scheme=scheme, host=target, port=port, raw_path=path.encode("ascii")),
            headers={
                "Host": name if (scheme, port) in {("https", 443), ("http", 80)} else f"{name}:{port}",
                "User-Agent": self._user_agent,
                "Accept": "image/*",
                "Accept-Encoding": "identity",
                "Connection": "close",
            },
            extensions=extensions,
        )

    async def _send(self, request: httpx.Request, into: IO[bytes]) -> str | None:
        if self._transport is None:
            self._transport = await to_thread.run_sync(_network)
        response = await self._transport.handle_async_request(request)
        response.request = request
        try:
            if response.status_code in _REDIRECTS and "location" in response.headers:
                return response.headers["location"]
            if response.status_code != _OK:
                raise _failed(f"its server answered with status {response.status_code}")
            declared = response.headers.get("content-length", "")
            if declared.isdecimal() and len(declared) < 20:  # noqa: PLR2004 - a figure that int() takes at no cost
                check_size(int(declared))
            size = 0
            async for chunk in response.aiter_raw():
                size += len(chunk)
                check_size(size)
                write(into, chunk)
            check_size(size)
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()
        return None


def _network() -> httpx.AsyncBaseTransport:
    """The real network; reading the certificates takes a while. No connection is kept: the next may be another's."""
    return httpx.AsyncHTTPTransport(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))


def _failed(reason: str) -> FetchFailed:
    return FetchFailed(f"The image link gave no image: {reason}.", "Check the link, or give another one.")

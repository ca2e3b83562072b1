"""Which links a video may be fetched from. Imports httpx: the link is judged by the parser that will follow it."""

from collections.abc import Awaitable, Callable

import httpx

from sora_mcp.errors import UnsafeResultUrl

Resolver = Callable[[str], Awaitable[tuple[str, ...]]]
"""A host name to its addresses; raises ``OSError`` when there are none."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


class LinkPolicy:
    """https on port 443 of a listed host with public addresses, or the API's own origin as it is."""

    def __init__(
        self,
        *,
        file_hosts: tuple[str, ...],
        trusted_origin: Callable[[], str],
        is_public: Callable[[str], bool],
        resolver: Resolver,
    ) -> None:
        self._file_hosts = frozenset(host.lower() for host in file_hosts)
        self._trusted_origin = trusted_origin
        self._is_public = is_public
        self._resolver = resolver

    async def check(self, link: str | httpx.URL) -> httpx.URL:
        """The link, ready to be requested.

        Raises:
            UnsafeResultUrl: It leads elsewhere. No connection was made.
            OSError: The host's name cannot be resolved now.
        """
        try:
            url = httpx.URL(link)
            host = url.raw_host.decode("ascii")
        except (httpx.InvalidURL, ValueError):
            raise _unsafe("is not one that can be read", "") from None
        # httpx would turn a user name in the link into an Authorization header.
        if url.userinfo:
            raise _unsafe("carries a user name", host)
        if _origin(url) == _origin(httpx.URL(self._trusted_origin())):
            return url
        if url.scheme != "https" or _origin(url)[2] != _DEFAULT_PORTS["https"]:
            raise _unsafe("is not plain https", host)
        if host not in self._file_hosts:
            raise _unsafe("points at a host that results may not come from", host)
        addresses = await self._resolver(host)
        if not addresses:
            raise OSError("no address")
        if not all(self._is_public(address) for address in addresses):
            raise _unsafe("points into a private network", host)
        return url


def _origin(url: httpx.URL) -> tuple[str, bytes, int | None]:
    port = _DEFAULT_PORTS.get(url.scheme) if url.port is None else url.port
    return url.scheme, url.raw_host, port


def _unsafe(problem: str, host: str) -> UnsafeResultUrl:
    return UnsafeResultUrl(
        f"The link that the service gave for this video {problem}; no connection was made.",
        "The task stays completed. If the service has moved its files, add the new host to SORA_MCP_FILE_HOSTS and "
        "call download_video again.",
        upstream_message=host,
    )

"""What a file host answers, and where in the part its bytes belong. Imports httpx."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus

import httpx

from sora_mcp.downloads.folders import on_disk
from sora_mcp.downloads.links import LinkPolicy
from sora_mcp.downloads.parts import Part, Version
from sora_mcp.errors import UnsafeResultUrl, UpstreamInvalid

MAX_REDIRECTS = 3

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", re.ASCII)
_CONTENT_LENGTH = re.compile(r"\d{1,18}", re.ASCII)
_LINK_IS_DEAD = frozenset({401, 403, 404, 410})
_COME_BACK_LATER = frozenset({408, 425, 429})


class LinkRefused(Exception):
    """The file host does not, or no longer, honour the link: it answered 401, 403, 404 or 410."""


class Broken(Exception):
    """This connection brings nothing more; another one may."""


class _Redirected(Exception):
    def __init__(self, location: str) -> None:
        super().__init__()
        self.location = location


async def raise_redirect(response: httpx.Response) -> None:
    """The client's hook: httpx would read the new address even where it is told not to follow, and choke on it."""
    if response.has_redirect_location:
        raise _Redirected(response.headers["location"])


@asynccontextmanager
async def answer_to(
    client: httpx.AsyncClient, policy: LinkPolicy, link: str | httpx.URL, part: Part
) -> AsyncGenerator[httpx.Response]:
    """Ask for what the part still lacks, and follow at most three redirects, each judged like the link itself.

    Raises:
        UnsafeResultUrl: The link or a redirect leads elsewhere, or in circles.
        Broken: The host's name cannot be resolved now.
        httpx.HTTPError: No connection, or one that broke.
    """
    for _ in range(MAX_REDIRECTS + 1):
        try:
            url = await policy.check(link)
        except OSError as error:
            raise Broken from error
        try:
            async with client.stream("GET", url, headers=_range_headers(part)) as response:
                yield response
                return
        except _Redirected as redirect:
            link = _joined(url, redirect.location)
    raise UnsafeResultUrl(
        "The link that the service gave for this video leads from one address to the next without an end.",
        "The task stays completed; call download_video again later.",
    )


async def place(response: httpx.Response, part: Part) -> None:
    """Make the part ready for the answer's bytes: as a beginning, or as what follows.

    Raises:
        LinkRefused: A fresh link may help.
        Broken: Another connection may help.
        UpstreamInvalid: Nothing that a download can use.
    """
    if response.headers.get("content-encoding", "identity") != "identity":
        raise UpstreamInvalid(
            "The file host answered in an encoding that it was not asked for.",
            "The task stays completed; call download_video again later, before the link expires.",
        )
    match response.status_code:
        case HTTPStatus.OK:
            await on_disk(part.folder, part.restart, _version(response, _content_length(response)))
        case HTTPStatus.PARTIAL_CONTENT:
            await _place_range(response, part)
        case HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE if part.received:
            await on_disk(part.folder, part.restart, Version())
            raise Broken
        case status if status in _LINK_IS_DEAD:
            raise LinkRefused
        case status if status in _COME_BACK_LATER or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise Broken
        case status:
            raise UpstreamInvalid(
                f"The file host answered with HTTP {status}, which is no video.",
                "The task stays completed; call download_video again later, before the link expires.",
            )


async def _place_range(response: httpx.Response, part: Part) -> None:
    found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
    told = _version(response, None if found is None or found[2] == "*" else int(found[2]))
    if found is None or int(found[1]) != part.received or (part.received and not part.version.is_same_file(told)):
        # Another file, or another place in it: two different files must never be glued together.
        await on_disk(part.folder, part.restart, Version())
        raise Broken
    if not part.received:
        await on_disk(part.folder, part.restart, told)
    elif part.version.total is None:
        part.version = Version(part.version.etag, part.version.modified, told.total)


def _joined(url: httpx.URL, location: str) -> httpx.URL | str:
    try:
        return url.join(location)
    except (httpx.InvalidURL, ValueError):
        return location  # to be refused by the policy, in its words


def _range_headers(part: Part) -> dict[str, str]:
    if not part.received or part.version == Version():
        return {}  # without anything to compare, what comes could be the rest of another file
    headers = {"Range": f"bytes={part.received}-"}
    if part.version.validator:
        headers["If-Range"] = part.version.validator
    return headers


def _version(response: httpx.Response, total: int | None) -> Version:
    return Version(response.headers.get("etag") or None, response.headers.get("last-modified") or None, total)


def _content_length(response: httpx.Response) -> int | None:
    text = response.headers.get("content-length", "")
    return int(text) if _CONTENT_LENGTH.fullmatch(text) else None

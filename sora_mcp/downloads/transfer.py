"""The HTTP of a download: from a link into a part, over as many connections as it takes. Imports httpx."""

import shutil
from collections.abc import Awaitable, Callable
from http.cookiejar import CookieJar, DefaultCookiePolicy

import anyio
import httpx

from sora_mcp.downloads.answers import Broken, LinkRefused, answer_to, place, raise_redirect
from sora_mcp.downloads.folders import disk_full, on_disk
from sora_mcp.downloads.links import LinkPolicy
from sora_mcp.downloads.mp4 import HEAD_BYTES, starts_as_mp4
from sora_mcp.downloads.parts import Part
from sora_mcp.errors import NotAVideo, UpstreamUnavailable

MAX_VIDEO_BYTES = 1 << 30
MAX_RESUMES = 4
PROGRESS_SECONDS = 0.25
"""Shortest time between two reports of progress, and between two writes unless there is much to write."""

Progress = Callable[[int, int | None], Awaitable[None]]

_WRITE_BYTES = 256 << 10


def new_client(user_agent: str, transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
    """A client that carries no secret: no key, no cookies, nothing from the environment or ``.netrc``."""
    return httpx.AsyncClient(
        headers={"User-Agent": user_agent, "Accept": "video/mp4, */*;q=0.1", "Accept-Encoding": "identity"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=httpx.Timeout(30, connect=15),
        trust_env=False,
        follow_redirects=False,
        event_hooks={"response": [raise_redirect]},
        transport=transport,
    )


async def fetch(
    client: httpx.AsyncClient,
    policy: LinkPolicy,
    part: Part,
    *,
    link: Callable[[], Awaitable[str]],
    sleep: Callable[[float], Awaitable[None]],
    on_progress: Progress | None,
) -> None:
    """Bring the part to its end. When this fails or is cancelled, the part keeps what came.

    Raises:
        LinkRefused: Two fresh links were refused.
        UnsafeResultUrl: The link, or a redirect, leads elsewhere.
        NotAVideo: Something else came than an MP4 of at most 1 GiB.
        UpstreamInvalid: An answer that a download cannot have.
        UpstreamUnavailable: The connection broke five times.
        DiskFull: The announced length does not fit, or there was no space for what came.
        OutputDirUnavailable: The part cannot be written.
    """
    report = _throttled(on_progress)
    address, is_second = await link(), False
    broken = 0
    while True:
        try:
            await _one_connection(client, policy, part, address, report)
        except LinkRefused:
            if is_second:
                raise
            address, is_second = await link(), True
        except (Broken, httpx.HTTPError) as error:
            broken += 1
            if broken > MAX_RESUMES:
                raise _gave_up(part) from error
            await sleep(2.0 ** (broken - 1))
        else:
            return


async def _one_connection(
    client: httpx.AsyncClient, policy: LinkPolicy, part: Part, address: str, report: Progress
) -> None:
    async with answer_to(client, policy, address, part) as response:
        await place(response, part)
        total = part.version.total
        if total is not None:
            await on_disk(part.folder, _check_room, part, total)
        await report(part.received, total)
        await _receive(response, part, report)
    if total is not None:
        is_whole = part.received == total
    else:
        # Chunks have an end of their own; a body that ends with its connection has none, but an MP4 does.
        is_whole = "transfer-encoding" in response.headers or await on_disk(part.folder, part.ending) == "whole"
    if not is_whole:
        raise Broken
    await report(part.received, part.received)


async def _receive(response: httpx.Response, part: Part, report: Progress) -> None:
    pending = bytearray()
    written_at = anyio.current_time()
    try:
        async for chunk in response.aiter_bytes():
            pending += chunk
            if part.received + len(pending) > MAX_VIDEO_BYTES:
                raise _too_large()
            if not part.received:
                if len(pending) < HEAD_BYTES:
                    continue
                _check_head(pending)
            if len(pending) >= _WRITE_BYTES or anyio.current_time() - written_at >= PROGRESS_SECONDS:
                await _write(part, pending)
                written_at = anyio.current_time()
                await report(part.received, part.version.total)
        if not part.received:
            _check_head(pending)
    finally:
        # Also when the connection broke or the caller was cancelled: what has come need not come again.
        if part.received or starts_as_mp4(pending):
            await _write(part, pending)
            with anyio.CancelScope(shield=True):
                await on_disk(part.folder, part.checkpoint)


async def _write(part: Part, pending: bytearray) -> None:
    # Emptied first: bytes that may have been written are not written a second time.
    data = bytes(pending)
    pending.clear()
    with anyio.CancelScope(shield=True):
        await on_disk(part.folder, part.write, data)


def _check_head(head: bytearray) -> None:
    if not starts_as_mp4(head):
        raise NotAVideo(
            "The link answered with something that is not an MP4 video; nothing was saved.",
            "The task stays completed: call download_video again in a minute.",
        )


def _check_room(part: Part, total: int) -> None:
    if total > MAX_VIDEO_BYTES:
        raise _too_large()
    if total - part.received > shutil.disk_usage(part.folder).free:
        raise disk_full(part.folder)


def _throttled(on_progress: Progress | None) -> Progress:
    last: list[float] = []

    async def report(received: int, total: int | None) -> None:
        now = anyio.current_time()
        if on_progress is not None and (received == total or not last or now - last[0] >= PROGRESS_SECONDS):
            last[:] = [now]
            await on_progress(received, total)

    return report


def _gave_up(part: Part) -> UpstreamUnavailable:
    kept = f"the {part.received:,} bytes that came are kept" if part.received else "nothing came"
    return UpstreamUnavailable(
        f"The file host could not be reached or broke off, {MAX_RESUMES + 1} times; {kept}.",
        "The task stays completed: call download_video again, and it goes on where it stopped.",
    )


def _too_large() -> NotAVideo:
    return NotAVideo(
        "The link answered with more than 1 GiB, which no Sora video has; nothing was saved.",
        "The task stays completed; look at the video in the service's console.",
    )

"""Saving a video, as a sequence: is it there, is it ours to fetch, fetch it, give it its name."""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from sora_mcp.downloads.folders import on_disk, prepare
from sora_mcp.downloads.locks import held
from sora_mcp.downloads.names import LAST_SECOND, file_stem, hidden_stem, published_name
from sora_mcp.downloads.parts import Part
from sora_mcp.downloads.publishing import SavedVideo, find_published, is_still_there, publish
from sora_mcp.errors import DiskFull, NotAVideo, ResultExpired

if TYPE_CHECKING:
    import httpx

    from sora_mcp.downloads.links import Resolver
    from sora_mcp.downloads.transfer import Progress


class Downloader:
    """Saves finished videos into one folder. Made once, closed with :meth:`aclose`; tasks share it freely."""

    def __init__(
        self,
        *,
        output_dir: Callable[[], Path],
        file_hosts: tuple[str, ...],
        trusted_origin: Callable[[], str],
        user_agent: str,
        is_public: Callable[[str], bool],
        transport: "httpx.AsyncBaseTransport | None" = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        resolver: "Resolver | None" = None,
    ) -> None:
        """Nothing is opened, made or imported before the first video.

        Args:
            output_dir: The folder that videos are saved in; made when it is missing.
            file_hosts: Host names, beside the API's origin, that results may come from.
            trusted_origin: The API's base URL; its scheme, host and port are trusted as they are.
            user_agent: Sent with every request.
            is_public: Whether an address (text) belongs to the public internet.
            transport: In the place of the network, for an embedded service.
            clock: Unix seconds.
            sleep: Waits for seconds, between connections and for another process.
            resolver: A host name to its addresses; the system's by default.
        """
        self._output_dir = output_dir
        self._file_hosts = file_hosts
        self._trusted_origin = trusted_origin
        self._user_agent = user_agent
        self._is_public = is_public
        self._transport = transport
        self._clock = clock
        self._sleep = sleep
        self._resolver = resolver or _addresses
        self._client: httpx.AsyncClient | None = None

    async def save(
        self,
        task_id: str,
        *,
        prompt: str | None,
        created_at: int | None,
        link: Callable[[], Awaitable[str]],
        known: SavedVideo | None = None,
        expires_at: int | None = None,
        on_progress: "Progress | None" = None,
    ) -> tuple[SavedVideo, bool]:
        """Save the video of a completed task, once: however often, and from wherever, this is called.

        Cancel it at any time, also as a deadline: the next call, in any process, goes on where this one stopped.

        Args:
            task_id: The task's id.
            prompt: Its first words go into the file's name.
            created_at: Unix seconds; the day goes into the file's name.
            link: Asks the service for a fresh link; called once, and once more if the link is refused. Its
                errors pass through.
            known: Where the video was saved earlier, if it was.
            expires_at: Unix seconds; for the words of an error. A link is tried all the same.
            on_progress: Told bytes received and bytes in all, if known, at most four times a second. It must not
                raise.

        Returns:
            The video, and whether it was already there.

        Raises:
            OutputDirUnavailable: The folder cannot be made or written.
            DiskFull: No space left; nothing stays behind.
            UnsafeResultUrl: The link leads to a host that results may not come from. No connection was made.
            ResultExpired: The file host refuses the link, and a fresh one.
            NotAVideo: Something else came than an MP4.
            UpstreamInvalid: The file host answers with a status that a download cannot have.
            UpstreamUnavailable: The transfer broke five times; what came is kept for the next call.
        """
        if known is not None and await to_thread.run_sync(is_still_there, known):
            return known, True
        folder = self._output_dir()
        await on_disk(folder, prepare, folder, self._clock())
        async with held(folder / f"{hidden_stem(task_id)}.lock", self._sleep):
            part = Part(folder, hidden_stem(task_id))
            found = await on_disk(folder, find_published, folder, published_name(task_id), known)
            if found is not None:
                await on_disk(folder, part.discard)
                return found, True
            stem = file_stem(task_id, prompt=prompt, created_at=created_at, now=self._clock())
            return await self._download(part, stem, link, expires_at, on_progress), False

    async def aclose(self) -> None:
        """Close the connections. Nothing may be under way."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _download(
        self,
        part: Part,
        stem: str,
        link: Callable[[], Awaitable[str]],
        expires_at: int | None,
        on_progress: "Progress | None",
    ) -> SavedVideo:
        from sora_mcp.downloads.answers import LinkRefused  # noqa: PLC0415 - brings httpx

        try:
            await on_disk(part.folder, part.open)
            if not part.is_complete:
                await self._fetch(part, link, on_progress)
            return await on_disk(part.folder, _finish, part, stem)
        except LinkRefused:
            await on_disk(part.folder, part.discard)
            raise _expired(expires_at, self._clock()) from None
        except (DiskFull, NotAVideo):
            await on_disk(part.folder, part.discard)
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await on_disk(part.folder, part.close)

    async def _fetch(self, part: Part, link: Callable[[], Awaitable[str]], on_progress: "Progress | None") -> None:
        from sora_mcp.downloads.links import LinkPolicy  # noqa: PLC0415 - brings httpx
        from sora_mcp.downloads.transfer import fetch, new_client  # noqa: PLC0415 - brings httpx

        if self._client is None:
            self._client = new_client(self._user_agent, self._transport)
        policy = LinkPolicy(
            file_hosts=self._file_hosts,
            trusted_origin=self._trusted_origin,
            is_public=self._is_public,
            resolver=self._resolver,
        )
        await fetch(self._client, policy, part, link=link, sleep=self._sleep, on_progress=on_progress)


def _finish(part: Part, stem: str) -> SavedVideo:
    if part.ending() == "cut":
        raise NotAVideo(
            "The file at the service ends in the middle of the video; nothing was saved.",
            "The task stays completed: call download_video again in a minute.",
        )
    part.checkpoint()
    size, sha256 = part.received, part.sha256
    part.close()
    path = publish(part.path, part.folder, stem)
    part.discard()
    return SavedVideo(path, size, sha256)


async def _addresses(host: str) -> tuple[str, ...]:
    found = await anyio.getaddrinfo(host, 443)
    return tuple(str(address[0]) for *_, address in found)


def _expired(expires_at: int | None, now: float) -> ResultExpired:
    if expires_at is None or not 0 < expires_at < LAST_SECOND:
        happened = "The service no longer hands out this video: links die 24 hours after a video is completed."
    else:
        moment = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(expires_at))
        happened = (
            f"The link of this video expired on {moment}."
            if expires_at <= now
            else f"The service refuses the link of this video, although it is said to last until {moment}."
        )
    return ResultExpired(
        happened, "It cannot be saved from here any more; the service's console may still show the video."
    )

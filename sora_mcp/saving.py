"""Keeping a video: from a task's id to a file in the user's folder, asked for or by itself."""

import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from sora_mcp import USER_AGENT
from sora_mcp.addresses import is_public_address
from sora_mcp.asking import Asking, no_link
from sora_mcp.downloads import Downloader, SavedVideo
from sora_mcp.errors import JournalUnavailable, NotReady, SoraMcpError
from sora_mcp.journal import Order
from sora_mcp.models import DownloadedVideo
from sora_mcp.service import Service
from sora_mcp.settings import Settings
from sora_mcp.transfers import Progress, Transfers

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger(__name__)

LINK_SECONDS = 24 * 3600.0


class Saving:
    """Saves completed videos, once each.

    Args:
        settings: Where to save, and from which hosts.
        open_service: The way to the service, opened on first use.
        asking: Knows the tasks.
        task_group: Lives as long as the server.
        transport: Replaces the network in tests.
        clock: Unix seconds.
        sleep: Waits for seconds.
    """

    def __init__(
        self,
        settings: Settings,
        open_service: Callable[[], Awaitable[Service]],
        asking: Asking,
        task_group: TaskGroup,
        *,
        transport: "httpx.AsyncBaseTransport | None" = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        """Nothing runs yet."""
        self._settings = settings
        self._open = open_service
        self._asking = asking
        self._transport = transport
        self._clock = clock
        self._sleep = sleep
        self._downloader: Downloader | None = None
        self._transfers = Transfers(self._save, task_group)

    async def aclose(self) -> None:
        """Close the connections to file hosts."""
        if self._downloader:
            await self._downloader.aclose()

    async def wait(self, task_id: str, on_progress: Progress) -> DownloadedVideo:
        """The saved video, within 45 s.

        Raises:
            NotReady: The task is not completed, or the transfer needs longer; it goes on.
            SoraMcpError: It failed; why.
        """
        return await self._transfers.wait(task_id, on_progress)

    async def save_in_background(self) -> None:
        """Save every ordered video of the last 24 hours that is not saved, as long as the server lives."""
        while True:
            try:
                await self._save_what_is_done()
            except SoraMcpError as error:
                logger.warning("videos cannot be saved for now: %s", error)
            await self._sleep(max(self._settings.poll_seconds, 1.0))

    async def _save_what_is_done(self) -> None:
        service = await self._open()
        for order in (await service.journal.list(limit=50)).orders:
            if order.status == "failed" or order.saved_path or order.task_id is None:
                continue
            if self._clock() - order.sent_at > LINK_SECONDS:
                return
            if order.status == "completed":
                self._transfers.start(order.task_id)
            else:
                await self._ask_quietly(order.task_id)

    async def _ask_quietly(self, task_id: str) -> None:
        """Learn whether a task is done, at the pace of everyone who asks about it."""
        try:
            await self._asking.wait(task_id, 0)
        except SoraMcpError as error:
            logger.info("a task to be saved could not be asked about: %s", error.code)

    async def _save(self, task_id: str, on_progress: Progress) -> DownloadedVideo:
        service = await self._open()
        order = await self._asking.order(task_id)
        task_id = order.id if order else task_id
        video, already = await self._files(service).save(
            task_id,
            prompt=order.prompt if order else None,
            created_at=order.created_at if order else None,
            link=lambda: self._fresh_link(task_id),
            known=_saved(order),
            expires_at=order.expires_at if order else None,
            on_progress=on_progress,
        )
        if order and _saved(order) != video:
            try:
                await service.journal.save(task_id, str(video.path), video.size, video.sha256)
            except JournalUnavailable as error:
                logger.warning("where a video was saved could not be written down: %s", error)
            self._asking.forget_order(task_id)
        return DownloadedVideo(
            task_id=task_id, path=str(video.path), size=video.size, sha256=video.sha256, already_downloaded=already
        )

    def _files(self, service: Service) -> Downloader:
        if self._downloader is None:
            self._downloader = Downloader(
                output_dir=lambda: self._settings.output_dir,
                file_hosts=self._settings.file_hosts,
                trusted_origin=lambda: service.base_url,
                user_agent=USER_AGENT,
                is_public=is_public_address,
                transport=self._transport,
                clock=self._clock,
                sleep=self._sleep,
            )
        return self._downloader

    async def _fresh_link(self, task_id: str) -> str:
        """Ask the service for the link once more: an old one may have died.

        Raises:
            NotReady: The video is not completed.
            ResultMissing: It is, without a link.
        """
        report = await self._asking.ask(task_id)
        if report.status == "failed":
            raise NotReady(f"The task {task_id} failed: there is no video.", "Ask get_video_status for the reason.")
        if report.status != "completed":
            raise NotReady(
                f"The video {task_id} is not completed yet ({report.progress or 0} %).",
                f'Wait for it: get_video_status(task_id="{task_id}", wait_seconds=50).',
                retry_after_seconds=self._asking.retry_after_seconds(task_id),
            )
        if not report.urls:
            raise no_link(task_id)
        return report.urls[0]


def _saved(order: Order | None) -> SavedVideo | None:
    if order is None or order.saved_path is None or order.saved_size is None or order.saved_sha256 is None:
        return None
    return SavedVideo(Path(order.saved_path), order.saved_size, order.saved_sha256)

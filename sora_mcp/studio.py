"""What happens, in order: order a video, ask about it, wait for it, send a reference image.

Knows neither MCP nor HTTP. The API client, the journal and the image tools are opened when they are first needed.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from sora_mcp.addresses import check_public_link, is_public_address
from sora_mcp.answers import task_answer
from sora_mcp.catalog import Model, load_catalog
from sora_mcp.downloads import Downloader, SavedVideo
from sora_mcp.errors import InvalidArgument, JournalUnavailable, ModelUnavailable, NotReady, ResultMissing, TaskNotFound
from sora_mcp.journal import NewOrder, Order, Upload, fingerprint, new_order_id
from sora_mcp.models import DownloadedVideo, Fit, GenerateRequest, Task, TaskReport, UploadedImage
from sora_mcp.offer import known_model
from sora_mcp.saving import Progress, Saving
from sora_mcp.service import Service, StartSimulator, journal_path, open_service
from sora_mcp.settings import Settings
from sora_mcp.waiting import OnChange, Waiting

if TYPE_CHECKING:
    import httpx

    from sora_mcp.images import ImagePreparer

logger = logging.getLogger(__name__)

QUESTION_SECONDS = 12.0
LATE_TASK_SECONDS = 600.0
"""How long after an order a "not found" only means that the service is behind with its own list."""
NOT_FOUND_PAUSES = (1.0, 1.0)
JOURNAL_PATIENCE_SECONDS = 2.0

SAME_ORDER_NOTE = (
    "This order was placed before: this is that task, nothing was ordered or charged again. "
    "For another video of the same prompt pass take={}."
)


class Studio:
    """One account's videos. Lives as long as the server; what must not be cancelled runs in its task group.

    Args:
        settings: As loaded.
        task_group: Of the server's lifespan.
        start_simulator: Starts the embedded simulator in a task group and returns its address.
        transport: Replaces the network in tests.
        clock: Unix seconds.
        sleep: Waits for seconds.
    """

    def __init__(
        self,
        settings: Settings,
        task_group: TaskGroup,
        *,
        start_simulator: StartSimulator | None = None,
        transport: "httpx.AsyncBaseTransport | None" = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        """Open nothing yet."""
        self.settings = settings
        self._task_group = task_group
        self._start_simulator = start_simulator
        self._transport = transport
        self._clock = clock
        self._sleep = sleep
        self._opening = anyio.Lock()
        self._service: Service | None = None
        self._images: ImagePreparer | None = None
        self._downloads: Downloader | None = None
        self._recorded: dict[str, tuple[str, int | None]] = {}
        self._saving = Saving(self._save, task_group)
        self._waiting = Waiting(self._ask, task_group, poll_seconds=settings.poll_seconds, sleep=sleep)

    async def finish_orders(self, seconds: float) -> None:
        """Let orders in flight end, for at most ``seconds``; what is left is found again at the next start."""
        if self._service:
            await self._service.ordering.finish(seconds)

    async def aclose(self) -> None:
        """Close connections and files, once nothing runs any more."""
        with anyio.CancelScope(shield=True):
            if self._downloads:
                await self._downloads.aclose()
            if self._images:
                await self._images.aclose()
            if self._service:
                await self._service.api.aclose()
                await self._service.journal.aclose()

    async def warm_up(self) -> None:
        """Import what the first call needs, and take up what an earlier process left behind."""
        if self.settings.api_key is None and not self.settings.simulate:
            return
        if journal_path(self.settings).exists():
            await self._open()

    async def _open(self) -> Service:
        """The way to the service, opened on first use.

        Raises:
            MissingApiKey: There is no key, and the simulator is not asked for.
        """
        if self._service is None:
            async with self._opening:
                if self._service is None:
                    self._service = await open_service(
                        self.settings,
                        self._task_group,
                        start_simulator=self._start_simulator,
                        transport=self._transport,
                        clock=self._clock,
                        sleep=self._sleep,
                    )
        return self._service

    async def generate(
        self, *, prompt: str, duration: int, aspect_ratio: str, image_urls: list[str] | None, model: str, take: int
    ) -> Task:
        """Order a video. Costs money, once for the same arguments within 15 minutes.

        Raises:
            SoraMcpError: Nothing was ordered, and why.
        """
        chosen = known_model(model)
        if duration not in chosen.durations:
            allowed = ", ".join(map(str, chosen.durations))
            raise InvalidArgument(f"{model} makes videos of {allowed} seconds.", "Pass one of these as duration.")
        image_urls = image_urls or None
        service = await self._open()
        await self._check_images(service, image_urls or [], aspect_ratio, chosen)
        await service.offer.check(model)
        arguments = {"duration": duration, "aspect_ratio": aspect_ratio, "image_urls": image_urls}
        order = NewOrder(
            order_id=new_order_id(),
            kind="generate",
            fingerprint=fingerprint("generate_video", service.account, model, prompt, arguments, take),
            model=model,
            prompt=prompt,
            seconds=duration,
            aspect_ratio=aspect_ratio,
            size=load_catalog().size(aspect_ratio),
            request=arguments | {"take": take},
            remixed_from_video_id=None,
        )
        request = GenerateRequest(
            model=model,
            prompt=prompt,
            duration=duration,
            aspect_ratio=aspect_ratio,
            image_urls=image_urls,
            client_business_id=order.order_id,
        )
        notes: list[str] = []
        if image_urls and len(image_urls) > chosen.max_images:
            used = "first one" if chosen.max_images == 1 else f"first {chosen.max_images}"
            notes.append(f"Only the {used} of the {len(image_urls)} images is used.")
        try:
            placed = await service.ordering.place(order, lambda: service.api.generate(request))
        except ModelUnavailable as error:
            raise await service.offer.unavailable(model, error.upstream_message) from error
        if placed.joined:
            notes.insert(0, SAME_ORDER_NOTE.format(take + 1))
        return self._answer(placed.order, None, notes)

    async def status(self, task_id: str, wait_seconds: int = 0, on_change: OnChange | None = None) -> Task:
        """Ask about a task, and wait for it for at most ``wait_seconds``.

        Raises:
            SoraMcpError: The question could not be answered; the task itself is not touched by that.
        """
        service = await self._open()
        order = await self._known(service, task_id)
        if order and order.state != "accepted":
            order = await service.ordering.resolve(order, wait_seconds)
            if order.state != "accepted":
                return self._answer(order, None)
        task_id = order.id if order else task_id
        known = self._waiting.known(task_id)
        if known and known.expires_at is not None and known.expires_at <= self._clock():
            self._waiting.forget(task_id)
        report = await self._waiting.wait(task_id, wait_seconds, on_change)
        if report.status == "completed" and not report.urls:
            raise _no_link(task_id)
        return self._answer(order, report)

    async def upload(self, file: str, aspect_ratio: str | None, fit: Fit) -> UploadedImage:
        """Make a reference image fit and hand it to the service.

        Raises:
            SoraMcpError: The image cannot be used or sent.
        """
        service = await self._open()
        if self._images is None:
            from sora_mcp.images import ImagePreparer  # noqa: PLC0415 - only this call needs it

            self._images = ImagePreparer(
                roots=lambda: self.settings.image_roots,
                trusted_origin=lambda: service.base_url,
                sizes=load_catalog().sizes,
            )
        prepared = await self._images.prepare(file, aspect_ratio=aspect_ratio, fit=fit)
        settings = f"{prepared.aspect_ratio} {fit}"
        upload = await self._earlier_upload(service, prepared.source_sha256, settings)
        if upload is None:
            uploaded = await service.api.upload_image(prepared.data, prepared.mime_type)
            upload = Upload(
                id=uploaded.id,
                url=uploaded.url,
                mime_type=uploaded.mime_type or prepared.mime_type,
                size=uploaded.size or len(prepared.data),
                width=prepared.width,
                height=prepared.height,
                created_at=self._clock(),
                changes=prepared.changes,
            )
            await self._remember_upload(service, prepared.source_sha256, settings, upload)
        return UploadedImage(
            id=upload.id,
            url=upload.url,
            mime_type=upload.mime_type or prepared.mime_type,
            size=upload.size or len(prepared.data),
            width=upload.width,
            height=upload.height,
            aspect_ratio=prepared.aspect_ratio,
            changes=list(prepared.changes),
        )

    async def _earlier_upload(self, service: Service, content_sha256: str, settings: str) -> Upload | None:
        try:
            return await service.journal.find_upload(content_sha256, settings)
        except JournalUnavailable as error:
            logger.warning("earlier uploads cannot be looked up: %s", error)
            return None

    async def _remember_upload(self, service: Service, content_sha256: str, settings: str, upload: Upload) -> None:
        try:
            await service.journal.remember_upload(content_sha256, settings, upload)
        except JournalUnavailable as error:
            logger.warning("an upload could not be written down: %s", error)

    async def download(self, task_id: str, on_progress: Progress) -> DownloadedVideo:
        """Save a completed video in the output folder, once.

        Raises:
            SoraMcpError: It is not saved (yet), and why; the video itself is not touched by that.
        """
        await self._open()
        return await self._saving.wait(task_id, on_progress)

    async def _save(self, task_id: str, on_progress: Progress) -> DownloadedVideo:
        service = await self._open()
        order = await self._known(service, task_id)
        task_id = order.id if order else task_id
        known = self._waiting.known(task_id)
        video, already = await self._downloader(service).save(
            task_id,
            prompt=order.prompt if order else None,
            created_at=order.created_at if order else None,
            link=lambda: self._fresh_link(task_id),
            known=_saved(order),
            expires_at=(known and known.expires_at) or (order and order.expires_at),
            on_progress=on_progress,
        )
        if order and _saved(order) != video:
            try:
                await service.journal.save(task_id, str(video.path), video.size, video.sha256)
            except JournalUnavailable as error:
                logger.warning("where a video was saved could not be written down: %s", error)
        return DownloadedVideo(
            task_id=task_id, path=str(video.path), size=video.size, sha256=video.sha256, already_downloaded=already
        )

    def _downloader(self, service: Service) -> "Downloader":
        if self._downloads is None:
            from sora_mcp.api.client import USER_AGENT  # noqa: PLC0415 - imported with the service

            self._downloads = Downloader(
                output_dir=lambda: self.settings.output_dir,
                file_hosts=self.settings.file_hosts,
                trusted_origin=lambda: service.base_url,
                user_agent=USER_AGENT,
                is_public=is_public_address,
                transport=self._transport,
                clock=self._clock,
                sleep=self._sleep,
            )
        return self._downloads

    async def _fresh_link(self, task_id: str) -> str:
        """Ask the service for the link once more: an old one may have died.

        Raises:
            NotReady: The video is not completed.
            ResultMissing: It is, without a link.
        """
        report = await self._ask(task_id)
        if report.status == "failed":
            raise NotReady(f"The task {task_id} failed: there is no video.", "Ask get_video_status for the reason.")
        if report.status != "completed":
            raise NotReady(
                f"The video {task_id} is not completed yet ({report.progress or 0} %).",
                f'Wait for it: get_video_status(task_id="{task_id}", wait_seconds=50).',
                retry_after_seconds=self._waiting.retry_after_seconds(task_id),
            )
        if not report.urls:
            raise _no_link(task_id)
        return report.urls[0]

    async def _check_images(self, service: Service, image_urls: list[str], aspect_ratio: str, model: Model) -> None:
        """Refuse before money moves what is known to fail: a private link, an upload of another shape.

        Raises:
            UrlNotAllowed: A link that the service could not, or must not, fetch.
            InvalidArgument: An image of the wrong aspect ratio, with the right one to pass.
        """
        for url in image_urls:
            check_public_link(url, trusted_origin=service.base_url)
        if not image_urls or not model.exact_image_size:
            return
        sizes = load_catalog().sizes
        size = await self._upload_size(service, image_urls[0])
        if size and size != sizes[aspect_ratio]:
            fitting = next((ratio for ratio, wanted in sizes.items() if wanted == size), None)
            advice = f'Pass aspect_ratio="{fitting}"' if fitting else "Upload the image anew"
            raise InvalidArgument(
                f"The image is {size[0]}x{size[1]}: it does not fit aspect_ratio {aspect_ratio}. Nothing was ordered.",
                f"{advice}, or upload it for {aspect_ratio} with upload_reference_image.",
            )

    async def _upload_size(self, service: Service, url: str) -> tuple[int, int] | None:
        try:
            return await service.journal.upload_size(url)
        except JournalUnavailable as error:
            logger.warning("the size of an upload cannot be looked up: %s", error)
            return None

    async def _ask(self, task_id: str) -> TaskReport:
        """Put one question about a task; a "not found" counts only when it is said three times."""
        service = await self._open()
        for pause in (*NOT_FOUND_PAUSES, None):
            try:
                report = await service.api.status(task_id, deadline=QUESTION_SECONDS)
            except TaskNotFound as error:
                if pause is None:
                    return await self._late_or_lost(service, task_id, error)
                await self._sleep(pause)
            else:
                self._note(service, task_id, report)
                return report
        raise AssertionError  # pragma: no cover - the last round returns or raises

    async def _late_or_lost(self, service: Service, task_id: str, error: TaskNotFound) -> TaskReport:
        """A task that we ordered ourselves is never called missing while the service may just be behind."""
        order = await self._known(service, task_id)
        if order is None:
            raise TaskNotFound(
                f"The service does not know a task {task_id} for this key.",
                "Check the id; list_videos shows the tasks ordered from here.",
                upstream_message=error.upstream_message,
            )
        if self._clock() - order.sent_at < LATE_TASK_SECONDS:
            status = "in_progress" if order.status == "in_progress" else "queued"
            return TaskReport(id=task_id, status=status, progress=order.progress)
        raise TaskNotFound(
            f"The service no longer shows the task {task_id}, though it was ordered from here.",
            "Look for it in the service's console.",
            upstream_message=error.upstream_message,
        )

    def _note(self, service: Service, task_id: str, report: TaskReport) -> None:
        """Write a change down beside the answer, not before it: a locked journal must not hold up a question."""
        if self._recorded.get(task_id) != (report.status, report.progress):
            self._recorded[task_id] = (report.status, report.progress)
            self._task_group.start_soon(self._record, service, report)

    async def _record(self, service: Service, report: TaskReport) -> None:
        try:
            order = await service.journal.record(report)
            if order and report.client_business_id == order.order_id:
                await service.journal.learn_ids_kept(order.model)
        except JournalUnavailable as error:
            logger.warning("the state of a task could not be written down: %s", error)

    async def _known(self, service: Service, task_id: str) -> Order | None:
        """The order behind a task, if it is ours and the journal answers soon."""
        with anyio.move_on_after(JOURNAL_PATIENCE_SECONDS):
            try:
                return await service.journal.find(task_id)
            except JournalUnavailable as error:
                logger.warning("the journal cannot be read: %s", error)
        return None

    def _answer(self, order: Order | None, report: TaskReport | None, notes: list[str] | None = None) -> Task:
        task_id = order.id if order else report.id if report else ""
        return task_answer(
            order,
            report,
            retry_after_seconds=self._waiting.retry_after_seconds(task_id),
            simulated=self.settings.simulate,
            notes=notes,
        )


def _no_link(task_id: str) -> ResultMissing:
    return ResultMissing(
        f"The video {task_id} is completed, but the service gave no link to it.",
        "Ask get_video_status again in a minute; the video is not lost.",
        retry_after_seconds=60,
    )


def _saved(order: Order | None) -> SavedVideo | None:
    if order is None or order.saved_path is None or order.saved_size is None or order.saved_sha256 is None:
        return None
    return SavedVideo(Path(order.saved_path), order.saved_size, order.saved_sha256)
